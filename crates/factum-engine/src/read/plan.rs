//! Which records of one segment a source means.
//!
//! Every source but `$all` is an expression over lists: a stream or category is one list, a query a union of intersections.
//! Never: does I/O except loading an index.

use std::ops::Range;
use std::sync::Arc;

use factum_format::FormatError;
use factum_format::index::PostingEntry;
use factum_store::{Source, StoreError};
use factum_types::{Query, StreamName};

use super::lists::List;
use crate::key::{KeyHash, KeyKind, Keyer};
use crate::view::unsealed::Content;
use crate::view::{Index, Segment};

/// A source, its names hashed.
#[derive(Debug, Clone)]
pub(crate) enum SourceKeys {
    All,
    Stream {
        name: StreamName,
        key: KeyHash,
        control: KeyHash,
    },
    Category {
        name: String,
        key: KeyHash,
        control: KeyHash,
    },
    Query(Arc<Vec<ItemKeys>>),
}

/// A query item, its names hashed.
#[derive(Debug, Clone, Default)]
pub(crate) struct ItemKeys {
    types: Vec<(KeyHash, String)>,
    tags: Vec<(KeyHash, String)>,
}

/// The ordinals meant, ascending.
#[derive(Debug, Clone)]
pub(crate) enum Ordinals {
    Range(Range<u32>),
    List(Vec<u32>),
}

/// Which part of a segment is meant.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) ordinals: Range<u32>,
    /// For a stream: the revisions meant.
    pub(crate) revisions: Range<u64>,
    /// Whether control records are meant too.
    pub(crate) control: bool,
}

impl SourceKeys {
    pub(crate) fn new(source: &Source, keyer: &Keyer) -> Result<Self, StoreError> {
        Ok(match source {
            Source::All => Self::All,
            Source::Stream(name) => Self::Stream {
                name: name.clone(),
                key: keyer.stream(name.as_str()),
                control: keyer.hash(KeyKind::Control, name.as_str()),
            },
            Source::Category(name) => Self::Category {
                name: name.as_str().to_owned(),
                key: keyer.hash(KeyKind::Category, name.as_str()),
                control: keyer.hash(KeyKind::CategoryControl, name.as_str()),
            },
            Source::Query(query) => Self::query(query, keyer),
            _ => {
                return Err(StoreError::invalid(
                    "this source is not known to the engine",
                ));
            }
        })
    }

    pub(crate) fn query(query: &Query, keyer: &Keyer) -> Self {
        let types = |item: &factum_types::QueryItem| {
            let keyed = |t: &factum_types::EventType| {
                (
                    keyer.hash(KeyKind::EventType, t.as_str()),
                    t.as_str().to_owned(),
                )
            };
            item.types.iter().map(keyed).collect()
        };
        let tags = |item: &factum_types::QueryItem| {
            let keyed = |t: &factum_types::Tag| {
                (keyer.hash(KeyKind::Tag, t.as_str()), t.as_str().to_owned())
            };
            item.tags.iter().map(keyed).collect()
        };
        let items = query.items.iter().map(|i| ItemKeys {
            types: types(i),
            tags: tags(i),
        });
        Self::Query(Arc::new(items.collect()))
    }

    /// The records of the segment that are meant, within the bounds.
    pub(crate) fn ordinals(
        &self,
        segment: &Segment,
        bounds: &Bounds,
    ) -> Result<Ordinals, StoreError> {
        if matches!(self, Self::All) {
            return Ok(Ordinals::Range(bounds.ordinals.clone()));
        }
        match segment {
            Segment::Unsealed(unsealed) => {
                let content = unsealed.read();
                let found = self.find(&InMemory(&content), bounds);
                Ok(Ordinals::List(found.unwrap_or_default()))
            }
            Segment::Sealed(sealed) => {
                let index = sealed.index()?;
                let found = self.find(&InFile(&index), bounds);
                found
                    .map(Ordinals::List)
                    .map_err(|error| sealed.bad_index(&error))
            }
        }
    }

    /// The events of a stream in a sealed segment, within the bounds, when its list there is known already.
    pub(crate) fn of_list(list: Option<&List>, bounds: &Bounds) -> Result<Ordinals, FormatError> {
        let found = match list {
            Some((index, at)) => events_within(&index.posting_at(*at)?, bounds)?,
            None => Vec::new(),
        };
        Ok(Ordinals::List(found))
    }

    fn find(&self, lists: &impl Lists, bounds: &Bounds) -> Result<Vec<u32>, FormatError> {
        let within = &bounds.ordinals;
        match self {
            Self::All => Ok(within.clone().collect()),
            Self::Stream { name, key, control } => {
                let events = lists.revisions(*key, name.as_str(), bounds)?;
                if !bounds.control {
                    return Ok(events);
                }
                let control = lists.list(KeyKind::Control, *control, name.as_str(), within)?;
                Ok(merge(events, &control))
            }
            Self::Category { name, key, control } => {
                let events = lists.list(KeyKind::Category, *key, name, within)?;
                if !bounds.control {
                    return Ok(events);
                }
                let control = lists.list(KeyKind::CategoryControl, *control, name, within)?;
                Ok(merge(events, &control))
            }
            Self::Query(items) => {
                let mut found = Vec::new();
                for item in items.iter() {
                    found = merge(found, &item.find(lists, within)?);
                }
                Ok(found)
            }
        }
    }
}

impl ItemKeys {
    fn find(&self, lists: &impl Lists, within: &Range<u32>) -> Result<Vec<u32>, FormatError> {
        let mut found: Option<Vec<u32>> = None;
        for (key, name) in &self.tags {
            let list = lists.list(KeyKind::Tag, *key, name, within)?;
            found = Some(match found {
                None => list,
                Some(so_far) => intersect(&so_far, &list),
            });
            if found.as_ref().is_some_and(Vec::is_empty) {
                return Ok(Vec::new());
            }
        }
        if self.types.is_empty() {
            return match found {
                Some(found) => Ok(found),
                None => lists.all_events(within),
            };
        }
        let mut of_types = Vec::new();
        for (key, name) in &self.types {
            of_types = merge(
                of_types,
                &lists.list(KeyKind::EventType, *key, name, within)?,
            );
        }
        Ok(match found {
            Some(found) => intersect(&found, &of_types),
            None => of_types,
        })
    }
}

/// Where lists come from.
trait Lists {
    /// The list of a key within bounds, ascending; empty when there is none.
    fn list(
        &self,
        kind: KeyKind,
        key: KeyHash,
        name: &str,
        within: &Range<u32>,
    ) -> Result<Vec<u32>, FormatError>;

    /// The events of a stream within bounds of ordinals and of revisions.
    fn revisions(&self, key: KeyHash, name: &str, bounds: &Bounds)
    -> Result<Vec<u32>, FormatError>;

    /// Every event: the union of all types.
    fn all_events(&self, within: &Range<u32>) -> Result<Vec<u32>, FormatError>;
}

struct InMemory<'a>(&'a Content);
struct InFile<'a>(&'a Index);

impl InMemory<'_> {
    fn whole(&self, kind: KeyKind, key: KeyHash) -> Option<&[u32]> {
        let content = self.0;
        let found = content.keys.get(&key).filter(|found| found.kind == kind)?;
        let index = found.index as usize;
        Some(match kind {
            KeyKind::Stream => &content.streams[index].ordinals,
            KeyKind::EventType => &content.types[index].ordinals,
            KeyKind::Tag => &content.tags[index].ordinals,
            KeyKind::Category => &content.categories[index].ordinals,
            KeyKind::Snapshot => &content.snapshots[index].ordinals,
            KeyKind::Control => &content.controls[index].ordinals,
            KeyKind::CategoryControl => &content.category_controls[index].ordinals,
        })
    }
}

fn clip<'a>(list: &'a [u32], within: &Range<u32>) -> &'a [u32] {
    let start = list.partition_point(|ordinal| *ordinal < within.start);
    let end = list.partition_point(|ordinal| *ordinal < within.end);
    &list[start..end.max(start)]
}

impl Lists for InMemory<'_> {
    fn list(
        &self,
        kind: KeyKind,
        key: KeyHash,
        _: &str,
        within: &Range<u32>,
    ) -> Result<Vec<u32>, FormatError> {
        Ok(clip(self.whole(kind, key).unwrap_or_default(), within).to_vec())
    }

    fn revisions(&self, key: KeyHash, _: &str, bounds: &Bounds) -> Result<Vec<u32>, FormatError> {
        let Some(list) = self.whole(KeyKind::Stream, key) else {
            return Ok(Vec::new());
        };
        let found = self
            .0
            .keys
            .get(&key)
            .map_or(0, |found| found.index as usize);
        let part = by_revision(
            self.0.streams[found].first_revision,
            list.len(),
            &bounds.revisions,
        );
        Ok(clip(&list[part], &bounds.ordinals).to_vec())
    }

    fn all_events(&self, within: &Range<u32>) -> Result<Vec<u32>, FormatError> {
        let mut all: Vec<u32> = self
            .0
            .types
            .iter()
            .flat_map(|list| clip(&list.ordinals, within))
            .copied()
            .collect();
        all.sort_unstable();
        Ok(all)
    }
}

impl Lists for InFile<'_> {
    fn list(
        &self,
        kind: KeyKind,
        key: KeyHash,
        name: &str,
        within: &Range<u32>,
    ) -> Result<Vec<u32>, FormatError> {
        let Some(posting) = self.0.posting(kind, key, name)? else {
            return Ok(Vec::new());
        };
        collect(posting.seek(within.start), within.end)
    }

    fn revisions(
        &self,
        key: KeyHash,
        name: &str,
        bounds: &Bounds,
    ) -> Result<Vec<u32>, FormatError> {
        let Some(posting) = self.0.posting(KeyKind::Stream, key, name)? else {
            return Ok(Vec::new());
        };
        events_within(&posting, bounds)
    }

    fn all_events(&self, within: &Range<u32>) -> Result<Vec<u32>, FormatError> {
        let mut all = Vec::new();
        for (_, posting) in self.0.postings_of(KeyKind::EventType)? {
            all.extend(collect(posting.seek(within.start), within.end)?);
        }
        all.sort_unstable();
        Ok(all)
    }
}

/// The events of a stream's list within bounds of ordinals and of revisions.
fn events_within(posting: &PostingEntry<'_>, bounds: &Bounds) -> Result<Vec<u32>, FormatError> {
    let part = by_revision(
        posting.head.before,
        posting.count as usize,
        &bounds.revisions,
    );
    let index = u32::try_from(part.start).unwrap_or(u32::MAX);
    // No more than the segment has records, whatever a damaged list claims.
    let within = bounds.ordinals.len();
    let mut found = Vec::with_capacity(part.len().min(within));
    for ordinal in posting.ordinals_from(index).take(part.len()) {
        let ordinal = ordinal?;
        if ordinal >= bounds.ordinals.end {
            break;
        }
        if ordinal >= bounds.ordinals.start {
            found.push(ordinal);
        }
    }
    Ok(found)
}

fn collect(
    ordinals: impl Iterator<Item = Result<u32, FormatError>>,
    end: u32,
) -> Result<Vec<u32>, FormatError> {
    ordinals
        .take_while(|item| !matches!(item, Ok(ordinal) if *ordinal >= end))
        .collect()
}

/// Which entries of a stream's list have these revisions.
fn by_revision(first: u64, count: usize, wanted: &Range<u64>) -> Range<usize> {
    let index = |revision: u64| {
        usize::try_from(revision.saturating_sub(first))
            .unwrap_or(usize::MAX)
            .min(count)
    };
    let start = index(wanted.start);
    start..index(wanted.end).max(start)
}

/// The union of two ascending lists.
fn merge(a: Vec<u32>, b: &[u32]) -> Vec<u32> {
    if b.is_empty() {
        return a;
    }
    let mut all = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.into_iter().peekable(), b.iter().copied().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x < y => a.next(),
            (Some(x), Some(y)) if x > y => b.next(),
            (Some(_), Some(_)) => {
                b.next();
                a.next()
            }
            (Some(_), None) => a.next(),
            (None, _) => b.next(),
        };
        let Some(next) = next else { return all };
        all.push(next);
    }
}

/// What two ascending lists have in common; the shorter one gallops through the longer.
fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (short, mut long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut common = Vec::new();
    for &wanted in short {
        let mut step = 1;
        while step < long.len() && long[step] < wanted {
            step *= 2;
        }
        let window = &long[..long.len().min(step + 1)];
        let at = window.partition_point(|ordinal| *ordinal < wanted);
        long = &long[at..];
        if long.first() == Some(&wanted) {
            common.push(wanted);
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::{by_revision, intersect, merge};

    #[test]
    fn unions_and_intersections() {
        assert_eq!(merge(vec![1, 3, 5], &[2, 3, 9]), [1, 2, 3, 5, 9]);
        assert_eq!(merge(vec![], &[4]), [4]);
        assert_eq!(intersect(&[1, 3, 5, 7], &[3, 4, 7, 9, 11]), [3, 7]);
        assert_eq!(intersect(&[5], &[]), [0; 0]);
        let long: Vec<u32> = (0..1000).map(|n| n * 3).collect();
        assert_eq!(intersect(&long, &[0, 2997, 2998]), [0, 2997]);
    }

    #[test]
    fn intersections_agree_with_sets() {
        let mut random = 12_345u32;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random >> 22
        };
        for _ in 0..200 {
            let mut make = || {
                (0..next() % 60)
                    .map(|_| next())
                    .collect::<std::collections::BTreeSet<_>>()
            };
            let (a, b) = (make(), make());
            let lists: (Vec<u32>, Vec<u32>) =
                (a.iter().copied().collect(), b.iter().copied().collect());
            assert_eq!(
                intersect(&lists.0, &lists.1),
                a.intersection(&b).copied().collect::<Vec<_>>()
            );
            assert_eq!(
                merge(lists.0, &lists.1),
                a.union(&b).copied().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn revisions_become_places() {
        assert_eq!(by_revision(10, 5, &(0..u64::MAX)), 0..5);
        assert_eq!(by_revision(10, 5, &(12..14)), 2..4);
        assert_eq!(by_revision(10, 5, &(0..3)), 0..0);
        assert_eq!(by_revision(10, 5, &(99..100)), 5..5);
    }
}
