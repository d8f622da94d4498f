//! Sections `NAMES_*`: names by ordinal.
//!
//! ```text
//! tables | names
//! ```
//!
//! Both are as [`packed_names`](crate::packed_names) draws them. A name is compared at every look-up and given out with every
//! event, so a section is unpacked once, when it is read.

use std::ops::Range;

use crate::{
    FormatError,
    bytes::{Cursor, size_u32, u32_at},
    packed_names::{GROWTH_MAX, Packer, Unpacker},
};

const WHAT: &str = "index names";
const END_BYTES: usize = 4;

/// The section of names, by ordinal.
///
/// # Errors
/// [`FormatError::TooLarge`] when a name is over its limit.
pub fn pack_names(names: &[&str]) -> Result<Vec<u8>, FormatError> {
    let packer = Packer::new(names);
    let mut out = Vec::new();
    packer.tables(&mut out)?;
    names.iter().for_each(|name| packer.name(&mut out, name));
    Ok(out)
}

/// Names by ordinal.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Where each name ends: a `u32`, little-endian.
    ends: Vec<u8>,
    text: String,
}

impl Names {
    /// Reads a section of `count` names; the checksum is the caller's part.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`] when the section does not hold so many names and nothing
    /// else, [`FormatError::TooLarge`] when they are over 4 GiB.
    pub fn parse(bytes: &[u8], count: u32) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        let unpacker = Unpacker::read(&mut cursor)?;
        let (mut ends, mut text) = (Vec::new(), Vec::new());
        // Each name takes a byte at least, so a false count ends with an error.
        for _ in 0..count {
            unpacker.name(&mut cursor, &mut text)?;
            ends.extend_from_slice(&size_u32(WHAT, text.len())?.to_le_bytes());
        }
        let invalid = FormatError::Invalid {
            what: WHAT,
            offset: cursor.offset(),
        };
        if !cursor.is_empty() {
            return Err(invalid);
        }
        debug_assert!(
            text.len() <= bytes.len().saturating_mul(GROWTH_MAX),
            "what a few bytes can become is bounded"
        );
        let text = String::from_utf8(text).or(Err(invalid))?;
        Ok(Self { ends, text })
    }

    /// How many names there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.ends.len() / END_BYTES).unwrap_or(u32::MAX)
    }

    /// How many bytes of memory they take.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.text.len().saturating_add(self.ends.len())
    }

    /// The name with this ordinal.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such ordinal.
    #[inline]
    pub fn name(&self, ordinal: u32) -> Result<&str, FormatError> {
        self.find(ordinal).ok_or(no_name(ordinal))
    }

    /// The bytes of the name with this ordinal: enough to compare it. They are not looked at, so that they need not be at hand.
    ///
    /// # Errors
    /// As [`name`](Self::name).
    #[inline]
    pub fn bytes(&self, ordinal: u32) -> Result<&[u8], FormatError> {
        let place = self.place(ordinal);
        let bytes = place.and_then(|place| self.text.as_bytes().get(place));
        bytes.ok_or(no_name(ordinal))
    }

    /// The bytes that [`bytes`](Self::bytes) reads, for who wants to have them at hand.
    #[must_use]
    pub fn first_bytes(&self, ordinal: u32) -> &[u8] {
        let before = (ordinal as usize).saturating_sub(1);
        let at = before.saturating_mul(END_BYTES);
        self.ends.get(at..).unwrap_or_default()
    }

    #[inline]
    fn place(&self, ordinal: u32) -> Option<Range<usize>> {
        let at = (ordinal as usize).checked_mul(END_BYTES)?;
        let end = u32_at(&self.ends, at)?;
        let start = match at.checked_sub(END_BYTES) {
            Some(before) => u32_at(&self.ends, before)?,
            None => 0,
        };
        Some(start as usize..end as usize)
    }

    #[inline]
    fn find(&self, ordinal: u32) -> Option<&str> {
        self.text.get(self.place(ordinal)?)
    }

    /// All names by ordinal.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.count()).filter_map(|ordinal| self.find(ordinal))
    }
}

const fn no_name(ordinal: u32) -> FormatError {
    FormatError::Invalid {
        what: WHAT,
        offset: ordinal as u64,
    }
}
