//! Records come back as they went in; anything else is refused.

use super::*;
use crate::{
    FormatError, hash, limits,
    section::{self, SectionType},
    support::{body, each_flip, head},
    varint,
};

fn encoded(head: &RecordHead<'_>, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let length = encode(&mut out, head, body, hash::crc(body)).unwrap();
    assert_eq!(length, out.len());
    out
}

fn check_round_trip(head: &RecordHead<'_>, body: &[u8]) {
    let mut bytes = encoded(head, body);
    for cut in [0, body.len() / 2, body.len()] {
        let (front, rest) = body.split_at(cut);
        let mut of_parts = Vec::new();
        encode_parts(&mut of_parts, head, [front, rest], hash::crc(body)).unwrap();
        assert_eq!(of_parts, bytes, "wherever the body is cut");
    }
    let length = bytes.len();
    assert!(length - body.len() <= head_len_max(head.tag_refs.len()));
    bytes.extend_from_slice(b"what follows");
    for depth in [decode, decode_head, decode_unverified] {
        let (record, found) = depth(&bytes, head.position).unwrap();
        assert_eq!(found, length);
        assert_eq!(record.position, head.position);
        assert_eq!(
            (record.kind, record.flags, record.id),
            (head.kind, head.flags, head.id)
        );
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
        assert_eq!(record.body(), body);
        assert_eq!(record.bytes(), &bytes[..length]);
        assert_eq!(record.shape().view(&bytes), Some(record));
        assert_eq!(record.shape().view(&bytes[..length - 1]), None);
    }
    assert_eq!(
        record_bytes(&bytes).map(|length| length as usize),
        Some(length)
    );
}

#[test]
fn records_round_trip() {
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..2_000 {
        let tags: Vec<u32> = (0..random.usize(0..40)).map(|_| random.u32(..)).collect();
        let head = RecordHead {
            position: random.u64(..),
            kind: RecordKind(random.u8(..)),
            flags: RecordFlags(random.u8(..)),
            id: random.u128(..).to_le_bytes(),
            stream_ref: random.u32(..) >> random.u32(0..32),
            revision: random.u64(..) >> random.u32(0..64),
            type_ref: random.u32(..) >> random.u32(0..32),
            schema_version: random.u32(..) >> random.u32(0..32),
            time_delta: random.i64(..) >> random.u32(0..64),
            tag_refs: &tags,
        };
        let body: Vec<u8> = (0..random.usize(0..300)).map(|_| random.u8(..)).collect();
        check_round_trip(&head, &body);
    }
    check_round_trip(&head(u64::MAX, &[u32::MAX]), b"");
}

#[test]
fn every_flipped_bit_and_every_other_position_is_found() {
    let bytes = encoded(&head(9, &[1, 300]), &body(b"{\"a\":1}"));
    each_flip(&bytes, |bit, bad| {
        assert!(decode(bad, 9).is_err(), "bit {bit}");
    });
    for position in [0, 8, 10, 9 + (1 << 48), u64::MAX] {
        assert_eq!(
            decode(&bytes, position),
            Err(FormatError::Checksum {
                what: "record head",
                offset: 4
            })
        );
    }
}

#[test]
fn a_cut_record_is_refused_at_every_byte() {
    let bytes = encoded(&head(9, &[1, 300]), &body(b"{\"a\":1}"));
    for end in 0..bytes.len() {
        for depth in [decode, decode_head, decode_unverified] {
            assert!(depth(&bytes[..end], 9).is_err(), "{end}");
        }
    }
}

#[test]
fn the_first_section_of_a_type_is_found() {
    let mut body = Vec::new();
    section::push(&mut body, SectionType::METADATA, b"m");
    section::push(&mut body, SectionType::DATA, b"first");
    section::push(&mut body, SectionType::DATA, b"second");
    let bytes = encoded(&head(0, &[]), &body);
    let (record, _) = decode(&bytes, 0).unwrap();
    assert_eq!(record.data(), Some(&b"first"[..]));
    assert_eq!(record.section(SectionType::PERSONAL), None);
    assert_eq!(record.sections().count(), 3);
}

/// A later version may add fields to the head. Its records must be read by this one.
#[test]
fn future_head_fields_are_skipped() {
    let mut bytes = encoded(&head(4, &[5]), b"");
    varint::encode(&mut bytes, 77);
    let length = u32::try_from(bytes.len() - 4).unwrap();
    bytes[0..4].copy_from_slice(&length.to_le_bytes());
    let head_len = u16::try_from(bytes.len()).unwrap();
    bytes[14..16].copy_from_slice(&head_len.to_le_bytes());
    let crc = encode::head_crc(4, &bytes);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    let (record, _) = decode(&bytes, 4).unwrap();
    assert_eq!(record.tag_refs().collect::<Vec<_>>(), [5]);
    assert_eq!(record.body(), b"");
}

#[test]
fn what_is_too_large_is_refused_and_leaves_no_trace() {
    let tags = vec![u32::MAX; 20_000];
    let mut out = vec![7];
    assert!(matches!(
        encode(&mut out, &head(0, &tags), b"", 0),
        Err(FormatError::TooLarge {
            what: "record head",
            ..
        })
    ));
    let body = vec![1; usize::try_from(limits::RECORD_BYTES_MAX).unwrap()];
    assert!(matches!(
        encode(&mut out, &head(0, &[]), &body, hash::crc(&body)),
        Err(FormatError::TooLarge { what: "record", .. })
    ));
    assert_eq!(out, [7]);
}

#[test]
fn random_bytes_are_refused_without_panic() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
        // A plausible length, so that the rest is looked at too.
        if bytes.len() > 40 {
            let length = u32::try_from(bytes.len() - 4).unwrap();
            bytes[0..4].copy_from_slice(&length.to_le_bytes());
            bytes[14..16].copy_from_slice(&[random.u8(..), 0]);
        }
        assert!(decode(&bytes, 0).is_err());
        if let Ok((record, _)) = decode_unverified(&bytes, 0) {
            ignore((
                record.tag_refs().count(),
                record.sections().count(),
                record.data(),
            ));
        }
    }
}

/// The call is the test: it must return.
fn ignore<T>(_: T) {}
