//! The index file as a whole: header and sections.
//!
//! Relies on: the header's checksum. Never: copies a section, except to unpack names.

use super::{
    Directory, Losses, Names, Offsets,
    header::{IndexHeader, IndexInfo, IndexSection, SectionEntry, TABLE_AT, header_bytes},
};
use crate::{FormatError, hash};

/// A whole index file in memory, its header verified; its sections are verified one by one, on request.
#[derive(Debug, Clone)]
pub struct IndexFile<'a> {
    header: IndexHeader,
    bytes: &'a [u8],
}

impl<'a> IndexFile<'a> {
    /// Reads and verifies the header, and that the sections lie within `bytes`.
    ///
    /// # Errors
    /// As [`IndexHeader::decode`], and [`FormatError::Truncated`] when a section goes past the end.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let file = Self {
            header: IndexHeader::decode(bytes)?,
            bytes,
        };
        for entry in &file.header.sections {
            if file.slice(entry).is_none() {
                let (offset, need) = (entry.offset, entry.length);
                return Err(FormatError::Truncated {
                    what: "index section",
                    offset,
                    need,
                });
            }
        }
        Ok(file)
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &IndexHeader {
        &self.header
    }

    /// The section's table entry and bytes, not verified; `None` when there is no such section.
    #[must_use]
    pub fn section(&self, section: IndexSection) -> Option<(&SectionEntry, &'a [u8])> {
        let entry = self.header.section(section)?;
        Some((entry, self.slice(entry)?))
    }

    /// Compares one section with its checksum.
    ///
    /// # Errors
    /// [`FormatError::Checksum`]; [`FormatError::Invalid`] when there is no such section.
    pub fn verify(&self, section: IndexSection) -> Result<(), FormatError> {
        let (entry, bytes) = self.required(section)?;
        entry.verify(bytes)
    }

    /// Compares all sections, unknown ones too, with their checksums.
    ///
    /// # Errors
    /// [`FormatError::Checksum`].
    pub fn verify_all(&self) -> Result<(), FormatError> {
        let mut entries = self.header.sections.iter();
        entries.try_for_each(|entry| entry.verify(self.slice(entry).unwrap_or_default()))
    }

    /// Whether it says what another one says of the same segment, each in the sections that its release wrote: byte for byte where both have the
    /// same sections, and by what they mean where one has a section that is not written any more.
    ///
    /// # Errors
    /// When the structure of either is wrong.
    pub fn says_the_same(&self, other: &IndexFile<'_>) -> Result<bool, FormatError> {
        let kinds = |file: &IndexFile<'_>| (file.offsets_section(), file.directory_section());
        let ((places, keys), (other_places, other_keys)) = (kinds(self), kinds(other));
        if (places, keys) == (other_places, other_keys) {
            return Ok(self.bytes == other.bytes);
        }
        // None of both has more than the sections that take each other's place.
        let is_alike = self.header.info == other.header.info
            && self.header.sections.len() == other.header.sections.len()
            && self
                .besides(places, keys)
                .eq(other.besides(other_places, other_keys));
        let same_places = || {
            let (mine, others) = (self.required(places)?, other.required(other_places)?);
            Ok(if places == other_places {
                mine.1 == others.1
            } else {
                self.offsets()?
                    .iter_from(0)
                    .eq(other.offsets()?.iter_from(0))
            })
        };
        let same_keys = || {
            let (mine, others) = (self.required(keys)?, other.required(other_keys)?);
            Ok(if keys == other_keys {
                mine.1 == others.1
            } else {
                same_keys(&self.directory()?, &other.directory()?)
            })
        };
        Ok(is_alike && same_places()? && same_keys()?)
    }

    /// The sections besides these two.
    fn besides(
        &self,
        places: IndexSection,
        keys: IndexSection,
    ) -> impl Iterator<Item = (IndexSection, u16, u32, &[u8])> {
        let entries = self.header.sections.iter();
        entries
            .filter(move |entry| ![places, keys].contains(&entry.section))
            .map(|entry| {
                let bytes = self.slice(entry).unwrap_or_default();
                (entry.section, entry.flags, entry.count, bytes)
            })
    }

    /// Which section says where records stand.
    #[must_use]
    pub fn offsets_section(&self) -> IndexSection {
        match self.header.section(IndexSection::SLOPED_OFFSETS) {
            Some(_) => IndexSection::SLOPED_OFFSETS,
            None => IndexSection::OFFSETS,
        }
    }

    /// Where each record stands; not verified.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] or [`FormatError::Truncated`] when there is no such section or its structure is wrong.
    pub fn offsets(&self) -> Result<Offsets<'a>, FormatError> {
        let (entry, bytes) = self.required(self.offsets_section())?;
        Offsets::parse(bytes, entry.count)
    }

    /// A names section, unpacked; not verified.
    ///
    /// # Errors
    /// As [`offsets`](Self::offsets).
    pub fn names(&self, section: IndexSection) -> Result<Names, FormatError> {
        let (entry, bytes) = self.required(section)?;
        Names::parse(bytes, entry.count)
    }

    /// Which section is the directory of keys.
    #[must_use]
    pub fn directory_section(&self) -> IndexSection {
        match self.header.section(IndexSection::DENSE_DIRECTORY) {
            Some(_) => IndexSection::DENSE_DIRECTORY,
            None => IndexSection::DIRECTORY,
        }
    }

    /// The directory of keys; not verified.
    ///
    /// # Errors
    /// As [`offsets`](Self::offsets).
    pub fn directory(&self) -> Result<Directory<'a>, FormatError> {
        let (_, bytes) = self.required(self.directory_section())?;
        Directory::parse(bytes)
    }

    /// The postings, for [`PostingEntry::parse`](super::PostingEntry::parse); not verified.
    ///
    /// # Errors
    /// As [`offsets`](Self::offsets).
    pub fn postings(&self) -> Result<&'a [u8], FormatError> {
        self.required(IndexSection::POSTINGS)
            .map(|(_, bytes)| bytes)
    }

    /// Which records were lost; `None` when the index knows of each one whose it is. Not verified.
    ///
    /// # Errors
    /// When there is such a section and its structure is wrong.
    pub fn losses(&self) -> Result<Option<Losses>, FormatError> {
        let found = self.section(IndexSection::LOSSES);
        found.map(|(_, bytes)| Losses::parse(bytes)).transpose()
    }

    fn required(&self, section: IndexSection) -> Result<(&SectionEntry, &'a [u8]), FormatError> {
        let missing = FormatError::Invalid {
            what: "index section table",
            offset: TABLE_AT as u64,
        };
        self.section(section).ok_or(missing)
    }

    fn slice(&self, entry: &SectionEntry) -> Option<&'a [u8]> {
        let start = usize::try_from(entry.offset).ok()?;
        let length = usize::try_from(entry.length).ok()?;
        self.bytes.get(start..start.checked_add(length)?)
    }
}

/// Whether two directories lead the same keys to the same postings, as far as both keep the keys' hashes.
fn same_keys(one: &Directory<'_>, other: &Directory<'_>) -> bool {
    let kept = |keys: &Directory<'_>| keys.bits().saturating_add(keys.remainder_bits());
    let dropped = u64::BITS.saturating_sub(kept(one).min(kept(other)).into());
    let cut = |(hash, posting): (u64, u32)| (hash.checked_shr(dropped), posting);
    // All keys may be there and not be found: where buckets end is what a look-up goes by.
    let are_found = |keys: &Directory<'_>| {
        keys.iter().all(|(hash, posting)| {
            let mut found = keys.candidates(u128::from(hash) << u64::BITS);
            found.any(|found| found == posting)
        })
    };
    one.iter().map(cut).eq(other.iter().map(cut)) && are_found(one) && are_found(other)
}

/// Collects sections and writes the file.
#[derive(Debug)]
pub struct IndexBuilder {
    header: IndexHeader,
    body: Vec<u8>,
}

impl IndexBuilder {
    /// A file without sections.
    #[must_use]
    pub fn new(info: IndexInfo) -> Self {
        Self {
            header: IndexHeader {
                info,
                sections: Vec::new(),
            },
            body: Vec::new(),
        }
    }

    /// Adds a section with `count` items.
    pub fn section(&mut self, section: IndexSection, count: u32, bytes: &[u8]) {
        self.header.sections.push(SectionEntry {
            section,
            flags: 0,
            count,
            // From the end of the header, whose length is not known yet.
            offset: self.body.len() as u64,
            length: bytes.len() as u64,
            hash: hash::xxh3_64(bytes),
        });
        self.body.extend_from_slice(bytes);
    }

    /// The file.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] when there are too many sections.
    pub fn finish(mut self) -> Result<Vec<u8>, FormatError> {
        let count = u16::try_from(self.header.sections.len()).unwrap_or(u16::MAX);
        let header_len = header_bytes(count) as u64;
        for entry in &mut self.header.sections {
            entry.offset = entry.offset.saturating_add(header_len);
        }
        let mut out = self.header.encode()?;
        out.extend_from_slice(&self.body);
        Ok(out)
    }
}
