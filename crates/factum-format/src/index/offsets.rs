//! Sections `SLOPED_OFFSETS` and `OFFSETS`: where each record stands, by ordinal.
//!
//! ```text
//! anchors, one for every 64 ordinals: u64 file offset | u32 where its block begins in the bits, in bytes
//!                                     u8 end width | u8 gap width | u16 slope, in sixteenths of a byte
//! blocks of bits, per ordinal:        end | gap
//! ```
//!
//! A block's anchor is the end of the last record before it, and for the first block it is the offset of its first
//! record, 0 if that is lost. *End* is where the record ends, counted from the anchor. *Gap* is counted from the end of the record before
//! (from the anchor for a block's first); within a frame it is 0. A block's ends all have one width, and its gaps
//! another, 0 to 32 bits; the lowest bit comes first, and a block begins with a whole byte. A record that is damaged or
//! missing ends where the one before does, with gap 0. So a look-up reads one anchor and two neighbours, however long
//! the section.
//!
//! Records are about as long as their neighbours. A block with a *slope* has, for each end, only how far it is from a straight line: the i-th, from 1,
//! from i times the slope, rounded down to whole bytes; zigzag, as it may be on either side. With slope 0 the ends stand as they are, as they all do in
//! an `OFFSETS`, which is read and not written any more. About 0.8 bytes for each record of 300 to 304, 1.8 of 100 to 1,000; 2.1 without slopes.

use crate::{
    FormatError,
    bytes::{array_at, size_u32, u32_at},
};

const WHAT: &str = "index offsets";
const BLOCK: u32 = 64;
const ANCHOR_BYTES: usize = 16;
const WIDTH_MAX: u8 = 32;
/// A slope counts so many to the byte, as a power of two.
const SLOPE_BITS: u32 = 4;

/// Collects offsets by ordinal.
#[derive(Debug, Default)]
pub struct OffsetsBuilder {
    anchors: Vec<u8>,
    bits: Vec<u8>,
    /// Of the block under way: end and gap by ordinal.
    block: Vec<(u32, u32)>,
    /// The file offset that the block's ends are counted from.
    anchor: u64,
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
    /// - [`FormatError::TooLarge`]: over 4 GiB of index, or between records that are less than 64 ordinals apart.
    pub fn push(&mut self, record: Option<(u64, u32)>) -> Result<(), FormatError> {
        let order = FormatError::Order {
            what: WHAT,
            item: self.count.into(),
        };
        let count = self.count.checked_add(1).ok_or(FormatError::TooLarge {
            what: WHAT,
            size: u64::from(u32::MAX),
            max: u64::from(u32::MAX),
        })?;
        if self.count == 0 {
            self.end = record.map_or(0, |(offset, _)| offset);
        }
        if self.count.is_multiple_of(BLOCK) {
            self.end_block()?;
            self.anchor = self.end;
        }
        let (end, gap) = match record {
            None => (self.end, 0),
            Some((_, 0)) => return Err(order),
            Some((offset, length)) => {
                let gap = offset.checked_sub(self.end).ok_or(order.clone())?;
                (offset.checked_add(length.into()).ok_or(order)?, gap)
            }
        };
        let within = |size: u64| {
            u32::try_from(size).or(Err(FormatError::TooLarge {
                what: WHAT,
                size,
                max: u32::MAX.into(),
            }))
        };
        let item = (within(end.saturating_sub(self.anchor))?, within(gap)?);
        self.block.push(item);
        (self.count, self.end) = (count, end);
        Ok(())
    }

    /// How many ordinals there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The section.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] over 4 GiB.
    pub fn finish(mut self) -> Result<Vec<u8>, FormatError> {
        self.end_block()?;
        self.anchors.append(&mut self.bits);
        Ok(self.anchors)
    }

    /// Writes the block under way, if there is one.
    fn end_block(&mut self) -> Result<(), FormatError> {
        // The last record of a block ends last.
        let Some(&(last, _)) = self.block.last() else {
            return Ok(());
        };
        let gap = self.block.iter().map(|&(_, gap)| gap).max();
        let gap_width = width(gap.unwrap_or(0));
        let (slope, end_width) = self.sloped(last).unwrap_or((0, width(last)));
        self.anchors.extend_from_slice(&self.anchor.to_le_bytes());
        self.anchors
            .extend_from_slice(&size_u32(WHAT, self.bits.len())?.to_le_bytes());
        self.anchors.extend_from_slice(&[end_width, gap_width]);
        self.anchors.extend_from_slice(&slope.to_le_bytes());
        let mut writer = BitWriter::new(&mut self.bits);
        for (item, (end, gap)) in (0..).zip(self.block.drain(..)) {
            // With the slope that was chosen there is one for each of them.
            let stored = from_line(end, slope, item).ok_or(FormatError::Invalid {
                what: WHAT,
                offset: item.into(),
            })?;
            writer.push(stored, end_width);
            writer.push(gap, gap_width);
        }
        writer.finish();
        Ok(())
    }

    /// The slope of the block under way, which ends at `last`, and the width of its ends then; `None` when they are as wide without, or wider, and when
    /// a slope cannot be as large: for records of 4 KiB on average.
    fn sloped(&self, last: u32) -> Option<(u16, u8)> {
        let count = u64::try_from(self.block.len()).ok()?;
        let slope = (u64::from(last) << SLOPE_BITS).checked_div(count)?;
        let slope = u16::try_from(slope).ok()?;
        let mut widest = 0;
        for (item, &(end, _)) in (0..).zip(&self.block) {
            widest = widest.max(from_line(end, slope, item)?);
        }
        (width(widest) < width(last)).then_some((slope, width(widest)))
    }
}

/// Where each record of a segment stands, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Offsets<'a> {
    anchors: &'a [u8],
    bits: &'a [u8],
    count: u32,
}

impl<'a> Offsets<'a> {
    /// Reads a section of `count` ordinals; the checksum is the caller's part.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] when the anchors do not fit.
    pub fn parse(bytes: &'a [u8], count: u32) -> Result<Self, FormatError> {
        let anchors_len = (count.div_ceil(BLOCK) as usize).saturating_mul(ANCHOR_BYTES);
        let (anchors, bits) =
            bytes
                .split_at_checked(anchors_len)
                .ok_or(FormatError::Truncated {
                    what: WHAT,
                    offset: bytes.len() as u64,
                    need: anchors_len.saturating_sub(bytes.len()) as u64,
                })?;
        Ok(Self {
            anchors,
            bits,
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
    #[inline]
    pub fn locate(&self, ordinal: u32) -> Result<Option<(u64, u32)>, FormatError> {
        if ordinal >= self.count {
            return Ok(None);
        }
        self.find(ordinal).ok_or(FormatError::Invalid {
            what: WHAT,
            offset: ordinal.into(),
        })
    }

    /// The bytes that [`locate`](Self::locate) reads first, for who wants to have them at hand.
    #[must_use]
    pub fn first_bytes(&self, ordinal: u32) -> &'a [u8] {
        let at = ((ordinal / BLOCK) as usize).saturating_mul(ANCHOR_BYTES);
        self.anchors.get(at..).unwrap_or_default()
    }

    /// The bytes that [`locate`](Self::locate) reads after those, which are read for it.
    #[must_use]
    pub fn second_bytes(&self, ordinal: u32) -> &'a [u8] {
        let found = || {
            let at = ((ordinal / BLOCK) as usize).checked_mul(ANCHOR_BYTES)?;
            let anchor: [u8; ANCHOR_BYTES] = array_at(self.anchors, at)?;
            let [.., end_width, gap_width, _, _] = anchor;
            let width = u32::from(end_width).checked_add(gap_width.into())?;
            let before = (ordinal % BLOCK).saturating_sub(1);
            let at = before.checked_mul(width)? / 8;
            self.bits
                .get(u32_at(&anchor, 8)? as usize..)?
                .get(at as usize..)
        };
        found().unwrap_or_default()
    }

    /// The ordinals from `ordinal` on with their records; ends after the first error.
    #[must_use]
    pub fn iter_from(&self, ordinal: u32) -> OffsetsIter<'a> {
        OffsetsIter {
            offsets: *self,
            next: ordinal,
        }
    }

    /// The record of an ordinal below the count; `None` when the section is damaged.
    #[inline]
    fn find(&self, ordinal: u32) -> Option<Option<(u64, u32)>> {
        let (block, item) = (ordinal / BLOCK, ordinal % BLOCK);
        let at = (block as usize).checked_mul(ANCHOR_BYTES)?;
        let anchor: [u8; ANCHOR_BYTES] = array_at(self.anchors, at)?;
        let base = u64::from_le_bytes(array_at(&anchor, 0)?);
        let block = self.bits.get(u32_at(&anchor, 8)? as usize..)?;
        let [.., end_width, gap_width, low, high] = anchor;
        if end_width > WIDTH_MAX || gap_width > WIDTH_MAX {
            return None;
        }
        let slope = u16::from_le_bytes([low, high]);
        let width = u32::from(end_width).checked_add(gap_width.into())?;
        let at = item.checked_mul(width)?;
        let before = match item.checked_sub(1) {
            None => 0,
            Some(before) => {
                let stored = bits(block, at.checked_sub(width)?, end_width)?;
                on_line(stored, slope, before)?
            }
        };
        let end = on_line(bits(block, at, end_width)?, slope, item)?;
        let gap = bits(block, at.checked_add(end_width.into())?, gap_width)?;
        let start = before.checked_add(gap)?;
        let length = end.checked_sub(start)?;
        if length == 0 {
            return (gap == 0).then_some(None);
        }
        Some(Some((base.checked_add(start.into())?, length)))
    }
}

/// Iterator over ordinals: each with the file offset and whole length of its record, or `None` when that is lost.
#[derive(Debug, Clone)]
pub struct OffsetsIter<'a> {
    offsets: Offsets<'a>,
    next: u32,
}

impl Iterator for OffsetsIter<'_> {
    type Item = Result<(u32, Option<(u64, u32)>), FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let ordinal = self.next;
        if ordinal >= self.offsets.count {
            return None;
        }
        let found = self.offsets.locate(ordinal);
        self.next = match found {
            Ok(_) => ordinal.saturating_add(1),
            Err(_) => self.offsets.count,
        };
        Some(found.map(|record| (ordinal, record)))
    }
}

/// What is stored for the end of a block's record: how far it is from the line; `None` when that is not of 32 bits.
fn from_line(end: u32, slope: u16, item: u32) -> Option<u32> {
    if slope == 0 {
        return Some(end);
    }
    let away = i64::from(end).checked_sub(line(slope, item)?.into())?;
    // Zigzag: 0, -1, 1, -2, … are 0, 1, 2, 3, …
    let twice = away.checked_mul(2)?;
    u32::try_from(if away < 0 { !twice } else { twice }).ok()
}

/// The end of a block's record, of what is stored; `None` when there can be no such end.
#[inline]
fn on_line(stored: u32, slope: u16, item: u32) -> Option<u32> {
    if slope == 0 {
        return Some(stored);
    }
    let (line, away) = (line(slope, item)?, stored >> 1);
    if stored & 1 == 0 {
        line.checked_add(away)
    } else {
        line.checked_sub(away.checked_add(1)?)
    }
}

/// Where a block's record would end if all were as long.
#[inline]
fn line(slope: u16, item: u32) -> Option<u32> {
    let steps = item.checked_add(1)?;
    Some(u32::from(slope).checked_mul(steps)? >> SLOPE_BITS)
}

/// How many bits it takes.
fn width(value: u32) -> u8 {
    let bits = u32::BITS.saturating_sub(value.leading_zeros());
    u8::try_from(bits).unwrap_or(WIDTH_MAX)
}

/// The number in `width` bits, at most 32, from bit `at` on; `None` when they are not all there.
#[inline]
fn bits(bytes: &[u8], at: u32, width: u8) -> Option<u32> {
    let (byte, shift) = ((at / 8) as usize, at % 8);
    let word = match array_at(bytes, byte) {
        Some(word) => u64::from_le_bytes(word),
        None => last_word(bytes, at.checked_add(width.into())?, byte)?,
    };
    let mask = 1_u64.checked_shl(width.into())?.saturating_sub(1);
    u32::try_from((word >> shift) & mask).ok()
}

/// What is left from `byte` on, less than a word, if it goes up to bit `end`.
#[cold]
fn last_word(bytes: &[u8], end: u32, byte: usize) -> Option<u64> {
    if end.div_ceil(8) as usize > bytes.len() {
        return None;
    }
    let rest = bytes.get(byte..).unwrap_or_default();
    Some(
        rest.iter()
            .rev()
            .fold(0, |word, &byte| (word << 8) | u64::from(byte)),
    )
}

/// Appends numbers of few bits, the lowest bit first.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    word: u64,
    filled: u32,
}

impl<'a> BitWriter<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            word: 0,
            filled: 0,
        }
    }

    /// Appends `value`, which fits into `width` bits, at most 32.
    fn push(&mut self, value: u32, width: u8) {
        self.word |= u64::from(value) << self.filled;
        self.filled = self.filled.saturating_add(width.into());
        while self.filled >= 8 {
            let [low, ..] = self.word.to_le_bytes();
            self.out.push(low);
            self.word >>= 8;
            self.filled = self.filled.saturating_sub(8);
        }
    }

    fn finish(self) {
        if self.filled > 0 {
            let [low, ..] = self.word.to_le_bytes();
            self.out.push(low);
        }
    }
}
