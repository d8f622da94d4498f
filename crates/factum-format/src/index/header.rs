//! The header of an index file: what was indexed, and the section table.
//!
//! Relies on: nothing. Never: says that a section is good; [`SectionEntry::verify`] does, on request.

use crate::{
    FormatError,
    bytes::{Cursor, size_u32},
    front, hash,
    limits::INDEX_SECTIONS_MAX,
};

const WHAT: &str = "index header";
const MAGIC: [u8; 8] = *b"FACTIDX1";
pub(super) const TABLE_AT: usize = 88;
const ENTRY_BYTES: usize = 32;
/// Of a header without sections.
const LENGTH_MIN: u64 = TABLE_AT as u64 + 8;

/// What a section of an index holds. Any number is a type; those that this release knows are constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexSection(pub u16);

impl IndexSection {
    /// Where each record stands, as it was written before there were slopes; [`Offsets`](super::Offsets).
    pub const OFFSETS: Self = Self(1);
    /// Stream names by ordinal; [`Names`](super::Names).
    pub const STREAM_NAMES: Self = Self(2);
    /// Event types by ordinal; [`Names`](super::Names).
    pub const TYPE_NAMES: Self = Self(3);
    /// Tags by ordinal; [`Names`](super::Names).
    pub const TAG_NAMES: Self = Self(4);
    /// Categories by ordinal; [`Names`](super::Names).
    pub const CATEGORY_NAMES: Self = Self(5);
    /// All keys by hash, in entries of eight bytes, as it was written before there were dense ones; [`Directory`](super::Directory).
    pub const DIRECTORY: Self = Self(6);
    /// Where each key occurs; [`PostingEntry`](super::PostingEntry).
    pub const POSTINGS: Self = Self(7);
    /// Which records were lost, if any; [`Losses`](super::Losses).
    pub const LOSSES: Self = Self(8);
    /// All keys by hash, in short entries; [`Directory`](super::Directory).
    pub const DENSE_DIRECTORY: Self = Self(9);
    /// Where each record stands, in short; [`Offsets`](super::Offsets).
    pub const SLOPED_OFFSETS: Self = Self(10);
}

/// What an index says of its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexInfo {
    /// The store that the file belongs to.
    pub realm: [u8; 16],
    /// The segment's number.
    pub segment: u64,
    /// The segment's generation.
    pub generation: u32,
    /// How many ordinals the segment has, damaged records included.
    pub record_count: u32,
    /// The raw position of ordinal 0.
    pub base_position: u64,
    /// The time of the first record, in microseconds since the Unix epoch.
    pub first_time: i64,
    /// The time of the last record, in microseconds since the Unix epoch.
    pub last_time: i64,
    /// XXH3-128 of all frame headers of the segment that was indexed.
    pub data_hash: u128,
}

/// One line of the section table: u16 type, u16 flags, u32 item count, u64 offset, u64 length, u64 XXH3-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionEntry {
    /// What the section holds.
    pub section: IndexSection,
    /// None is defined; carried.
    pub flags: u16,
    /// How many items it has: records, names, keys or postings.
    pub count: u32,
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// XXH3-64 of its bytes.
    pub hash: u64,
}

impl SectionEntry {
    /// Compares the section's bytes with its checksum.
    ///
    /// # Errors
    /// [`FormatError::Checksum`].
    pub fn verify(&self, bytes: &[u8]) -> Result<(), FormatError> {
        if bytes.len() as u64 != self.length || hash::xxh3_64(bytes) != self.hash {
            return Err(FormatError::Checksum {
                what: "index section",
                offset: self.offset,
            });
        }
        Ok(())
    }
}

/// The header of an index file, owned: it can be kept while sections are read one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexHeader {
    /// What the index says of its segment.
    pub info: IndexInfo,
    /// The section table, in file order.
    pub sections: Vec<SectionEntry>,
}

impl IndexHeader {
    /// Reads and verifies the header at the front of an index file; `bytes` may end with the header.
    ///
    /// # Errors
    /// [`FormatError::NewerVersion`] when it is good but of a newer version, any other when it is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let front = front::read(WHAT, MAGIC, LENGTH_MIN..=u64::from(u32::MAX), bytes)?;
        let count = front.own;
        if front.length as usize != header_bytes(count) || count > INDEX_SECTIONS_MAX {
            return Err(FormatError::Invalid {
                what: WHAT,
                offset: 8,
            });
        }
        let mut cursor = front.rest;
        let info = IndexInfo {
            realm: cursor.array()?,
            segment: cursor.u64()?,
            generation: cursor.u32()?,
            record_count: cursor.u32()?,
            base_position: cursor.u64()?,
            first_time: cursor.i64()?,
            last_time: cursor.i64()?,
            data_hash: cursor.u128()?,
        };
        let entry = |cursor: &mut Cursor<'_>| {
            Ok(SectionEntry {
                section: IndexSection(cursor.u16()?),
                flags: cursor.u16()?,
                count: cursor.u32()?,
                offset: cursor.u64()?,
                length: cursor.u64()?,
                hash: cursor.u64()?,
            })
        };
        let sections = (0..count)
            .map(|_| entry(&mut cursor))
            .collect::<Result<Vec<_>, FormatError>>()?;
        Ok(Self { info, sections })
    }

    /// The first section of this type.
    #[must_use]
    pub fn section(&self, section: IndexSection) -> Option<&SectionEntry> {
        self.sections.iter().find(|entry| entry.section == section)
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let count = self.sections.len();
        let too_large = FormatError::TooLarge {
            what: "index sections",
            size: count as u64,
            max: INDEX_SECTIONS_MAX.into(),
        };
        let count = u16::try_from(count).or(Err(too_large.clone()))?;
        if count > INDEX_SECTIONS_MAX {
            return Err(too_large);
        }
        let mut out = front::begin(MAGIC, count, size_u32(WHAT, header_bytes(count))?);
        out.extend_from_slice(&self.info.realm);
        out.extend_from_slice(&self.info.segment.to_le_bytes());
        out.extend_from_slice(&self.info.generation.to_le_bytes());
        out.extend_from_slice(&self.info.record_count.to_le_bytes());
        out.extend_from_slice(&self.info.base_position.to_le_bytes());
        out.extend_from_slice(&self.info.first_time.to_le_bytes());
        out.extend_from_slice(&self.info.last_time.to_le_bytes());
        out.extend_from_slice(&self.info.data_hash.to_le_bytes());
        for entry in &self.sections {
            out.extend_from_slice(&entry.section.0.to_le_bytes());
            out.extend_from_slice(&entry.flags.to_le_bytes());
            out.extend_from_slice(&entry.count.to_le_bytes());
            out.extend_from_slice(&entry.offset.to_le_bytes());
            out.extend_from_slice(&entry.length.to_le_bytes());
            out.extend_from_slice(&entry.hash.to_le_bytes());
        }
        front::end(&mut out);
        Ok(out)
    }
}

pub(super) fn header_bytes(sections: u16) -> usize {
    usize::from(sections)
        .saturating_mul(ENTRY_BYTES)
        .saturating_add(TABLE_AT + 8)
}
