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
    debug_assert_eq!(
        body_crc,
        hash::crc(body),
        "the body checksum is of another body"
    );
    let start = out.len();
    out.extend_from_slice(&[0; FIXED_BYTES]);
    varint::encode(out, u64::from(head.stream_ref));
    varint::encode(out, head.revision);
    varint::encode(out, u64::from(head.type_ref));
    varint::encode(out, u64::from(head.schema_version));
    varint::encode_signed(out, head.time_delta);
    varint::encode(out, head.tag_refs.len() as u64);
    for &tag in head.tag_refs {
        varint::encode(out, u64::from(tag));
    }
    let head_len = out.len().saturating_sub(start);
    let record_len = head_len.saturating_add(body.len());
    match fixed_part(head, head_len, record_len, body_crc) {
        Ok(fixed) => bytes::put_at(out, start, &fixed),
        Err(error) => {
            out.truncate(start);
            return Err(error);
        }
    }
    let crc = head_crc(head.position, out.get(start..).unwrap_or_default());
    bytes::put_at(out, start.saturating_add(4), &crc.to_le_bytes());
    out.extend_from_slice(body);
    Ok(record_len)
}

/// The checksum of a whole head: the position, then all but the checksum itself.
pub(super) fn head_crc(position: u64, head: &[u8]) -> u32 {
    let mut prefix = [0; 12];
    let (position_part, length_part) = prefix.split_at_mut(8);
    position_part.copy_from_slice(&position.to_le_bytes());
    length_part.copy_from_slice(head.get(..4).unwrap_or(&[0; 4]));
    hash::crc_append(hash::crc(&prefix), head.get(8..).unwrap_or_default())
}

fn fixed_part(
    head: &RecordHead<'_>,
    head_len: usize,
    record_len: usize,
    body_crc: u32,
) -> Result<[u8; FIXED_BYTES], FormatError> {
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
    let mut fixed = [0; FIXED_BYTES];
    bytes::put_at(&mut fixed, 0, &length.to_le_bytes());
    bytes::put_at(&mut fixed, 8, &body_crc.to_le_bytes());
    bytes::put_at(&mut fixed, 12, &[head.kind.0, head.flags.0]);
    bytes::put_at(&mut fixed, 14, &head_len.to_le_bytes());
    bytes::put_at(&mut fixed, 16, &head.id);
    Ok(fixed)
}
