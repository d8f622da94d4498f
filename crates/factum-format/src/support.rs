//! Samples for the unit tests of this crate.

use crate::{
    SegmentKey,
    definition::DefinitionKind,
    frame::{FrameBuilder, FrameFields, FrameFlags, FrameHeader},
    hash,
    record::{RecordFlags, RecordHead, RecordKind},
    section::{self, SectionType},
};

pub(crate) const KEY: SegmentKey = SegmentKey {
    salt: 0x5EED_0F5A_1700_D1CE,
    segment: 7,
};

pub(crate) fn head(position: u64, tag_refs: &[u32]) -> RecordHead<'_> {
    RecordHead {
        position,
        kind: RecordKind::EVENT,
        flags: RecordFlags::JSON,
        id: u128::from(position)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
            .to_le_bytes(),
        stream_ref: 3,
        revision: 300,
        type_ref: 1,
        schema_version: 2,
        time_delta: -5,
        tag_refs,
    }
}

pub(crate) fn body(data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    section::push(&mut body, SectionType::DATA, data);
    body
}

pub(crate) fn fields(frame_seq: u64, base_position: u64) -> FrameFields {
    FrameFields {
        flags: FrameFlags::NONE,
        epoch: 1,
        frame_seq,
        base_position,
        durable_seq: frame_seq.saturating_sub(1),
        time: 1_700_000_000_000_000,
        prev_hash: 0xAABB_CCDD,
    }
}

/// A frame with one record for each payload, at `file_offset`.
pub(crate) fn frame(
    names: &[&str],
    payloads: &[Vec<u8>],
    fields: &FrameFields,
    file_offset: u64,
) -> (FrameHeader, Vec<u8>) {
    let mut builder = FrameBuilder::new();
    for (ordinal, name) in (0..).zip(names) {
        builder
            .define(DefinitionKind::STREAM, ordinal, name)
            .unwrap();
    }
    for (position, payload) in (fields.base_position..).zip(payloads) {
        let body = body(payload);
        builder
            .record(&head(position, &[1, 2]), &body, hash::crc(&body))
            .unwrap();
    }
    let mut out = Vec::new();
    let header = builder.finish(fields, KEY, file_offset, &mut out).unwrap();
    (header, out)
}

/// Bytes none of which is zero.
pub(crate) fn noise(random: &mut fastrand::Rng, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.u8(1..)).collect()
}

/// Every copy of `bytes` with one bit flipped.
pub(crate) fn each_flip(bytes: &[u8], mut check: impl FnMut(usize, &[u8])) {
    let mut bad = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        bad[bit / 8] ^= 1 << (bit % 8);
        check(bit, &bad);
        bad[bit / 8] ^= 1 << (bit % 8);
    }
}
