//! Questions about one key that are answered without reading a range: a stream's tail, whether a query has a match, the last snapshot.

use crate::mutant::{Mutant, on};
use crate::number::clamp_u32;
use std::ops::ControlFlow;
use std::sync::Arc;

use factum_format::FormatError;
use factum_format::record::{self, RecordKind, RecordView};
use factum_store::StoreError;
use factum_types::StreamName;

use super::doubt::{Doubt, Doubts, Of};
use super::lists::{Lists, Wanted};
use super::plan::{Bounds, Ordinals, SourceKeys};
use crate::catalog::HAS_CONTROL;
use crate::key::{KeyHash, KeyKind};
use crate::request::decode_control;
use crate::sequence::{ControlState, StreamTail, TailState};
use crate::view::sealed::is_possible;
use crate::view::{Sealed, Unsealed, View};

/// The tail of a stream, as far as it is left.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) tail: StreamTail,
    /// Where its last event stands, if there is one.
    pub(crate) last: Option<Place>,
    /// Lost records that may have been later ones of the stream; none when what was found is proven.
    pub(crate) doubt: Option<Doubt>,
}

/// Where a record stands: the number of its segment in a view, and its own in the segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) segment: usize,
    pub(crate) ordinal: u32,
}

/// The last event of a stream.
struct LastEvent {
    place: Place,
    /// The revision of the event after it.
    next_revision: u64,
    /// The position after its own.
    after: u64,
}

impl Found {
    /// What a reader of the stream is shown: what is left, unless nothing is and something may have been.
    pub(crate) fn shown(self, name: &StreamName) -> Result<StreamTail, StoreError> {
        let nothing = self.tail.next_revision == 0 && self.tail.control.is_none();
        match self.doubt.filter(|_| nothing) {
            Some(doubt) => Err(doubt.error(name)),
            None => Ok(self.tail),
        }
    }
}

/// The tail of a stream as far as the view goes; the default when it holds nothing of it. What is found on the way stays in `lists`.
///
/// `end` was what is published before the view was taken.
pub(crate) fn stream_tail(
    (view, end): (&View, u64),
    wanted: Wanted<'_>,
    control_key: KeyHash,
    lists: &mut Lists,
) -> Result<Found, StoreError> {
    let mut tail = StreamTail::default();
    let mut doubts = Doubts::default();
    let last = last_event((view, end), wanted, lists, &mut doubts)?;
    if let Some(last) = &last {
        tail.next_revision = last.next_revision;
        tail.after_last_event = last.after;
        tail.after_last_record = last.after;
        doubts.seen();
    }
    if let Some(last) = last_control((view, end), wanted.name, control_key)? {
        let position = last.position;
        let reopened = tail.after_last_event > position;
        let (next_revision, after) = (tail.next_revision, tail.after_last_event);
        tail.on_control(position, last.control);
        tail.after_last_record = after.max(position + 1);
        // It says where the stream stood, should its last event be lost.
        tail.next_revision = next_revision.max(last.next_revision);
        if reopened && tail.state == TailState::Deleted {
            tail.state = TailState::Live;
        }
        doubts.seen_at(position);
    }
    Ok(Found {
        tail,
        last: last.map(|last| last.place),
        doubt: doubts.left(),
    })
}

/// The last event of a stream.
///
/// A frame is in its segment a moment before it is published: what stands from `end` on is not seen.
fn last_event(
    (view, end): (&View, u64),
    wanted: Wanted<'_>,
    lists: &mut Lists,
    doubts: &mut Doubts,
) -> Result<Option<LastEvent>, StoreError> {
    for (number, unsealed) in view.unsealed.iter().enumerate().rev() {
        let content = unsealed.read();
        let base = unsealed.head.base_position;
        let segment = Of::Unsealed(unsealed);
        doubts.go_on(segment, base + content.record_count() as u64);
        let of_stream = content.keys.get(&wanted.key);
        let of_stream = of_stream.filter(|found| found.kind == KeyKind::Stream);
        let stream = of_stream.map(|found| &content.streams[found.index as usize]);
        let end = clamp_u32(end.saturating_sub(base));
        let (count, last) = stream.map_or((0, None), |stream| {
            let count = stream.ordinals.partition_point(|ordinal| *ordinal < end);
            (count, stream.ordinals[..count].last().copied())
        });
        if let Some(losses) = content.losses.losses() {
            doubts.lost((segment, losses), last, stream.is_some());
        }
        if let (Some(stream), Some(last)) = (stream, last) {
            let next_revision = stream.first_revision.saturating_add(count as u64);
            let place = Place {
                segment: view.sealed.len() + number,
                ordinal: last,
            };
            return Ok(Some(LastEvent {
                place,
                next_revision,
                after: base + u64::from(last) + 1,
            }));
        }
    }
    for (number, sealed) in view.sealed.iter().enumerate().rev() {
        let segment = Of::Sealed(sealed);
        doubts.go_on(segment, sealed.end_position());
        let older = view.sealed[..=number].iter().rev();
        let list = lists.next(older, wanted)?;
        let bad = |error: FormatError| sealed.bad_index(&error);
        let posting = list.as_ref().map(|(index, at)| index.posting_at(*at));
        let posting = posting.transpose().map_err(bad)?;
        let last = posting.as_ref().and_then(|posting| {
            let at = posting.count.checked_sub(1)?;
            posting.ordinals_from(at).next()
        });
        let last = last.transpose().map_err(bad)?;
        if let Some(losses) = lists.losses() {
            doubts.lost((segment, losses), last, posting.is_some());
        }
        if let (Some(posting), Some(last)) = (posting, last) {
            let after_posting = posting.head.before.saturating_add(posting.count.into());
            let next_revision =
                after_posting.saturating_sub(u64::from(on(Mutant::RevisionOffByOne)));
            let place = Place {
                segment: number,
                ordinal: last,
            };
            return Ok(Some(LastEvent {
                place,
                next_revision,
                after: sealed.entry.base_position + u64::from(last) + 1,
            }));
        }
    }
    Ok(None)
}

/// The last record that changed a stream.
#[derive(Debug)]
pub(crate) struct LastControl {
    pub(crate) position: u64,
    /// The revision of the stream's next event when it was written.
    next_revision: u64,
    control: ControlState,
}

/// The last record that changed a stream, before `end`.
pub(crate) fn last_control(
    (view, end): (&View, u64),
    name: &str,
    key: KeyHash,
) -> Result<Option<LastControl>, StoreError> {
    for unsealed in view.unsealed.iter().rev() {
        if let Some(found) = last_control_unsealed(unsealed, end, key)? {
            return Ok(Some(found));
        }
    }
    for sealed in view
        .sealed
        .iter()
        .rev()
        .filter(|s| s.entry.flags & HAS_CONTROL != 0)
    {
        let index = sealed.index()?;
        let bad = |error: FormatError| sealed.bad_index(&error);
        let Some(posting) = index.posting(KeyKind::Control, key, name).map_err(bad)? else {
            continue;
        };
        let Some(at) = posting.count.checked_sub(1) else {
            continue;
        };
        let Some(last) = posting.ordinals_from(at).next() else {
            continue;
        };
        let ordinal = last.map_err(bad)?;
        let extent = index
            .offsets()
            .and_then(|offsets| offsets.locate(ordinal))
            .map_err(bad)?;
        let position = sealed.entry.base_position + u64::from(ordinal);
        let bytes = read_record(sealed, position, extent)?;
        let control = LastControl::decode(&bytes, position);
        let control =
            control.map_err(|e| sealed.damaged_record(position, extent, &e.to_string()))?;
        return Ok(Some(control));
    }
    Ok(None)
}

fn last_control_unsealed(
    unsealed: &Unsealed,
    end: u64,
    key: KeyHash,
) -> Result<Option<LastControl>, StoreError> {
    let content = unsealed.read();
    // Nearly always there is none at all.
    if content.controls.is_empty() {
        return Ok(None);
    }
    let found = content
        .keys
        .get(&key)
        .filter(|found| found.kind == KeyKind::Control);
    let end = clamp_u32(end.saturating_sub(unsealed.head.base_position));
    let last = found.and_then(|found| {
        let ordinals = &content.controls[found.index as usize].ordinals;
        let count = ordinals.partition_point(|ordinal| *ordinal < end);
        ordinals[..count].last()
    });
    let Some(ordinal) = last else {
        return Ok(None);
    };
    let position = unsealed.head.base_position + u64::from(*ordinal);
    let bytes = content.record_bytes(*ordinal).unwrap_or_default();
    LastControl::decode(bytes, position)
        .map(Some)
        .map_err(|error| {
            let message = format!("the settings record at position {position} is damaged: {error}");
            StoreError::new(factum_store::Kind::Corrupt, message)
        })
}

impl LastControl {
    fn decode(bytes: &[u8], position: u64) -> Result<Self, FormatError> {
        let (record, _) = record::decode(bytes, position)?;
        Ok(Self {
            position,
            next_revision: record.revision,
            control: decode_control(&record)?,
        })
    }
}

/// The bytes of one record, looked at twice if need be.
pub(crate) fn read_record(
    sealed: &Sealed,
    position: u64,
    extent: Option<(u64, u32)>,
) -> Result<Vec<u8>, StoreError> {
    let Some((offset, length)) = extent.filter(|extent| is_possible(*extent)) else {
        return Err(sealed.no_record(position, extent));
    };
    let mut bytes = vec![0; length as usize];
    sealed.read(offset, &mut bytes)?;
    if record::decode(&bytes, position).is_err() {
        bytes = sealed.read_again(offset, length as usize).unwrap_or(bytes);
    }
    Ok(bytes)
}

/// The position of the last event from `from` (inclusive) to `end` (exclusive) that a query means.
pub(crate) fn last_match(
    view: &View,
    query: &SourceKeys,
    from: u64,
    end: u64,
) -> Result<Option<u64>, StoreError> {
    let mut number = view.len();
    while let Some(below) = number.checked_sub(1) {
        number = below;
        let Some(segment) = view.segment(number) else {
            continue;
        };
        if segment.end_position() <= from {
            return Ok(None);
        }
        let base = segment.base_position();
        let bounds = Bounds {
            ordinals: clamp_u32(from.saturating_sub(base))..clamp_u32(end.saturating_sub(base)),
            revisions: 0..u64::MAX,
            control: false,
        };
        if let Ordinals::List(list) = query.ordinals(&segment, &bounds)?
            && let Some(last) = list.last()
        {
            return Ok(Some(base + u64::from(*last)));
        }
    }
    Ok(None)
}

/// Shows the records of a snapshot key, from the last to the first and with the time that theirs are counted from, until `show` ends it.
pub(crate) fn look_back(
    view: &View,
    (stream, key): (&str, KeyHash),
    show: &mut dyn FnMut(&RecordView<'_>, i64) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    for unsealed in view.unsealed.iter().rev() {
        let content = unsealed.read();
        let found = content
            .keys
            .get(&key)
            .filter(|found| found.kind == KeyKind::Snapshot);
        let Some(found) = found else { continue };
        for ordinal in content.snapshots[found.index as usize]
            .ordinals
            .iter()
            .rev()
        {
            let position = unsealed.head.base_position + u64::from(*ordinal);
            let bytes = content.record_bytes(*ordinal).unwrap_or_default();
            let Ok((record, _)) = record::decode(bytes, position) else {
                continue;
            };
            if show(&record, unsealed.head.base_time).is_break() {
                return Ok(());
            }
        }
    }
    for sealed in view.sealed.iter().rev() {
        if look_back_sealed(sealed, (stream, key), show)?.is_break() {
            return Ok(());
        }
    }
    Ok(())
}

fn look_back_sealed(
    sealed: &Arc<Sealed>,
    (stream, key): (&str, KeyHash),
    show: &mut dyn FnMut(&RecordView<'_>, i64) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, StoreError> {
    let index = sealed.index()?;
    let bad = |error: FormatError| sealed.bad_index(&error);
    let Some(posting) = index.posting(KeyKind::Snapshot, key, stream).map_err(bad)? else {
        return Ok(ControlFlow::Continue(()));
    };
    let mut ordinals = posting.to_vec().map_err(bad)?;
    if on(Mutant::FirstSnapshotTaken) {
        ordinals.reverse();
    }
    for ordinal in ordinals.into_iter().rev() {
        let extent = index
            .offsets()
            .and_then(|offsets| offsets.locate(ordinal))
            .map_err(bad)?;
        let position = sealed.entry.base_position + u64::from(ordinal);
        // A damaged snapshot is as good as none: it is a cache.
        let Ok(bytes) = read_record(sealed, position, extent) else {
            continue;
        };
        let Ok((record, _)) = record::decode(&bytes, position) else {
            continue;
        };
        if record.kind != RecordKind::SNAPSHOT {
            continue;
        }
        if show(&record, sealed.entry.base_time).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Every stream of the view that begins with a prefix and stands after a name, the first `limit` of them.
pub(crate) fn stream_names(
    view: &View,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<std::collections::BTreeSet<String>, StoreError> {
    let mut found = std::collections::BTreeSet::new();
    let mut take = |name: &str| {
        let wanted = name.starts_with(prefix) && after.is_none_or(|after| name > after);
        if wanted
            && (found.len() < limit
                || found
                    .last()
                    .is_some_and(|last: &String| name < last.as_str()))
        {
            found.insert(name.to_owned());
            if found.len() > limit {
                found.pop_last();
            }
        }
    };
    for sealed in &view.sealed {
        let index = sealed.index()?;
        index.stream_names().iter().for_each(&mut take);
    }
    for unsealed in &view.unsealed {
        unsealed
            .read()
            .streams
            .iter()
            .for_each(|stream| take(stream.name.as_str()));
    }
    Ok(found)
}
