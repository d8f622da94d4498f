//! A bounded reader over bytes, and writing into the middle of a buffer.
//!
//! Relies on: nothing. Never: panics or reads past the end; every step yields a value or an error that names the
//! structure and the offset.

use crate::{FormatError, varint};

/// Reads a structure from front to back.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    what: &'static str,
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            what,
            rest: bytes,
            offset: 0,
        }
    }

    /// The offset of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(FormatError::Truncated {
                what: self.what,
                offset: self.offset.saturating_add(self.rest.len() as u64),
                need: count.saturating_sub(self.rest.len()) as u64,
            });
        };
        self.rest = rest;
        self.offset = self.offset.saturating_add(count as u64);
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, FormatError> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, FormatError> {
        self.array().map(u128::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, FormatError> {
        let before = self.rest.len();
        let Some(value) = varint::decode(&mut self.rest) else {
            return Err(self.invalid());
        };
        let read = before.saturating_sub(self.rest.len());
        self.offset = self.offset.saturating_add(read as u64);
        Ok(value)
    }

    pub(crate) fn varint_u32(&mut self) -> Result<u32, FormatError> {
        let invalid = self.invalid();
        u32::try_from(self.varint()?).or(Err(invalid))
    }

    /// A varint length, and that many bytes.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], FormatError> {
        let length = self.varint()?;
        // A length over `usize` cannot be in memory: `take` refuses it as any other that is too long.
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// The error for a bad value at the present offset.
    pub(crate) fn invalid(&self) -> FormatError {
        FormatError::Invalid {
            what: self.what,
            offset: self.offset,
        }
    }
}

/// The fixed-size array at `offset`, or `None` when it does not lie within `bytes`.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes
        .get(offset..offset.checked_add(N)?)?
        .first_chunk()
        .copied()
}

/// The `u32` at `offset`, or `None` when it does not lie within `bytes`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_le_bytes)
}

/// Overwrites `bytes` at `offset`; the caller has made the room.
pub(crate) fn put_at(bytes: &mut [u8], offset: usize, value: &[u8]) {
    let end = offset.saturating_add(value.len());
    debug_assert!(end <= bytes.len(), "room was made before");
    if let Some(target) = bytes.get_mut(offset..end) {
        target.copy_from_slice(value);
    }
}

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && tail.iter().all(|&byte| byte == 0)
}

/// `size` as a `u32`, or [`FormatError::TooLarge`].
pub(crate) fn size_u32(what: &'static str, size: usize) -> Result<u32, FormatError> {
    u32::try_from(size).or(Err(FormatError::TooLarge {
        what,
        size: size as u64,
        max: u64::from(u32::MAX),
    }))
}
