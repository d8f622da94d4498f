//! Frames: round trips, the zero map, and what is left of a damaged one.

use super::*;
use crate::{
    FormatError, SegmentKey,
    definition::DefinitionKind,
    hash, limits,
    record::{self, RecordHead},
    support::{KEY, body, each_flip, fields, frame, head, noise},
    zero_map,
};

fn payloads(count: usize, length: usize) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(4);
    (0..count).map(|_| noise(&mut random, length)).collect()
}

fn found_payloads(view: &FrameView<'_>) -> Vec<Vec<u8>> {
    let records = view.records(Verify::Checksums).map(Result::unwrap);
    records
        .map(|at| at.record.data().unwrap().to_vec())
        .collect()
}

/// Writes a frame, reads it, and checks that the zero map names the zero sectors and no other.
fn check_round_trip(names: &[&str], payloads: &[Vec<u8>], file_offset: u64) -> usize {
    let (header, bytes) = frame(names, payloads, &fields(5, 100), file_offset);
    assert_eq!(bytes.len(), header.frame_len as usize);
    assert!(bytes.len().is_multiple_of(64));
    let view = FrameView::decode(&bytes, KEY, file_offset).unwrap();
    assert_eq!(*view.header(), header);
    assert_eq!(found_payloads(&view), payloads);
    let found = view
        .definitions()
        .unwrap()
        .iter()
        .map(|definition| definition.unwrap().name);
    assert_eq!(found.collect::<Vec<_>>(), names);
    let mut zero = Vec::new();
    zero_map::find(&mut zero, &bytes, file_offset);
    let map = view.zero_map().unwrap();
    assert_eq!(map.is_some(), header.flags.contains(FrameFlags::ZERO_MAP));
    let listed = map
        .map(|map| map.runs().collect::<Vec<_>>())
        .unwrap_or_default();
    assert_eq!(listed, zero, "the map is exact");
    let footer_at = bytes.len() - 64;
    assert_eq!(
        FrameHeader::decode_footer(&bytes[footer_at..], KEY, file_offset + footer_at as u64),
        Ok((file_offset, header))
    );
    listed.len()
}

#[test]
fn frames_round_trip() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..500 {
        let payloads: Vec<_> = (0..random.usize(1..20))
            .map(|_| {
                let length = random.usize(0..400);
                noise(&mut random, length)
            })
            .collect();
        check_round_trip(
            &["order-1", "größe"],
            &payloads,
            4096 + 64 * random.u64(0..100),
        );
    }
}

/// Zeros in payloads and NULs in names, in every place relative to the sectors: the map must be exact each time, also
/// where writing it moves what it describes.
#[test]
fn zero_maps_are_exact() {
    let mut random = fastrand::Rng::with_seed(6);
    let nul_name = "\0".repeat(4000);
    let mut mapped = 0;
    for round in 0..3_000 {
        let payloads: Vec<_> = (0..random.usize(1..6))
            .map(|_| vec![0; random.usize(0..1400)])
            .collect();
        let names = [&nul_name[..random.usize(0..4000)]];
        let names = if round % 2 == 0 { &names[..] } else { &[] };
        mapped += check_round_trip(names, &payloads, 4096 + 64 * random.u64(0..16));
    }
    assert!(mapped > 1_000, "the test reached its subject: {mapped}");
}

#[test]
fn every_flipped_bit_is_found() {
    let (_, bytes) = frame(&["order-1"], &payloads(2, 30), &fields(5, 100), 4096);
    each_flip(&bytes, |bit, bad| {
        assert!(FrameView::decode(bad, KEY, 4096).is_err(), "bit {bit}");
    });
}

#[test]
fn a_cut_frame_is_refused_at_every_byte() {
    let (_, bytes) = frame(&["order-1"], &payloads(2, 30), &fields(5, 100), 4096);
    for end in 0..bytes.len() {
        assert!(
            FrameView::decode(&bytes[..end], KEY, 4096).is_err(),
            "{end}"
        );
    }
}

#[test]
fn a_frame_verifies_only_in_its_place() {
    let (_, bytes) = frame(&[], &payloads(1, 30), &fields(5, 100), 4096);
    assert!(FrameView::decode(&bytes, KEY, 4096).is_ok());
    assert!(FrameView::decode(&bytes, KEY, 4160).is_err());
    assert!(FrameView::decode(&bytes, SegmentKey { salt: 1, ..KEY }, 4096).is_err());
    assert!(FrameView::decode(&bytes, SegmentKey { segment: 8, ..KEY }, 4096).is_err());
}

#[test]
fn frames_without_body_round_trip() {
    for flags in [FrameFlags::CHECKPOINT, FrameFlags::CUT] {
        let mut out = vec![1, 2, 3];
        let fields = FrameFields {
            flags,
            ..fields(9, 40)
        };
        let header = FrameBuilder::finish_empty(&fields, KEY, 8192, &mut out).unwrap();
        assert_eq!(out.len(), 3 + 128);
        let view = FrameView::decode(&out[3..], KEY, 8192).unwrap();
        assert_eq!(*view.header(), header);
        assert_eq!(view.records(Verify::Checksums).count(), 0);
        assert!(view.definitions().unwrap().is_empty());
        assert!(view.zero_map().unwrap().is_none());
    }
    let none = FrameBuilder::finish_empty(&fields(9, 40), KEY, 8192, &mut Vec::new());
    assert!(none.is_err());
}

#[test]
fn a_builder_refuses_gaps_and_keeps_its_buffers() {
    let mut builder = FrameBuilder::new();
    let body = body(b"x");
    builder
        .record(&head(7, &[]), &body, hash::crc(&body))
        .unwrap();
    let gap = builder.record(&head(9, &[]), &body, hash::crc(&body));
    assert_eq!(
        gap,
        Err(FormatError::Order {
            what: "frame record",
            item: 1
        })
    );
    let mut out = Vec::new();
    assert!(
        builder.finish(&fields(1, 8), KEY, 4096, &mut out).is_err(),
        "another base position"
    );
    assert!(
        builder.finish(&fields(1, 7), KEY, 4097, &mut out).is_err(),
        "not aligned"
    );
    assert!(out.is_empty());
    builder.finish(&fields(1, 7), KEY, 4096, &mut out).unwrap();
    builder.reset();
    assert!(builder.is_empty() && builder.records_len() == 0);
    builder
        .record(&head(8, &[]), &body, hash::crc(&body))
        .unwrap();
    assert_eq!(builder.record_count(), 1);
}

#[test]
fn a_full_frame_refuses_the_next_record() {
    let mut builder = FrameBuilder::new();
    let body = body(&vec![0; 4 << 20]);
    let crc = hash::crc(&body);
    let mut position = 0;
    while builder.record(&head(position, &[]), &body, crc).is_ok() {
        position += 1;
    }
    assert_eq!(position, 4);
    let mut out = Vec::new();
    let header = builder.finish(&fields(1, 0), KEY, 4096, &mut out).unwrap();
    assert!(u64::from(header.frame_len) <= limits::FRAME_BYTES_MAX);
    assert!(FrameView::decode(&out, KEY, 4096).is_ok());
}

#[test]
fn definitions_survive_damage_to_one_area() {
    let (header, mut bytes) = frame(&["order-1"], &payloads(1, 30), &fields(5, 100), 4096);
    bytes[64 + 14] ^= 1;
    let view = FrameView::new(header, &bytes).unwrap();
    let names: Vec<_> = view
        .definitions()
        .unwrap()
        .iter()
        .map(|d| d.unwrap().name)
        .collect();
    assert_eq!(names, ["order-1"]);
    assert_eq!(
        view.records(Verify::Checksums)
            .filter(Result::is_ok)
            .count(),
        1
    );
    let last = bytes.len() - 64 - 1;
    bytes[last] ^= 1;
    let view = FrameView::new(header, &bytes).unwrap();
    assert!(view.definitions().is_err());
    assert_eq!(
        view.records(Verify::Checksums)
            .filter(Result::is_err)
            .count(),
        1
    );
    assert!(
        salvage_records(&bytes, &header)[0].is_some(),
        "found by searching"
    );
}

/// Compares what was salvaged from `bad` with `good`; returns how many records were lost.
fn check_salvage(good: &[u8], bad: &[u8], header: &FrameHeader) -> usize {
    let view = FrameView::new(*header, good).unwrap();
    let found = salvage_records(bad, header);
    assert_eq!(found.len(), header.record_count as usize);
    let mut lost = 0;
    for (at, extent) in view
        .records(Verify::Checksums)
        .map(Result::unwrap)
        .zip(found)
    {
        let Some(extent) = extent else {
            lost += 1;
            continue;
        };
        assert_eq!(
            extent.offset, at.offset,
            "record {} is the true one",
            at.ordinal
        );
        assert_eq!(extent.len as usize, at.record.bytes().len());
    }
    lost
}

#[test]
fn one_bad_byte_loses_one_record_at_most() {
    let (header, good) = frame(
        &["order-1", "order-2"],
        &payloads(8, 50),
        &fields(5, 100),
        4096,
    );
    assert_eq!(check_salvage(&good, &good, &header), 0);
    for at in 0..good.len() {
        for value in [
            0x00,
            0xFF,
            good[at] ^ 0x01,
            good[at] ^ 0x80,
            good[at].wrapping_add(40),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(
                check_salvage(&good, &bad, &header) <= 1,
                "byte {at} = {value:#x}"
            );
        }
    }
}

#[test]
fn a_zeroed_sector_loses_only_the_records_that_it_touches() {
    let (header, good) = frame(&["order-1"], &payloads(60, 20), &fields(5, 100), 4096);
    for sector in 1..good.len() / 512 {
        let mut bad = good.clone();
        bad[sector * 512..(sector + 1) * 512].fill(0);
        let lost = check_salvage(&good, &bad, &header);
        assert!(lost <= 512 / 60 + 2, "sector {sector}: {lost}");
    }
    let mut bad = good.clone();
    bad[512..1024].fill(0);
    bad[2048..2560].fill(0xAA);
    assert!(check_salvage(&good, &bad, &header) <= 2 * (512 / 60 + 2));
}

/// A payload made of records with the right positions must not replace the true ones when its own record is damaged.
#[test]
fn a_forged_chain_in_a_payload_is_not_believed() {
    for forged in 1..8_u64 {
        let mut chain = Vec::new();
        for position in 101..101 + forged {
            let body = body(b"forged");
            record::encode(&mut chain, &head(position, &[]), &body, hash::crc(&body)).unwrap();
        }
        let mut all = payloads(8, 50);
        all[0] = chain;
        let (header, good) = frame(&[], &all, &fields(5, 100), 4096);
        let first = 64 + 12;
        for at in first..first + 38 {
            let mut bad = good.clone();
            bad[at] ^= 0xFF;
            assert_eq!(
                check_salvage(&good, &bad, &header),
                1,
                "{forged} forged, byte {at}"
            );
        }
    }
}

#[test]
fn salvage_of_random_damage_never_panics_and_never_lies() {
    let mut random = fastrand::Rng::with_seed(7);
    let (header, good) = frame(&["order-1"], &payloads(20, 60), &fields(5, 100), 4096);
    for _ in 0..1_000 {
        let mut bad = good.clone();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(64..bad.len());
            let end = (at + random.usize(1..100)).min(bad.len());
            bad[at..end]
                .iter_mut()
                .for_each(|byte| *byte = random.u8(..));
        }
        bad.truncate(random.usize(bad.len() / 2..=bad.len()));
        check_salvage(&good, &bad, &header);
    }
}

/// The hot path: what a frame needs is appended to buffers that have grown before.
#[test]
fn a_used_builder_does_not_grow() {
    let mut builder = FrameBuilder::new();
    let mut spare = Vec::new();
    let body = body(&[1; 200]);
    let mut addresses = Vec::new();
    for round in 0..3 {
        spare.clear();
        spare.extend_from_slice(b"before");
        builder.begin(spare);
        builder.define(DefinitionKind::TAG, 0, "tag").unwrap();
        for position in 0..1_000 {
            let head = RecordHead {
                position,
                ..head(0, &[0])
            };
            builder.record(&head, &body, hash::crc(&body)).unwrap();
        }
        builder
            .finish_in_place(&fields(round, 0), KEY, 4096)
            .unwrap();
        spare = builder.take_buffer();
        assert!(spare.starts_with(b"before"));
        let frame = FrameView::decode(&spare[6..], KEY, 4096).unwrap();
        let records = frame.records(Verify::Checksums).map(Result::unwrap);
        assert_eq!(records.count(), 1_000);
        addresses.push((spare.as_ptr(), spare.capacity()));
    }
    assert_eq!(addresses[1], addresses[2]);
}
