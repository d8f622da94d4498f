//! Snapshots: which of those that were saved may still be loaded.
//!
//! Nothing saved is ever changed. How many are kept, and that some were dropped, stands in later records of the same stream and key, so a
//! look from the newest to the oldest meets it first. Relies on: [`look_back`]. Never: gives one that was dropped, or that folds events
//! which were deleted since.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use factum_format::record::{self, RecordView};
use factum_format::section::SectionType;
use factum_format::snapshot::SnapshotNote;
use factum_store::{Snapshot, StoreError};
use factum_types::{Bytes, StreamName, Timestamp};

use super::lookup::{look_back, read_record};
use crate::key::KeyKind;
use crate::reader::Reader;
use crate::request::snapshot_key;
use crate::sequence::TailState;
use crate::view::View;

/// The last snapshot of a stream and key, of those up to a version.
pub(crate) fn last(
    reader: &Reader,
    stream: &StreamName,
    key: &str,
    at_most: Option<u64>,
) -> Result<Option<Snapshot>, StoreError> {
    let Some(now) = Now::of(reader, stream)? else {
        return Ok(None);
    };
    let mut kept = Kept::default();
    let hash = reader.keyer.snapshot(stream.as_str(), key);
    let mut found = None;
    let mut wanted = |record: &RecordView<'_>, base: i64| {
        if snapshot_key(record) != key {
            return ControlFlow::Continue(());
        }
        let note = note(record);
        let fits = kept.takes(record.revision, &note)
            && now.holds(record.revision)
            && at_most.is_none_or(|limit| record.revision <= limit);
        if fits {
            let data = Bytes::copy_from_slice(record.data().unwrap_or_default());
            found = Some(snapshot((stream, key), (record, base), note, data));
        }
        end_if(fits || kept.is_over)
    };
    let view = reader.published.view();
    look_back(&view, (stream.as_str(), hash), &mut wanted)?;
    Ok(found)
}

const fn end_if(end: bool) -> ControlFlow<()> {
    if end {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// Every snapshot of a stream that [`last`] may give, without its state: in order of keys, the last saved first.
pub(crate) fn list(reader: &Reader, stream: &StreamName) -> Result<Vec<Snapshot>, StoreError> {
    let mut found = Vec::new();
    let Some(now) = Now::of(reader, stream)? else {
        return Ok(found);
    };
    let view = reader.published.view();
    for key in keys(&view, stream.as_str())? {
        let mut kept = Kept::default();
        let hash = reader.keyer.snapshot(stream.as_str(), &key);
        let mut take = |record: &RecordView<'_>, base: i64| {
            if snapshot_key(record) == key {
                let note = note(record);
                if kept.takes(record.revision, &note) && now.holds(record.revision) {
                    let place = (record, base);
                    found.push(snapshot((stream, &key), place, note, Bytes::new()));
                }
            }
            end_if(kept.is_over)
        };
        look_back(&view, (stream.as_str(), hash), &mut take)?;
    }
    Ok(found)
}

/// What a stream is now, as far as snapshots of it are concerned.
struct Now {
    deleted_before: Option<u64>,
}

impl Now {
    /// `None` when the stream is gone, and its snapshots with it.
    fn of(reader: &Reader, stream: &StreamName) -> Result<Option<Self>, StoreError> {
        let tail = reader.stream_tail(stream)?;
        let deleted_before = tail.deleted_before();
        Ok((tail.state == TailState::Live).then_some(Self { deleted_before }))
    }

    /// Whether a fold up to this version is a fold of this stream: not when events of it were deleted since.
    fn holds(&self, version: u64) -> bool {
        self.deleted_before.is_none_or(|deleted| version > deleted)
    }
}

/// Which snapshots are kept, going from the newest to the oldest.
///
/// Each that says how many are kept did away with all but so many versions when it was saved: those saved last by then. So a version counts
/// against it unless it was saved again in between.
#[derive(Default)]
struct Kept {
    /// How many were met.
    count: usize,
    /// For every one with a limit: its number, and how many more versions it keeps.
    limits: Vec<(usize, u64)>,
    /// The number of the last one met of each version. The first met is the last saved, and took the place of the others.
    seen: BTreeMap<u64, usize>,
    /// Whether nothing older is kept.
    is_over: bool,
}

impl Kept {
    /// Takes note of the next older snapshot, and says whether it is kept.
    fn takes(&mut self, version: u64, note: &SnapshotNote) -> bool {
        self.is_over |= note.dropped;
        if self.is_over {
            return false;
        }
        let number = self.count;
        self.count += 1;
        self.limits.extend(note.keep.map(|keep| (number, keep)));
        let newer = self.seen.insert(version, number);
        let from = newer.map_or(0, |newer| {
            self.limits.partition_point(|(limit, _)| *limit <= newer)
        });
        for (_, left) in &mut self.limits[from..] {
            *left = left.saturating_sub(1);
            self.is_over |= *left == 0;
        }
        newer.is_none()
    }
}

/// The note of a record; one that cannot be read may have dropped what stands before it, and counts as if it had: a snapshot is a cache.
fn note(record: &RecordView<'_>) -> SnapshotNote {
    let content = record.section(SectionType::SNAPSHOT_NOTE);
    SnapshotNote::decode(content.unwrap_or_default()).unwrap_or(SnapshotNote {
        dropped: true,
        ..SnapshotNote::default()
    })
}

fn snapshot(
    (stream, key): (&StreamName, &str),
    (record, base): (&RecordView<'_>, i64),
    note: SnapshotNote,
    data: Bytes,
) -> Snapshot {
    let keep = note.keep.and_then(|keep| u32::try_from(keep).ok());
    let mut snapshot = Snapshot::new(stream.clone(), key, record.revision, data)
        .with_subjects(note.subjects)
        .with_keep(keep.and_then(std::num::NonZeroU32::new));
    snapshot.time = Timestamp::from_micros(base.saturating_add(record.time_delta));
    snapshot
}

/// The keys under which a stream has snapshots. Looks at every list of snapshots there is.
fn keys(view: &View, stream: &str) -> Result<BTreeSet<String>, StoreError> {
    let mut keys = BTreeSet::new();
    for unsealed in &view.unsealed {
        let content = unsealed.read();
        for list in &content.snapshots {
            let name = content.streams.get(list.name as usize);
            let is_of_stream = name.is_some_and(|found| found.name.as_str() == stream);
            let Some(ordinal) = list.ordinals.first().filter(|_| is_of_stream) else {
                continue;
            };
            let position = unsealed.head.base_position + u64::from(*ordinal);
            let bytes = content.record_bytes(*ordinal).unwrap_or_default();
            if let Ok((record, _)) = record::decode(bytes, position) {
                keys.insert(snapshot_key(&record).to_owned());
            }
        }
    }
    for sealed in &view.sealed {
        let index = sealed.index()?;
        let bad = |error| sealed.bad_index(&error);
        for (name, list) in index.postings_of(KeyKind::Snapshot).map_err(bad)? {
            if name != stream {
                continue;
            }
            // Of a damaged record the key is not known; the next one of the list has it too.
            for ordinal in list.to_vec().map_err(bad)? {
                let offsets = index.offsets().map_err(bad)?;
                let extent = offsets.locate(ordinal).map_err(bad)?;
                let position = sealed.entry.base_position + u64::from(ordinal);
                let Ok(bytes) = read_record(sealed, position, extent) else {
                    continue;
                };
                if let Ok((record, _)) = record::decode(&bytes, position) {
                    keys.insert(snapshot_key(&record).to_owned());
                    break;
                }
            }
        }
    }
    Ok(keys)
}
