//! The files of version 1 are read for ever; what is still written of them is written byte for byte.

use crate::fixture;
use factum_format::{
    frame::{FrameFlags, Verify},
    index::{IndexFile, IndexSection, PostingEntry, PostingKind},
    manifest::Manifest,
    metadata::StandardMetadata,
    scan::{Area, FrameAt, find_frames_after, scan_frame},
    section::SectionType,
    segment::{Copies, SegmentHeader},
    settings::StreamSettings,
};

pub(crate) const SEGMENT: &[u8] = include_bytes!("../fixtures/v1/segment.seg");
pub(crate) const MANIFEST: &[u8] = include_bytes!("../fixtures/v1/manifest.bin");
pub(crate) const INDEX: &[u8] = include_bytes!("../fixtures/v1/index-sloped.idx");
/// With offsets as they were written before there were slopes.
pub(crate) const INDEX_DENSE: &[u8] = include_bytes!("../fixtures/v1/index-dense.idx");
/// With a directory as it was written before there were dense ones, too.
pub(crate) const INDEX_BEFORE: &[u8] = include_bytes!("../fixtures/v1/index.idx");

/// The records' extents in the index fixtures of before there were slopes.
const EXTENTS_BEFORE: [Option<(u64, u32)>; 4] = [
    Some((4_172, 100)),
    Some((4_272, 60)),
    None,
    Some((9_000, 2_048)),
];

#[test]
fn version_1_is_written_byte_for_byte() {
    assert!(fixture::segment().unwrap().0 == SEGMENT);
    assert!(fixture::manifest().encode().unwrap() == MANIFEST);
    assert!(fixture::index().unwrap() == INDEX);
}

#[test]
fn a_segment_of_version_1_opens() {
    let (header, copies) = SegmentHeader::decode(SEGMENT).unwrap();
    assert_eq!((header, copies), (fixture::segment_header(), Copies::Both));
    let area = Area::whole(SEGMENT);
    let found: Vec<_> = find_frames_after(&area, 0, header.key()).collect();
    let (_, written) = fixture::segment().unwrap();
    assert_eq!(
        found.iter().map(|(_, header)| *header).collect::<Vec<_>>(),
        written
    );
    let flags = found.iter().map(|(_, header)| header.flags);
    let expected = [
        FrameFlags::NONE,
        FrameFlags::ZERO_MAP,
        FrameFlags::CHECKPOINT,
        FrameFlags::CUT,
        FrameFlags::REPACKED.with(FrameFlags::NAMES),
    ];
    assert_eq!(flags.collect::<Vec<_>>(), expected);
    let frames: Vec<_> = found
        .iter()
        .map(
            |&(offset, _)| match scan_frame(&area, offset, header.key()) {
                FrameAt::Valid(frame) => frame,
                other => panic!("{offset}: {other:?}"),
            },
        )
        .collect();
    let names = frames[0].definitions().unwrap().iter().map(Result::unwrap);
    assert_eq!(
        names
            .map(|found| (found.kind, found.ordinal, found.name))
            .collect::<Vec<_>>(),
        fixture::NAMES
    );
    check_records(&frames[0], &fixture::first_events());
    check_records(&frames[1], &[fixture::second_event()]);
    let zero: Vec<_> = frames[1].zero_map().unwrap().unwrap().runs().collect();
    assert_eq!(zero, [(1, 3)]);
    let mut packed = Vec::new();
    let names = frames[4].names().unwrap().unwrap();
    names.for_each(&mut |found| packed.push((found.ordinal, found.name.to_owned())));
    let expected = (2..).zip(fixture::packed_names());
    assert_eq!(packed, expected.collect::<Vec<_>>());
    let end = area.dirty_end(0).unwrap().next_multiple_of(64);
    assert!(matches!(
        scan_frame(&area, end, header.key()),
        FrameAt::Empty
    ));
}

fn check_records(frame: &factum_format::frame::FrameView<'_>, expected: &[fixture::Event]) {
    let records: Vec<_> = frame
        .records(Verify::Checksums)
        .map(Result::unwrap)
        .collect();
    assert_eq!(records.len(), expected.len());
    for (found, event) in records.iter().zip(expected) {
        let record = found.record;
        let head = event.head(frame.header().base_position + u64::from(found.ordinal));
        assert_eq!((record.position, record.id), (head.position, head.id));
        assert_eq!((record.kind, record.flags), (head.kind, head.flags));
        assert_eq!(
            (record.stream_ref, record.revision),
            (head.stream_ref, head.revision)
        );
        assert_eq!(
            (record.type_ref, record.schema_version),
            (head.type_ref, head.schema_version)
        );
        assert_eq!(record.time_delta, head.time_delta);
        assert_eq!(record.tag_refs().collect::<Vec<_>>(), head.tag_refs);
        assert_eq!(record.body(), event.body);
    }
}

#[test]
fn the_sections_of_version_1_are_understood() {
    let area = Area::whole(SEGMENT);
    let FrameAt::Valid(frame) = scan_frame(&area, 4096, fixture::segment_header().key()) else {
        panic!("the first frame");
    };
    let records: Vec<_> = frame
        .records(Verify::Checksums)
        .map(|found| found.unwrap().record)
        .collect();
    assert_eq!(records[0].data(), Some(&br#"{"total":"12.50"}"#[..]));
    let standard = records[0].section(SectionType::METADATA).unwrap();
    assert_eq!(StandardMetadata::decode(standard), Ok(fixture::metadata()));
    assert_eq!(
        records[0].section(SectionType::PERSONAL),
        Some(&b"sealed envelope"[..])
    );
    assert_eq!(
        records[0].section(SectionType(222)),
        Some(&b"from a later release"[..])
    );
    assert_eq!(records[3].data(), Some(&b"state"[..]));
    assert_eq!(records[5].data(), Some(&b"place"[..]));
    let settings = records[2].section(SectionType::SETTINGS).unwrap();
    assert_eq!(StreamSettings::decode(settings), Ok(fixture::settings()));
}

#[test]
fn a_manifest_of_version_1_opens() {
    assert_eq!(Manifest::decode(MANIFEST), Ok(fixture::manifest()));
}

#[test]
fn the_indexes_of_version_1_open() {
    an_index_opens(
        INDEX_BEFORE,
        (IndexSection::DIRECTORY, IndexSection::OFFSETS),
        &EXTENTS_BEFORE,
    );
    an_index_opens(
        INDEX_DENSE,
        (IndexSection::DENSE_DIRECTORY, IndexSection::OFFSETS),
        &EXTENTS_BEFORE,
    );
    an_index_opens(
        INDEX,
        (IndexSection::DENSE_DIRECTORY, IndexSection::SLOPED_OFFSETS),
        &fixture::extents(),
    );
}

fn file(bytes: &[u8]) -> IndexFile<'_> {
    IndexFile::parse(bytes).unwrap()
}

#[test]
fn indexes_say_the_same_whichever_sections_say_it() {
    let same = |one, other| file(one).says_the_same(&file(other)).unwrap();
    assert!(same(INDEX_BEFORE, INDEX_DENSE) && same(INDEX_DENSE, INDEX_BEFORE));
    assert!(same(INDEX, INDEX));
    // Other records.
    assert!(!same(INDEX, INDEX_DENSE) && !same(INDEX, INDEX_BEFORE));
    // Another key, another posting, another place, another name: whatever one byte of a section is changed to.
    let header = file(INDEX_BEFORE).header().clone();
    for entry in &header.sections {
        for at in entry.offset..entry.offset + entry.length {
            let mut bytes = INDEX_BEFORE.to_vec();
            bytes[usize::try_from(at).unwrap()] ^= 0x55;
            let changed = file(&bytes).says_the_same(&file(INDEX_DENSE));
            let is_reserved = entry.section == IndexSection::DIRECTORY && at == entry.offset + 3;
            let is_beyond =
                entry.section == IndexSection::DIRECTORY && is_dropped(at - entry.offset);
            if !is_reserved && !is_beyond {
                assert!(!matches!(changed, Ok(true)), "{:?} at {at}", entry.section);
            }
        }
    }
}

/// Whether a byte of the directory of before is of a remainder that the dense one does not keep: the lower half of each of the two.
fn is_dropped(at: u64) -> bool {
    let first = 8 + 2 * 4;
    at >= first && (at - first) % 8 < 2
}

fn an_index_opens(
    bytes: &[u8],
    sections: (IndexSection, IndexSection),
    extents: &[Option<(u64, u32)>],
) {
    let file = IndexFile::parse(bytes).unwrap();
    assert_eq!((file.directory_section(), file.offsets_section()), sections);
    file.verify_all().unwrap();
    let info = file.header().info;
    assert_eq!(
        (info.realm, info.segment, info.record_count),
        (fixture::REALM, 3, u32::try_from(extents.len()).unwrap())
    );
    assert_eq!(
        (info.first_time, info.last_time),
        (fixture::BASE_TIME, fixture::BASE_TIME + 9)
    );
    let offsets = file.offsets().unwrap();
    for (ordinal, &extent) in (0..).zip(extents) {
        assert_eq!(offsets.locate(ordinal), Ok(extent));
    }
    let posting = |name| {
        let candidates = file
            .directory()
            .unwrap()
            .candidates(fixture::key_hash(name));
        let all: Vec<_> = candidates
            .map(|offset| PostingEntry::parse(file.postings().unwrap(), offset).unwrap())
            .collect();
        assert_eq!(all.len(), 1, "{name}");
        all[0]
    };
    let stream = posting("größe-2");
    let streams = file.names(IndexSection::STREAM_NAMES).unwrap();
    assert_eq!(streams.name(stream.head.name), Ok("größe-2"));
    assert_eq!(stream.head.before, 300);
    assert_eq!(stream.to_vec().unwrap(), [0, 1, 3]);
    let kind = posting("OrderPlaced");
    assert_eq!(kind.head.kind, PostingKind::TYPE);
    assert_eq!(kind.to_vec().unwrap(), fixture::long_posting());
    assert_eq!(kind.seek(700).next(), Some(Ok(700)));
}
