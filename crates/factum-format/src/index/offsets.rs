//! Section `OFFSETS`: where each record stands, by ordinal.
//!
//! ```text
//! anchors, one for every 64 ordinals: u64 file offset | u32 byte position in the stream
//! stream, per ordinal:                varint gap | varint length
//! ```
//!
//! A block's anchor is the end of the last record before it, and for the first block it is the offset of its first
//! record. The gap is counted from the end of the record before (from the anchor for a block's first); it is 0 within
//! a frame. Length 0 means that the record is damaged or missing; its gap is 0 and it takes no room. About 2.2 bytes
//! for each record; a look-up decodes at most 64 pairs.

use crate::{
    FormatError,
    bytes::{array_at, size_u32, u32_at},
    varint,
};

const WHAT: &str = "index offsets";
const BLOCK: u32 = 64;
const ANCHOR_BYTES: usize = 12;

/// Collects offsets by ordinal.
#[derive(Debug, Default)]
pub struct OffsetsBuilder {
    anchors: Vec<u8>,
    stream: Vec<u8>,
    count: u32,
    end: u64,
}

impl OffsetsBuilder {
    /// No records yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The file offset and whole length of the next ordinal's record, or `None` when it is lost.
    ///
    /// # Errors
    /// - [`FormatError::Order`]: the record begins before the end of the one before, or its length is 0.
    /// - [`FormatError::TooLarge`]: over 4 GiB of index.
    pub fn push(&mut self, record: Option<(u64, u32)>) -> Result<(), FormatError> {
        let order = FormatError::Order {
            what: WHAT,
            item: self.count.into(),
        };
        if self.count == 0
            && let Some((offset, _)) = record
        {
            self.end = offset;
        }
        if self.count.is_multiple_of(BLOCK) {
            self.anchors.extend_from_slice(&self.end.to_le_bytes());
            self.anchors
                .extend_from_slice(&size_u32(WHAT, self.stream.len())?.to_le_bytes());
        }
        match record {
            None => self.stream.extend_from_slice(&[0, 0]),
            Some((_, 0)) => return Err(order),
            Some((offset, length)) => {
                let gap = offset.checked_sub(self.end).ok_or(order.clone())?;
                varint::encode(&mut self.stream, gap);
                varint::encode(&mut self.stream, length.into());
                self.end = offset.checked_add(length.into()).ok_or(order)?;
            }
        }
        self.count = self.count.checked_add(1).ok_or(FormatError::TooLarge {
            what: WHAT,
            size: u64::from(u32::MAX),
            max: u64::from(u32::MAX),
        })?;
        Ok(())
    }

    /// How many ordinals there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The section.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.anchors.append(&mut self.stream);
        self.anchors
    }
}

/// The offsets of a segment's records, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Offsets<'a> {
    anchors: &'a [u8],
    stream: &'a [u8],
    count: u32,
}

impl<'a> Offsets<'a> {
    /// Reads a section of `count` ordinals; the checksum is the caller's part.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] when the anchors do not fit.
    pub fn parse(bytes: &'a [u8], count: u32) -> Result<Self, FormatError> {
        let anchors_len = (count.div_ceil(BLOCK) as usize).saturating_mul(ANCHOR_BYTES);
        let (anchors, stream) =
            bytes
                .split_at_checked(anchors_len)
                .ok_or(FormatError::Truncated {
                    what: WHAT,
                    offset: bytes.len() as u64,
                    need: anchors_len.saturating_sub(bytes.len()) as u64,
                })?;
        Ok(Self {
            anchors,
            stream,
            count,
        })
    }

    /// How many ordinals there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The file offset and whole length of a record; `None` when it is lost, or there is no such ordinal.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when the section is damaged.
    pub fn locate(&self, ordinal: u32) -> Result<Option<(u64, u32)>, FormatError> {
        match self.iter_from(ordinal).next() {
            Some(item) => item.map(|(_, record)| record),
            None => Ok(None),
        }
    }

    /// The ordinals from `ordinal` on with their records; ends after the first error.
    #[must_use]
    pub fn iter_from(&self, ordinal: u32) -> OffsetsIter<'a> {
        let mut iter = OffsetsIter {
            rest: &[],
            end: 0,
            next: ordinal,
            count: self.count,
        };
        if ordinal >= self.count {
            return iter;
        }
        let block = ordinal / BLOCK;
        iter.next = block.saturating_mul(BLOCK);
        let anchor = (block as usize).saturating_mul(ANCHOR_BYTES);
        let end = array_at(self.anchors, anchor).map(u64::from_le_bytes);
        let at = u32_at(self.anchors, anchor.saturating_add(8));
        // A bad anchor leaves nothing to decode, which the first `next` reports.
        iter.end = end.unwrap_or_default();
        iter.rest = at
            .and_then(|at| self.stream.get(at as usize..))
            .unwrap_or_default();
        while iter.next < ordinal {
            if iter.skip_plain() {
                continue;
            }
            if !matches!(iter.next(), Some(Ok(_))) {
                iter.rest = &[];
                iter.next = ordinal;
            }
        }
        iter
    }
}

/// Iterator over ordinals: each with the file offset and whole length of its record, or `None` when that is lost.
#[derive(Debug, Clone)]
pub struct OffsetsIter<'a> {
    rest: &'a [u8],
    end: u64,
    next: u32,
    count: u32,
}

impl OffsetsIter<'_> {
    /// Passes over the next pair if it is of the usual form, gap 0 and a length of two bytes: most of a look-up is passing over pairs.
    fn skip_plain(&mut self) -> bool {
        let &[0, low, high, ref rest @ ..] = self.rest else {
            return false;
        };
        if low < 0x80 || high == 0 || high >= 0x80 {
            return false;
        }
        let length = u64::from(low & 0x7F) | (u64::from(high) << 7);
        self.end = self.end.saturating_add(length);
        self.rest = rest;
        self.next = self.next.saturating_add(1);
        true
    }

    fn pair(&mut self) -> Option<Option<(u64, u32)>> {
        let gap = varint::decode(&mut self.rest)?;
        let length = u32::try_from(varint::decode(&mut self.rest)?).ok()?;
        let offset = self.end.checked_add(gap)?;
        if length == 0 {
            return Some(None);
        }
        self.end = offset.checked_add(length.into())?;
        Some(Some((offset, length)))
    }
}

impl Iterator for OffsetsIter<'_> {
    type Item = Result<(u32, Option<(u64, u32)>), FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.count {
            return None;
        }
        let ordinal = self.next;
        let Some(record) = self.pair() else {
            self.next = self.count;
            return Some(Err(FormatError::Invalid {
                what: WHAT,
                offset: ordinal.into(),
            }));
        };
        self.next = ordinal.saturating_add(1);
        Some(Ok((ordinal, record)))
    }
}
