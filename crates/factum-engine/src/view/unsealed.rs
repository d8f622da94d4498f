//! A segment that has no index file yet: its frames and its index in memory.
//!
//! The third stage applies published frames here. What it becomes is a function of the frames alone, whether they come from the writer or
//! from recovery. Readers look things up under a short lock and copy the records out.
//! Relies on: frames come in order, verified. Never: shows a frame before it is durable; does I/O.

use std::ops::Range;
use std::sync::Arc;

use crate::number::to_u32;
use factum_format::SegmentKey;
use factum_format::definition::{Definition, DefinitionKind};
use factum_format::frame::{FrameHeader, FrameView, Verify, salvage_records};
use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::manifest::SegmentEntry;
use factum_format::record::{self, RecordKind, RecordView};
use factum_format::segment::SegmentHeader;
use factum_io::buffer::AlignedBuf;
use factum_types::{EventType, FixedMap, StreamName, Tag};

use super::image::Image;
use super::losses::Tally;
use crate::buffers::Buffers;
use crate::key::{KeyHash, KeyKind, Keyer};
use crate::request::snapshot_key;
use crate::sync::{RwLock, RwLockReadGuard, read, write};

/// The place of a record that was lost.
const LOST: u32 = u32::MAX;

/// What does not change while the segment is unsealed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnsealedHead {
    pub(crate) number: u64,
    pub(crate) key: SegmentKey,
    pub(crate) base_position: u64,
    pub(crate) base_time: i64,
}

impl From<&SegmentHeader> for UnsealedHead {
    fn from(header: &SegmentHeader) -> Self {
        Self {
            number: header.segment,
            key: header.key(),
            base_position: header.base_position,
            base_time: header.base_time,
        }
    }
}

impl From<&SegmentEntry> for UnsealedHead {
    fn from(entry: &SegmentEntry) -> Self {
        Self {
            number: entry.number,
            key: entry.key(),
            base_position: entry.base_position,
            base_time: entry.base_time,
        }
    }
}

/// A segment that has no index file yet.
#[derive(Debug)]
pub(crate) struct Unsealed {
    pub(crate) head: UnsealedHead,
    keyer: Keyer,
    content: RwLock<Content>,
}

/// A frame of the segment: where it stands in the file and in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameSpan {
    pub(crate) header: FrameHeader,
    pub(crate) file_offset: u64,
    /// The ordinal of its first record.
    pub(crate) ordinal: u32,
    pub(crate) image_offset: u32,
    /// Whether it is on disk as it was written.
    pub(crate) intact: bool,
}

/// The list of one key.
#[derive(Debug)]
pub(crate) struct Posting<N> {
    pub(crate) name: N,
    pub(crate) key: KeyHash,
    pub(crate) ordinals: Vec<u32>,
    /// Streams: the revision of the first event here.
    pub(crate) first_revision: u64,
    /// Streams: the category's number.
    pub(crate) category: Option<u32>,
    /// Streams: whether there is a record that changes it.
    pub(crate) has_control: bool,
    /// Whether the name is known; it is not when the frame that defined it is damaged.
    pub(crate) known: bool,
}

/// Where a key's list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRef {
    pub(crate) kind: KeyKind,
    pub(crate) index: u32,
}

/// What the segment holds so far.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) image: Image,
    pub(crate) frames: Vec<FrameSpan>,
    /// The image offset of every record.
    records: Vec<u32>,
    pub(crate) keys: FixedMap<KeyHash, KeyRef>,
    pub(crate) streams: Vec<Posting<StreamName>>,
    pub(crate) types: Vec<Posting<EventType>>,
    pub(crate) tags: Vec<Posting<Tag>>,
    pub(crate) categories: Vec<Posting<String>>,
    /// By stream number.
    pub(crate) snapshots: Vec<Posting<u32>>,
    /// By stream number: the records that change the stream.
    pub(crate) controls: Vec<Posting<u32>>,
    /// By category number: the records that change its streams.
    pub(crate) category_controls: Vec<Posting<u32>>,
    pub(crate) last_time: i64,
    pub(crate) first_time: Option<i64>,
    /// What was lost, and whether names were lost with it.
    pub(crate) losses: Tally,
    /// Bytes of the frames that are whole.
    intact_bytes: usize,
    /// Bytes of the file up to the end of the frame at hand that are of no such frame: definitions in them are lost.
    unread_bytes: usize,
    /// About what a packed copy would need: the bytes of all records, and a third of those of all definitions.
    pub(crate) useful_bytes: u64,
}

/// What applying a frame came to.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Applied {
    /// One more than the position of its last record that readers may be shown.
    pub(crate) shown_end: Option<u64>,
    /// Whether its hashes hold and yet it is not what we write: some of its names or records could not be taken up.
    pub(crate) malformed: bool,
}

impl Unsealed {
    pub(crate) fn new(head: UnsealedHead, keyer: Keyer) -> Self {
        let content = Content {
            last_time: head.base_time,
            ..Content::default()
        };
        Self {
            head,
            keyer,
            content: RwLock::new(content),
        }
    }

    /// It is written: it takes memory from `buffers`, and gives it back when it is sealed.
    pub(crate) fn keep_in(&self, buffers: &Arc<Buffers>) {
        write(&self.content).image.keep_in(Arc::clone(buffers));
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Content> {
        read(&self.content)
    }

    /// One more than the position of its last record.
    pub(crate) fn end_position(&self) -> u64 {
        self.head.base_position + self.read().record_count() as u64
    }

    /// Applies a verified frame.
    pub(crate) fn apply(
        &self,
        header: &FrameHeader,
        file_offset: u64,
        bytes: &[u8],
        intact: bool,
    ) -> Applied {
        let Ok(view) = FrameView::new(*header, bytes) else {
            return self.lose_malformed(header);
        };
        let mut content = write(&self.content);
        let applied = self.take_up(&mut content, &view, file_offset, intact);
        content.image.push(bytes);
        applied
    }

    /// Applies a frame that was written, and keeps the buffer that holds it at `within`.
    pub(crate) fn apply_written(
        &self,
        header: &FrameHeader,
        file_offset: u64,
        pages: AlignedBuf,
        within: &Range<usize>,
    ) -> Applied {
        let Ok(view) = FrameView::new(*header, &pages.as_slice()[within.clone()]) else {
            return self.lose_malformed(header);
        };
        let mut content = write(&self.content);
        let applied = self.take_up(&mut content, &view, file_offset, true);
        content.image.adopt(pages, within);
        applied
    }

    fn lose_malformed(&self, header: &FrameHeader) -> Applied {
        self.lose(header.record_count);
        Applied {
            malformed: true,
            ..Applied::default()
        }
    }

    /// Takes up the names and records of a frame, which the image gets next.
    fn take_up(
        &self,
        content: &mut Content,
        view: &FrameView<'_>,
        file_offset: u64,
        intact: bool,
    ) -> Applied {
        let mut applied = Applied::default();
        let header = view.header();
        let end = content.records.len() + header.record_count as usize;
        let image_offset = content.begin_frame(header, file_offset, intact);
        applied.malformed = !content.define(view, &self.keyer);
        for item in view.records(Verify::Structure) {
            match item {
                // A name may be lost with the frame that defined it, and then this record with it.
                Ok(at) if !content.knows(&at.record) => content.lose_one(),
                Ok(at) => {
                    content.push(
                        &at.record,
                        image_offset + at.offset,
                        &self.keyer,
                        &self.head,
                    );
                    if !matches!(
                        at.record.kind,
                        RecordKind::SNAPSHOT | RecordKind::CHECKPOINT
                    ) {
                        applied.shown_end = Some(at.record.position + 1);
                    }
                }
                Err(_) => applied.malformed = true,
            }
        }
        while content.records.len() < end {
            content.lose_one();
        }
        applied
    }

    /// Applies a damaged frame as far as its records verify. Returns how many were lost.
    pub(crate) fn apply_damaged(
        &self,
        header: &FrameHeader,
        file_offset: u64,
        bytes: &[u8],
    ) -> u32 {
        let Ok(view) = FrameView::new(*header, bytes) else {
            return self.lose(header.record_count);
        };
        let extents = salvage_records(bytes, header);
        let mut content = write(&self.content);
        let image_offset = content.begin_frame(header, file_offset, false);
        content.image.push(bytes);
        content.define(&view, &self.keyer);
        let mut lost = 0;
        for (ordinal, extent) in extents.iter().enumerate() {
            let position = header.base_position + ordinal as u64;
            let slice = extent.and_then(|e| {
                let start = e.offset as usize;
                Some((e.offset, bytes.get(start..start + e.len as usize)?))
            });
            let record = slice.and_then(|(offset, slice)| {
                Some((offset, record::decode_head(slice, position).ok()?.0))
            });
            match record {
                Some((offset, record)) if content.knows(&record) => {
                    content.push(&record, image_offset + offset, &self.keyer, &self.head);
                }
                _ => {
                    content.lose_one();
                    lost += 1;
                }
            }
        }
        lost
    }

    /// Takes note of positions whose records are lost without a trace.
    pub(crate) fn lose(&self, count: u32) -> u32 {
        let mut content = write(&self.content);
        content.losses.frame_unread();
        // More positions than a segment has room for were never in this one, whatever a forged header says.
        let room = RECORDS_MAX.saturating_sub(content.records.len());
        (0..room.min(count as usize)).for_each(|_| content.lose_one());
        count
    }
}

impl Content {
    pub(crate) fn record_count(&self) -> usize {
        self.records.len()
    }

    /// The bytes of a record, from its first on; they may go on behind it. `None` when it was lost.
    pub(crate) fn record_bytes(&self, ordinal: u32) -> Option<&[u8]> {
        match self.records.get(ordinal as usize) {
            None | Some(&LOST) => None,
            Some(&offset) => self.image.from(offset),
        }
    }

    /// The frame that holds a record.
    pub(crate) fn frame_of(&self, ordinal: u32) -> Option<&FrameSpan> {
        let after = self
            .frames
            .partition_point(|frame| frame.ordinal <= ordinal);
        self.frames[..after]
            .iter()
            .rev()
            .find(|frame| frame.header.record_count > 0)
    }

    /// Where a record stands in the file, and how long it is.
    pub(crate) fn record_extent(&self, ordinal: u32) -> Option<(u64, u32)> {
        let frame = self.frame_of(ordinal)?;
        let offset = *self
            .records
            .get(ordinal as usize)
            .filter(|offset| **offset != LOST)?;
        let length = record::record_bytes(self.image.from(offset)?)?;
        Some((
            frame.file_offset + u64::from(offset - frame.image_offset),
            length,
        ))
    }

    /// Where every record stands in the file, by ordinal: `record_extent` for all of them, in one walk.
    pub(crate) fn record_extents(&self) -> impl Iterator<Item = Option<(u64, u32)>> {
        let mut frames = self.frames.iter().peekable();
        let mut current = None;
        self.records
            .iter()
            .enumerate()
            .map(move |(ordinal, &offset)| {
                while let Some(frame) = frames.next_if(|frame| frame.ordinal as usize <= ordinal) {
                    current = Some(frame);
                }
                let frame = current.filter(|_| offset != LOST)?;
                let is_last = frames
                    .peek()
                    .is_some_and(|f| f.ordinal as usize == ordinal + 1);
                let next = self.records.get(ordinal + 1);
                let next = next.filter(|_| frame.intact && !is_last);
                // What stands in one frame stands side by side; looking at each record would wait for memory.
                let length = match next.filter(|next| **next != LOST) {
                    Some(next) => next.checked_sub(offset)?,
                    None => record::record_bytes(self.image.from(offset)?)?,
                };
                debug_assert_eq!(
                    self.image.from(offset).and_then(record::record_bytes),
                    Some(length),
                    "a record ends where the next one begins"
                );
                let within = offset.checked_sub(frame.image_offset)?;
                Some((frame.file_offset + u64::from(within), length))
            })
    }

    /// Begins a frame, which the image gets next; where it will be there.
    fn begin_frame(&mut self, header: &FrameHeader, file_offset: u64, intact: bool) -> u32 {
        let frame_bytes = header.frame_len as usize;
        let so_far = usize::try_from(file_offset.saturating_sub(SEGMENT_HEADER_BYTES));
        self.unread_bytes = so_far
            .unwrap_or(usize::MAX)
            .saturating_sub(self.intact_bytes);
        if intact {
            self.intact_bytes = self.intact_bytes.saturating_add(frame_bytes);
        } else {
            self.unread_bytes = self.unread_bytes.saturating_add(frame_bytes);
        }
        let image_offset = self.image.end();
        let ordinal = to_u32(self.records.len());
        self.frames.push(FrameSpan {
            header: *header,
            file_offset,
            ordinal,
            image_offset,
            intact,
        });
        image_offset
    }

    /// Takes note of a record that is lost.
    fn lose_one(&mut self) {
        self.losses.record(to_u32(self.records.len()));
        self.records.push(LOST);
    }

    /// Takes up the names that the frame defines, in order; says whether all of them could be.
    fn define(&mut self, frame: &FrameView<'_>, keyer: &Keyer) -> bool {
        let mut sound = true;
        match frame.names() {
            Ok(None) => {}
            Ok(Some(names)) => {
                let given = names.for_each(&mut |name| sound &= self.define_one(name, keyer));
                let whole = given == names.count() && sound;
                self.losses.names(names.kind(), whole);
                sound = whole;
            }
            Err(_) => {
                self.losses.frame_unread();
                sound = false;
            }
        }
        self.losses.frame(frame.header());
        let Ok(definitions) = frame.definitions() else {
            self.losses.frame_unread();
            return false;
        };
        self.useful_bytes += definitions.byte_len() as u64 / 3;
        for definition in definitions.iter() {
            let Ok(definition) = definition else {
                self.losses.frame_unread();
                return false;
            };
            sound &= self.define_one(definition, keyer);
        }
        sound
    }

    /// Takes up a name; says whether it is one.
    fn define_one(&mut self, definition: Definition<'_>, keyer: &Keyer) -> bool {
        let (name, unread) = (definition.name, self.unread_bytes);
        match definition.kind {
            DefinitionKind::STREAM => self.define_stream(definition.ordinal, name, keyer),
            DefinitionKind::TYPE => {
                let key = keyer.hash(KeyKind::EventType, name);
                let to = (&mut self.types, &mut self.keys, KeyKind::EventType);
                define_at(to, (definition.ordinal, unread), key, name)
            }
            DefinitionKind::TAG => {
                let key = keyer.hash(KeyKind::Tag, name);
                let to = (&mut self.tags, &mut self.keys, KeyKind::Tag);
                define_at(to, (definition.ordinal, unread), key, name)
            }
            _ => true,
        }
    }

    fn define_stream(&mut self, ordinal: u32, name: &str, keyer: &Keyer) -> bool {
        self.losses.stream_named(ordinal, self.streams.len());
        let key = keyer.stream(name);
        let to = (&mut self.streams, &mut self.keys, KeyKind::Stream);
        if !define_at(to, (ordinal, self.unread_bytes), key, name) {
            self.losses.stream_lost();
            return false;
        }
        let category = factum_types::name::category_of(name).map(|category| {
            let key = keyer.hash(KeyKind::Category, category);
            match self.keys.get(&key) {
                Some(found) => found.index,
                None => {
                    let name = category.to_owned();
                    define(
                        &mut self.categories,
                        &mut self.keys,
                        KeyKind::Category,
                        key,
                        name,
                    )
                }
            }
        });
        if let Some(stream) = self.streams.get_mut(ordinal as usize) {
            stream.category = category;
        }
        true
    }

    /// Whether it holds an event of a stream, or a change of it.
    pub(crate) fn has_written(&self, stream: KeyHash) -> bool {
        let found = self
            .keys
            .get(&stream)
            .filter(|found| found.kind == KeyKind::Stream);
        found.is_some_and(|found| {
            let stream = &self.streams[found.index as usize];
            !stream.ordinals.is_empty() || stream.has_control
        })
    }

    /// Whether any record was lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.records.contains(&LOST)
    }

    /// How many records were lost, or with them the names that they mean.
    pub(crate) fn lost_count(&self) -> u64 {
        self.records.iter().filter(|place| **place == LOST).count() as u64
    }

    /// Whether the names that a salvaged record means were salvaged too.
    fn knows(&self, record: &RecordView<'_>) -> bool {
        self.streams
            .get(record.stream_ref as usize)
            .is_some_and(|stream| stream.known)
            && self
                .types
                .get(record.type_ref as usize)
                .is_some_and(|name| name.known)
            && record
                .tag_refs()
                .all(|t| self.tags.get(t as usize).is_some_and(|tag| tag.known))
    }

    fn push(
        &mut self,
        record: &RecordView<'_>,
        image_offset: u32,
        keyer: &Keyer,
        head: &UnsealedHead,
    ) {
        let ordinal = to_u32(self.records.len());
        let time = head.base_time.saturating_add(record.time_delta);
        self.records.push(image_offset);
        if record.kind != RecordKind::SNAPSHOT {
            self.last_time = time;
            self.first_time.get_or_insert(time);
        }
        self.useful_bytes += record.bytes().len() as u64;
        match record.kind {
            RecordKind::EVENT => self.push_event(record, ordinal),
            RecordKind::TOMBSTONE | RecordKind::SETTINGS | RecordKind::DELETE => {
                self.push_control(record.stream_ref, ordinal, keyer);
            }
            RecordKind::SNAPSHOT | RecordKind::CHECKPOINT => {
                self.push_snapshot(record, ordinal, keyer);
            }
            _ => {}
        }
    }

    fn push_event(&mut self, record: &RecordView<'_>, ordinal: u32) {
        let stream = &mut self.streams[record.stream_ref as usize];
        if stream.ordinals.is_empty() {
            stream.first_revision = record.revision;
        }
        let explained = align(stream, record.revision, &self.records);
        self.losses.explained(explained);
        stream.ordinals.push(ordinal);
        if let Some(category) = stream.category {
            self.categories[category as usize].ordinals.push(ordinal);
        }
        self.types[record.type_ref as usize].ordinals.push(ordinal);
        for tag in record.tag_refs() {
            self.tags[tag as usize].ordinals.push(ordinal);
        }
    }

    fn push_control(&mut self, stream_ref: u32, ordinal: u32, keyer: &Keyer) {
        let stream = &mut self.streams[stream_ref as usize];
        stream.has_control = true;
        let key = keyer.hash(KeyKind::Control, stream.name.as_str());
        let category = stream.category;
        let list = (&mut self.controls, KeyKind::Control);
        push_to(list, &mut self.keys, key, stream_ref, ordinal);
        if let Some(category) = category {
            let name = self.categories[category as usize].name.as_str();
            let key = keyer.hash(KeyKind::CategoryControl, name);
            let list = (&mut self.category_controls, KeyKind::CategoryControl);
            push_to(list, &mut self.keys, key, category, ordinal);
        }
    }

    fn push_snapshot(&mut self, record: &RecordView<'_>, ordinal: u32, keyer: &Keyer) {
        let stream = self.streams[record.stream_ref as usize].name.as_str();
        let key = keyer.snapshot(stream, snapshot_key(record));
        let list = (&mut self.snapshots, KeyKind::Snapshot);
        push_to(list, &mut self.keys, key, record.stream_ref, ordinal);
    }
}

/// Adds a record to the list of a key, beginning the list if there is none.
fn push_to<N>(
    (list, kind): (&mut Vec<Posting<N>>, KeyKind),
    keys: &mut FixedMap<KeyHash, KeyRef>,
    key: KeyHash,
    name: N,
    ordinal: u32,
) {
    let index = match keys.get(&key) {
        Some(found) => found.index,
        None => define(list, keys, kind, key, name),
    };
    list[index as usize].ordinals.push(ordinal);
}

/// A stream's revisions are consecutive, so the k-th entry of its list is revision first + k. Where an event was lost with its head, one of
/// the lost records before stands in for it: reading that revision then says what was lost. Gives how many do.
fn align(stream: &mut Posting<StreamName>, revision: u64, records: &[u32]) -> u32 {
    let expected = stream
        .first_revision
        .saturating_add(stream.ordinals.len() as u64);
    if revision == expected {
        return 0;
    }
    let after = stream.ordinals.last().map_or(0, |last| *last as usize + 1);
    let candidates = (after..records.len())
        .filter(|ordinal| records[*ordinal] == LOST)
        .map(to_u32);
    let missing = usize::try_from(revision.saturating_sub(expected)).unwrap_or(usize::MAX);
    let standing_in: Vec<u32> = candidates.take(missing).collect();
    let explained = to_u32(standing_in.len());
    stream.ordinals.extend(standing_in);
    let placed = stream.ordinals.len() as u64;
    if stream.first_revision.saturating_add(placed) != revision {
        // Fewer lost records than revisions: the rest was lost without a trace. What is left keeps its own revision.
        stream.first_revision = revision.saturating_sub(placed);
    }
    explained
}

fn define<N>(
    list: &mut Vec<Posting<N>>,
    keys: &mut FixedMap<KeyHash, KeyRef>,
    kind: KeyKind,
    key: KeyHash,
    name: N,
) -> u32 {
    let index = to_u32(list.len());
    list.push(Posting::new(name, key, true));
    keys.insert(key, KeyRef { kind, index });
    index
}

impl<N> Posting<N> {
    const fn new(name: N, key: KeyHash, known: bool) -> Self {
        Self {
            name,
            key,
            ordinals: Vec::new(),
            first_revision: 0,
            category: None,
            has_control: false,
            known,
        }
    }
}

/// Puts a name at the ordinal that its definition gives; says whether it is a name, and that an ordinal. Ordinals that were passed over
/// belong to definitions that are lost.
fn define_at<N: std::str::FromStr<Err: std::fmt::Debug>>(
    (list, keys, kind): (
        &mut Vec<Posting<N>>,
        &mut FixedMap<KeyHash, KeyRef>,
        KeyKind,
    ),
    (ordinal, unread_bytes): (u32, usize),
    key: KeyHash,
    name: &str,
) -> bool {
    let index = ordinal as usize;
    // Names are defined once; and those passed over each took a byte at least of what could not be read.
    let is_free = list.get(index).is_none_or(|posting| !posting.known);
    let is_near = index.saturating_sub(list.len()) <= unread_bytes;
    let Ok(name) = name.parse() else { return false };
    if !is_free || !is_near || keys.contains_key(&key) {
        return false;
    }
    while list.len() <= index {
        let lost = lost_name(list.len());
        list.push(Posting::new(lost, 0, false));
    }
    list[index] = Posting::new(name, key, true);
    let index = ordinal;
    keys.insert(key, KeyRef { kind, index });
    true
}

/// No segment has more records than this: the largest has a gibibyte, and a record 38 bytes.
const RECORDS_MAX: usize = 1 << 25;

/// What stands for a name that is lost.
fn lost_name<N: std::str::FromStr<Err: std::fmt::Debug>>(ordinal: usize) -> N {
    match format!("$lost:{ordinal}").parse() {
        Ok(name) => name,
        Err(error) => unreachable!("it is a valid name of any kind: {error:?}"),
    }
}
