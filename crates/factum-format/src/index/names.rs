//! Sections `NAMES_*`: names by ordinal.
//!
//! ```text
//! tables | names
//! ```
//!
//! Both are as [`packed_names`](crate::packed_names) draws them. A name is compared at every look-up and given out with every
//! event, so a section is unpacked once, when it is read.

use crate::{
    FormatError,
    bytes::{Cursor, size_u32},
    packed_names::{GROWTH_MAX, Packer, Unpacker},
};

const WHAT: &str = "index names";

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
    /// Where each name ends.
    ends: Vec<u32>,
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
            ends.push(size_u32(WHAT, text.len())?);
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
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// How many bytes of memory they take.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.text
            .len()
            .saturating_add(self.ends.len().saturating_mul(4))
    }

    /// The name with this ordinal.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such ordinal.
    #[inline]
    pub fn name(&self, ordinal: u32) -> Result<&str, FormatError> {
        self.find(ordinal).ok_or(FormatError::Invalid {
            what: WHAT,
            offset: u64::from(ordinal),
        })
    }

    /// The bytes of the name with this ordinal: enough to compare it.
    ///
    /// # Errors
    /// As [`name`](Self::name).
    #[inline]
    pub fn bytes(&self, ordinal: u32) -> Result<&[u8], FormatError> {
        self.name(ordinal).map(str::as_bytes)
    }

    #[inline]
    fn find(&self, ordinal: u32) -> Option<&str> {
        let at = ordinal as usize;
        let end = *self.ends.get(at)?;
        let start = match at.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start as usize..end as usize)
    }

    /// All names by ordinal.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.count()).filter_map(|ordinal| self.find(ordinal))
    }
}
