//! Frame headers and footers.
//!
//! Relies on: the caller knows the file offset. Never: yields a header whose keyed hash does not verify.

use super::FrameFlags;
use crate::{
    FormatError, SegmentKey,
    bytes::{Cursor, array_at, put_at},
    hash, limits,
};

/// The first four bytes of a frame.
pub const HEADER_MAGIC: [u8; 4] = *b"fFrM";
/// The first four bytes of a frame's footer.
pub const FOOTER_MAGIC: [u8; 4] = *b"mRfF";

pub(super) const HEADER_BYTES: usize = 64;
const _: () = assert!(HEADER_BYTES as u64 == limits::FRAME_HEADER_BYTES);
const HASH_AT: usize = 60;
const VERSION: u8 = 1;

/// What a frame says about itself, in its header and again in its footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is.
    pub flags: FrameFlags,
    /// Grows with each cut.
    pub epoch: u16,
    /// From header to footer, in bytes; a multiple of 64.
    pub frame_len: u32,
    /// How many records the frame holds.
    pub record_count: u32,
    /// Consecutive over all segments of a partition.
    pub frame_seq: u64,
    /// The raw position of the first record, or of the next one if there is none.
    pub base_position: u64,
    /// The highest frame sequence known durable when the header was made.
    pub durable_seq: u64,
    /// Microseconds since the Unix epoch.
    pub time: i64,
    /// Keyed hash of the body.
    pub body_hash: u64,
    /// The header hash of the frame before.
    pub prev_hash: u32,
    /// Keyed hash of this header (of the header, also when this was read from the footer).
    pub header_hash: u32,
}

impl FrameHeader {
    /// Reads the header of the frame that begins at `file_offset`; `bytes` begins there too.
    ///
    /// # Errors
    /// - [`FormatError::NewerVersion`]: the hash verifies, but a newer release wrote it.
    /// - any other: no frame of this segment begins here, or its header is damaged.
    pub fn decode(bytes: &[u8], key: SegmentKey, file_offset: u64) -> Result<Self, FormatError> {
        Self::parse(bytes, "frame header", HEADER_MAGIC, key, |_| {
            Some(file_offset)
        })
    }

    /// Reads the footer that stands at `footer_offset`; `bytes` begins there too.
    ///
    /// Returns the offset at which its frame begins, and the header.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_footer(
        bytes: &[u8],
        key: SegmentKey,
        footer_offset: u64,
    ) -> Result<(u64, Self), FormatError> {
        let end = footer_offset.checked_add(limits::FRAME_HEADER_BYTES);
        let start = |frame_len: u32| end?.checked_sub(frame_len.into());
        let mut header = Self::parse(bytes, "frame footer", FOOTER_MAGIC, key, start)?;
        let start = start(header.frame_len).ok_or(FormatError::Invalid {
            what: "frame footer",
            offset: 8,
        })?;
        header.header_hash = header.hash(HEADER_MAGIC, key, start);
        Ok((start, header))
    }

    /// The header as bytes; sets nothing, so `header_hash` must be right.
    #[must_use]
    pub fn encode(&self) -> [u8; 64] {
        self.fixed(HEADER_MAGIC, self.header_hash)
    }

    /// The footer as bytes, for a frame that begins at `file_offset`.
    #[must_use]
    pub fn encode_footer(&self, key: SegmentKey, file_offset: u64) -> [u8; 64] {
        self.fixed(FOOTER_MAGIC, self.hash(FOOTER_MAGIC, key, file_offset))
    }

    /// The header hash for a frame that begins at `file_offset`.
    #[must_use]
    pub fn expected_hash(&self, key: SegmentKey, file_offset: u64) -> u32 {
        self.hash(HEADER_MAGIC, key, file_offset)
    }

    /// The raw position after the last record.
    #[must_use]
    pub fn next_position(&self) -> u64 {
        self.base_position.saturating_add(self.record_count.into())
    }

    /// How many bytes lie between header and footer.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        (self.frame_len as usize).saturating_sub(HEADER_BYTES.saturating_mul(2))
    }

    fn hash(&self, magic: [u8; 4], key: SegmentKey, file_offset: u64) -> u32 {
        header_hash(&self.fixed(magic, 0), key, file_offset)
    }

    fn fixed(&self, magic: [u8; 4], hash: u32) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        put_at(&mut bytes, 0, &magic);
        put_at(&mut bytes, 4, &[VERSION, self.flags.0]);
        put_at(&mut bytes, 6, &self.epoch.to_le_bytes());
        put_at(&mut bytes, 8, &self.frame_len.to_le_bytes());
        put_at(&mut bytes, 12, &self.record_count.to_le_bytes());
        put_at(&mut bytes, 16, &self.frame_seq.to_le_bytes());
        put_at(&mut bytes, 24, &self.base_position.to_le_bytes());
        put_at(&mut bytes, 32, &self.durable_seq.to_le_bytes());
        put_at(&mut bytes, 40, &self.time.to_le_bytes());
        put_at(&mut bytes, 48, &self.body_hash.to_le_bytes());
        put_at(&mut bytes, 56, &self.prev_hash.to_le_bytes());
        put_at(&mut bytes, HASH_AT, &hash.to_le_bytes());
        bytes
    }

    fn parse(
        bytes: &[u8],
        what: &'static str,
        magic: [u8; 4],
        key: SegmentKey,
        start: impl Fn(u32) -> Option<u64>,
    ) -> Result<Self, FormatError> {
        let fixed: [u8; HEADER_BYTES] = array_at(bytes, 0).ok_or(FormatError::Truncated {
            what,
            offset: bytes.len() as u64,
            need: HEADER_BYTES.saturating_sub(bytes.len()) as u64,
        })?;
        let mut cursor = Cursor::new(what, &fixed);
        if cursor.array()? != magic {
            return Err(FormatError::Magic { what, offset: 0 });
        }
        let version = cursor.u8()?;
        let header = Self {
            flags: FrameFlags(cursor.u8()?),
            epoch: cursor.u16()?,
            frame_len: cursor.u32()?,
            record_count: cursor.u32()?,
            frame_seq: cursor.u64()?,
            base_position: cursor.u64()?,
            durable_seq: cursor.u64()?,
            time: cursor.i64()?,
            body_hash: cursor.u64()?,
            prev_hash: cursor.u32()?,
            header_hash: cursor.u32()?,
        };
        let invalid = |offset| FormatError::Invalid { what, offset };
        let start = start(header.frame_len).ok_or(invalid(8))?;
        if header_hash(&fixed, key, start) != header.header_hash {
            return Err(FormatError::Checksum {
                what,
                offset: HASH_AT as u64,
            });
        }
        if version > VERSION {
            let (found, supported) = (version.into(), VERSION.into());
            return Err(FormatError::NewerVersion {
                what,
                found,
                supported,
            });
        }
        if version == 0 || !header.is_sound() {
            return Err(invalid(4));
        }
        Ok(header)
    }

    /// Whether the fields fit each other. The hash has verified, so only a faulty writer fails here.
    pub(super) fn is_sound(&self) -> bool {
        let length = u64::from(self.frame_len);
        let in_bounds = (limits::FRAME_BYTES_MIN..=limits::FRAME_BYTES_MAX).contains(&length);
        let records_fit = u64::from(self.record_count)
            .checked_mul(limits::RECORD_HEAD_BYTES_MIN)
            .is_some_and(|bytes| bytes <= length);
        let bodiless = length == limits::FRAME_BYTES_MIN;
        length.is_multiple_of(limits::FRAME_ALIGN)
            && in_bounds
            && records_fit
            && bodiless == self.flags.bodiless()
            && (!bodiless || self.record_count == 0)
            && limits::is_position(self.base_position, self.record_count.into())
            && limits::is_sequence(self.frame_seq)
    }
}

fn header_hash(fixed: &[u8; HEADER_BYTES], key: SegmentKey, file_offset: u64) -> u32 {
    let mut input = [0; HASH_AT + 16];
    put_at(&mut input, 0, fixed.get(..HASH_AT).unwrap_or_default());
    put_at(&mut input, HASH_AT, &file_offset.to_le_bytes());
    put_at(&mut input, HASH_AT + 8, &key.segment.to_le_bytes());
    let [b0, b1, b2, b3, ..] = hash::keyed(&input, key.salt).to_le_bytes();
    u32::from_le_bytes([b0, b1, b2, b3])
}
