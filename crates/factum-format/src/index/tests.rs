//! Index sections and files, against simple models.

use super::*;
use crate::{FormatError, hash, support::each_flip};

/// Gives the section.
fn check_offsets(records: &[Option<(u64, u32)>]) -> Vec<u8> {
    let mut builder = OffsetsBuilder::new();
    records
        .iter()
        .for_each(|&record| builder.push(record).unwrap());
    let count = builder.count();
    let bytes = builder.finish().unwrap();
    let offsets = Offsets::parse(&bytes, count).unwrap();
    for (ordinal, &record) in (0..).zip(records) {
        assert_eq!(offsets.locate(ordinal), Ok(record), "{ordinal}");
    }
    assert_eq!(offsets.locate(count), Ok(None));
    for from in [0, 1, 63, 64, 65, count.saturating_sub(1), count, u32::MAX] {
        let all = offsets.iter_from(from).map(|item| item.unwrap().1);
        let expected = records.get(from as usize..).unwrap_or_default();
        assert_eq!(all.collect::<Vec<_>>(), expected, "from {from}");
    }
    for end in 0..bytes.len() {
        if let Ok(offsets) = Offsets::parse(&bytes[..end], count) {
            let cut = offsets.iter_from(0).find(Result::is_err);
            assert!(cut.is_some(), "cut at {end}");
            assert!(
                offsets.iter_from(count - 1).any(|item| item.is_err()),
                "cut at {end}"
            );
        }
    }
    bytes
}

#[test]
fn offsets_are_found() {
    check_offsets(&[]);
    check_offsets(&[None]);
    check_offsets(&[Some((4172, 60)), None, Some((4232, 1))]);
    let mut random = fastrand::Rng::with_seed(8);
    for count in [63, 64, 65, 128, 300] {
        // The first are about as long, and stand near a line; nothing does of the last.
        for (gaps, lengths) in [(1, 300..304), (64, 1..4_200), (1 << 20, 1..1 << 20)] {
            check_offsets(&some_records(&mut random, count, gaps, &lengths));
        }
    }
    let lengths = |long: u32, at: u64| {
        let mut end = 4_172_u64;
        let record = |item| {
            let record = (end, if item == at { long } else { 8 });
            end += u64::from(record.1);
            Some(record)
        };
        (0..64).map(record).collect::<Vec<_>>()
    };
    // One that is far longer than all others of its block: these are far from any line, and no slope makes them narrower.
    for at in [0, 31, 63] {
        check_offsets(&lengths(u32::MAX - 64 * 8, at));
        assert_eq!(check_offsets(&lengths(100_000, at))[14..16], [0, 0], "{at}");
    }
    // The longest mean that has a slope, and the shortest that has none.
    for (length, slope) in [(4_095, 65_520_u16), (4_096, 0)] {
        let records: Vec<_> = (0..64)
            .map(|item| Some((4_172 + item * u64::from(length), length)))
            .collect();
        assert_eq!(
            check_offsets(&records)[14..16],
            slope.to_le_bytes(),
            "{length}"
        );
    }
}

/// Records with gaps of fewer bytes than `gaps`, half of them without; about one in twelve is lost.
fn some_records(
    random: &mut fastrand::Rng,
    count: u32,
    gaps: u64,
    lengths: &std::ops::Range<u32>,
) -> Vec<Option<(u64, u32)>> {
    let mut end = 4172;
    let record = |_| {
        let gap = if random.bool() {
            0
        } else {
            random.u64(0..gaps)
        };
        let (offset, length) = (end + gap, random.u32(lengths.clone()));
        let present = random.u8(..) > 20;
        if present {
            end = offset + u64::from(length);
        }
        present.then_some((offset, length))
    };
    (0..count).map(record).collect()
}

/// Records that are about as long as each other take half of what they would without slopes.
#[test]
fn offsets_on_a_line_are_short() {
    let mut random = fastrand::Rng::with_seed(9);
    let mut builder = OffsetsBuilder::new();
    let mut end = 4172;
    for _ in 0..64_000 {
        let length = random.u32(300..304);
        builder.push(Some((end, length))).unwrap();
        end += u64::from(length);
    }
    let bytes = builder.finish().unwrap();
    assert!(bytes.len() < 64_000, "{}", bytes.len());
}

#[test]
fn offsets_out_of_order_are_refused() {
    let mut builder = OffsetsBuilder::new();
    builder.push(Some((100, 10))).unwrap();
    assert!(builder.push(Some((109, 10))).is_err());
    assert!(builder.push(Some((110, 0))).is_err());
    assert!(builder.push(Some((u64::MAX, 1))).is_err());
}

#[test]
fn damaged_offsets_are_errors_or_other_records() {
    let mut builder = OffsetsBuilder::new();
    for record in [Some((100, 10)), None, Some((115, 10))] {
        builder.push(record).unwrap();
    }
    let bytes = builder.finish().unwrap();
    each_flip(&bytes, |bit, bad| {
        let offsets = Offsets::parse(bad, 3).unwrap();
        for record in offsets.iter_from(0).map_while(Result::ok) {
            assert!(record.1.is_none_or(|(_, length)| length > 0), "bit {bit}");
        }
    });
    for width_at in [12, 13] {
        let mut bad = bytes.clone();
        bad[width_at] = 33;
        assert!(Offsets::parse(&bad, 3).unwrap().locate(2).is_err());
    }
}

#[test]
fn names_are_found() {
    let names = ["", "order-1", "größe", ""];
    let bytes = pack_names(&names).unwrap();
    let found = Names::parse(&bytes, 4).unwrap();
    assert_eq!(found.iter().collect::<Vec<_>>(), names);
    assert_eq!((found.name(1), found.count()), (Ok("order-1"), 4));
    assert!(found.name(4).is_err());
    for count in [0, 3, 5, u32::MAX] {
        assert!(Names::parse(&bytes, count).is_err(), "{count} names");
    }
    for end in 0..bytes.len() {
        assert!(Names::parse(&bytes[..end], 4).is_err(), "cut at {end}");
    }
    let none = pack_names(&[]).unwrap();
    assert_eq!(Names::parse(&none, 0).unwrap().count(), 0);
    assert!(pack_names(&[&"x".repeat(4_097)]).is_err());
}

fn check_directory(keys: &[(u128, u32)]) {
    let mut builder = DirectoryBuilder::new();
    keys.iter()
        .for_each(|&(hash, posting)| builder.push(hash, posting));
    assert_eq!(builder.count(), keys.len());
    let bytes = builder.finish().unwrap();
    let directory = Directory::parse(&bytes).unwrap();
    assert_eq!(directory.count() as usize, keys.len());
    for &(hash, posting) in keys {
        assert!(
            directory.candidates(hash).any(|found| found == posting),
            "{hash:#x}"
        );
    }
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    let shift = 64 - u32::from(directory.remainder_bits()) - u32::from(directory.bits());
    let prefix = |hash: u128| u64::try_from(hash >> 64).unwrap() >> shift << shift;
    let expected: Vec<_> = sorted
        .iter()
        .map(|&(hash, posting)| (prefix(hash), posting))
        .collect();
    assert_eq!(directory.iter().collect::<Vec<_>>(), expected);
    for end in 0..bytes.len().min(200) {
        assert!(Directory::parse(&bytes[..end]).is_err());
    }
}

#[test]
fn keys_are_found() {
    let mut random = fastrand::Rng::with_seed(9);
    check_directory(&[]);
    check_directory(&[(0, 1), (u128::MAX, 2)]);
    check_directory(&[(5, 1), (5, 2), (6, 3)]);
    for count in [7, 8, 15, 16, 100, 5_000] {
        let keys: Vec<_> = (0..count)
            .map(|posting| (random.u128(..), posting))
            .collect();
        check_directory(&keys);
    }
}

#[test]
fn absent_keys_are_not_found() {
    let mut random = fastrand::Rng::with_seed(10);
    let mut builder = DirectoryBuilder::new();
    (0..10_000).for_each(|posting| builder.push(random.u128(..), posting));
    let bytes = builder.finish().unwrap();
    let directory = Directory::parse(&bytes).unwrap();
    let false_finds: usize = (0..100_000)
        .map(|_| directory.candidates(random.u128(..)).count())
        .sum();
    // With 10 bits for the bucket, 9.8 keys in each and 16 bits of remainder, 15 of 100,000.
    assert!((1..60).contains(&false_finds), "{false_finds}");
}

fn check_posting(head: PostingHead, ordinals: &[u32]) {
    let mut builder = PostingsBuilder::new();
    let first = PostingHead {
        kind: PostingKind::TAG,
        name: 0,
        before: 0,
    };
    builder.push(&first, &[1]).unwrap();
    let offset = builder.push(&head, ordinals).unwrap();
    builder.push(&first, &[1]).unwrap();
    assert_eq!(builder.count(), 3);
    let bytes = builder.finish();
    let entry = PostingEntry::parse(&bytes, offset).unwrap();
    assert_eq!((entry.head, entry.count as usize), (head, ordinals.len()));
    assert_eq!(entry.to_vec().unwrap(), ordinals);
    let probes = [0, 1, 127, 128, 129, 255, 256, 257, 1000, u32::MAX];
    for index in probes {
        let all: Vec<_> = entry.ordinals_from(index).map(Result::unwrap).collect();
        assert_eq!(
            all,
            ordinals.get(index as usize..).unwrap_or_default(),
            "from {index}"
        );
    }
    let around = ordinals
        .iter()
        .flat_map(|&o| [o.saturating_sub(1), o, o.saturating_add(1)]);
    for ordinal in probes.into_iter().chain(around) {
        let index = ordinals.partition_point(|&found| found < ordinal);
        let found = entry.seek(ordinal);
        assert_eq!(found.index() as usize, index, "seek {ordinal}");
        assert_eq!(
            found.map(Result::unwrap).collect::<Vec<_>>(),
            &ordinals[index..]
        );
    }
}

#[test]
fn postings_are_found() {
    let head = PostingHead {
        kind: PostingKind::STREAM,
        name: 7,
        before: 1 << 40,
    };
    check_posting(head, &[]);
    check_posting(head, &[0]);
    check_posting(head, &[u32::MAX]);
    check_posting(head, &[u32::MAX - 1, u32::MAX]);
    for count in [3, 4, 5, 14, 15, 16, 128, 129, 130, 1_000] {
        check_posting(head, &(0..count).collect::<Vec<_>>());
        check_posting(
            head,
            &(7..count + 7).chain([count + 50]).collect::<Vec<_>>(),
        );
        let but_one = (0..count).filter(|ordinal| *ordinal != count / 2);
        check_posting(head, &but_one.collect::<Vec<_>>());
    }
    let mut random = fastrand::Rng::with_seed(11);
    for (count, step_max) in [2, 127, 128, 129, 256, 257, 700]
        .into_iter()
        .flat_map(|count| [(count, 2), (count, 3), (count, 1_000)])
    {
        let mut next = random.u32(0..100);
        let ordinals: Vec<_> = (0..count)
            .map(|_| {
                next += random.u32(1..step_max).max(random.u32(1..step_max) / 2);
                next
            })
            .collect();
        check_posting(head, &ordinals);
    }
}

/// A list of all records takes no more than its skip table and two bytes for each of its blocks.
#[test]
fn a_list_of_everything_takes_next_to_nothing() {
    let mut builder = PostingsBuilder::new();
    let head = PostingHead {
        kind: PostingKind::CATEGORY,
        name: 0,
        before: 0,
    };
    let all: Vec<u32> = (0..128_000).collect();
    builder.push(&head, &all).unwrap();
    assert!(builder.finish().len() < 1_000 * 12);
    let strange = PostingHead {
        kind: PostingKind(16),
        ..head
    };
    assert!(PostingsBuilder::new().push(&strange, &[]).is_err());
}

/// A few bytes cannot claim ordinals without end.
#[test]
fn a_false_count_is_refused() {
    // Kind 1, many ordinals, name 0, before 0.
    let mut bytes = vec![0xF1, 0, 0];
    crate::varint::encode(&mut bytes, u32::MAX.into());
    bytes.extend_from_slice(&[0; 2_000]);
    assert!(PostingEntry::parse(&bytes, 0).is_err());
}

#[test]
fn postings_out_of_order_are_refused_and_leave_no_trace() {
    let head = PostingHead {
        kind: PostingKind::TYPE,
        name: 0,
        before: 0,
    };
    let mut builder = PostingsBuilder::new();
    let order = |item| FormatError::Order {
        what: "index posting ordinals",
        item,
    };
    assert_eq!(builder.push(&head, &[1, 1]), Err(order(1)));
    assert_eq!(builder.push(&head, &[1, 5, 4]), Err(order(2)));
    assert!(builder.finish().is_empty());
}

/// Damage met while skipping must not look like the end of the list.
#[test]
fn a_cut_list_is_an_error_wherever_one_starts() {
    let head = PostingHead {
        kind: PostingKind::TYPE,
        name: 0,
        before: 0,
    };
    let ordinals: Vec<u32> = (0..400).map(|ordinal| ordinal * 200).collect();
    let mut builder = PostingsBuilder::new();
    builder.push(&head, &ordinals).unwrap();
    let bytes = builder.finish();
    let cut = &bytes[..bytes.len() - 10];
    let entry = PostingEntry::parse(cut, 0).unwrap();
    assert!(entry.to_vec().is_err());
    for start in [
        entry.ordinals_from(0),
        entry.ordinals_from(399),
        entry.seek(0),
        entry.seek(79_800),
    ] {
        assert_eq!(start.filter(Result::is_err).count(), 1);
    }
    assert!(
        PostingEntry::parse(&bytes[..40], 0).is_err(),
        "the count does not fit"
    );
}

fn sample() -> Vec<u8> {
    let info = IndexInfo {
        realm: [1; 16],
        segment: 2,
        generation: 3,
        record_count: 2,
        base_position: 4,
        first_time: 5,
        last_time: 6,
        data_hash: 7,
    };
    let mut offsets = OffsetsBuilder::new();
    offsets.push(Some((4172, 60))).unwrap();
    offsets.push(None).unwrap();
    let names = pack_names(&["order-1"]).unwrap();
    let mut postings = PostingsBuilder::new();
    let head = PostingHead {
        kind: PostingKind::STREAM,
        name: 0,
        before: 0,
    };
    let posting = postings.push(&head, &[0]).unwrap();
    let mut directory = DirectoryBuilder::new();
    directory.push(hash::xxh3_128(b"order-1"), posting);
    let mut builder = IndexBuilder::new(info);
    builder.section(IndexSection::SLOPED_OFFSETS, 2, &offsets.finish().unwrap());
    builder.section(IndexSection::STREAM_NAMES, 1, &names);
    builder.section(IndexSection(999), 0, b"from the future");
    builder.section(
        IndexSection::DENSE_DIRECTORY,
        1,
        &directory.finish().unwrap(),
    );
    builder.section(IndexSection::POSTINGS, 1, &postings.finish());
    builder.finish().unwrap()
}

#[test]
fn a_file_round_trips() {
    let bytes = sample();
    let file = IndexFile::parse(&bytes).unwrap();
    file.verify_all().unwrap();
    file.verify(IndexSection::DENSE_DIRECTORY).unwrap();
    assert_eq!(
        (file.header().info.segment, file.header().sections.len()),
        (2, 5)
    );
    assert_eq!(file.offsets().unwrap().locate(0), Ok(Some((4172, 60))));
    let posting = file
        .directory()
        .unwrap()
        .candidates(hash::xxh3_128(b"order-1"))
        .next()
        .unwrap();
    let entry = PostingEntry::parse(file.postings().unwrap(), posting).unwrap();
    let names = file.names(IndexSection::STREAM_NAMES).unwrap();
    assert_eq!(names.name(entry.head.name), Ok("order-1"));
    assert!(file.names(IndexSection::TAG_NAMES).is_err());
    assert!(file.verify(IndexSection::TAG_NAMES).is_err());
    let header_len = 96 + 32 * 5;
    assert_eq!(
        IndexHeader::decode(&bytes[..header_len]).unwrap(),
        *file.header()
    );
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let bytes = sample();
    let good = |bytes: &[u8]| {
        IndexFile::parse(bytes)
            .and_then(|file| file.verify_all())
            .is_ok()
    };
    assert!(good(&bytes));
    each_flip(&bytes, |bit, bad| assert!(!good(bad), "bit {bit}"));
    for end in 0..bytes.len() {
        assert!(!good(&bytes[..end]), "{end}");
    }
}

#[test]
fn a_newer_version_is_named() {
    let mut bytes = sample();
    let at = 96 + 32 * 5 - 8;
    bytes[8] = 2;
    let checksum = hash::xxh3_64(&bytes[..at]);
    bytes[at..at + 8].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(
        IndexHeader::decode(&bytes),
        Err(FormatError::NewerVersion {
            what: "index header",
            found: 2,
            supported: 1
        })
    );
}
