//! Manifests: round trips, damage, and which of two counts.

use super::*;
use crate::{hash, support::each_flip};

fn segment(number: u64, state: SegmentState) -> SegmentEntry {
    SegmentEntry {
        number,
        generation: 1,
        state,
        flags: flags::INDEX,
        epoch: 2,
        salt: 3,
        base_position: 4,
        record_count: 5,
        end_offset: 6,
        base_time: -7,
        last_time: 8,
        first_frame_seq: 9,
        last_frame_seq: 10,
        last_header_hash: 11,
        data_hash: u128::MAX - 12,
        index_hash: 13,
    }
}

fn sample(seq: u64) -> Manifest {
    let states = [
        SegmentState::Sealed,
        SegmentState::Active,
        SegmentState::Prepared,
    ];
    let reasons = [
        QuarantineReason::Header,
        QuarantineReason::Body,
        QuarantineReason::Missing,
    ];
    let quarantine = |reason| QuarantineEntry {
        segment: 1,
        offset: 2,
        length: 3,
        first_position: 4,
        count: 5,
        reason,
        accepted: reason == QuarantineReason::Body,
        found_time: -6,
    };
    Manifest {
        partition: 1,
        seq,
        realm: [2; 16],
        hash_key: [3; 16],
        created_time: 4,
        segment_bytes: 64 << 20,
        segments: (0..)
            .zip(states)
            .map(|(number, state)| segment(number, state))
            .collect(),
        quarantine: reasons.map(quarantine).to_vec(),
    }
}

#[test]
fn a_manifest_round_trips() {
    let mut bytes = sample(1).encode().unwrap();
    assert_eq!(bytes.len(), 80 + 3 * 120 + 3 * 56 + 8);
    assert_eq!(Manifest::decode(&bytes), Ok(sample(1)));
    bytes.extend_from_slice(b"left from a longer one");
    assert_eq!(Manifest::decode(&bytes), Ok(sample(1)));
}

#[test]
fn losses_are_accepted_with_their_positions_and_no_more() {
    // Five from 4 on were accepted in segment 1; what was found with them was not.
    let mut manifest = sample(1);
    for (segment, first, lost, expected) in [
        (1, 4, Some(5), true),
        (1, 4, Some(1), true),
        (1, 8, Some(1), true),
        (1, 4, Some(6), false),
        (1, 3, Some(1), false),
        (1, 9, Some(1), false),
        (1, 4, None, false),
        (2, 4, Some(5), false),
    ] {
        let found = manifest.accepts(segment, first, lost);
        assert_eq!(found, expected, "{segment} {first} {lost:?}");
    }
    manifest.quarantine.retain(|range| !range.accepted);
    assert!(!manifest.accepts(1, 4, Some(5)));
    // Nobody knew how many.
    for range in &mut manifest.quarantine {
        (range.accepted, range.count) = (true, 0);
    }
    let accepted = [(4, None), (4, Some(99)), (5, Some(1))]
        .map(|(first, lost)| manifest.accepts(1, first, lost));
    assert_eq!(accepted, [true, true, false]);
}

#[test]
fn every_flipped_bit_is_found() {
    let bytes = sample(1).encode().unwrap();
    each_flip(&bytes, |bit, bad| {
        assert!(Manifest::decode(bad).is_err(), "bit {bit}");
    });
}

#[test]
fn a_cut_manifest_is_refused_at_every_byte() {
    let bytes = sample(1).encode().unwrap();
    for end in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..end]).is_err(), "{end}");
    }
}

#[test]
fn the_newest_valid_copy_counts() {
    let [old, new] = [1, 2].map(|seq| sample(seq).encode().unwrap());
    let check = |a: &[u8], b: &[u8], expected| {
        let found = Manifest::newest(a, b).map(|(manifest, copy)| (manifest.seq, copy));
        assert_eq!(found.ok(), expected);
    };
    check(&old, &new, Some((2, ManifestCopy::B)));
    check(&new, &old, Some((2, ManifestCopy::A)));
    check(&old, &[], Some((1, ManifestCopy::A)));
    check(&new[..50], &old, Some((1, ManifestCopy::B)));
    check(&[], &[], None);
    assert_eq!(ManifestCopy::A.other().other(), ManifestCopy::A);
}

fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 8;
    let checksum = hash::xxh3_64(&bytes[..at]);
    bytes[at..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// An old release that fell back to the older copy would undo what the newer release did.
#[test]
fn a_newer_version_is_refused_even_beside_an_old_copy() {
    let mut newer = sample(2).encode().unwrap();
    newer[8] = 2;
    let newer = resealed(newer);
    let old = sample(1).encode().unwrap();
    let expected = FormatError::NewerVersion {
        what: WHAT,
        found: 2,
        supported: 1,
    };
    assert_eq!(Manifest::newest(&newer, &old), Err(expected.clone()));
    assert_eq!(Manifest::newest(&old, &newer), Err(expected));
}

#[test]
fn false_counts_and_unknown_states_are_refused() {
    for (at, value) in [
        (72, 200),
        (75, 255),
        (76, 0),
        (80 + 12, 9),
        (80 + 360 + 40, 0),
        (80 + 360 + 41, 2),
    ] {
        let mut bytes = sample(1).encode().unwrap();
        bytes[at] = value;
        assert!(Manifest::decode(&resealed(bytes)).is_err(), "{at}");
    }
}

#[test]
fn a_huge_manifest_is_refused() {
    let mut manifest = sample(1);
    manifest.segments = vec![segment(0, SegmentState::Sealed); 600_000];
    assert!(matches!(
        manifest.encode(),
        Err(FormatError::TooLarge { .. })
    ));
}
