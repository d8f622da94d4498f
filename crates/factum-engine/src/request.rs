//! A request made ready by its caller: validated, hashed and encoded before it waits for the writer.
//!
//! Whatever can be done without knowing the store's state is done here, on the caller's thread, so that the sequencer only compares
//! and copies. Relies on: the limits of factum-types. Never: touches the store.

use std::cell::RefCell;
use std::ops::Range;

use factum_format::FormatError;
use factum_format::hash;
use factum_format::metadata::StandardMetadata;
use factum_format::record::{self, RecordFlags, RecordKind, RecordView};
use factum_format::section::{self, SectionType};
use factum_format::settings as stored;
use factum_format::snapshot::SnapshotNote;
use factum_store::{AppendBatch, Change, Condition, Snapshot, StoreError};
use factum_types::{
    Bytes, ContentType, EventType, ExpectedRevision, FixedSet, NewEvent, Query, Revision,
    StreamName, StreamSettings, Tag, Timestamp,
};

use smallvec::SmallVec;

use crate::key::{KeyHash, KeyKind, Keyer, id_fingerprint};
use crate::number::to_u32;
use crate::sequence::{ControlState, StreamTail};

thread_local! {
    /// Small requests that this thread is done with. Those from elsewhere would be in another processor's cache, as would what its allocator gave.
    static SPARE: RefCell<Spare> = const { RefCell::new(Vec::new()) };
}

type Spare = Vec<Box<Prepared>>;

/// So many are kept in each thread.
const SPARE_MAX: usize = 64;
/// With so much room for bodies.
const SPARE_BODY_BYTES_MAX: usize = 4 << 10;

/// A request ready to be sequenced. Owns everything, so that it can wait in the queue and come back.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    // Most requests have one of each, which then lie beside each other: a request travels between processors, line by line.
    pub(crate) writes: SmallVec<[PreparedWrite; 1]>,
    pub(crate) events: SmallVec<[PreparedEvent; 1]>,
    /// The types of its events, one after the other; the same one may be there again.
    pub(crate) types: SmallVec<[PreparedType; 1]>,
    pub(crate) conditions: Vec<PreparedCondition>,
    /// What stands before the data in the record bodies of all events, back to back; the whole bodies of other records.
    pub(crate) bodies: Vec<u8>,
    /// What the caller found out about streams that the sequencer may not know.
    pub(crate) resolved: Vec<Resolved>,
    /// Whether the caller has made sure that the ids are new, so that the window of ids need not be asked again.
    pub(crate) ids_checked: bool,
    /// The most bytes that it can take in a frame; counts against the queue too.
    pub(crate) bytes: usize,
}

/// Memory comes in lines of so many bytes.
const LINE_BYTES: usize = 64;
/// So much of an event's data is asked for before it is looked at.
const FIRST_DATA_BYTES: usize = 512;

/// One write of a request.
#[derive(Debug)]
pub(crate) struct PreparedWrite {
    pub(crate) stream: StreamName,
    pub(crate) key: KeyHash,
    pub(crate) expected: ExpectedRevision,
    pub(crate) change: PreparedChange,
}

/// What happens to the stream.
#[derive(Debug, Clone)]
pub(crate) enum PreparedChange {
    /// These of the request's events are appended.
    Events(Range<usize>),
    Settings(StreamSettings),
    Delete,
    Tombstone,
    /// A cached fold is stored, at this version; the body names its key.
    Snapshot {
        version: u64,
        body: Range<usize>,
        body_crc: u32,
    },
}

/// One event. Its data stay where the caller has them until they are copied into a frame.
#[derive(Debug)]
pub(crate) struct PreparedEvent {
    pub(crate) id: [u8; 16],
    pub(crate) fingerprint: u64,
    /// Which of the request's types it has.
    pub(crate) type_index: u32,
    pub(crate) tags: Vec<(Tag, KeyHash)>,
    /// What stands before the data in its body, mark of the data included; nothing where that is only the mark, as of most events.
    pub(crate) front: Range<usize>,
    pub(crate) data: Bytes,
    /// Of both.
    pub(crate) body_crc: u32,
    pub(crate) flags: RecordFlags,
    pub(crate) schema_version: u32,
    pub(crate) time: Option<Timestamp>,
}

/// A type of events with its key.
#[derive(Debug)]
pub(crate) struct PreparedType {
    pub(crate) name: EventType,
    pub(crate) key: KeyHash,
}

/// A condition with its keys.
#[derive(Debug)]
pub(crate) enum PreparedCondition {
    Stream {
        stream: StreamName,
        key: KeyHash,
        expected: ExpectedRevision,
    },
    NoMatch(PreparedQuery),
}

/// "No event that matches after this position", and up to where the caller has already seen that it holds.
#[derive(Debug)]
pub(crate) struct PreparedQuery {
    pub(crate) query: Query,
    pub(crate) items: Vec<QueryKeys>,
    /// The first position that counts.
    pub(crate) from: u64,
    /// Positions before this one hold no match; the sequencer looks at the rest.
    pub(crate) clear_to: u64,
}

/// A query item as keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueryKeys {
    pub(crate) types: Vec<KeyHash>,
    pub(crate) tags: Vec<KeyHash>,
}

/// A stream's tail as the caller found it.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) key: KeyHash,
    pub(crate) tail: StreamTail,
    /// How often the sequencer had forgotten streams when the caller began to look.
    pub(crate) evictions: u64,
}

impl Prepared {
    /// Makes an append ready.
    ///
    /// # Errors
    /// As [`AppendBatch::validate`], and an id given twice for one stream.
    pub(crate) fn new(batch: AppendBatch, keyer: &Keyer) -> Result<Box<Self>, StoreError> {
        batch.validate()?;
        let mut prepared = Self::spare();
        prepared.writes.reserve(batch.writes.len());
        prepared.events.reserve(batch.event_count());
        for write in batch.writes {
            let key = keyer.stream(write.stream.as_str());
            let change = match write.change {
                Change::Events(events) => {
                    let events = prepared.push_events(key, events, keyer);
                    PreparedChange::Events(events)
                }
                Change::Settings(settings) => PreparedChange::Settings(settings),
                Change::Delete => PreparedChange::Delete,
                Change::Tombstone => PreparedChange::Tombstone,
                _ => {
                    return Err(StoreError::invalid(
                        "this change is not known to the engine",
                    ));
                }
            };
            prepared.bytes += write_bytes_max(write.stream.as_str());
            let expected = write.expected;
            prepared.writes.push(PreparedWrite {
                stream: write.stream,
                key,
                expected,
                change,
            });
        }
        for condition in batch.conditions {
            prepared
                .conditions
                .push(PreparedCondition::new(condition, keyer)?);
        }
        prepared.check_ids()?;
        Ok(prepared)
    }

    /// Makes a snapshot ready.
    pub(crate) fn snapshot(snapshot: Snapshot, keyer: &Keyer) -> Box<Self> {
        let note = SnapshotNote {
            keep: snapshot.keep.map(|keep| keep.get().into()),
            subjects: snapshot.subjects.clone(),
            dropped: false,
        };
        Self::snapshot_record(snapshot, &note, keyer)
    }

    /// Makes ready what drops the snapshots of a stream and key.
    pub(crate) fn drop_snapshots(stream: StreamName, key: String, keyer: &Keyer) -> Box<Self> {
        let note = SnapshotNote {
            dropped: true,
            ..SnapshotNote::default()
        };
        Self::snapshot_record(Snapshot::new(stream, key, 0, ""), &note, keyer)
    }

    fn snapshot_record(snapshot: Snapshot, note: &SnapshotNote, keyer: &Keyer) -> Box<Self> {
        let mut prepared = Self::spare();
        section::push(
            &mut prepared.bodies,
            SectionType::SNAPSHOT,
            snapshot.key.as_bytes(),
        );
        if !note.is_empty() {
            let mut content = Vec::new();
            note.encode(&mut content);
            section::push(&mut prepared.bodies, SectionType::SNAPSHOT_NOTE, &content);
        }
        section::push_data_last(&mut prepared.bodies, &snapshot.data);
        let change = PreparedChange::Snapshot {
            version: snapshot.version,
            body: 0..prepared.bodies.len(),
            body_crc: crc32c::crc32c(&prepared.bodies),
        };
        prepared.bytes = prepared.bodies.len() + write_bytes_max(snapshot.stream.as_str());
        let key = keyer.stream(snapshot.stream.as_str());
        let expected = ExpectedRevision::Any;
        prepared.writes.push(PreparedWrite {
            stream: snapshot.stream,
            key,
            expected,
            change,
        });
        prepared
    }

    /// A request of which only its size counts.
    #[cfg(test)]
    pub(crate) fn of_bytes(bytes: usize) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    /// An empty one, which this thread has used before if possible.
    fn spare() -> Box<Self> {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
        spare.ok().flatten().unwrap_or_default()
    }

    /// It is done with: this thread may use its memory again, unless it is large.
    pub(crate) fn recycle(mut self: Box<Self>) {
        let is_small = !self.writes.spilled()
            && !self.events.spilled()
            && !self.types.spilled()
            && self.bodies.capacity() <= SPARE_BODY_BYTES_MAX;
        if !is_small {
            return;
        }
        self.writes.clear();
        self.events.clear();
        self.types.clear();
        self.conditions.clear();
        self.bodies.clear();
        self.resolved.clear();
        (self.ids_checked, self.bytes) = (false, 0);
        // A thread that is ending has no such list any more.
        let _ended = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(self);
            }
        });
    }

    fn push_events(&mut self, key: KeyHash, events: Vec<NewEvent>, keyer: &Keyer) -> Range<usize> {
        let first = self.events.len();
        let of_mark = hash::crc(&section::DATA_MARK);
        for event in events {
            let type_index = self.type_index(&event.event_type, keyer);
            let front = self.push_front(&event);
            let front_crc = match front.len() {
                0 => of_mark,
                _ => hash::crc(&self.bodies[front.clone()]),
            };
            self.bytes += section::DATA_MARK.len() + front.len() + event.data.len();
            self.bytes += event_bytes_max(&event);
            self.events.push(PreparedEvent {
                id: event.id.to_bytes(),
                fingerprint: id_fingerprint(key, event.id.as_u128()),
                type_index,
                tags: tag_keys(event.tags, keyer),
                body_crc: hash::crc_append(front_crc, &event.data),
                front,
                data: event.data,
                flags: match event.content_type {
                    ContentType::Json => RecordFlags::JSON,
                    ContentType::Binary => RecordFlags::NONE,
                },
                schema_version: event.schema_version,
                time: event.time,
            });
        }
        first..self.events.len()
    }

    /// Where the type of the next event is among the request's types.
    fn type_index(&mut self, name: &EventType, keyer: &Keyer) -> u32 {
        if self.types.last().is_none_or(|last| last.name != *name) {
            let key = keyer.hash(KeyKind::EventType, name.as_str());
            let name = name.clone();
            self.types.push(PreparedType { name, key });
        }
        to_u32(self.types.len() - 1)
    }

    /// Adds what stands before the data, if there is anything but the mark; where it is.
    fn push_front(&mut self, event: &NewEvent) -> Range<usize> {
        let start = self.bodies.len();
        let metadata = StandardMetadata {
            correlation_id: event.metadata.correlation_id.as_deref(),
            causation_id: event.metadata.causation_id.as_deref(),
            user_id: event.metadata.user_id.as_deref(),
            traceparent: event.metadata.traceparent.as_deref(),
        };
        if !metadata.is_empty() {
            let mut content = Vec::with_capacity(event.metadata.byte_len() + 16);
            metadata.encode(&mut content);
            section::push(&mut self.bodies, SectionType::METADATA, &content);
        }
        if !event.metadata.custom.is_empty() {
            section::push(
                &mut self.bodies,
                SectionType::CUSTOM_METADATA,
                &event.metadata.custom,
            );
        }
        if !event.personal.is_empty() {
            section::push(&mut self.bodies, SectionType::PERSONAL, &event.personal);
        }
        if self.bodies.len() > start {
            self.bodies.extend_from_slice(&section::DATA_MARK);
        }
        start..self.bodies.len()
    }

    /// The same id twice in one stream is never meant.
    fn check_ids(&self) -> Result<(), StoreError> {
        if self.events.len() < 2 {
            return Ok(());
        }
        let mut seen = FixedSet::with_capacity_and_hasher(self.events.len(), Default::default());
        let twice = self.events.iter().map(|event| event.fingerprint);
        let twice = twice.filter(|fingerprint| !seen.insert(*fingerprint));
        for fingerprint in twice {
            let mut same = self
                .events
                .iter()
                .filter(|event| event.fingerprint == fingerprint);
            let first = same.next().map(|event| event.id);
            if let Some(id) = first.filter(|id| same.any(|event| event.id == *id)) {
                let id = factum_types::EventId::from_bytes(id);
                return Err(StoreError::invalid(format!(
                    "event id {id} is given twice in one append"
                )));
            }
        }
        Ok(())
    }

    /// The type of one event.
    pub(crate) fn type_of(&self, event: &PreparedEvent) -> &PreparedType {
        &self.types[event.type_index as usize]
    }

    /// Asks for the memory of what the sequencer looks at first.
    pub(crate) fn look_ahead(&self) {
        let write = self.writes.first().map(|write| write.key);
        let event = self.events.first().map(|event| event.fingerprint);
        std::hint::black_box((write, event));
        self.look_ahead_at(0);
    }

    /// Asks for the memory of the data of an event, if there is one with this number: copied one after the other, each would be waited for.
    pub(crate) fn look_ahead_at(&self, number: usize) {
        let data = self.events.get(number).map_or(&[][..], |event| &event.data);
        let all = data
            .iter()
            .take(FIRST_DATA_BYTES)
            .step_by(LINE_BYTES)
            .fold(0, |all, byte| all ^ byte);
        std::hint::black_box(all);
    }

    /// A part of the bodies.
    pub(crate) fn body(&self, range: &Range<usize>) -> &[u8] {
        &self.bodies[range.clone()]
    }

    /// The body of an event, in two parts.
    pub(crate) fn body_of<'a>(&'a self, event: &'a PreparedEvent) -> [&'a [u8]; 2] {
        let front = match event.front.len() {
            0 => &section::DATA_MARK[..],
            _ => self.body(&event.front),
        };
        [front, &event.data]
    }

    /// Every stream whose tail must be known to judge the request.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (&StreamName, KeyHash)> {
        let writes = self
            .writes
            .iter()
            .filter(|write| !matches!(write.change, PreparedChange::Snapshot { .. }))
            .map(|write| (&write.stream, write.key));
        let conditions = self
            .conditions
            .iter()
            .filter_map(|condition| match condition {
                PreparedCondition::Stream { stream, key, .. } => Some((stream, *key)),
                PreparedCondition::NoMatch(_) => None,
            });
        writes.chain(conditions)
    }
}

fn tag_keys(tags: Vec<Tag>, keyer: &Keyer) -> Vec<(Tag, KeyHash)> {
    if tags.is_empty() {
        return Vec::new();
    }
    let with_key = |tag: Tag| {
        let key = keyer.hash(KeyKind::Tag, tag.as_str());
        (tag, key)
    };
    tags.into_iter().map(with_key).collect()
}

/// The most that a name can cost in a frame: it is defined twice, with kind, length and checksum.
const fn definition_bytes_max(name: &str) -> usize {
    2 * (name.len() + 12)
}

/// The most that a record can cost in a frame besides its body.
fn event_bytes_max(event: &NewEvent) -> usize {
    let tags: usize = event
        .tags
        .iter()
        .map(|tag| definition_bytes_max(tag.as_str()))
        .sum();
    record::head_len_max(event.tags.len()) + definition_bytes_max(event.event_type.as_str()) + tags
}

/// The most that a write can cost in a frame besides its events; a control record included.
const fn write_bytes_max(stream: &str) -> usize {
    definition_bytes_max(stream) + 512
}

impl PreparedCondition {
    fn new(condition: Condition, keyer: &Keyer) -> Result<Self, StoreError> {
        match condition {
            Condition::Stream { stream, expected } => {
                let key = keyer.stream(stream.as_str());
                Ok(Self::Stream {
                    stream,
                    key,
                    expected,
                })
            }
            Condition::NoMatch { query, after } => {
                let from = after.map_or(0, |position| position.raw().saturating_add(1));
                let items = query_keys(&query, keyer);
                Ok(Self::NoMatch(PreparedQuery {
                    query,
                    items,
                    from,
                    clear_to: from,
                }))
            }
            _ => Err(StoreError::invalid(
                "this condition is not known to the engine",
            )),
        }
    }
}

/// A query's names as keys.
pub(crate) fn query_keys(query: &Query, keyer: &Keyer) -> Vec<QueryKeys> {
    let types = |item: &factum_types::QueryItem| {
        item.types
            .iter()
            .map(|t| keyer.hash(KeyKind::EventType, t.as_str()))
            .collect()
    };
    let tags = |item: &factum_types::QueryItem| {
        item.tags
            .iter()
            .map(|t| keyer.hash(KeyKind::Tag, t.as_str()))
            .collect()
    };
    query
        .items
        .iter()
        .map(|item| QueryKeys {
            types: types(item),
            tags: tags(item),
        })
        .collect()
}

/// The body of a record that changes a stream: all that holds of it from then on.
pub(crate) fn control_body(control: &ControlState) -> Vec<u8> {
    let settings = &control.settings;
    let stored = stored::StreamSettings {
        max_count: settings.max_count,
        max_age: settings
            .max_age
            .map(|age| u64::try_from(age.as_micros()).unwrap_or(u64::MAX)),
        truncate_before: settings.truncate_before.map(Revision::number),
        state: Some(control.state),
        deleted_before: control.deleted_before,
    };
    let mut content = Vec::new();
    stored.encode(&mut content);
    let mut body = Vec::new();
    section::push(&mut body, SectionType::SETTINGS, &content);
    body
}

/// The fold that a snapshot record belongs to.
pub(crate) fn snapshot_key<'a>(record: &RecordView<'a>) -> &'a str {
    let key = record.section(SectionType::SNAPSHOT).unwrap_or_default();
    std::str::from_utf8(key).unwrap_or_default()
}

/// What such a record says.
pub(crate) fn decode_control(record: &RecordView<'_>) -> Result<ControlState, FormatError> {
    let content = record.section(SectionType::SETTINGS).unwrap_or_default();
    let decoded = stored::StreamSettings::decode(content)?;
    let settings = StreamSettings {
        max_count: decoded.max_count,
        max_age: decoded.max_age.map(std::time::Duration::from_micros),
        truncate_before: decoded.truncate_before.map(Revision::new),
    };
    let state = decoded.state.unwrap_or(stored::StreamState::Live);
    Ok(ControlState {
        settings,
        deleted_before: decoded.deleted_before,
        state,
    })
}

/// The type under which a control record is written and read.
pub(crate) const fn control_type(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::TOMBSTONE => "$tombstoned",
        RecordKind::DELETE => "$deleted",
        RecordKind::SETTINGS => "$settings",
        RecordKind::SNAPSHOT => "$snapshot",
        _ => "$record",
    }
}

#[cfg(test)]
mod tests {
    use factum_store::{AppendBatch, Condition};
    use factum_types::{
        EventId, EventType, ExpectedRevision, NewEvent, Query, StreamName, Tag, Timestamp,
    };

    use super::{Prepared, SPARE, SPARE_BODY_BYTES_MAX, SPARE_MAX};
    use crate::key::Keyer;

    fn event(number: u8, bytes: usize) -> NewEvent {
        let event_type = EventType::new("Placed").unwrap();
        NewEvent::json(
            EventId::from_bytes([number; 16]),
            event_type,
            vec![7; bytes],
        )
    }

    fn batch(stream: &str, event: NewEvent) -> AppendBatch {
        let stream = StreamName::new(stream).unwrap();
        AppendBatch::events(stream, ExpectedRevision::Any, vec![event])
    }

    fn prepare(batch: AppendBatch) -> Box<Prepared> {
        Prepared::new(batch, &Keyer::new([7; 16])).unwrap()
    }

    fn spare() -> usize {
        SPARE.with_borrow(Vec::len)
    }

    #[test]
    fn a_request_in_memory_used_before_is_like_one_in_new_memory() {
        SPARE.with_borrow_mut(Vec::clear);
        let second = || batch("b", event(2, 10));
        let fresh = format!("{:?}", prepare(second()));
        let mut rich = event(1, 1_000);
        rich.tags = vec![Tag::new("order:1").unwrap()];
        rich.time = Some(Timestamp::from_micros(5));
        let mut first = batch("a", rich).on(Condition::NoMatch {
            query: Query::default(),
            after: None,
        });
        first.conditions.push(Condition::Stream {
            stream: StreamName::new("c").unwrap(),
            expected: ExpectedRevision::NoStream,
        });
        let mut used = prepare(first);
        used.ids_checked = true;
        let address = std::ptr::from_ref(&*used);
        used.recycle();
        assert_eq!(spare(), 1);
        let again = prepare(second());
        assert_eq!(std::ptr::from_ref(&*again), address);
        assert_eq!(format!("{again:?}"), fresh);
    }

    #[test]
    fn a_thread_keeps_few_and_small_ones() {
        let all: Vec<_> = (0..=SPARE_MAX).map(|_| Prepared::spare()).collect();
        all.into_iter().for_each(Prepared::recycle);
        assert_eq!(spare(), SPARE_MAX);
        while spare() > 0 {
            drop(Prepared::spare());
        }
        let mut rich = event(1, 10);
        rich.metadata.custom = vec![7; SPARE_BODY_BYTES_MAX].into();
        prepare(batch("a", rich)).recycle();
        assert_eq!(spare(), 0);
    }
}
