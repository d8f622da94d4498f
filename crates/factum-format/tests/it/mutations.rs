//! Valid files, changed at random: everything is a value or an error, nothing panics.
//!
//! Headers with checksums stop most changes at the door, so the parsers behind the door are also called directly.

use crate::fixtures::{INDEX, INDEX_BEFORE, INDEX_DENSE, MANIFEST, SEGMENT};
use factum_format::{
    FormatError, SegmentKey,
    definition::DefinitionKind,
    frame::{FrameHeader, FrameView, Verify, salvage_records},
    index::{Directory, IndexFile, IndexHeader, IndexSection, Names, Offsets, PostingEntry},
    manifest::Manifest,
    metadata::StandardMetadata,
    record,
    scan::{Area, FrameAt, find_frames_after, scan_frame, verdict},
    section,
    segment::SegmentHeader,
    settings::StreamSettings,
    zero_map::ZeroMap,
};

const ROUNDS: usize = 20_000;

/// One to four changes: a bit, a byte, a run, a copy from elsewhere, a cut.
fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.usize(1..5) {
        if bytes.is_empty() {
            return;
        }
        let at = random.usize(0..bytes.len());
        let end = (at + random.usize(1..64)).min(bytes.len());
        match random.u8(0..6) {
            0 => bytes[at] ^= 1 << random.u8(0..8),
            1 => bytes[at] = random.u8(..),
            2 => bytes[at..end].fill(random.choice([0, 0xFF, 0x80]).unwrap()),
            3 => bytes[at..end]
                .iter_mut()
                .for_each(|byte| *byte = random.u8(..)),
            4 => {
                let from = random.usize(0..bytes.len() - (end - at) + 1);
                bytes.copy_within(from..from + (end - at), at);
            }
            _ => bytes.truncate(random.usize(bytes.len() / 2..=bytes.len())),
        }
    }
}

fn key() -> SegmentKey {
    crate::fixture::segment_header().key()
}

fn exercise_record(bytes: &[u8], position: u64) {
    let depths = [
        record::decode,
        record::decode_head,
        record::decode_unverified,
    ];
    for found in depths
        .map(|depth| depth(bytes, position))
        .into_iter()
        .flatten()
    {
        let (record, length) = found;
        assert!(length <= bytes.len());
        assert!(record.tag_refs().count() <= bytes.len());
        ignore(record.data());
        for (_, section) in record.sections().flatten() {
            ignore((
                StandardMetadata::decode(section),
                StreamSettings::decode(section),
            ));
        }
    }
}

fn exercise_frame(frame: &FrameView<'_>) {
    for verify in [Verify::Checksums, Verify::Structure] {
        frame
            .records(verify)
            .flatten()
            .for_each(|found| exercise_record(found.record.bytes(), 0));
    }
    if let Ok(definitions) = frame.definitions() {
        ignore(
            definitions
                .iter()
                .flatten()
                .filter(|d| d.kind == DefinitionKind::TAG)
                .count(),
        );
    }
    if let Ok(Some(names)) = frame.names() {
        assert!(names.for_each(&mut |_| {}) <= names.count());
    }
    if let Ok(Some(map)) = frame.zero_map() {
        ignore((map.runs().count(), map.contains(3)));
    }
    let salvaged = salvage_records(frame.bytes(), frame.header());
    assert_eq!(salvaged.len(), frame.header().record_count as usize);
}

fn exercise_segment(bytes: &[u8]) {
    ignore(SegmentHeader::decode(bytes));
    let area = Area::whole(bytes);
    let later: Vec<_> = find_frames_after(&area, 0, key()).collect();
    let headers: Vec<FrameHeader> = later.iter().map(|&(_, header)| header).collect();
    for offset in later
        .iter()
        .map(|&(offset, _)| offset)
        .chain([4096, 4160, 1 << 40, 63])
    {
        let found = scan_frame(&area, offset, key());
        ignore(verdict(&found, 50, &headers));
        match found {
            FrameAt::Valid(frame) => exercise_frame(&frame),
            FrameAt::Damaged(damaged) => {
                if let Some(header) = damaged.header {
                    ignore(
                        FrameView::new(header, damaged.bytes).map(|frame| exercise_frame(&frame)),
                    );
                }
            }
            FrameAt::Empty | FrameAt::StrayBits | FrameAt::Garbage => {}
        }
    }
    ignore(area.dirty_end(4096));
}

fn exercise_postings(section: &[u8], offset: u32) {
    let Ok(entry) = PostingEntry::parse(section, offset) else {
        return;
    };
    assert!(entry.count as usize <= section.len() * 127);
    ignore((
        entry.to_vec(),
        entry.seek(500).count(),
        entry.ordinals_from(200).count(),
    ));
}

fn exercise_index(bytes: &[u8]) -> Result<(), FormatError> {
    ignore(IndexHeader::decode(bytes));
    let file = IndexFile::parse(bytes)?;
    ignore((file.verify_all(), file.offsets()?.iter_from(1).count()));
    ignore(file.names(IndexSection::STREAM_NAMES)?.iter().count());
    for (_, posting) in file.directory()?.iter() {
        exercise_postings(file.postings()?, posting);
    }
    Ok(())
}

/// The parsers behind the index header, on bytes that nobody has verified.
fn exercise_index_sections(bytes: &[u8]) {
    for count in [0, 1, 2, 70, u32::MAX] {
        if let Ok(offsets) = Offsets::parse(bytes, count) {
            ignore((
                offsets.locate(0),
                offsets.locate(65),
                (offsets.first_bytes(65), offsets.second_bytes(65)),
                offsets.iter_from(1).count(),
            ));
        }
        if let Ok(names) = Names::parse(bytes, count) {
            ignore(names.iter().count());
        }
    }
    if let Ok(directory) = Directory::parse(bytes) {
        ignore((
            directory.first_bytes(u128::MAX),
            directory.candidates(u128::MAX).bytes(),
            directory.candidates(u128::MAX).count(),
            directory.iter().count(),
        ));
    }
    (0..8).for_each(|offset| exercise_postings(bytes, offset));
}

#[test]
fn changed_segments_never_panic() {
    let mut random = fastrand::Rng::with_seed(100);
    for _ in 0..ROUNDS / 4 {
        let mut bytes = SEGMENT.to_vec();
        mutate(&mut random, &mut bytes);
        exercise_segment(&bytes);
    }
}

#[test]
fn changed_records_never_panic() {
    let FrameAt::Valid(frame) = scan_frame(&Area::whole(SEGMENT), 4096, key()) else {
        panic!("the first frame");
    };
    let records: Vec<_> = frame
        .records(Verify::Checksums)
        .map(|found| found.unwrap().record.bytes())
        .collect();
    let mut random = fastrand::Rng::with_seed(101);
    for round in 0..ROUNDS {
        let mut bytes = records[round % records.len()].to_vec();
        mutate(&mut random, &mut bytes);
        exercise_record(&bytes, 1_000);
    }
}

/// A frame body behind a header that verifies: what salvage and recovery meet.
#[test]
fn changed_frame_bodies_never_panic() {
    let area = Area::whole(SEGMENT);
    let starts: Vec<_> = find_frames_after(&area, 0, key()).collect();
    let mut random = fastrand::Rng::with_seed(102);
    for round in 0..ROUNDS {
        let (offset, header) = starts[[0, 1, 4][round % 3]];
        let mut bytes = area.get(offset, header.frame_len.into()).unwrap().to_vec();
        mutate(&mut random, &mut bytes);
        bytes.resize(header.frame_len as usize, 0);
        ignore(FrameView::new(header, &bytes).map(|frame| exercise_frame(&frame)));
        ignore(ZeroMap::decode_back(&bytes).map(|map| map.runs().count()));
        ignore(section::sections(&bytes).count());
    }
}

#[test]
fn changed_manifests_never_panic() {
    let mut random = fastrand::Rng::with_seed(103);
    for round in 0..ROUNDS {
        let mut bytes = MANIFEST.to_vec();
        mutate(&mut random, &mut bytes);
        // Every other time past the checksum.
        if round % 2 == 0 && bytes.len() > 88 {
            let at = bytes.len() - 8;
            let total = u32::try_from(bytes.len()).unwrap();
            bytes[12..16].copy_from_slice(&total.to_le_bytes());
            let checksum = factum_format::hash::xxh3_64(&bytes[..at]);
            bytes[at..].copy_from_slice(&checksum.to_le_bytes());
        }
        ignore(Manifest::decode(&bytes));
        ignore(Manifest::newest(&bytes, MANIFEST));
    }
}

#[test]
fn changed_indexes_never_panic() {
    for index in [INDEX, INDEX_DENSE, INDEX_BEFORE] {
        a_changed_index_never_panics(index);
    }
}

fn a_changed_index_never_panics(index: &[u8]) {
    let header = IndexHeader::decode(index).unwrap();
    let file = IndexFile::parse(index).unwrap();
    let header_len = 96 + 32 * header.sections.len();
    let mut random = fastrand::Rng::with_seed(104);
    for round in 0..ROUNDS {
        let mut bytes = index.to_vec();
        mutate(&mut random, &mut bytes);
        if round % 2 == 0 && bytes.len() > header_len {
            let checksum = factum_format::hash::xxh3_64(&bytes[..header_len - 8]);
            bytes[header_len - 8..header_len].copy_from_slice(&checksum.to_le_bytes());
        }
        ignore(exercise_index(&bytes));
        let entry = &header.sections[round % header.sections.len()];
        let mut section = file.section(entry.section).unwrap().1.to_vec();
        mutate(&mut random, &mut section);
        exercise_index_sections(&section);
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(105);
    for _ in 0..2_000 {
        let bytes: Vec<u8> = (0..random.usize(0..5_000)).map(|_| random.u8(..)).collect();
        exercise_segment(&bytes);
        exercise_record(&bytes, 0);
        exercise_index_sections(&bytes);
        ignore((Manifest::decode(&bytes), exercise_index(&bytes)));
    }
}

/// The call is the test: it must return.
fn ignore<T>(_: T) {}
