//! The header of a segment file: 4096 bytes, in which a core of 128 bytes stands twice, at 0 and at 2048.
//!
//! | offset | size | field           | meaning                                                         |
//! |-------:|-----:|-----------------|-----------------------------------------------------------------|
//! |      0 |    8 | magic           | `FACTSEG1`                                                      |
//! |      8 |    2 | version         | 1                                                               |
//! |     10 |    2 | layout          | 0 frames; 1 reserved for compressed blocks                      |
//! |     12 |    4 | core length     | 128                                                             |
//! |     16 |   16 | realm           |                                                                 |
//! |     32 |    8 | segment number  |                                                                 |
//! |     40 |    8 | salt            | key of the frame hashes; secret, random                         |
//! |     48 |    2 | partition       |                                                                 |
//! |     50 |    2 | flags           | bit 0: repacked copy                                            |
//! |     52 |    4 | generation      |                                                                 |
//! |     56 |    8 | base position   | of the first record                                             |
//! |     64 |    8 | base time       | µs since the Unix epoch; records count from here                |
//! |     72 |    8 | created time    | µs since the Unix epoch                                         |
//! |     80 |    8 | previous hash   | header hash of the previous segment's last frame; 0 if none     |
//! |     88 |    8 | first frame     | frame sequence number of the first frame                        |
//! |     96 |    8 | capacity        | file size                                                       |
//! |    104 |    2 | epoch           |                                                                 |
//! |    106 |   14 | reserved        | zero                                                            |
//! |    120 |    8 | checksum        | XXH3-64 of bytes 0..120                                         |
//!
//! Two copies in different sectors: what damages one leaves the other. The magic, version, core length and a checksum
//! in the last 8 bytes of the core stay in all versions, so that a newer file is refused by name and not as damage.

use crate::{
    FormatError, SegmentKey,
    bytes::put_at,
    front,
    limits::{self, SEGMENT_HEADER_BYTES},
};

const WHAT: &str = "segment header";
const MAGIC: [u8; 8] = *b"FACTSEG1";
const HEADER_BYTES: usize = 4096;
const _: () = assert!(HEADER_BYTES as u64 == SEGMENT_HEADER_BYTES);
/// Where the second copy stands.
const SECOND_COPY: usize = 2048;
const CORE_LENGTH: u32 = 128;
const CORE_BYTES: usize = CORE_LENGTH as usize;

/// How a segment's records are laid out.
pub mod layout {
    /// Frames, as written.
    pub const FRAMES: u16 = 0;
    /// Reserved: compressed blocks.
    pub const BLOCKS: u16 = 1;
}

/// Bits of [`SegmentHeader::flags`].
pub mod flags {
    /// A copy of a sealed segment, packed again (scavenged, erased).
    pub const REPACKED: u16 = 1;
}

/// What a segment file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// See [`layout`].
    pub layout: u16,
    /// The store that the file belongs to.
    pub realm: [u8; 16],
    /// The segment's number.
    pub segment: u64,
    /// The key of the frame hashes. Secret: whoever knows it can write payloads that look like frames.
    pub salt: u64,
    /// The partition.
    pub partition: u16,
    /// See [`flags`].
    pub flags: u16,
    /// How often the segment has been rewritten.
    pub generation: u32,
    /// The raw position of the first record.
    pub base_position: u64,
    /// What record times count from, in microseconds since the Unix epoch.
    pub base_time: i64,
    /// When the file was made, in microseconds since the Unix epoch.
    pub created_time: i64,
    /// The header hash of the previous segment's last frame; 0 if there is none.
    pub prev_hash: u64,
    /// The sequence number of the first frame.
    pub first_frame_seq: u64,
    /// The file's size, in bytes.
    pub capacity: u64,
    /// The epoch in which the file was made.
    pub epoch: u16,
}

/// Which copies of the header were good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Both, and they agree.
    Both,
    /// The first only; the second is damaged.
    FirstOnly,
    /// The second only; the first is damaged.
    SecondOnly,
    /// Both verify but say different things: a rewrite of the header was torn. The first is the newer, if sectors are
    /// written in order, which no disk promises; [`SegmentHeader::decode_core`] reads each.
    Differ,
}

impl SegmentHeader {
    /// The header as the first bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Box<[u8; HEADER_BYTES]> {
        let mut bytes = Box::new([0; HEADER_BYTES]);
        let core = self.encode_core();
        put_at(&mut *bytes, 0, &core);
        put_at(&mut *bytes, SECOND_COPY, &core);
        bytes
    }

    /// Reads a header from the first 4096 bytes of a file.
    ///
    /// # Errors
    /// [`FormatError::NewerVersion`] when a good copy is of a newer version; otherwise what is wrong with the first
    /// copy, when the second is damaged too.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Copies), FormatError> {
        let copy = |at: usize| Self::decode_core(bytes.get(at..).unwrap_or_default());
        match (copy(0), copy(SECOND_COPY)) {
            (Err(newer @ FormatError::NewerVersion { .. }), _)
            | (_, Err(newer @ FormatError::NewerVersion { .. })) => Err(newer),
            (Ok(first), Ok(second)) if first == second => Ok((first, Copies::Both)),
            (Ok(first), Ok(_)) => Ok((first, Copies::Differ)),
            (Ok(first), Err(_)) => Ok((first, Copies::FirstOnly)),
            (Err(_), Ok(second)) => Ok((second, Copies::SecondOnly)),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Reads one copy; `bytes` begins with it and may go on.
    ///
    /// # Errors
    /// [`FormatError::Magic`], [`FormatError::Truncated`], [`FormatError::Checksum`] or [`FormatError::Invalid`] when
    /// the copy is damaged, [`FormatError::NewerVersion`] when it is good but of a newer version.
    pub fn decode_core(bytes: &[u8]) -> Result<Self, FormatError> {
        let front = front::read(WHAT, MAGIC, CORE_BYTES as u64..=SECOND_COPY as u64, bytes)?;
        if front.length as usize != CORE_BYTES {
            return Err(FormatError::Invalid {
                what: WHAT,
                offset: 8,
            });
        }
        let mut cursor = front.rest;
        let header = Self {
            layout: front.own,
            realm: cursor.array()?,
            segment: cursor.u64()?,
            salt: cursor.u64()?,
            partition: cursor.u16()?,
            flags: cursor.u16()?,
            generation: cursor.u32()?,
            base_position: cursor.u64()?,
            base_time: cursor.i64()?,
            created_time: cursor.i64()?,
            prev_hash: cursor.u64()?,
            first_frame_seq: cursor.u64()?,
            capacity: cursor.u64()?,
            epoch: cursor.u16()?,
        };
        let counts = limits::is_position(header.base_position, 0)
            && limits::is_sequence(header.first_frame_seq)
            && limits::is_sequence(header.segment);
        if counts {
            return Ok(header);
        }
        Err(FormatError::Invalid {
            what: WHAT,
            offset: 32,
        })
    }

    /// What the keyed hashes of the frames in this segment need.
    #[must_use]
    pub fn key(&self) -> SegmentKey {
        SegmentKey {
            salt: self.salt,
            segment: self.segment,
        }
    }

    fn encode_core(&self) -> [u8; CORE_BYTES] {
        let mut out = front::begin(MAGIC, self.layout, CORE_LENGTH);
        out.extend_from_slice(&self.realm);
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.base_position.to_le_bytes());
        out.extend_from_slice(&self.base_time.to_le_bytes());
        out.extend_from_slice(&self.created_time.to_le_bytes());
        out.extend_from_slice(&self.prev_hash.to_le_bytes());
        out.extend_from_slice(&self.first_frame_seq.to_le_bytes());
        out.extend_from_slice(&self.capacity.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&[0; 14]);
        front::end(&mut out);
        let mut core = [0; CORE_BYTES];
        put_at(&mut core, 0, &out);
        core
    }
}

#[cfg(test)]
mod tests;
