//! What the three files share: how they begin, and the checksum that ends what is verified as one.
//!
//! | offset | size | field    | meaning                                                     |
//! |-------:|-----:|----------|-------------------------------------------------------------|
//! |      0 |    8 | magic    | of the kind of file                                         |
//! |      8 |    2 | version  | 1                                                           |
//! |     10 |    2 |          | of the kind of file                                         |
//! |     12 |    4 | length   | of what the checksum ends, with the checksum                |
//! |  … - 8 |    8 | checksum | XXH3-64 of all before                                       |
//!
//! These stay in all versions, so that a newer file is refused by name and not as damage.
//!
//! Relies on: nothing. Never: takes a version for newer before its checksum has verified.

use std::ops::RangeInclusive;

use crate::{
    FormatError,
    bytes::{Cursor, array_at},
    hash,
    limits::FORMAT_VERSION,
};

const CHECKSUM_BYTES: usize = 8;

/// The verified front of a file of a version that this release reads.
pub(crate) struct Front<'a> {
    /// The two bytes that are the kind of file's own.
    pub(crate) own: u16,
    /// The whole length, with the checksum.
    pub(crate) length: u32,
    /// Behind the front.
    pub(crate) rest: Cursor<'a>,
}

/// Verifies the front of `bytes`, whose length must be among `lengths`; they may go on behind it.
pub(crate) fn read<'a>(
    what: &'static str,
    magic: [u8; 8],
    lengths: RangeInclusive<u64>,
    bytes: &'a [u8],
) -> Result<Front<'a>, FormatError> {
    let invalid = |offset| FormatError::Invalid { what, offset };
    let mut rest = Cursor::new(what, bytes);
    if rest.array()? != magic {
        return Err(FormatError::Magic { what, offset: 0 });
    }
    let version = rest.u16()?;
    let own = rest.u16()?;
    let length = rest.u32()?;
    if !lengths.contains(&length.into()) {
        return Err(invalid(12));
    }
    verify(what, bytes, length as usize)?;
    if version > FORMAT_VERSION {
        return Err(FormatError::NewerVersion {
            what,
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    if version == 0 {
        return Err(invalid(8));
    }
    Ok(Front { own, length, rest })
}

fn verify(what: &'static str, bytes: &[u8], length: usize) -> Result<(), FormatError> {
    let at = length.saturating_sub(CHECKSUM_BYTES);
    let checksum = array_at(bytes, at)
        .map(u64::from_le_bytes)
        .ok_or(FormatError::Truncated {
            what,
            offset: bytes.len() as u64,
            need: length.saturating_sub(bytes.len()) as u64,
        })?;
    if hash::xxh3_64(bytes.get(..at).unwrap_or_default()) != checksum {
        return Err(FormatError::Checksum {
            what,
            offset: at as u64,
        });
    }
    Ok(())
}

/// Begins a file of this version; `length` counts from here to the end of the checksum.
pub(crate) fn begin(magic: [u8; 8], own: u16, length: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(length as usize);
    out.extend_from_slice(&magic);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&own.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out
}

/// Ends what [`begin`] began.
pub(crate) fn end(out: &mut Vec<u8>) {
    let checksum = hash::xxh3_64(out);
    out.extend_from_slice(&checksum.to_le_bytes());
}
