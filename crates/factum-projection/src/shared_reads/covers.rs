//! Which sources are read as one.
//!
//! Relies on: nothing. Never: makes readers fetch an event that none of the sources has.

use std::sync::Arc;

use factum_store::Source;
use factum_types::{Query, QueryItem, limits};

/// The sources that will be read, and what is read for each.
#[derive(Debug, Clone)]
pub(super) struct Covers(Vec<(Source, Option<Arc<Source>>)>);

impl Covers {
    pub(super) fn new(sources: impl IntoIterator<Item = Source>) -> Self {
        let mut listed: Vec<(Source, Option<Arc<Source>>)> = Vec::new();
        for source in sources {
            let is_shared = !matches!(source, Source::Stream(_)) && source.validate().is_ok();
            if is_shared && listed.iter().all(|(known, _)| *known != source) {
                listed.push((source, None));
            }
        }
        if listed.len() > 1 && listed.iter().any(|(source, _)| *source == Source::All) {
            let all = Arc::new(Source::All);
            for (_, cover) in &mut listed {
                *cover = Some(Arc::clone(&all));
            }
            return Self(listed);
        }
        let (mut union, mut parts) = (Query::default(), Vec::new());
        for (index, (source, _)) in listed.iter().enumerate() {
            let Source::Query(query) = source else {
                continue;
            };
            if let Some(both) = joined(&union, query) {
                union = both;
                parts.push(index);
            }
        }
        if parts.len() > 1 {
            let union = Arc::new(Source::Query(union));
            for index in parts {
                if let Some((_, cover)) = listed.get_mut(index) {
                    *cover = Some(Arc::clone(&union));
                }
            }
        }
        Self(listed)
    }

    /// Its number, and what is read for it and others when they are near.
    pub(super) fn of(&self, source: &Source) -> Option<(usize, Arc<Source>)> {
        let index = self.0.iter().position(|(listed, _)| listed == source)?;
        let cover = self.0.get(index)?.1.as_ref()?;
        Some((index, Arc::clone(cover)))
    }

    /// The numbers of the others that are read as this one.
    pub(super) fn others(&self, number: usize, cover: &Source) -> impl Iterator<Item = usize> {
        self.0
            .iter()
            .enumerate()
            .filter(move |(index, (_, its))| *index != number && its.as_deref() == Some(cover))
            .map(|(index, _)| index)
    }
}

/// Both queries as one, if that stays within the limits of a query.
fn joined(one: &Query, other: &Query) -> Option<Query> {
    let mut items = one.items.clone();
    for item in &other.items {
        let same = items.iter_mut().find_map(|it| merged(it, item));
        if same.is_none() {
            items.push(item.clone());
        }
    }
    (items.len() <= limits::QUERY_ITEMS_MAX).then_some(Query { items })
}

/// Adds the types of the other item, where the two differ in nothing else and both name types.
fn merged(one: &mut QueryItem, other: &QueryItem) -> Option<()> {
    if one == other {
        return Some(());
    }
    if one.tags != other.tags || one.types.is_empty() || other.types.is_empty() {
        return None;
    }
    let more: Vec<_> = other
        .types
        .iter()
        .filter(|it| !one.types.contains(it))
        .cloned()
        .collect();
    if one.types.len() + more.len() > limits::QUERY_ITEM_TERMS_MAX {
        return None;
    }
    one.types.extend(more);
    Some(())
}

#[cfg(test)]
mod tests {
    use factum_types::{Category, EventType, Tag};

    use super::*;

    fn types(names: &[&str], tags: &[&str]) -> Source {
        let types = names.iter().map(|name| EventType::new(name).unwrap());
        let tags = tags.iter().map(|tag| Tag::new(tag).unwrap());
        Source::Query(Query::of(types, tags))
    }

    fn category(name: &str) -> Source {
        Source::Category(Category::new(name).unwrap())
    }

    #[track_caller]
    fn check(sources: &[Source], expected: &[Option<Source>]) {
        let covers = Covers::new(sources.to_vec());
        let found = sources.iter().map(|it| covers.of(it));
        let found: Vec<_> = found
            .map(|it| it.map(|(_, cover)| (*cover).clone()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn sources_are_read_as_one_where_nothing_more_is_read_by_it() {
        let (a, bc, tagged) = (
            types(&["A"], &[]),
            types(&["B", "C", "A"], &[]),
            types(&["A"], &["x:1"]),
        );
        check(std::slice::from_ref(&a), &[None]);
        check(&[a.clone(), a.clone()], &[None, None]);
        let union = Some(types(&["A", "B", "C"], &[]));
        check(
            &[a.clone(), category("order"), bc.clone()],
            &[union.clone(), None, union],
        );
        let Source::Query(both) = types(&["A"], &[]) else {
            unreachable!()
        };
        let both = Some(Source::Query(both.or(Query::of(
            [EventType::new("A").unwrap()],
            [Tag::new("x:1").unwrap()],
        ))));
        check(&[a, tagged.clone()], &[both.clone(), both]);
        check(&[category("order"), category("item")], &[None, None]);
        let all = Some(Source::All);
        check(
            &[category("order"), Source::All, bc],
            &[all.clone(), all.clone(), all],
        );
    }

    #[test]
    fn a_union_keeps_to_the_limits() {
        let many = |from: usize, count: usize| {
            let names: Vec<_> = (from..from + count).map(|it| format!("T{it}")).collect();
            types(&names.iter().map(String::as_str).collect::<Vec<_>>(), &[])
        };
        let sources: Vec<_> = (0..80).map(|it| many(it * 60, 60)).collect();
        let covers = Covers::new(sources.clone());
        let (_, union) = covers.of(&sources[0]).unwrap();
        union.validate().unwrap();
        assert!(covers.of(&sources[63]).is_some());
        assert!(covers.of(&sources[64]).is_none());
        assert_eq!(covers.others(0, &union).count(), 63);
    }
}
