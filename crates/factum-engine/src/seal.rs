//! Sealing: a full segment gets its index file and is never written again.
//!
//! A segment that was filled by large commits is sealed as it stands. One that wasted space on padding, because many small commits were
//! under way at once, or on many names, is packed into a new file first: its names packed, and record for record the same bytes.
//! Order: data file synced, index file synced, names synced, read back, manifest switched, and only then is the old file removed.
//! Relies on: every frame of the segment is published. Never: changes a position, a revision or a record.

use crate::mutant::{Mutant, on};
use crate::number::to_usize;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use factum_format::definition::DefinitionKind;
use factum_format::frame::{
    FrameBuilder, FrameFields, FrameFlags, FrameHeader, FrameView, Verify, finish_names,
};
use factum_format::hash::FileHasher;
use factum_format::index::IndexInfo;
use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::manifest::{SegmentEntry, SegmentState, flags};
use factum_format::record::{RecordHead, RecordView};
use factum_format::segment::{self, SegmentHeader, layout};
use factum_format::{FormatError, SegmentKey};
use factum_io::Env;
use factum_io::buffer::{ALIGN, AlignedBuf};
use factum_io::disk::{DiskFile, DiskFileExt, Open};

use crate::catalog::{Catalog, HAS_CONTROL};
use crate::key::{KeyHash, KeyKind, Keyer};
use crate::log::PAGE_BYTES;
use crate::number::to_u32;
use crate::paths::Paths;
use crate::view::index::{self, Index};
use crate::view::unsealed::Content;
use crate::view::{Kept, Published, Sealed, Unsealed, UnsealedHead, View};

/// A segment is packed if that makes it smaller by one part in this many.
const WORTH_PACKING: u64 = 16;
/// The segment that is written is sealed when the store is closed if it is filled to one part in this many, or has so many bytes: reading the
/// rest takes some 50 ms when the store is opened.
const WORTH_SEALING: u64 = 4;
const WORTH_SEALING_BYTES: u64 = 16 << 20;
/// A packed frame is ended when its records have this many bytes.
const PACKED_FRAME_BYTES: usize = 256 << 10;
/// How much of a packed segment is read back at once.
const READ_BACK_BYTES: usize = 1 << 20;

/// Seals segments.
#[derive(Debug)]
pub(crate) struct Sealer {
    pub(crate) env: Env,
    pub(crate) paths: Paths,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) keyer: Keyer,
    pub(crate) kept: Arc<Kept>,
}

/// A packed copy in memory, and where its records stand.
struct Packed {
    bytes: AlignedBuf,
    end: u64,
    places: Vec<Option<(u64, u32)>>,
    data_hash: u128,
}

impl Sealer {
    /// Seals the oldest segment that has got all its frames; says whether there was one.
    pub(crate) fn seal_next(&self, published: &Published) -> io::Result<bool> {
        let view = published.view();
        let [oldest, _, ..] = view.unsealed.as_slice() else {
            return Ok(false);
        };
        self.seal(oldest, &view, published)?;
        Ok(true)
    }

    /// Seals the segment that is written, if it is the only one left and worth an index of its own: nothing may be appended any more, and the next
    /// segment must be ready, or opening would have to make it. What is not sealed is read, frame by frame, when the store is opened again.
    pub(crate) fn seal_last(&self, published: &Published) -> io::Result<()> {
        let view = published.view();
        let [last] = view.unsealed.as_slice() else {
            return Ok(());
        };
        if self.is_worth_sealing(last) {
            self.seal(last, &view, published)?;
        }
        Ok(())
    }

    fn is_worth_sealing(&self, last: &Unsealed) -> bool {
        let content = last.read();
        let entry = self.entry(last, &content);
        let worth =
            (self.catalog.manifest().segment_bytes / WORTH_SEALING).min(WORTH_SEALING_BYTES);
        let frames = &content.frames;
        // The next segment goes on in the epoch in which this one was begun.
        let is_of_one_epoch = frames.iter().all(|f| f.header.epoch == entry.epoch);
        entry.end_offset >= worth && is_of_one_epoch && !content.has_lost()
    }

    fn seal(&self, oldest: &Unsealed, view: &View, published: &Published) -> io::Result<()> {
        let content = oldest.read();
        let old = self.entry(oldest, &content);
        let before =
            |kind: KeyKind, key: KeyHash, name: &str| count_before(&view.sealed, kind, key, name);
        let entry = if worth_packing(&content, old.end_offset) {
            self.seal_packed(oldest, &content, old, &before)?
        } else {
            self.seal_in_place(&content, old, &before)?
        };
        drop(content);
        let sealed = Arc::new(self.open(entry));
        published.change(|view| {
            let first = view.unsealed.remove(0);
            assert_eq!(
                first.head.number, entry.number,
                "segments are sealed one at a time"
            );
            view.sealed.push(Arc::clone(&sealed));
        });
        self.clean_up(&entry)
    }

    pub(crate) fn open(&self, entry: SegmentEntry) -> Sealed {
        let with = (self.env.clone(), self.paths.clone(), self.keyer.clone());
        Sealed::new(entry, self.catalog.realm(), with, Arc::clone(&self.kept))
    }

    /// What the manifest will say of the segment, sealed in place.
    fn entry(&self, unsealed: &Unsealed, content: &Content) -> SegmentEntry {
        let manifest = self.catalog.manifest();
        let known = manifest
            .segments
            .iter()
            .find(|e| e.number == unsealed.head.number);
        let last = content.frames.last();
        let damaged = content.has_lost();
        SegmentEntry {
            state: SegmentState::Sealed,
            flags: flags::INDEX
                | if damaged { flags::DAMAGE } else { 0 }
                | if content.controls.is_empty() || on(Mutant::ControlFlagLost) {
                    0
                } else {
                    HAS_CONTROL
                },
            base_position: unsealed.head.base_position,
            base_time: unsealed.head.base_time,
            record_count: content.record_count() as u64,
            end_offset: last.map_or(SEGMENT_HEADER_BYTES, |frame| {
                frame.file_offset + u64::from(frame.header.frame_len)
            }),
            last_time: content.first_time.map_or_else(
                || self.last_time_before(unsealed.head.number),
                |_| content.last_time,
            ),
            first_frame_seq: content
                .frames
                .first()
                .map_or(0, |frame| frame.header.frame_seq),
            last_frame_seq: last.map_or(0, |frame| frame.header.frame_seq),
            last_header_hash: last.map_or(0, |frame| frame.header.header_hash),
            data_hash: data_hash(content.frames.iter().map(|frame| &frame.header)),
            ..known.copied().unwrap_or_default()
        }
    }

    /// The time of the last fact before a segment that has none itself, but snapshots.
    fn last_time_before(&self, number: u64) -> i64 {
        let manifest = self.catalog.manifest();
        let before = manifest.segments.iter().rev().find(|entry| {
            entry.number < number && entry.state == SegmentState::Sealed && entry.record_count > 0
        });
        before.map_or(i64::MIN, |entry| entry.last_time)
    }

    fn info(&self, entry: &SegmentEntry, content: &Content) -> IndexInfo {
        info(entry, self.catalog.realm(), content)
    }

    fn seal_in_place(
        &self,
        content: &Content,
        mut entry: SegmentEntry,
        before: &index::Before<'_>,
    ) -> io::Result<SegmentEntry> {
        let info = self.info(&entry, content);
        let places = content.record_extents();
        let bytes = index::build(content, info, before, places).map_err(io::Error::other)?;
        entry.index_hash = factum_format::hash::xxh3_128(&bytes);
        self.write_index(&entry, &bytes)?;
        self.catalog.replace_segment(entry)?;
        shorten(&self.env, &self.paths, &entry)?;
        Ok(entry)
    }

    fn seal_packed(
        &self,
        unsealed: &Unsealed,
        content: &Content,
        mut entry: SegmentEntry,
        before: &index::Before<'_>,
    ) -> io::Result<SegmentEntry> {
        entry.generation += 1;
        let header = self.packed_header(unsealed, &entry);
        let packed = pack(content, &header, unsealed.head.key).map_err(io::Error::other)?;
        entry.end_offset = packed.end;
        entry.data_hash = packed.data_hash;
        let path = self.paths.segment(entry.number, entry.generation);
        if on(Mutant::ManifestBeforeData) {
            self.catalog.replace_segment(entry)?;
        }
        self.write_new(&path, Open::create_new_direct(), packed.bytes.as_slice())?;
        if !reads_back(
            &*self.env.disk.open(&path, Open::read_direct())?,
            packed.bytes.as_slice(),
        )? {
            return Err(io::Error::other(
                "a packed segment did not read back as it was written",
            ));
        }
        let info = self.info(&entry, content);
        let places = packed.places.iter().copied();
        let bytes = index::build(content, info, before, places).map_err(io::Error::other)?;
        entry.index_hash = factum_format::hash::xxh3_128(&bytes);
        self.write_index(&entry, &bytes)?;
        if on(Mutant::RemovedBeforeManifest) {
            self.clean_up(&entry)?;
        }
        self.catalog.replace_segment(entry)?;
        Ok(entry)
    }

    fn packed_header(&self, unsealed: &Unsealed, entry: &SegmentEntry) -> SegmentHeader {
        SegmentHeader {
            layout: layout::FRAMES,
            realm: self.catalog.realm(),
            segment: entry.number,
            salt: unsealed.head.key.salt,
            partition: 0,
            flags: segment::flags::REPACKED,
            generation: entry.generation,
            base_position: entry.base_position,
            base_time: entry.base_time,
            created_time: self.env.clock.now_us(),
            prev_hash: 0,
            first_frame_seq: entry.first_frame_seq,
            capacity: 0,
            epoch: entry.epoch,
        }
    }

    fn write_index(&self, entry: &SegmentEntry, bytes: &[u8]) -> io::Result<()> {
        let path = self.paths.index(entry.number, entry.generation);
        self.write_new(&path, Open::create_new(), bytes)?;
        self.env.disk.sync_dir(&self.paths.segments())
    }

    fn write_new(&self, path: &Path, how: Open, bytes: &[u8]) -> io::Result<()> {
        if self.env.disk.exists(path)? {
            // Left behind before the manifest named it, by a crash, or by an attempt after which a copy of the manifest may name it.
            self.catalog.write_notes()?;
            self.env.disk.remove(path)?;
        }
        let file = self.env.disk.open(path, how)?;
        file.write_all_at(bytes, 0)?;
        if on(Mutant::SealedNotSynced) {
            return Ok(());
        }
        file.sync_all()
    }

    /// Removes the file that a packed copy replaced. Readers that have it open keep it until they are done.
    fn clean_up(&self, entry: &SegmentEntry) -> io::Result<()> {
        let Some(old) = entry.generation.checked_sub(1) else {
            return Ok(());
        };
        let path = self.paths.segment(entry.number, old);
        if self.env.disk.exists(&path)? {
            self.env.disk.remove(&path)?;
            self.env.disk.sync_dir(&self.paths.segments())?;
        }
        Ok(())
    }
}

fn info(entry: &SegmentEntry, realm: [u8; 16], content: &Content) -> IndexInfo {
    IndexInfo {
        realm,
        segment: entry.number,
        generation: entry.generation,
        record_count: to_u32(content.record_count()),
        base_position: entry.base_position,
        first_time: content.first_time.unwrap_or(entry.base_time),
        last_time: entry.last_time,
        data_hash: entry.data_hash,
    }
}

/// The hash of a segment's data: over the headers of its frames, each of which holds the hash of its body.
pub(crate) fn data_hash<'a>(headers: impl Iterator<Item = &'a FrameHeader>) -> u128 {
    let mut hasher = FileHasher::default();
    for header in headers {
        hasher.update(&header.encode());
    }
    hasher.finish()
}

/// Gives back what was prepared for a segment that is sealed in place and not used.
pub(crate) fn shorten(env: &Env, paths: &Paths, entry: &SegmentEntry) -> io::Result<()> {
    let file = env
        .disk
        .open(&paths.segment(entry.number, 0), Open::write())?;
    let needed = entry.end_offset.next_multiple_of(PAGE_BYTES);
    if file.len()? > needed {
        file.set_len(needed)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Whether a file holds just these bytes. Read piece by piece: memory that is new for each segment would have to be cleared each time.
fn reads_back(file: &dyn DiskFile, bytes: &[u8]) -> io::Result<bool> {
    if file.len()? != bytes.len() as u64 {
        return Ok(false);
    }
    let mut buffer = AlignedBuf::zeroed(READ_BACK_BYTES.min(bytes.len()));
    for (number, written) in bytes.chunks(READ_BACK_BYTES).enumerate() {
        let read = &mut buffer.as_mut_slice()[..written.len()];
        file.read_exact_at(read, (number * READ_BACK_BYTES) as u64)?;
        if read != written {
            return Ok(false);
        }
    }
    Ok(true)
}

fn worth_packing(content: &Content, end_offset: u64) -> bool {
    let intact = content.frames.iter().all(|frame| frame.intact) && !content.has_lost();
    let used = end_offset - SEGMENT_HEADER_BYTES;
    intact && used > content.useful_bytes + content.useful_bytes / WORTH_PACKING + PAGE_BYTES
}

/// How many events of a type or category older segments hold.
fn count_before(sealed: &[Arc<Sealed>], kind: KeyKind, key: KeyHash, name: &str) -> u64 {
    for older in sealed.iter().rev() {
        let Ok(index) = older.index() else { return 0 };
        if let Ok(Some(posting)) = index.posting(kind, key, name) {
            return posting.head.before.saturating_add(posting.count.into());
        }
    }
    0
}

/// Puts the names of a segment into frames of their own, and its records into larger frames without padding.
fn pack(content: &Content, header: &SegmentHeader, key: SegmentKey) -> Result<Packed, FormatError> {
    let used = content.frames.last().map_or(0, |frame| {
        to_usize(frame.file_offset) + frame.header.frame_len as usize
    });
    let out = AlignedBuf::begin(Vec::with_capacity(used + 2 * ALIGN));
    let mut packing = Packing {
        start: out.len(),
        out,
        builder: FrameBuilder::new(),
        places: Vec::with_capacity(content.record_count()),
        headers: Vec::new(),
        key,
        last: None,
    };
    packing.out.extend_from_slice(&header.encode()[..]);
    let views = content.frames.iter().map(|frame| {
        let bytes = content.image.from(frame.image_offset).unwrap_or_default();
        FrameView::new(frame.header, bytes)
    });
    let views = views.collect::<Result<Vec<_>, FormatError>>()?;
    if let Some(first) = views.first() {
        packing.names(&names_of(&views)?, first.header())?;
    }
    for view in &views {
        for record in view.records(Verify::Structure) {
            packing.record(&record?.record, view.header())?;
        }
    }
    packing.end_frame()?;
    let end = packing.end();
    let padded = to_usize(end.next_multiple_of(PAGE_BYTES));
    packing.out.resize(packing.start + padded, 0);
    let bytes = AlignedBuf::from_vec(packing.out, packing.start);
    let data_hash = data_hash(packing.headers.iter());
    Ok(Packed {
        bytes,
        end,
        places: packing.places,
        data_hash,
    })
}

/// Names by kind and ordinal.
type NamesByKind<'a> = BTreeMap<DefinitionKind, Vec<&'a str>>;

/// The names that the frames of a segment define, those of unknown kinds too.
fn names_of<'a>(views: &[FrameView<'a>]) -> Result<NamesByKind<'a>, FormatError> {
    let mut names = NamesByKind::new();
    for view in views {
        for definition in view.definitions()?.iter() {
            let definition = definition?;
            let of_kind = names.entry(definition.kind).or_default();
            if of_kind.len() != definition.ordinal as usize {
                return Err(FormatError::Order {
                    what: "definition",
                    item: definition.ordinal.into(),
                });
            }
            of_kind.push(definition.name);
        }
    }
    Ok(names)
}

struct Packing {
    out: Vec<u8>,
    /// Where in `out` the file begins.
    start: usize,
    builder: FrameBuilder,
    places: Vec<Option<(u64, u32)>>,
    headers: Vec<FrameHeader>,
    key: SegmentKey,
    /// The header of the frame that the last record came from, and the position of the first record collected.
    last: Option<(FrameHeader, u64)>,
}

impl Packing {
    /// Where the file ends by now.
    fn end(&self) -> u64 {
        (self.out.len() - self.start) as u64
    }

    fn record(&mut self, record: &RecordView<'_>, from: &FrameHeader) -> Result<(), FormatError> {
        let tag_refs: Vec<u32> = record.tag_refs().collect();
        let head = RecordHead {
            position: record.position,
            kind: record.kind,
            flags: record.flags,
            id: record.id,
            stream_ref: record.stream_ref,
            revision: record.revision,
            type_ref: record.type_ref,
            schema_version: record.schema_version,
            time_delta: record.time_delta,
            tag_refs: &tag_refs,
        };
        let first = self.last.map_or(record.position, |(_, first)| first);
        self.last = Some((*from, first));
        self.builder.record(&head, record.body(), record.body_crc)?;
        if self.builder.records_len() >= PACKED_FRAME_BYTES {
            self.end_frame()?;
        }
        Ok(())
    }

    fn fields(&self, from: &FrameHeader, base_position: u64) -> FrameFields {
        FrameFields {
            flags: FrameFlags::REPACKED,
            epoch: from.epoch,
            frame_seq: from.frame_seq,
            base_position,
            durable_seq: from.frame_seq,
            time: from.time,
            prev_hash: self.headers.last().map_or(0, |header| header.header_hash),
        }
    }

    /// Frames with all names; before any record.
    fn names(&mut self, names: &NamesByKind<'_>, from: &FrameHeader) -> Result<(), FormatError> {
        for (&kind, names) in names {
            let count = names.len() - usize::from(on(Mutant::PackedNameLost));
            let mut done = 0;
            while done < count {
                let fields = self.fields(from, from.base_position);
                let at = (self.key, self.end());
                let of = (kind, to_u32(done));
                let (header, taken) =
                    finish_names(of, &names[done..count], &fields, at, &mut self.out)?;
                self.headers.push(header);
                done += taken;
            }
        }
        Ok(())
    }

    fn end_frame(&mut self) -> Result<(), FormatError> {
        let Some((from, first)) = self.last.take() else {
            return Ok(());
        };
        let fields = self.fields(&from, first);
        let (offset, start) = (self.end(), self.out.len());
        let header = self
            .builder
            .finish(&fields, self.key, offset, &mut self.out)?;
        self.builder.reset();
        let view = FrameView::new(header, &self.out[start..])?;
        for at in view.records(Verify::Structure) {
            let at = at?;
            let length = to_u32(at.record.bytes().len());
            self.places
                .push(Some((offset + u64::from(at.offset), length)));
        }
        self.headers.push(header);
        Ok(())
    }
}

/// Everything in a sealed file, as if it had not been sealed yet. Damage is passed over.
pub(crate) fn read_sealed(entry: &SegmentEntry, keyer: &Keyer, bytes: &AlignedBuf) -> Unsealed {
    let unsealed = Unsealed::new(UnsealedHead::from(entry), keyer.clone());
    crate::recover::scan_sealed(&unsealed, entry, bytes.as_slice(), &mut |_| {});
    unsealed
}

/// The index of a sealed file, made again from the file alone.
pub(crate) fn index_of_file(
    entry: &SegmentEntry,
    realm: [u8; 16],
    keyer: &Keyer,
    bytes: &AlignedBuf,
) -> Result<Vec<u8>, FormatError> {
    let unsealed = read_sealed(entry, keyer, bytes);
    let content = unsealed.read();
    index_again(entry, realm, &content, None)
}

/// The index that belongs to a segment's content. Counts of earlier segments are taken from `known` where there is one.
pub(crate) fn index_again(
    entry: &SegmentEntry,
    realm: [u8; 16],
    content: &Content,
    known: Option<&Index>,
) -> Result<Vec<u8>, FormatError> {
    let before = |kind: KeyKind, key: KeyHash, name: &str| {
        let posting = known.and_then(|index| index.posting(kind, key, name).ok().flatten());
        posting.map_or(0, |posting| posting.head.before)
    };
    let places = content.record_extents();
    index::build(content, info(entry, realm, content), &before, places)
}
