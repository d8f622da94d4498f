//! The entries of a manifest.
//!
//! Segment, 120 bytes:
//!
//! | offset | size | field            |     | offset | size | field                                 |
//! |-------:|-----:|------------------|-----|-------:|-----:|---------------------------------------|
//! |      0 |    8 | number           |     |     56 |    8 | last time                             |
//! |      8 |    4 | generation       |     |     64 |    8 | first frame                           |
//! |     12 |    1 | state            |     |     72 |    8 | last frame                            |
//! |     13 |    1 | flags            |     |     80 |    4 | last header hash                      |
//! |     14 |    2 | epoch            |     |     84 |    4 | reserved, zero                        |
//! |     16 |    8 | salt             |     |     88 |   16 | XXH3-128 of all frame headers         |
//! |     24 |    8 | base position    |     |    104 |   16 | XXH3-128 of the index file            |
//! |     32 |    8 | record count     |     |        |      |                                       |
//! |     40 |    8 | end offset       |     |        |      |                                       |
//! |     48 |    8 | base time        |     |        |      |                                       |
//!
//! Quarantined range, 56 bytes: segment 8, offset 8, length 8, first position 8, count 8, reason 1, accepted 1,
//! reserved 6, found time 8.

use crate::{FormatError, SegmentKey, bytes::Cursor, limits};

pub(super) const SEGMENT_BYTES: u64 = 120;
pub(super) const QUARANTINE_BYTES: u64 = 56;

/// How far a segment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SegmentState {
    /// Made and zeroed, not yet written to.
    #[default]
    Prepared,
    /// Being written.
    Active,
    /// Never written to again.
    Sealed,
}

/// Bits of [`SegmentEntry::flags`].
pub mod flags {
    /// There is an index file.
    pub const INDEX: u8 = 1;
    /// A range of the segment is quarantined.
    pub const DAMAGE: u8 = 1 << 1;
    /// It holds records that change streams: settings, deletes or tombstones.
    pub const CONTROL: u8 = 1 << 2;
}

/// One segment. What is known only when it is sealed is 0 before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SegmentEntry {
    /// The segment's number.
    pub number: u64,
    /// How often it has been rewritten.
    pub generation: u32,
    /// How far it has come.
    pub state: SegmentState,
    /// See [`flags`].
    pub flags: u8,
    /// The epoch in which it was made.
    pub epoch: u16,
    /// The key of its frame hashes; secret.
    pub salt: u64,
    /// The raw position of its first record.
    pub base_position: u64,
    /// How many records it holds.
    pub record_count: u64,
    /// Bytes used, sealed only.
    pub end_offset: u64,
    /// What record times count from, in microseconds since the Unix epoch.
    pub base_time: i64,
    /// The time of the last record, in microseconds since the Unix epoch.
    pub last_time: i64,
    /// The sequence number of the first frame.
    pub first_frame_seq: u64,
    /// The sequence number of the last frame.
    pub last_frame_seq: u64,
    /// The header hash of the last frame.
    pub last_header_hash: u32,
    /// XXH3-128 of the headers of all frames, in order, sealed only. Each header holds the hash of its frame's body.
    pub data_hash: u128,
    /// XXH3-128 of the index file.
    pub index_hash: u128,
}

/// Why a range is quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineReason {
    /// A frame's header is damaged.
    Header,
    /// A frame's body is damaged.
    Body,
    /// Something acknowledged is not there.
    Missing,
}

/// One damaged range, kept as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// The segment's number.
    pub segment: u64,
    /// Where the range begins in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// The raw position of the first record concerned.
    pub first_position: u64,
    /// How many records are concerned.
    pub count: u64,
    /// Why.
    pub reason: QuarantineReason,
    /// Whether the operator has accepted the loss.
    pub accepted: bool,
    /// When it was found, in microseconds since the Unix epoch.
    pub found_time: i64,
}

impl SegmentEntry {
    /// What the keyed hashes of the frames in this segment need.
    #[must_use]
    pub fn key(&self) -> SegmentKey {
        SegmentKey {
            salt: self.salt,
            segment: self.number,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let state = match self.state {
            SegmentState::Prepared => 1,
            SegmentState::Active => 2,
            SegmentState::Sealed => 3,
        };
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&[state, self.flags]);
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.base_position.to_le_bytes());
        out.extend_from_slice(&self.record_count.to_le_bytes());
        out.extend_from_slice(&self.end_offset.to_le_bytes());
        out.extend_from_slice(&self.base_time.to_le_bytes());
        out.extend_from_slice(&self.last_time.to_le_bytes());
        out.extend_from_slice(&self.first_frame_seq.to_le_bytes());
        out.extend_from_slice(&self.last_frame_seq.to_le_bytes());
        out.extend_from_slice(&self.last_header_hash.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.data_hash.to_le_bytes());
        out.extend_from_slice(&self.index_hash.to_le_bytes());
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let number = cursor.u64()?;
        let generation = cursor.u32()?;
        let invalid = cursor.invalid();
        let state = match cursor.u8()? {
            1 => SegmentState::Prepared,
            2 => SegmentState::Active,
            3 => SegmentState::Sealed,
            _ => return Err(invalid),
        };
        let entry = Self {
            number,
            generation,
            state,
            flags: cursor.u8()?,
            epoch: cursor.u16()?,
            salt: cursor.u64()?,
            base_position: cursor.u64()?,
            record_count: cursor.u64()?,
            end_offset: cursor.u64()?,
            base_time: cursor.i64()?,
            last_time: cursor.i64()?,
            first_frame_seq: cursor.u64()?,
            last_frame_seq: cursor.u64()?,
            last_header_hash: {
                let hash = cursor.u32()?;
                cursor.take(4)?;
                hash
            },
            data_hash: cursor.u128()?,
            index_hash: cursor.u128()?,
        };
        let counts = limits::is_position(entry.base_position, entry.record_count)
            && limits::is_sequence(entry.first_frame_seq)
            && limits::is_sequence(entry.last_frame_seq)
            && limits::is_sequence(entry.number);
        if counts { Ok(entry) } else { Err(invalid) }
    }
}

impl QuarantineEntry {
    /// Whether it has all of these records. One without a count has all behind its first position.
    pub(super) fn covers(&self, first_position: u64, lost: Option<u64>) -> bool {
        if self.count == 0 {
            return self.first_position == first_position;
        }
        let end = self.first_position.saturating_add(self.count);
        self.first_position <= first_position
            && lost.is_some_and(|lost| first_position.saturating_add(lost) <= end)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let reason = match self.reason {
            QuarantineReason::Header => 1,
            QuarantineReason::Body => 2,
            QuarantineReason::Missing => 3,
        };
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.first_position.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&[reason, u8::from(self.accepted), 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&self.found_time.to_le_bytes());
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let segment = cursor.u64()?;
        let offset = cursor.u64()?;
        let length = cursor.u64()?;
        let first_position = cursor.u64()?;
        let count = cursor.u64()?;
        let invalid = cursor.invalid();
        let reason = match cursor.u8()? {
            1 => QuarantineReason::Header,
            2 => QuarantineReason::Body,
            3 => QuarantineReason::Missing,
            _ => return Err(invalid),
        };
        let accepted = match cursor.u8()? {
            0 => false,
            1 => true,
            _ => return Err(invalid),
        };
        cursor.take(6)?;
        let found_time = cursor.i64()?;
        Ok(Self {
            segment,
            offset,
            length,
            first_position,
            count,
            reason,
            accepted,
            found_time,
        })
    }
}
