//! What the fixture files of format version 1 hold.
//!
//! Shared by the test that reads them and the example that wrote them. Never change a value here: the files are as old
//! as the first release, and must be read, and written byte for byte, for ever. A new version gets new files.

use factum_format::{
    FormatError, SegmentKey,
    definition::DefinitionKind,
    frame::{FrameBuilder, FrameFields, FrameFlags, FrameHeader, finish_names},
    hash,
    index::{
        DirectoryBuilder, IndexBuilder, IndexInfo, IndexSection, OffsetsBuilder, PostingHead,
        PostingKind, PostingsBuilder, pack_names,
    },
    manifest::{self, Manifest, QuarantineEntry, QuarantineReason, SegmentEntry, SegmentState},
    metadata::StandardMetadata,
    record::{RecordFlags, RecordHead, RecordKind},
    section::{self, SectionType},
    segment::{SegmentHeader, layout},
    settings::{StreamSettings, StreamState},
};

pub(crate) const REALM: [u8; 16] = *b"realm-of-fixture";
pub(crate) const BASE_TIME: i64 = 1_750_000_000_000_000;
pub(crate) const BASE_POSITION: u64 = 1_000;
pub(crate) const CAPACITY: usize = 16_384;

pub(crate) fn segment_header() -> SegmentHeader {
    SegmentHeader {
        layout: layout::FRAMES,
        realm: REALM,
        segment: 3,
        salt: 0x0123_4567_89AB_CDEF,
        partition: 2,
        flags: 0,
        generation: 1,
        base_position: BASE_POSITION,
        base_time: BASE_TIME,
        created_time: BASE_TIME - 1,
        prev_hash: 0xFEED_F00D,
        first_frame_seq: 50,
        capacity: CAPACITY as u64,
        epoch: 4,
    }
}

/// One record of the fixture, as it goes in.
pub(crate) struct Event {
    pub(crate) kind: RecordKind,
    pub(crate) flags: RecordFlags,
    pub(crate) stream_ref: u32,
    pub(crate) revision: u64,
    pub(crate) type_ref: u32,
    pub(crate) schema_version: u32,
    pub(crate) time_delta: i64,
    pub(crate) tag_refs: &'static [u32],
    pub(crate) body: Vec<u8>,
}

impl Event {
    pub(crate) fn head(&self, position: u64) -> RecordHead<'static> {
        RecordHead {
            position,
            kind: self.kind,
            flags: self.flags,
            id: event_id(position),
            stream_ref: self.stream_ref,
            revision: self.revision,
            type_ref: self.type_ref,
            schema_version: self.schema_version,
            time_delta: self.time_delta,
            tag_refs: self.tag_refs,
        }
    }
}

pub(crate) fn event_id(position: u64) -> [u8; 16] {
    hash::xxh3_128(&position.to_le_bytes()).to_le_bytes()
}

pub(crate) fn metadata() -> StandardMetadata<'static> {
    StandardMetadata {
        correlation_id: Some("correlation"),
        causation_id: Some("causation"),
        user_id: Some("zoë"),
        traceparent: None,
    }
}

pub(crate) fn settings() -> StreamSettings {
    StreamSettings {
        max_count: Some(1_000),
        max_age: Some(86_400_000_000),
        truncate_before: Some(1),
        state: Some(StreamState::Live),
        deleted_before: Some(2),
    }
}

/// Names as (kind, ordinal, name), for the first frame.
pub(crate) const NAMES: [(DefinitionKind, u32, &str); 5] = [
    (DefinitionKind::STREAM, 0, "order-1"),
    (DefinitionKind::STREAM, 1, "größe-2"),
    (DefinitionKind::TYPE, 0, "OrderPlaced"),
    (DefinitionKind::TYPE, 1, "OrderShipped"),
    (DefinitionKind::TAG, 0, "customer:7"),
];

/// The events of the first frame: one of each kind.
pub(crate) fn first_events() -> Vec<Event> {
    let mut full = Vec::new();
    section::push(&mut full, SectionType::DATA, br#"{"total":"12.50"}"#);
    let mut standard = Vec::new();
    metadata().encode(&mut standard);
    section::push(&mut full, SectionType::METADATA, &standard);
    section::push(&mut full, SectionType::CUSTOM_METADATA, b"custom");
    section::push(&mut full, SectionType::PERSONAL, b"sealed envelope");
    section::push(&mut full, SectionType::INTEGRITY, b"salt");
    section::push(&mut full, SectionType(222), b"from a later release");
    let mut setting = Vec::new();
    let mut encoded = Vec::new();
    settings().encode(&mut encoded);
    section::push(&mut setting, SectionType::SETTINGS, &encoded);
    let event = |kind, revision, body| Event {
        kind,
        flags: RecordFlags::NONE,
        stream_ref: 1,
        revision,
        type_ref: 0,
        schema_version: 1,
        time_delta: -3,
        tag_refs: &[],
        body,
    };
    vec![
        Event {
            flags: RecordFlags::JSON,
            stream_ref: 0,
            revision: 300,
            type_ref: 1,
            schema_version: 2,
            time_delta: 1_000_000,
            tag_refs: &[0],
            ..event(RecordKind::EVENT, 0, full)
        },
        event(RecordKind::TOMBSTONE, 1, Vec::new()),
        event(RecordKind::SETTINGS, 2, setting),
        event(RecordKind::SNAPSHOT, 3, data(b"state")),
        event(RecordKind::DELETE, 4, Vec::new()),
        event(RecordKind::CHECKPOINT, 5, data_last(b"place")),
    ]
}

/// The event of the second frame: zeros, so that the frame has a zero map.
pub(crate) fn second_event() -> Event {
    Event {
        kind: RecordKind::EVENT,
        flags: RecordFlags::REDACTED
            .with(RecordFlags::REWRITTEN)
            .with(RecordFlags::PERSONAL_REMOVED),
        stream_ref: 0,
        revision: u64::MAX,
        type_ref: u32::MAX,
        schema_version: u32::MAX,
        time_delta: i64::MIN,
        tag_refs: &[0, u32::MAX],
        body: data(&[0; 2_000]),
    }
}

fn data(bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    section::push(&mut body, SectionType::DATA, bytes);
    body
}

fn data_last(bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    section::push_data_last(&mut body, bytes);
    body
}

fn fields(flags: FrameFlags, frame_seq: u64, base_position: u64, prev_hash: u32) -> FrameFields {
    let (epoch, durable_seq) = (4, frame_seq.saturating_sub(1));
    let time = BASE_TIME.saturating_add_unsigned(frame_seq);
    FrameFields {
        flags,
        epoch,
        frame_seq,
        base_position,
        durable_seq,
        time,
        prev_hash,
    }
}

/// The names of the last frame: as a packed segment has them, and more than one block.
pub(crate) fn packed_names() -> Vec<String> {
    let mut names = vec![String::new(), "größe-2".to_owned(), "UPPER-case".to_owned()];
    let numbered = |n: u64| format!("order-{:018x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    names.extend((0..40).map(numbered));
    names
}

/// The segment file, and the headers of its five frames.
pub(crate) fn segment() -> Result<(Vec<u8>, Vec<FrameHeader>), FormatError> {
    let header = segment_header();
    let key = header.key();
    let mut out = header.encode().to_vec();
    let mut builder = FrameBuilder::new();
    for (kind, ordinal, name) in NAMES {
        builder.define(kind, ordinal, name)?;
    }
    let mut headers = Vec::new();
    let events = first_events();
    let first_count = events.len() as u64;
    add(&mut builder, BASE_POSITION, &events)?;
    let first = fields(FrameFlags::NONE, 50, BASE_POSITION, 0xFEED_F00D);
    headers.push(finish(&mut builder, &first, key, &mut out)?);
    let next = BASE_POSITION + first_count;
    add(&mut builder, next, &[second_event()])?;
    let second = fields(FrameFlags::NONE, 51, next, headers[0].header_hash);
    headers.push(finish(&mut builder, &second, key, &mut out)?);
    for (flags, seq) in [(FrameFlags::CHECKPOINT, 52), (FrameFlags::CUT, 53)] {
        let before = headers[headers.len() - 1].header_hash;
        let offset = out.len() as u64;
        let empty = fields(flags, seq, next + 1, before);
        headers.push(FrameBuilder::finish_empty(&empty, key, offset, &mut out)?);
    }
    let names = packed_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let before = headers[headers.len() - 1].header_hash;
    let last = fields(FrameFlags::REPACKED, 54, next + 1, before);
    let at = (key, out.len() as u64);
    let of = (DefinitionKind::STREAM, 2);
    headers.push(finish_names(of, &names, &last, at, &mut out)?.0);
    out.resize(CAPACITY, 0);
    Ok((out, headers))
}

fn add(builder: &mut FrameBuilder, base: u64, events: &[Event]) -> Result<(), FormatError> {
    for (position, event) in (base..).zip(events) {
        builder.record(&event.head(position), &event.body, hash::crc(&event.body))?;
    }
    Ok(())
}

fn finish(
    builder: &mut FrameBuilder,
    fields: &FrameFields,
    key: SegmentKey,
    out: &mut Vec<u8>,
) -> Result<FrameHeader, FormatError> {
    let header = builder.finish(fields, key, out.len() as u64, out)?;
    builder.reset();
    Ok(header)
}

pub(crate) fn manifest() -> Manifest {
    let entry = |number, state| SegmentEntry {
        number,
        generation: 1,
        state,
        flags: manifest::flags::INDEX | manifest::flags::DAMAGE,
        epoch: 4,
        salt: 0x0123_4567_89AB_CDEF,
        base_position: BASE_POSITION,
        record_count: 7,
        end_offset: 8_000,
        base_time: BASE_TIME,
        last_time: BASE_TIME + 9,
        first_frame_seq: 50,
        last_frame_seq: 53,
        last_header_hash: 0xDEAD_BEEF,
        data_hash: 0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF,
        index_hash: 1,
    };
    let range = |reason, accepted| QuarantineEntry {
        segment: 3,
        offset: 4_096,
        length: 512,
        first_position: BASE_POSITION,
        count: 2,
        reason,
        accepted,
        found_time: BASE_TIME + 10,
    };
    Manifest {
        partition: 2,
        seq: 77,
        realm: REALM,
        hash_key: *b"key of the keys!",
        created_time: BASE_TIME,
        segment_bytes: 64 << 20,
        segments: vec![
            entry(3, SegmentState::Sealed),
            entry(4, SegmentState::Active),
            entry(5, SegmentState::Prepared),
        ],
        quarantine: vec![
            range(QuarantineReason::Header, false),
            range(QuarantineReason::Body, true),
            range(QuarantineReason::Missing, false),
        ],
    }
}

/// The records' extents in the index fixture: a block near a line, with a gap and a lost record, and one that is far from any.
pub(crate) fn extents() -> Vec<Option<(u64, u32)>> {
    let mut end = 4_172;
    let mut next = |gap, length: u32| {
        let at = end + gap;
        end = at + u64::from(length);
        Some((at, length))
    };
    let near = |item| match item {
        2 => None,
        20 => next(70, 301),
        _ => next(0, 300 + item % 3),
    };
    let mut extents: Vec<_> = (0..64).map(near).collect();
    extents.extend([next(0, 100), next(2_000, 20_000), next(0, 60)]);
    extents
}

/// The ordinals of the long posting in the index fixture.
pub(crate) fn long_posting() -> Vec<u32> {
    (0..300).map(|ordinal| ordinal * 3 + 1).collect()
}

pub(crate) fn index() -> Result<Vec<u8>, FormatError> {
    let mut offsets = OffsetsBuilder::new();
    for extent in extents() {
        offsets.push(extent)?;
    }
    let streams = pack_names(&["order-1", "größe-2"])?;
    let types = pack_names(&["OrderPlaced"])?;
    let mut postings = PostingsBuilder::new();
    let mut directory = DirectoryBuilder::new();
    let stream = PostingHead {
        kind: PostingKind::STREAM,
        name: 1,
        before: 300,
    };
    directory.push(key_hash("größe-2"), postings.push(&stream, &[0, 1, 3])?);
    let kind = PostingHead {
        kind: PostingKind::TYPE,
        name: 0,
        before: 5,
    };
    directory.push(
        key_hash("OrderPlaced"),
        postings.push(&kind, &long_posting())?,
    );
    let mut builder = IndexBuilder::new(IndexInfo {
        realm: REALM,
        segment: 3,
        generation: 1,
        record_count: offsets.count(),
        base_position: BASE_POSITION,
        first_time: BASE_TIME,
        last_time: BASE_TIME + 9,
        data_hash: 0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF,
    });
    let count = offsets.count();
    builder.section(IndexSection::SLOPED_OFFSETS, count, &offsets.finish()?);
    builder.section(IndexSection::STREAM_NAMES, 2, &streams);
    builder.section(IndexSection::TYPE_NAMES, 1, &types);
    builder.section(IndexSection(500), 0, b"from a later release");
    builder.section(IndexSection::DENSE_DIRECTORY, 2, &directory.finish()?);
    builder.section(IndexSection::POSTINGS, postings.count(), &postings.finish());
    builder.finish()
}

pub(crate) fn key_hash(name: &str) -> u128 {
    hash::xxh3_128(name.as_bytes())
}
