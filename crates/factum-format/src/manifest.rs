//! The manifest: which segments there are, and which ranges are quarantined.
//!
//! Two files, `MANIFEST.a` and `MANIFEST.b`, written in turn; the newest valid one counts.
//!
//! | offset | size | field            | meaning                                             |
//! |-------:|-----:|------------------|-----------------------------------------------------|
//! |      0 |    8 | magic            | `FACTMAN1`                                          |
//! |      8 |    2 | version          | 1                                                   |
//! |     10 |    2 | partition        |                                                     |
//! |     12 |    4 | total length     | with the checksum; what follows it is ignored       |
//! |     16 |    8 | sequence         | one more with each write                            |
//! |     24 |   16 | realm            |                                                     |
//! |     40 |   16 | hash key         | key of the key hashes (SipHash); secret             |
//! |     56 |    8 | created time     | µs since the Unix epoch                             |
//! |     64 |    8 | segment bytes    | size of new segment files                           |
//! |     72 |    4 | segment count    |                                                     |
//! |     76 |    4 | quarantine count |                                                     |
//! |     80 |    … | segments         | 120 bytes each; see [`SegmentEntry`]                |
//! |      … |    … | quarantine       | 56 bytes each; see [`QuarantineEntry`]              |
//! |    end |    8 | checksum         | XXH3-64 of all before                               |
//!
//! The magic, the version, the total length and the checksum at the end stay in all versions.
//!
//! Relies on: nothing. Never: allocates by an unchecked length.

mod entry;
#[cfg(test)]
mod tests;

pub use entry::{QuarantineEntry, QuarantineReason, SegmentEntry, SegmentState, flags};

use crate::{FormatError, bytes::size_u32, front, limits::MANIFEST_BYTES_MAX};

const WHAT: &str = "manifest";
const MAGIC: [u8; 8] = *b"FACTMAN1";
const FIXED_BYTES: u64 = 80;
const CHECKSUM_BYTES: u64 = 8;

/// The state of one partition's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The partition.
    pub partition: u16,
    /// One more with each write.
    pub seq: u64,
    /// The store's random id, which encryption binds to.
    pub realm: [u8; 16],
    /// The secret key of the key hashes.
    pub hash_key: [u8; 16],
    /// When the store was made, in microseconds since the Unix epoch.
    pub created_time: i64,
    /// The size of new segment files.
    pub segment_bytes: u64,
    /// The segments, in the order given.
    pub segments: Vec<SegmentEntry>,
    /// The quarantined ranges, in the order given.
    pub quarantine: Vec<QuarantineEntry>,
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestCopy {
    /// `MANIFEST.a`.
    A,
    /// `MANIFEST.b`.
    B,
}

impl ManifestCopy {
    /// The file to write next.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl Manifest {
    /// Whether the loss of `lost` records of a segment from a position on, `None` if it is not known how many, is one that was accepted, or part of one.
    #[must_use]
    pub fn accepts(&self, segment: u64, first_position: u64, lost: Option<u64>) -> bool {
        let accepted = self.quarantine.iter().filter(|range| range.accepted);
        accepted
            .filter(|range| range.segment == segment)
            .any(|range| range.covers(first_position, lost))
    }

    /// The manifest as bytes.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] when it is over [`MANIFEST_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let segments = size_u32("manifest segments", self.segments.len())?;
        let quarantine = size_u32("manifest quarantine", self.quarantine.len())?;
        let too_large = |size| FormatError::TooLarge {
            what: WHAT,
            size,
            max: MANIFEST_BYTES_MAX,
        };
        let size = total_bytes(segments, quarantine).ok_or(too_large(u64::MAX))?;
        if size > MANIFEST_BYTES_MAX {
            return Err(too_large(size));
        }
        let total = u32::try_from(size).or(Err(too_large(size)))?;
        let mut out = front::begin(MAGIC, self.partition, total);
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.realm);
        out.extend_from_slice(&self.hash_key);
        out.extend_from_slice(&self.created_time.to_le_bytes());
        out.extend_from_slice(&self.segment_bytes.to_le_bytes());
        out.extend_from_slice(&segments.to_le_bytes());
        out.extend_from_slice(&quarantine.to_le_bytes());
        for segment in &self.segments {
            segment.encode(&mut out);
        }
        for range in &self.quarantine {
            range.encode(&mut out);
        }
        front::end(&mut out);
        debug_assert_eq!(out.len(), total as usize);
        Ok(out)
    }

    /// Reads a manifest; bytes after its end are ignored.
    ///
    /// # Errors
    /// [`FormatError::NewerVersion`] when it is good but of a newer version, any other when it is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let lengths = FIXED_BYTES + CHECKSUM_BYTES..=MANIFEST_BYTES_MAX;
        let front = front::read(WHAT, MAGIC, lengths, bytes)?;
        let mut cursor = front.rest;
        let mut manifest = Self {
            partition: front.own,
            seq: cursor.u64()?,
            realm: cursor.array()?,
            hash_key: cursor.array()?,
            created_time: cursor.i64()?,
            segment_bytes: cursor.u64()?,
            segments: Vec::new(),
            quarantine: Vec::new(),
        };
        let segments = cursor.u32()?;
        let quarantine = cursor.u32()?;
        if total_bytes(segments, quarantine) != Some(front.length.into()) {
            return Err(FormatError::Invalid {
                what: "manifest counts",
                offset: 72,
            });
        }
        // The counts fit the total length, and that many bytes are in memory.
        manifest.segments = (0..segments)
            .map(|_| SegmentEntry::decode(&mut cursor))
            .collect::<Result<_, _>>()?;
        manifest.quarantine = (0..quarantine)
            .map(|_| QuarantineEntry::decode(&mut cursor))
            .collect::<Result<_, _>>()?;
        Ok(manifest)
    }

    /// The manifest that counts, of the contents of the two files. A file that is not there is empty.
    ///
    /// With equal sequence numbers the first counts.
    ///
    /// # Errors
    /// - [`FormatError::NewerVersion`] when either file is of a newer version: the other one is out of date.
    /// - what is wrong with the first file, when neither is valid.
    pub fn newest(a: &[u8], b: &[u8]) -> Result<(Self, ManifestCopy), FormatError> {
        match (Self::decode(a), Self::decode(b)) {
            (Err(newer @ FormatError::NewerVersion { .. }), _)
            | (_, Err(newer @ FormatError::NewerVersion { .. })) => Err(newer),
            (Ok(a), Ok(b)) if b.seq > a.seq => Ok((b, ManifestCopy::B)),
            (Ok(a), _) => Ok((a, ManifestCopy::A)),
            (Err(_), Ok(b)) => Ok((b, ManifestCopy::B)),
            (Err(error), Err(_)) => Err(error),
        }
    }
}

fn total_bytes(segments: u32, quarantine: u32) -> Option<u64> {
    let segments = u64::from(segments).checked_mul(entry::SEGMENT_BYTES)?;
    let quarantine = u64::from(quarantine).checked_mul(entry::QUARANTINE_BYTES)?;
    segments
        .checked_add(quarantine)?
        .checked_add(FIXED_BYTES + CHECKSUM_BYTES)
}
