//! Bytes that nobody wrote: files changed at random, with and without right checksums, and frames forged around wild content. The engine
//! opens them or refuses, reads, verifies and writes on; it never panics and never waits for ever.

use std::path::{Path, PathBuf};

use factum_engine::verify::{VerifyDepth, verify};
use factum_engine::{Engine, Options};
use factum_format::SegmentKey;
use factum_format::definition::DefinitionKind;
use factum_format::frame::{FrameBuilder, FrameFields, FrameFlags, FrameHeader};
use factum_format::hash::{keyed, xxh3_64};
use factum_format::index::{IndexHeader, IndexSection};
use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::record::{RecordFlags, RecordHead, RecordKind};
use factum_format::scan::{Area, FrameAt, scan_frame};
use factum_format::segment::SegmentHeader;
use factum_store::{EventStore, Kind, ReadRequest, Source, StreamsRequest};
use factum_types::{Category, EventType, ExpectedRevision, Query};

use crate::support::{TempDir, append, event, stream};

const ROUNDS: usize = 2_000;
const SEED: u64 = 0x0BAD_F00D;

type Files = Vec<(String, Vec<u8>)>;

/// Makes a frame for a place.
type Make<'a> =
    dyn FnMut(&FrameFields, (SegmentKey, u64), &mut Vec<u8>) -> Option<FrameHeader> + 'a;

/// Says which round it was, should it panic.
struct Round(u64, usize, String);

impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, round, what) = self;
            let line = format!("hostile bytes: seed {seed:#x}, round {round}: {what}\n");
            drop(std::io::Write::write_all(
                &mut std::io::stderr(),
                line.as_bytes(),
            ));
        }
    }
}

fn options(directory: &Path) -> Options {
    Options::new(directory).segment_bytes(Options::SEGMENT_BYTES_MIN)
}

/// A store with segments packed and not, one being written and one prepared.
fn build(directory: &Path) {
    let store = Engine::open(options(directory), factum_io::Env::real()).unwrap();
    let mut number = 0;
    while store.stats().sealed_segments < 1 {
        let name = format!("a-{}", number % 7);
        append(&store, &name, ExpectedRevision::Any, vec![event(number)]).unwrap();
        number += 1;
    }
    while store.stats().sealed_segments < 2 {
        let events = (number..number + 60).map(event).collect();
        append(&store, "b-1", ExpectedRevision::Any, events).unwrap();
        store.settle().unwrap();
        number += 60;
    }
    for number in number..number + 20 {
        append(&store, "c-1", ExpectedRevision::Any, vec![event(number)]).unwrap();
    }
    store.settle().unwrap();
    store.close().unwrap();
}

fn load(directory: &Path) -> Files {
    let mut files = Vec::new();
    for part in ["", "segments"] {
        for entry in std::fs::read_dir(directory.join(part)).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path.strip_prefix(directory).unwrap().display().to_string();
            if path.is_file() && name != "LOCK" {
                files.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn save(directory: &Path, files: &Files) {
    drop(std::fs::remove_dir_all(directory));
    std::fs::create_dir_all(directory.join("segments")).unwrap();
    for (name, bytes) in files {
        std::fs::write(directory.join(name), bytes).unwrap();
    }
}

/// One to four changes within the used part: a bit, a byte, a run, a copy from elsewhere, rarely a cut.
fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(1, |at| at + 1);
    for _ in 0..random.usize(1..5) {
        let at = random.usize(0..used.min(bytes.len()));
        let end = (at + random.usize(1..64)).min(bytes.len());
        match random.u8(0..16) {
            0..=4 => bytes[at] ^= 1 << random.u8(0..8),
            5..=7 => bytes[at] = random.u8(..),
            8..=10 => bytes[at..end].fill(random.choice([0, 0xFF, 0x80]).unwrap()),
            11..=12 => bytes[at..end]
                .iter_mut()
                .for_each(|byte| *byte = random.u8(..)),
            13..=14 => {
                let from = random.usize(0..=bytes.len() - (end - at));
                bytes.copy_within(from..from + (end - at), at);
            }
            _ => bytes.truncate(at.max(1)),
        }
        if bytes.len() < used {
            return;
        }
    }
}

/// Puts the right checksums into a file of any kind, as far as its structure still is one.
fn reseal(name: &str, bytes: &mut [u8]) {
    if name.starts_with("MANIFEST") {
        reseal_front(bytes, 12);
    } else if name.ends_with(".idx") {
        reseal_index(bytes);
    } else {
        for at in [0, 2048] {
            let Some(core) = bytes.get_mut(at..at + 128) else {
                return;
            };
            reseal_front(core, 12);
        }
        reseal_frames(bytes);
    }
}

/// What begins with a length at this offset and ends with a checksum.
fn reseal_front(bytes: &mut [u8], length_at: usize) {
    let Some(length) = bytes.get(length_at..length_at + 4) else {
        return;
    };
    let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
    let Some((rest, sum)) = bytes
        .get_mut(..length)
        .and_then(|all| all.split_last_chunk_mut::<8>())
    else {
        return;
    };
    *sum = xxh3_64(rest).to_le_bytes();
}

fn reseal_index(bytes: &mut [u8]) {
    reseal_front(bytes, 12);
    let Ok(header) = IndexHeader::decode(bytes) else {
        return;
    };
    for (number, entry) in header.sections.iter().enumerate() {
        let start = usize::try_from(entry.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(entry.length).unwrap_or(usize::MAX));
        let Some(hash) = bytes.get(start..end).map(xxh3_64) else {
            continue;
        };
        let at = 88 + 32 * number + 24;
        bytes[at..at + 8].copy_from_slice(&hash.to_le_bytes());
    }
    reseal_front(bytes, 12);
}

/// The frames of a segment, with the bytes as they are taken for right.
fn reseal_frames(bytes: &mut [u8]) {
    let Ok((header, _)) = SegmentHeader::decode(bytes) else {
        return;
    };
    let key = header.key();
    let mut offset = SEGMENT_HEADER_BYTES;
    while let Some(found) = next_frame(bytes, offset, key) {
        let at = usize::try_from(offset).unwrap();
        let end = at + found.frame_len as usize;
        let Some(frame) = bytes.get_mut(at..end) else {
            return;
        };
        let length = frame.len();
        let mut header = found;
        header.body_hash = keyed(&frame[64..length - 64], key.salt);
        header.header_hash = header.expected_hash(key, offset);
        frame[..64].copy_from_slice(&header.encode());
        let footer = header.encode_footer(key, offset);
        frame[length - 64..].copy_from_slice(&footer);
        offset += u64::from(found.frame_len);
    }
}

fn next_frame(bytes: &[u8], offset: u64, key: SegmentKey) -> Option<FrameHeader> {
    match scan_frame(&Area::whole(bytes), offset, key) {
        FrameAt::Valid(frame) => Some(*frame.header()),
        FrameAt::Damaged(damaged) => damaged.header,
        _ => None,
    }
    .filter(|header| header.frame_len >= 128)
}

/// A number as a forger likes it.
fn wild(random: &mut fastrand::Rng) -> u64 {
    match random.u8(0..6) {
        0 => random.u64(0..4),
        1 => 1 << random.u32(0..64),
        2 => u64::MAX - random.u64(0..3),
        3 => u64::from(u32::MAX) - random.u64(0..3),
        4 => (1 << 20) + random.u64(0..4),
        _ => random.u64(..),
    }
}

fn wild_u32(random: &mut fastrand::Rng) -> u32 {
    u32::try_from(wild(random) & 0xFFFF_FFFF).unwrap()
}

/// A frame with right hashes behind the last one of the segment being written; false when there is no room.
fn add_frame(bytes: &mut [u8], make: &mut Make<'_>) -> Option<()> {
    let key = SegmentHeader::decode(bytes).ok()?.0.key();
    let (mut offset, mut last) = (SEGMENT_HEADER_BYTES, None);
    while let Some(found) = next_frame(bytes, offset, key) {
        offset += u64::from(found.frame_len);
        last = Some(found);
    }
    let before: FrameHeader = last?;
    let fields = FrameFields {
        flags: FrameFlags::NONE,
        epoch: before.epoch,
        frame_seq: before.frame_seq + 1,
        base_position: before.next_position(),
        durable_seq: before.frame_seq,
        time: before.time,
        prev_hash: before.header_hash,
    };
    let mut out = Vec::new();
    make(&fields, (key, offset), &mut out)?;
    let at = usize::try_from(offset).unwrap();
    bytes.get_mut(at..at + out.len())?.copy_from_slice(&out);
    Some(())
}

fn forged(
    random: &mut fastrand::Rng,
    fields: &FrameFields,
    (key, offset): (SegmentKey, u64),
    out: &mut Vec<u8>,
) -> Option<FrameHeader> {
    let mut frame = FrameBuilder::new();
    let names = [
        "", "x", "order-1", "$lost:1", "no tag", "a:b", "\u{202e}", "tab\t-1", "c-1", "-",
    ];
    for _ in 0..random.usize(0..6) {
        let kind = DefinitionKind(random.u8(0..6));
        let ordinal = if random.bool() {
            random.u32(0..12)
        } else {
            wild_u32(random)
        };
        frame
            .define(kind, ordinal, random.choice(names).unwrap())
            .ok()?;
    }
    for number in 0..random.u64(1..8) {
        let small = |random: &mut fastrand::Rng| match random.bool() {
            true => random.u32(0..8),
            false => wild_u32(random),
        };
        let tags: Vec<u32> = (0..random.usize(0..3)).map(|_| small(random)).collect();
        let body: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..)).collect();
        let head = RecordHead {
            position: fields.base_position + number,
            kind: RecordKind(random.u8(0..8)),
            flags: RecordFlags(random.u8(..)),
            id: [random.u8(..); 16],
            stream_ref: small(random),
            revision: wild(random),
            type_ref: small(random),
            schema_version: wild_u32(random),
            time_delta: i64::from_le_bytes(wild(random).to_le_bytes()),
            tag_refs: &tags,
        };
        frame.record(&head, &body, crc32c::crc32c(&body)).ok()?;
    }
    frame.finish(fields, key, offset, out).ok()
}

/// The segment being written.
fn active(files: &Files) -> usize {
    let begun = |bytes: &Vec<u8>| bytes.get(4096..4100).is_some_and(|magic| magic == b"fFrM");
    let found = files
        .iter()
        .rposition(|(name, bytes)| name.ends_with(".seg") && begun(bytes));
    found.unwrap()
}

/// Everything that reads. What it says does not matter.
fn read_all(store: &Engine) {
    let sources = [
        Source::All,
        Source::Stream(stream("c-1")),
        Source::Stream(stream("a-3")),
        Source::Category(Category::new("a").unwrap()),
        Source::Query(Query::event_type(EventType::new("Type1").unwrap())),
    ];
    for source in sources {
        for request in [
            ReadRequest::forward(source.clone()),
            ReadRequest::backward(source),
        ] {
            let mut events = store.read(request.with_control());
            let mut left = 100_000;
            while pollster::block_on(events.next()).is_some() {
                left -= 1;
                assert!(left > 0, "a read does not end");
            }
        }
    }
    for name in ["a-3", "b-1", "c-1", "none-1"] {
        drop(pollster::block_on(store.stream_info(stream(name))));
    }
    let listed = StreamsRequest {
        limit: 100,
        ..StreamsRequest::default()
    };
    drop(pollster::block_on(store.streams(listed)));
}

/// Opens a damaged store in every way.
fn exercise(directory: &Path, write: bool) {
    let env = factum_io::Env::real;
    drop(verify(directory, VerifyDepth::Full, &env(), &mut |_, _| {}));
    if let Ok(store) = Engine::open(options(directory).read_only(true), env()) {
        read_all(&store);
    }
    if !write {
        return;
    }
    let Ok(store) = Engine::open(options(directory).accept_loss(true), env()) else {
        return;
    };
    for (name, number) in [("c-1", 1), ("a-3", 2), ("new-1", 3)] {
        let events = vec![event(9_000_000 + number)];
        if let Err(error) = append(&store, name, ExpectedRevision::Any, events) {
            assert_ne!(error.kind(), Kind::Unknown, "{name}: {error}");
        }
    }
    read_all(&store);
    drop(store.settle());
    drop(store.close());
}

#[test]
fn no_bytes_make_the_engine_panic() {
    let dir = TempDir::new();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    build(&whole);
    let files = load(&whole);
    let active = active(&files);
    let mut random = fastrand::Rng::with_seed(SEED);
    for round in 0..ROUNDS {
        let mut files = files.clone();
        let forging = random.u8(0..3) == 0;
        let number = if forging {
            active
        } else {
            random.usize(0..files.len())
        };
        let sealed = random.bool();
        let (name, bytes) = &mut files[number];
        let what = format!("{name}, forged: {forging}, checksums put right: {sealed}");
        let _told = Round(SEED, round, what);
        if forging {
            let count = random.usize(1..4);
            let mut make =
                |fields: &FrameFields, at, out: &mut Vec<u8>| forged(&mut random, fields, at, out);
            for _ in 0..count {
                if add_frame(bytes, &mut make).is_none() {
                    break;
                }
            }
        } else {
            mutate(&mut random, bytes);
            if sealed {
                reseal(name, bytes);
            }
        }
        if name.starts_with("MANIFEST") {
            // Both copies, or the other one is taken.
            let bytes = bytes.clone();
            for (name, copy) in &mut files {
                if name.starts_with("MANIFEST") {
                    copy.clone_from(&bytes);
                }
            }
        }
        save(&broken, &files);
        exercise(&broken, round % 3 == 0);
    }
}

/// Once, a definition far out of order stopped the process that opened the store.
#[test]
fn a_name_out_of_all_proportion_is_damage() {
    let dir = TempDir::new();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    build(&whole);
    let bad_names = [
        ((1 << 20) + 4_000, "order-1"),
        (u32::MAX, "order-1"),
        (1, "\u{7}"),
    ];
    for (ordinal, name) in bad_names {
        let mut files = load(&whole);
        let number = active(&files);
        let mut make = |fields: &FrameFields, (key, offset), out: &mut Vec<u8>| {
            let mut frame = FrameBuilder::new();
            frame.define(DefinitionKind::STREAM, ordinal, name).unwrap();
            let head = RecordHead {
                position: fields.base_position,
                kind: RecordKind::EVENT,
                flags: RecordFlags::NONE,
                id: [7; 16],
                stream_ref: ordinal,
                revision: 0,
                type_ref: 0,
                schema_version: 1,
                time_delta: 0,
                tag_refs: &[],
            };
            frame.record(&head, b"", 0).unwrap();
            Some(frame.finish(fields, key, offset, out).unwrap())
        };
        add_frame(&mut files[number].1, &mut make).unwrap();
        save(&broken, &files);
        let store = Engine::open(options(&broken), factum_io::Env::real()).unwrap();
        assert!(store.report().degraded, "{ordinal}, {name:?}");
        let damage = &store.report().damage;
        assert!(
            damage
                .iter()
                .any(|found| found.damage.file == files[number].0),
            "{damage:?}"
        );
        read_all(&store);
        store.close().unwrap();
        let report = verify(
            &broken,
            VerifyDepth::Full,
            &factum_io::Env::real(),
            &mut |_, _| {},
        );
        assert!(!report.unwrap().is_clean());
        let accept = options(&broken).accept_loss(true);
        let store = Engine::open(accept, factum_io::Env::real()).unwrap();
        append(
            &store,
            "new-1",
            ExpectedRevision::NoStream,
            vec![event(9_000_000)],
        )
        .unwrap();
        store.close().unwrap();
    }
}

/// An index whose checksums hold may still say that a record takes gigabytes: no memory is taken for it.
#[test]
fn a_record_longer_than_any_is_damage() {
    let dir = TempDir::new();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    build(&whole);
    let mut files = load(&whole);
    let index = files.iter().position(|(name, _)| name.ends_with(".idx"));
    let bytes = &mut files[index.unwrap()].1;
    let header = IndexHeader::decode(bytes).unwrap();
    let offsets = header.section(IndexSection::SLOPED_OFFSETS).unwrap().offset;
    let anchors = usize::try_from(offsets).unwrap();
    let ends = anchors + 16 * header.info.record_count.div_ceil(64) as usize;
    // The first anchor says that ends have 32 bits and no slope, and the first of them, behind all anchors, is a gigabyte on.
    bytes[anchors + 12] = 32;
    bytes[anchors + 14..anchors + 16].fill(0);
    bytes[ends..ends + 4].copy_from_slice(&(1_u32 << 30).to_le_bytes());
    reseal_index(bytes);
    check_damaged(&broken, &files);
    // The first anchor says that its records begin where no file goes.
    let bytes = &mut files[index.unwrap()].1;
    bytes[ends..ends + 4].copy_from_slice(&100_u32.to_le_bytes());
    bytes[anchors..anchors + 8].copy_from_slice(&(u64::MAX - 10).to_le_bytes());
    reseal_index(bytes);
    check_damaged(&broken, &files);
}

/// The first event is said to stand where it cannot, and no more than that.
fn check_damaged(broken: &Path, files: &Files) {
    save(broken, files);
    let store = Engine::open(options(broken), factum_io::Env::real()).unwrap();
    let mut events = store.read(ReadRequest::all().limit(1));
    let told = pollster::block_on(events.next()).unwrap().unwrap_err();
    assert!(
        told.to_string().contains("longer than any record"),
        "{told}"
    );
}
