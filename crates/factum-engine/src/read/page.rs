//! A page: some records of the log, fetched together and verified.
//!
//! Records of a sealed segment that stand near each other are read with one call. Each is verified by its own checksums; one that does
//! not verify is read again from the device, and if that does not help either, it is an error in its place.
//! Relies on: a plan's ordinals. Never: gives out bytes that were not verified.

use std::sync::Arc;

use factum_format::record::{self, RecordKind, RecordShape};
use factum_store::StoreError;
use factum_types::{Bytes, RecordedEvent, StreamName, Tag};

use super::event::{EventRef, Names};
use crate::number::to_u32;
use crate::view::sealed::is_possible;
use crate::view::unsealed::Content;
use crate::view::{Index, Sealed, Unsealed};

/// Records that stand no further apart than this are read with one call.
const GAP_BYTES_MAX: u64 = 16 << 10;
/// A page begins with room for no more than this.
const FIRST_PAGE_BYTES_MAX: usize = 8 << 10;
/// For so many records at most.
const FIRST_SLOTS_MAX: usize = 64;
/// The names of the streams of so many records, read with one call, are fetched from memory together.
const NAMES_BROUGHT_MIN: usize = 32;
/// A page of no more than this may be kept in memory by one of its events.
const SHARED_BYTES_MAX: usize = 4 << 10;
/// One call reads no more than this, unless one record is larger.
const SPAN_BYTES_MAX: u64 = 1 << 20;

/// Some records of the log, verified.
#[derive(Debug, Default)]
pub struct Page {
    bytes: Vec<u8>,
    /// All bytes of the page instead of those, when events may share them.
    shared: Option<Bytes>,
    slots: Vec<Slot>,
    indexes: Vec<Arc<Index>>,
    names: Vec<Named>,
    tags: Vec<Tag>,
    /// Room for the records of a span.
    spanned: Vec<(u32, (u64, u32))>,
}

/// A record of the page.
#[derive(Debug)]
enum Slot {
    /// With the number of its index among the page's.
    Sealed(At, u32),
    /// With the number of its names among the page's.
    Unsealed(At, u32),
    Damaged(Box<StoreError>),
}

/// The names of a record of an unsealed segment.
#[derive(Debug)]
struct Named {
    stream: StreamName,
    event_type: factum_types::EventType,
    tags: std::ops::Range<usize>,
}

#[derive(Debug, Clone, Copy)]
struct At {
    shape: RecordShape,
    start: usize,
    base_time: i64,
}

impl Page {
    /// How many records it holds, damaged ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.all_bytes().len()
    }

    /// What it takes in memory, empty or not.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.shared.as_ref().map_or(0, Bytes::len)
            + self.slots.capacity() * size_of::<Slot>()
            + self.names.capacity() * size_of::<Named>()
            + self.spanned.capacity() * size_of::<(u32, (u64, u32))>()
    }

    /// Lets the page's events share its bytes instead of copying their own, if it is so small that one event may keep all of it in memory.
    /// Nothing more is fetched into it before it is cleared.
    pub(crate) fn share(&mut self) {
        // What was made large for an earlier page would be kept whole.
        if self.bytes.len() <= SHARED_BYTES_MAX && self.bytes.capacity() <= FIRST_PAGE_BYTES_MAX {
            self.shared = Some(Bytes::from(std::mem::take(&mut self.bytes)));
        }
    }

    fn all_bytes(&self) -> &[u8] {
        self.shared.as_deref().unwrap_or(&self.bytes)
    }

    /// Empties the page; its memory is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.shared = None;
        self.slots.clear();
        self.indexes.clear();
        self.names.clear();
        self.tags.clear();
    }

    /// The events, in the order they were asked for; a damaged one is an error in its place.
    pub fn iter(&self) -> impl Iterator<Item = Result<EventRef<'_>, StoreError>> {
        self.slots.iter().map(|slot| self.event(slot))
    }

    /// The events, each owning what it holds.
    pub(crate) fn recorded(
        &self,
        stream: Option<&StreamName>,
    ) -> impl Iterator<Item = Result<RecordedEvent, StoreError>> {
        (0..self.len()).map_while(move |number| self.recorded_at(number, stream))
    }

    /// The event with this number in the page, owning what it holds; `None` when there are no more.
    pub(crate) fn recorded_at(
        &self,
        number: usize,
        stream: Option<&StreamName>,
    ) -> Option<Result<RecordedEvent, StoreError>> {
        let event = match self.event(self.slots.get(number)?) {
            Ok(event) => event,
            Err(error) => return Some(Err(error)),
        };
        let shared = self.shared.as_ref();
        Some(event.to_recorded(stream, shared).ok_or_else(|| {
            let position = event.position();
            let message = format!("the names of the event at position {position} are not valid");
            StoreError::new(factum_store::Kind::Internal, message)
        }))
    }

    /// Takes up damage that concerns more than one event. Gives every other error back.
    pub(crate) fn push_damage(&mut self, error: StoreError) -> Result<(), StoreError> {
        if error.as_damage().is_none() {
            return Err(error);
        }
        self.slots.push(Slot::Damaged(Box::new(error)));
        Ok(())
    }

    fn event<'a>(&'a self, slot: &'a Slot) -> Result<EventRef<'a>, StoreError> {
        let (at, names) = match slot {
            Slot::Damaged(error) => return Err(StoreError::clone(error)),
            Slot::Unsealed(at, names) => {
                let Named {
                    stream,
                    event_type,
                    tags,
                } = &self.names[*names as usize];
                (
                    at,
                    Names::Known {
                        stream,
                        event_type,
                        tags: &self.tags[tags.clone()],
                    },
                )
            }
            Slot::Sealed(at, index) => (at, Names::Index(&self.indexes[*index as usize])),
        };
        let record = self.record(at);
        Ok(EventRef {
            record,
            time: at.base_time.saturating_add(record.time_delta),
            names,
        })
    }

    fn record(&self, at: &At) -> record::RecordView<'_> {
        match at.shape.view(&self.all_bytes()[at.start..]) {
            Some(record) => record,
            None => unreachable!("a record's bytes are in the page it was verified in"),
        }
    }

    /// Fetches records of an unsealed segment. Gives how many of the ordinals were dealt with.
    pub(crate) fn fetch_unsealed(
        &mut self,
        unsealed: &Arc<Unsealed>,
        ordinals: &mut dyn Iterator<Item = u32>,
        want: &Want,
    ) -> Fetched {
        let content = unsealed.read();
        let mut fetched = Fetched::default();
        while self.slots.len() < want.count && self.bytes.len() < want.bytes {
            let Some(ordinal) = ordinals.next() else {
                fetched.exhausted = true;
                break;
            };
            fetched.last = Some(ordinal);
            self.push_unsealed(unsealed, &content, ordinal, want);
        }
        fetched
    }

    fn push_unsealed(&mut self, unsealed: &Unsealed, content: &Content, ordinal: u32, want: &Want) {
        let position = unsealed.head.base_position + u64::from(ordinal);
        let decoded = content
            .record_bytes(ordinal)
            .map(|bytes| record::decode(bytes, position));
        let Some(Ok((record, length))) = decoded else {
            let error = damaged_unsealed(unsealed, content, ordinal);
            return self.slots.push(Slot::Damaged(Box::new(error)));
        };
        if !want.record(record.kind, record.revision) {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&record.bytes()[..length]);
        let first_tag = self.tags.len();
        for tag in record.tag_refs() {
            self.tags.push(content.tags[tag as usize].name.clone());
        }
        let at = At {
            shape: record.shape(),
            start,
            base_time: unsealed.head.base_time,
        };
        self.slots
            .push(Slot::Unsealed(at, to_u32(self.names.len())));
        self.names.push(Named {
            stream: content.streams[record.stream_ref as usize].name.clone(),
            event_type: content.types[record.type_ref as usize].name.clone(),
            tags: first_tag..self.tags.len(),
        });
    }

    /// Fetches records of a sealed segment. Gives how many of the ordinals were dealt with.
    pub(crate) fn fetch_sealed(
        &mut self,
        sealed: &Arc<Sealed>,
        ordinals: &mut dyn Iterator<Item = u32>,
        want: &Want,
    ) -> Result<Fetched, StoreError> {
        let index = sealed.index()?;
        let base_time = sealed.entry.base_time;
        let number = to_u32(self.indexes.len());
        self.indexes.push(Arc::clone(&index));
        let mut source = SealedSource {
            sealed,
            index: &index,
            number,
            base_time,
        };
        let mut fetched = Fetched::default();
        let mut pending: Option<(u32, Option<(u64, u32)>)> = None;
        let offsets = index.offsets().map_err(|error| sealed.bad_index(&error))?;
        let mut span = Span {
            records: std::mem::take(&mut self.spanned),
            ..Span::default()
        };
        loop {
            let full = self.slots.len() + span.records.len() >= want.count
                || self.bytes.len() + span.len() >= want.bytes;
            let next = match pending.take() {
                _ if full => None,
                Some(next) => Some(next),
                None => match ordinals.next() {
                    Some(ordinal) => Some((
                        ordinal,
                        offsets
                            .locate(ordinal)
                            .map_err(|error| sealed.bad_index(&error))?,
                    )),
                    None => {
                        fetched.exhausted = true;
                        None
                    }
                },
            };
            match next {
                Some((ordinal, Some(extent))) if is_possible(extent) && span.takes(extent) => {
                    span.push(ordinal, extent);
                    fetched.last = Some(ordinal);
                }
                Some(next) if !span.records.is_empty() => {
                    self.read_span(&mut source, &mut span, want)?;
                    pending = Some(next);
                }
                Some((ordinal, Some(extent))) if is_possible(extent) => {
                    span.push(ordinal, extent);
                    fetched.last = Some(ordinal);
                }
                Some((ordinal, extent)) => {
                    let position = sealed.entry.base_position + u64::from(ordinal);
                    let error = sealed.no_record(position, extent);
                    self.slots.push(Slot::Damaged(Box::new(error)));
                    fetched.last = Some(ordinal);
                }
                None => {
                    self.read_span(&mut source, &mut span, want)?;
                    if fetched.exhausted
                        || self.slots.len() >= want.count
                        || self.bytes.len() >= want.bytes
                    {
                        self.spanned = span.records;
                        return Ok(fetched);
                    }
                }
            }
        }
    }

    /// Reads the records of a span with one call and verifies them.
    fn read_span(
        &mut self,
        source: &mut SealedSource<'_>,
        span: &mut Span,
        want: &Want,
    ) -> Result<(), StoreError> {
        if span.records.is_empty() {
            return Ok(());
        }
        let start = self.bytes.len();
        if self.bytes.capacity() == 0 {
            let each = span.len() / span.records.len();
            let room = each.saturating_add(each / 8).saturating_mul(want.count);
            self.bytes.reserve(room.min(FIRST_PAGE_BYTES_MAX));
            self.slots.reserve(want.count.min(FIRST_SLOTS_MAX));
        }
        self.bytes.resize(start + span.len(), 0);
        source
            .sealed
            .read_or_blank(span.start, &mut self.bytes[start..])?;
        let first_slot = self.slots.len();
        for (ordinal, (offset, length)) in span.records.drain(..) {
            let position = source.sealed.entry.base_position + u64::from(ordinal);
            let at = start + usize::try_from(offset - span.start).unwrap_or(usize::MAX);
            let slot = self.check(source, position, at, (offset, length), want);
            self.slots.extend(slot);
        }
        let slots = &self.slots[first_slot..];
        if slots.len() >= NAMES_BROUGHT_MIN {
            let streams = slots.iter().filter_map(|slot| match slot {
                Slot::Sealed(at, _) => Some(at.shape.stream_ref()),
                _ => None,
            });
            source.index.bring_stream_names(streams);
        }
        *span = Span {
            records: std::mem::take(&mut span.records),
            ..Span::default()
        };
        Ok(())
    }

    /// A slot for the record at `start`, read again if it does not verify; `None` when it is of no wanted kind.
    fn check(
        &mut self,
        source: &SealedSource<'_>,
        position: u64,
        start: usize,
        extent: (u64, u32),
        want: &Want,
    ) -> Option<Slot> {
        let length = extent.1 as usize;
        let verified = record::decode(&self.bytes[start..start + length], position);
        let (start, record) = match verified {
            Ok((record, _)) => (
                start,
                Ok((
                    want.record(record.kind, record.revision),
                    source.knows(&record),
                    record.shape(),
                )),
            ),
            Err(first) => {
                let again = source
                    .sealed
                    .read_again(extent.0, length)
                    .unwrap_or_default();
                let start = self.bytes.len();
                self.bytes.extend_from_slice(&again);
                let second = record::decode(&self.bytes[start..], position);
                let checked = second.map(|(r, _)| {
                    let wanted = want.record(r.kind, r.revision);
                    (wanted, source.knows(&r), r.shape())
                });
                // The first look's error is the one to tell.
                (start, checked.or(Err(first)))
            }
        };
        match record {
            Ok((false, _, _)) => None,
            Ok((_, true, shape)) => {
                let at = At {
                    shape,
                    start,
                    base_time: source.base_time,
                };
                Some(Slot::Sealed(at, source.number))
            }
            Ok((_, false, _)) => {
                let error =
                    source
                        .sealed
                        .damaged_record(position, Some(extent), "its names are not known");
                Some(Slot::Damaged(Box::new(error)))
            }
            Err(error) => {
                let why = error.to_string();
                let error = source.sealed.damaged_record(position, Some(extent), &why);
                Some(Slot::Damaged(Box::new(error)))
            }
        }
    }
}

/// How much is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    /// Whether control records are wanted too.
    pub(crate) control: bool,
    /// The revisions at which they are.
    pub(crate) control_revisions: std::ops::Range<u64>,
}

impl Want {
    fn record(&self, kind: RecordKind, revision: u64) -> bool {
        match kind {
            RecordKind::EVENT => true,
            RecordKind::TOMBSTONE | RecordKind::DELETE | RecordKind::SETTINGS => {
                self.control && self.control_revisions.contains(&revision)
            }
            _ => false,
        }
    }
}

/// How far a fetch came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fetched {
    /// The last ordinal dealt with.
    pub(crate) last: Option<u32>,
    /// Whether there are no more ordinals.
    pub(crate) exhausted: bool,
}

struct SealedSource<'a> {
    sealed: &'a Sealed,
    index: &'a Index,
    number: u32,
    base_time: i64,
}

impl SealedSource<'_> {
    fn knows(&self, record: &record::RecordView<'_>) -> bool {
        self.index.knows(record.stream_ref, record.type_ref)
    }
}

/// Records to be read with one call.
#[derive(Debug, Default)]
struct Span {
    start: u64,
    end: u64,
    records: Vec<(u32, (u64, u32))>,
}

impl Span {
    fn len(&self) -> usize {
        usize::try_from(self.end - self.start).unwrap_or(usize::MAX)
    }

    fn takes(&self, (offset, length): (u64, u32)) -> bool {
        if self.records.is_empty() {
            return false;
        }
        let (start, end) = (
            self.start.min(offset),
            self.end.max(offset + u64::from(length)),
        );
        let gap = if offset >= self.end {
            offset - self.end
        } else {
            self.start.saturating_sub(offset + u64::from(length))
        };
        gap <= GAP_BYTES_MAX && end - start <= SPAN_BYTES_MAX
    }

    fn push(&mut self, ordinal: u32, (offset, length): (u64, u32)) {
        let end = offset + u64::from(length);
        if self.records.is_empty() {
            (self.start, self.end) = (offset, end);
        }
        self.start = self.start.min(offset);
        self.end = self.end.max(end);
        self.records.push((ordinal, (offset, length)));
    }
}

fn damaged_unsealed(unsealed: &Unsealed, content: &Content, ordinal: u32) -> StoreError {
    let position = unsealed.head.base_position + u64::from(ordinal);
    let span = content
        .frame_of(ordinal)
        .filter(|frame| ordinal < frame.ordinal + frame.header.record_count);
    let extent = content.record_extent(ordinal);
    let (offset, length) = match (extent, span) {
        (Some((offset, length)), _) => (offset, u64::from(length)),
        (None, Some(frame)) => (frame.file_offset, u64::from(frame.header.frame_len)),
        (None, None) => (0, 0),
    };
    let position = factum_types::Position::from_raw(position);
    let damage = factum_store::Damage {
        file: format!(
            "segments/{}",
            crate::paths::segment_name(unsealed.head.number, 0)
        ),
        offset,
        length,
        first: position,
        last: position,
    };
    StoreError::corrupt("a stored event is damaged", damage)
}
