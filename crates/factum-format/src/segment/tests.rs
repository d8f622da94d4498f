//! Segment headers survive damage to one copy and are refused with damage to both.

use super::*;
use crate::{hash, support::each_flip};

fn sample() -> SegmentHeader {
    SegmentHeader {
        layout: layout::FRAMES,
        realm: *b"0123456789abcdef",
        segment: 42,
        salt: 0xDEAD_BEEF_0BAD_CAFE,
        partition: 3,
        flags: flags::REPACKED,
        generation: 2,
        base_position: 1 << 40,
        base_time: -1,
        created_time: i64::MAX,
        prev_hash: 77,
        first_frame_seq: 1_000,
        capacity: 64 << 20,
        epoch: 9,
    }
}

#[test]
fn a_header_round_trips() {
    let bytes = sample().encode();
    assert_eq!(SegmentHeader::decode(&*bytes), Ok((sample(), Copies::Both)));
    assert_eq!(
        sample().key(),
        SegmentKey {
            salt: 0xDEAD_BEEF_0BAD_CAFE,
            segment: 42
        }
    );
}

#[test]
fn every_flipped_bit_spares_one_copy() {
    let bytes = sample().encode();
    each_flip(&*bytes, |bit, bad| {
        let expected = match bit / 8 {
            0..128 => Copies::SecondOnly,
            2048..2176 => Copies::FirstOnly,
            _ => Copies::Both,
        };
        assert_eq!(
            SegmentHeader::decode(bad),
            Ok((sample(), expected)),
            "bit {bit}"
        );
    });
}

#[test]
fn damage_to_both_copies_is_refused() {
    let mut bytes = sample().encode();
    bytes[60] ^= 1;
    bytes[2048 + 120] ^= 1;
    assert_eq!(
        SegmentHeader::decode(&*bytes),
        Err(FormatError::Checksum {
            what: WHAT,
            offset: 120
        })
    );
    assert_eq!(
        SegmentHeader::decode(&[0; 4096]),
        Err(FormatError::Magic {
            what: WHAT,
            offset: 0
        })
    );
}

#[test]
fn a_cut_header_is_good_while_its_first_copy_is() {
    let bytes = sample().encode();
    for end in 0..bytes.len() {
        let expected = if end < 128 { None } else { Some(sample()) };
        assert_eq!(
            SegmentHeader::decode(&bytes[..end]).ok().map(|(h, _)| h),
            expected,
            "{end}"
        );
    }
}

#[test]
fn a_torn_rewrite_is_told() {
    let mut bytes = sample().encode();
    let newer = SegmentHeader {
        base_position: 5,
        ..sample()
    };
    bytes[..128].copy_from_slice(&newer.encode()[..128]);
    assert_eq!(SegmentHeader::decode(&*bytes), Ok((newer, Copies::Differ)));
    assert_eq!(SegmentHeader::decode_core(&bytes[2048..]), Ok(sample()));
}

/// A file of version 2, with a longer core, must be refused by its version and not as damage.
#[test]
fn a_newer_version_is_named() {
    let mut core = sample().encode_core().to_vec();
    core.resize(256, 0);
    core[8] = 2;
    core[12..16].copy_from_slice(&256_u32.to_le_bytes());
    let checksum = hash::xxh3_64(&core[..248]);
    core[248..].copy_from_slice(&checksum.to_le_bytes());
    let mut bytes = vec![0; 4096];
    bytes[2048..2304].copy_from_slice(&core);
    assert_eq!(
        SegmentHeader::decode(&bytes),
        Err(FormatError::NewerVersion {
            what: WHAT,
            found: 2,
            supported: 1
        })
    );
}
