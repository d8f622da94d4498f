//! Writing a record.
//!
//! Relies on: the caller has computed the body checksum, on its own thread, before it queues. Never: allocates except
//! to grow `out`; writes a record that [`decode`](super::decode()) refuses.

use super::{RecordFlags, RecordKind};
use crate::{FormatError, bytes, hash, limits, varint};

const FIXED_BYTES: usize = 32;
const _: () = assert!(FIXED_BYTES as u64 == limits::RECORD_HEAD_FIXED_BYTES);

/// The head of a record to write.
#[derive(Debug, Clone, Copy)]
pub struct RecordHead<'a> {
    /// Where the record will stand: the frame's base position and the ordinal in the frame.
    pub position: u64,
    /// What the record is.
    pub kind: RecordKind,
    /// Its flags.
    pub flags: RecordFlags,
    /// The event id.
    pub id: [u8; 16],
    /// The stream's ordinal among the segment's stream definitions.
    pub stream_ref: u32,
    /// The event's number in its stream.
    pub revision: u64,
    /// The event type's ordinal among the segment's type definitions.
    pub type_ref: u32,
    /// The version of the data's schema.
    pub schema_version: u32,
    /// Microseconds after the segment's base time.
    pub time_delta: i64,
    /// The tags' ordinals among the segment's tag definitions, in the order given by the user.
    pub tag_refs: &'a [u32],
}

/// The longest head that a record with `tag_count` tags can have, in bytes.
///
/// Saturates; heads over [`limits::RECORD_HEAD_BYTES_MAX`] are refused by [`encode`].
#[must_use]
pub const fn head_len_max(tag_count: usize) -> usize {
    // 32 fixed; four u32 varints (5 each), two u64 varints (10 each); 5 for each tag.
    tag_count.saturating_mul(5).saturating_add(32 + 20 + 20)
}

/// Appends one record to `out` and returns its whole length.
///
/// `body` holds the sections; `body_crc` is their CRC-32C ([`hash::crc`]), which is trusted here and verified by
/// readers. After an error `out` is as before.
///
/// # Errors
/// [`FormatError::TooLarge`] when the head or the record is over its limit.
pub fn encode(
    out: &mut Vec<u8>,
    head: &RecordHead<'_>,
    body: &[u8],
    body_crc: u32,
) -> Result<usize, FormatError> {
    encode_parts(out, head, [body, &[]], body_crc)
}

/// As [`encode`], of a body that lies in two places.
///
/// # Errors
/// As [`encode`].
pub fn encode_parts(
    out: &mut Vec<u8>,
    head: &RecordHead<'_>,
    body: [&[u8]; 2],
    body_crc: u32,
) -> Result<usize, FormatError> {
    let [front, rest] = body;
    debug_assert_eq!(
        body_crc,
        hash::crc_append(hash::crc(front), rest),
        "the body checksum is of another body"
    );
    let mut small = Scratch([0; SCRATCH_BYTES]);
    let mut large = Vec::new();
    let scratch = if head.tag_refs.len() <= SCRATCH_TAGS {
        &mut small.0[..]
    } else {
        large.resize(scratch_bytes(head.tag_refs.len()), 0);
        &mut large
    };
    let end = put_variable_part(head, scratch);
    let head_len = end.saturating_sub(SUMMED_FRONT_BYTES - 8);
    let record_len = head_len
        .saturating_add(front.len())
        .saturating_add(rest.len());
    let length = put_fixed_part(head, head_len, record_len, body_crc, scratch)?;
    let summed = scratch.get(..end).unwrap_or_default();
    let crc = hash::crc(summed);
    let mut first = [0; 8];
    bytes::put_at(&mut first, 0, &length.to_le_bytes());
    bytes::put_at(&mut first, 4, &crc.to_le_bytes());
    out.reserve(record_len);
    out.extend_from_slice(&first);
    out.extend_from_slice(summed.get(SUMMED_FRONT_BYTES..).unwrap_or_default());
    out.extend_from_slice(front);
    out.extend_from_slice(rest);
    Ok(record_len)
}

/// A head with few tags is put together here, in the order in which it is summed: the position, the length, then all behind the checksum. So
/// one pass sums it, and one copy writes it.
#[repr(align(8))]
struct Scratch([u8; SCRATCH_BYTES]);

const SCRATCH_TAGS: usize = 16;
const SCRATCH_BYTES: usize = scratch_bytes(SCRATCH_TAGS);
/// The position and the length.
const SUMMED_FRONT_BYTES: usize = 12;

const fn scratch_bytes(tag_count: usize) -> usize {
    // The position in addition, and not the checksum.
    head_len_max(tag_count).saturating_add(8)
}

/// Puts what has no fixed length into the scratch; says where it ends.
fn put_variable_part(head: &RecordHead<'_>, scratch: &mut [u8]) -> usize {
    let mut end = SUMMED_FRONT_BYTES + FIXED_BYTES - 8;
    let first = [
        u64::from(head.stream_ref),
        head.revision,
        u64::from(head.type_ref),
        u64::from(head.schema_version),
        varint::zigzag(head.time_delta),
        head.tag_refs.len() as u64,
    ];
    let tags = head.tag_refs.iter().map(|&tag| u64::from(tag));
    for value in first.into_iter().chain(tags) {
        end = varint::put(scratch, end, value);
    }
    end
}

/// The checksum of a whole head: the position, then all but the checksum itself.
pub(super) fn head_crc(position: u64, head: &[u8]) -> u32 {
    let mut prefix = [0; 12];
    let (position_part, length_part) = prefix.split_at_mut(8);
    position_part.copy_from_slice(&position.to_le_bytes());
    length_part.copy_from_slice(head.get(..4).unwrap_or(&[0; 4]));
    hash::crc_append(hash::crc(&prefix), head.get(8..).unwrap_or_default())
}

/// Puts the rest; returns what the record says of its length.
fn put_fixed_part(
    head: &RecordHead<'_>,
    head_len: usize,
    record_len: usize,
    body_crc: u32,
    scratch: &mut [u8],
) -> Result<u32, FormatError> {
    let head_len = u16::try_from(head_len).or(Err(FormatError::TooLarge {
        what: "record head",
        size: head_len as u64,
        max: limits::RECORD_HEAD_BYTES_MAX,
    }))?;
    let size = record_len as u64;
    let too_large = FormatError::TooLarge {
        what: "record",
        size,
        max: limits::RECORD_BYTES_MAX,
    };
    if size > limits::RECORD_BYTES_MAX {
        return Err(too_large);
    }
    let length = u32::try_from(record_len.saturating_sub(4)).or(Err(too_large))?;
    bytes::put_at(scratch, 0, &head.position.to_le_bytes());
    bytes::put_at(scratch, 8, &length.to_le_bytes());
    bytes::put_at(scratch, 12, &body_crc.to_le_bytes());
    bytes::put_at(scratch, 16, &[head.kind.0, head.flags.0]);
    bytes::put_at(scratch, 18, &head_len.to_le_bytes());
    bytes::put_at(scratch, 20, &head.id);
    Ok(length)
}
