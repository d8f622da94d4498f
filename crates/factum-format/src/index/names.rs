//! Sections `NAMES_*`: names by ordinal.
//!
//! ```text
//! u32 starts[count + 1], from the start of the text | UTF-8 text
//! ```

use crate::{
    FormatError,
    bytes::{size_u32, u32_at},
};

const WHAT: &str = "index names";

/// Collects names by ordinal.
#[derive(Debug)]
pub struct NamesBuilder {
    starts: Vec<u8>,
    text: Vec<u8>,
    count: u32,
}

impl NamesBuilder {
    /// No names yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            starts: vec![0; 4],
            text: Vec::new(),
            count: 0,
        }
    }

    /// Adds the next ordinal's name and returns the ordinal.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] when the text is over 4 GiB.
    pub fn push(&mut self, name: &str) -> Result<u32, FormatError> {
        let end = size_u32(WHAT, self.text.len().saturating_add(name.len()))?;
        let ordinal = self.count;
        self.count = size_u32(WHAT, (ordinal as usize).saturating_add(1))?;
        self.text.extend_from_slice(name.as_bytes());
        self.starts.extend_from_slice(&end.to_le_bytes());
        Ok(ordinal)
    }

    /// How many names there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The section.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.starts.append(&mut self.text);
        self.starts
    }
}

impl Default for NamesBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// Names by ordinal, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    starts: &'a [u8],
    text: &'a [u8],
    count: u32,
}

impl<'a> Names<'a> {
    /// Reads a section of `count` names; the checksum is the caller's part.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] when the starts do not fit.
    pub fn parse(bytes: &'a [u8], count: u32) -> Result<Self, FormatError> {
        let starts_len = (count as usize).saturating_add(1).saturating_mul(4);
        let (starts, text) = bytes
            .split_at_checked(starts_len)
            .ok_or(FormatError::Truncated {
                what: WHAT,
                offset: bytes.len() as u64,
                need: starts_len.saturating_sub(bytes.len()) as u64,
            })?;
        Ok(Self {
            starts,
            text,
            count,
        })
    }

    /// How many names there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The name with this ordinal.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such ordinal, or the section is damaged.
    pub fn name(&self, ordinal: u32) -> Result<&'a str, FormatError> {
        let invalid = FormatError::Invalid {
            what: WHAT,
            offset: u64::from(ordinal),
        };
        std::str::from_utf8(self.bytes(ordinal)?).or(Err(invalid))
    }

    /// The bytes of the name with this ordinal: enough to compare it.
    ///
    /// # Errors
    /// As [`name`](Self::name), but bytes that are no UTF-8 are not noticed.
    pub fn bytes(&self, ordinal: u32) -> Result<&'a [u8], FormatError> {
        let invalid = FormatError::Invalid {
            what: WHAT,
            offset: u64::from(ordinal),
        };
        if ordinal >= self.count {
            return Err(invalid);
        }
        let at = (ordinal as usize).saturating_mul(4);
        let start = u32_at(self.starts, at).ok_or(invalid.clone())? as usize;
        let end = u32_at(self.starts, at.saturating_add(4)).ok_or(invalid.clone())? as usize;
        self.text.get(start..end).ok_or(invalid)
    }

    /// The bytes that a look-up of a name reads first, for who wants to have them at hand; not the name yet.
    #[must_use]
    pub fn first_bytes(&self, ordinal: u32) -> &'a [u8] {
        let at = (ordinal as usize).saturating_mul(4);
        self.starts.get(at..).unwrap_or_default()
    }

    /// All names by ordinal.
    pub fn iter(&self) -> impl Iterator<Item = Result<&'a str, FormatError>> + use<'a> {
        let names = *self;
        (0..names.count).map(move |ordinal| names.name(ordinal))
    }
}
