//! Section `LOSSES`: which records of the segment were lost, and whether that may have taken names too.
//!
//! ```text
//! u32 first lost ordinal | u32 last lost ordinal | u8 1 if stream names may be lost
//! ```
//!
//! The section's items are the lost records that no stream accounts for. An index without the section knows of every
//! record whose it is: the segment was whole when it was indexed, or streams whose revisions go on account for all that
//! was lost. Whoever looks for the last event of a stream needs to know.
//!
//! Relies on: the section's checksum. Never: says where a record stands; the offsets do.

use crate::{FormatError, bytes::Cursor};

const WHAT: &str = "index losses";

/// The records that a segment has lost, and whose they were nobody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Losses {
    /// The first ordinal of a lost record.
    pub first: u32,
    /// The last ordinal of a lost record, inclusive.
    pub last: u32,
    /// Whether they may be of streams that the index does not name.
    pub unnamed: bool,
}

impl Losses {
    /// Reads the section's bytes; what follows is left for later releases.
    ///
    /// # Errors
    /// [`FormatError::Truncated`], or [`FormatError::Invalid`] when the last one stands before the first.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        let (first, last) = (cursor.u32()?, cursor.u32()?);
        let unnamed = cursor.u8()? != 0;
        if last < first {
            return Err(cursor.invalid());
        }
        Ok(Self {
            first,
            last,
            unnamed,
        })
    }

    /// The section's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(9);
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        out.push(self.unnamed.into());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Losses;

    #[test]
    fn losses_come_back() {
        for (first, last, unnamed) in [(0, 0, false), (3, 70_000, true)] {
            let losses = Losses {
                first,
                last,
                unnamed,
            };
            let mut bytes = losses.encode();
            for end in 0..bytes.len() {
                assert!(Losses::parse(&bytes[..end]).is_err(), "cut at {end}");
            }
            bytes.push(9);
            assert_eq!(Losses::parse(&bytes), Ok(losses));
        }
        let backwards = Losses {
            first: 2,
            last: 1,
            unnamed: false,
        };
        assert!(Losses::parse(&backwards.encode()).is_err());
    }
}
