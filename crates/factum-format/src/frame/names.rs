//! Frames of packed names: a packed segment has each of its names once, in frames of their own.
//!
//! The body, between header and footer:
//!
//! ```text
//! u32 crc | u32 bytes | head | blocks | 4,096 bytes of filler | parities | filler | head | u32 bytes | u32 crc
//! ```
//!
//! ```text
//! head:  u8 kind | varint first ordinal | varint count | per block: varint bytes | tables
//! block: up to 32 names | u32 crc
//! ```
//!
//! Kinds are those of [`definition`](crate::definition); tables and names are as
//! [`packed_names`](crate::packed_names) draws them. The head stands twice, and its `crc` is CRC-32C of `bytes` ‖ head.
//! A block's is CRC-32C of its first name's ordinal (u32) ‖ its names.
//!
//! There are as many parities as blocks, but no more than 16. Number j is the exclusive or of the blocks j, j + 16, j + 32, …,
//! as long as the longest of them, the others taken as filled up with zeros. So one damaged block of each of these
//! rows is made again; 16 blocks in a row are some 4 KiB. The filler keeps the two halves apart, so that no sector holds both a
//! block and its parity, or both heads, however few names there are.
//!
//! A segment has the names of each kind in order of their ordinals, from 0, in one frame or more. There are no records
//! and no zero map: such frames are written whole, into a new file, and never cut.
//!
//! Relies on: the index as the second copy of each name, against damage that is larger. Never: loses a name to one bad sector.

use super::{
    FrameFields, FrameFlags, FrameHeader,
    builder::{FILLER, align, check_frame_len, seal},
    header::HEADER_BYTES,
};
use crate::{
    FormatError, SegmentKey,
    bytes::{Cursor, size_u32, u32_at},
    definition::{Definition, DefinitionKind},
    hash,
    limits::FRAME_ALIGN,
    packed_names::{Packer, Unpacker},
    varint,
};

const WHAT: &str = "packed names";
/// The names that share a checksum.
const BLOCK_NAMES: usize = 32;
/// The most parities.
const ROWS_MAX: usize = 16;
const CRC_BYTES: usize = 4;
/// What lies between the blocks and the parities: as much as the largest sector of a device.
const APART_BYTES: usize = 4096;
/// Length and checksum of a head.
const HEAD_FIXED_BYTES: usize = 8;
/// A frame has no more names than this, and is ended when they have so many bytes.
const NAMES_MAX: usize = 1 << 16;
const TEXT_BYTES_MAX: usize = 4 << 20;

/// Appends a frame with names of one kind, the first of which has the ordinal `first`, and returns its header and how many of
/// the names it took: all, unless that is too many for one frame. The frame will stand at `file_offset`.
///
/// # Errors
/// - [`FormatError::Invalid`]: `file_offset` is not a multiple of 64, or there is no name.
/// - [`FormatError::TooLarge`]: a name is over its limit.
pub fn finish_names(
    (kind, first): (DefinitionKind, u32),
    names: &[&str],
    fields: &FrameFields,
    (key, file_offset): (SegmentKey, u64),
    out: &mut Vec<u8>,
) -> Result<(FrameHeader, usize), FormatError> {
    let names = names.get(..fitting(names)).unwrap_or_default();
    if names.is_empty() || !file_offset.is_multiple_of(FRAME_ALIGN) {
        return Err(FormatError::Invalid {
            what: WHAT,
            offset: file_offset,
        });
    }
    let packer = Packer::new(names);
    let (lengths, blocks) = blocks(&packer, first, names);
    let parities = parities(&split(&lengths, &blocks).0);
    let mut head = vec![kind.0];
    varint::encode(&mut head, first.into());
    varint::encode(&mut head, names.len() as u64);
    lengths
        .iter()
        .for_each(|&length| varint::encode(&mut head, length as u64));
    packer.tables(&mut head)?;
    let length = size_u32(WHAT, head.len())?.to_le_bytes();
    let crc = hash::crc_append(hash::crc(&length), &head).to_le_bytes();
    let mut frame = vec![0; HEADER_BYTES];
    let apart = [FILLER; APART_BYTES];
    for part in [&crc[..], &length, &head, &blocks, &apart, &parities] {
        frame.extend_from_slice(part);
    }
    let back = head.len().saturating_add(HEAD_FIXED_BYTES + HEADER_BYTES);
    let frame_len = align(frame.len().saturating_add(back));
    check_frame_len(frame_len)?;
    frame.resize(frame_len.saturating_sub(back), FILLER);
    for part in [&head[..], &length, &crc] {
        frame.extend_from_slice(part);
    }
    frame.resize(frame_len, 0);
    let flags = fields.flags.with(FrameFlags::NAMES);
    let header = seal(
        &mut frame,
        &FrameFields { flags, ..*fields },
        0,
        key,
        file_offset,
    )?;
    out.append(&mut frame);
    Ok((header, names.len()))
}

/// How many of the names one frame takes: one at least.
fn fitting(names: &[&str]) -> usize {
    let mut bytes = 0_usize;
    let fits = names.iter().take(NAMES_MAX).take_while(|name| {
        let is_first = bytes == 0;
        bytes = bytes.saturating_add(name.len()).saturating_add(1);
        is_first || bytes <= TEXT_BYTES_MAX
    });
    fits.count()
}

/// The blocks, and the length of each.
fn blocks(packer: &Packer<'_>, first: u32, names: &[&str]) -> (Vec<usize>, Vec<u8>) {
    let (mut lengths, mut blocks) = (Vec::new(), Vec::new());
    let mut ordinal = first;
    for names in names.chunks(BLOCK_NAMES) {
        let start = blocks.len();
        names.iter().for_each(|name| packer.name(&mut blocks, name));
        let crc = block_crc(ordinal, blocks.get(start..).unwrap_or_default());
        blocks.extend_from_slice(&crc.to_le_bytes());
        lengths.push(blocks.len().saturating_sub(start));
        ordinal = after_block(ordinal);
    }
    (lengths, blocks)
}

/// Blocks of these lengths, and what is left behind them; a block that is not all there is empty, and so is what comes
/// after it.
fn split<'a>(lengths: &[usize], bytes: &'a [u8]) -> (Vec<&'a [u8]>, &'a [u8]) {
    let mut rest = bytes;
    let mut blocks = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let (block, after) = rest.split_at_checked(length).unwrap_or_default();
        blocks.push(block);
        rest = after;
    }
    (blocks, rest)
}

/// The blocks of a row.
fn row<'b, 'a>(blocks: &'b [&'a [u8]], number: usize) -> impl Iterator<Item = &'a [u8]> + 'b {
    blocks.iter().copied().skip(number).step_by(ROWS_MAX)
}

/// One parity for each row of blocks, back to back.
fn parities(blocks: &[&[u8]]) -> Vec<u8> {
    let rows = 0..blocks.len().min(ROWS_MAX);
    rows.flat_map(|number| {
        let longest = row(blocks, number).map(<[u8]>::len).max();
        let mut parity = vec![0; longest.unwrap_or(0)];
        row(blocks, number).for_each(|block| add(&mut parity, block));
        parity
    })
    .collect()
}

/// Exclusive or, as far as both go.
fn add(parity: &mut [u8], block: &[u8]) {
    for (byte, other) in parity.iter_mut().zip(block) {
        *byte ^= other;
    }
}

fn after_block(ordinal: u32) -> u32 {
    ordinal.saturating_add(u32::try_from(BLOCK_NAMES).unwrap_or(u32::MAX))
}

fn block_crc(ordinal: u32, names: &[u8]) -> u32 {
    hash::crc_append(hash::crc(&ordinal.to_le_bytes()), names)
}

/// The names of a frame, borrowed.
#[derive(Debug, Clone)]
pub struct FrameNames<'a> {
    kind: DefinitionKind,
    first: u32,
    count: u32,
    /// Each block with its checksum; one that the frame is too short for is empty.
    blocks: Vec<&'a [u8]>,
    /// All parities, and what follows them.
    parities: &'a [u8],
    unpacker: Unpacker<'a>,
}

impl<'a> FrameNames<'a> {
    /// Reads the body of a frame.
    ///
    /// # Errors
    /// When both heads are damaged.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, FormatError> {
        front_head(body)
            .or_else(|_| back_head(body))
            .and_then(|head| Self::with_head(head, body))
    }

    fn with_head(head: &'a [u8], body: &'a [u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, head);
        let kind = DefinitionKind(cursor.u8()?);
        let first = cursor.varint_u32()?;
        let count = cursor.varint_u32()?;
        if first.checked_add(count).is_none() || count as usize > NAMES_MAX {
            return Err(FormatError::Invalid {
                what: WHAT,
                offset: 1,
            });
        }
        let start = head.len().saturating_add(HEAD_FIXED_BYTES);
        let mut lengths = Vec::new();
        // Each length takes a byte of the head, so a false count ends with an error.
        for _ in 0..(count as usize).div_ceil(BLOCK_NAMES) {
            lengths.push(cursor.varint_u32()? as usize);
        }
        let (blocks, rest) = split(&lengths, body.get(start..).unwrap_or_default());
        let parities = rest.get(APART_BYTES..).unwrap_or_default();
        let unpacker = Unpacker::read(&mut cursor)?;
        Ok(Self {
            kind,
            first,
            count,
            blocks,
            parities,
            unpacker,
        })
    }

    /// What its names are the names of.
    #[must_use]
    pub fn kind(&self) -> DefinitionKind {
        self.kind
    }

    /// How many names the frame was written with.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Gives all names that verify, or can be made again, in order, and returns how many there were.
    pub fn for_each(&self, take: &mut dyn FnMut(Definition<'_>)) -> u32 {
        let end = self.first.saturating_add(self.count);
        let (mut ordinal, mut given) = (self.first, 0_u32);
        let mut text = Vec::new();
        for (number, block) in self.blocks.iter().enumerate() {
            let after = after_block(ordinal).min(end);
            let ordinals = ordinal..after;
            let taken = match verified(ordinal, block) {
                Some(names) => self.block(names, ordinals, &mut text, take),
                None => match verified(ordinal, &self.made_again(number)) {
                    Some(names) => self.block(names, ordinals, &mut text, take),
                    None => 0,
                },
            };
            given = given.saturating_add(taken);
            ordinal = after;
        }
        given
    }

    /// A block, from its row's parity and the others in the row.
    fn made_again(&self, number: usize) -> Vec<u8> {
        let of_row = |number| {
            row(&self.blocks, number)
                .map(<[u8]>::len)
                .max()
                .unwrap_or(0)
        };
        let wanted = number % ROWS_MAX;
        let start = (0..wanted).map(of_row).fold(0, usize::saturating_add);
        let end = start.saturating_add(of_row(wanted));
        let mut block = self.parities.get(start..end).unwrap_or_default().to_vec();
        let others = self.blocks.iter().enumerate();
        let others = others.filter(|(other, _)| *other != number && other % ROWS_MAX == wanted);
        others.for_each(|(_, other)| add(&mut block, other));
        block.truncate(self.blocks.get(number).map_or(0, |block| block.len()));
        block
    }

    /// Gives the names of a block that has verified.
    fn block(
        &self,
        names: &[u8],
        ordinals: std::ops::Range<u32>,
        text: &mut Vec<u8>,
        take: &mut dyn FnMut(Definition<'_>),
    ) -> u32 {
        let mut cursor = Cursor::new(WHAT, names);
        let mut given = 0_u32;
        for ordinal in ordinals {
            text.clear();
            let unpacked = self.unpacker.name(&mut cursor, text);
            let Some(name) = unpacked.ok().and_then(|()| std::str::from_utf8(text).ok()) else {
                break;
            };
            take(Definition {
                kind: self.kind,
                ordinal,
                name,
            });
            given = given.saturating_add(1);
        }
        given
    }
}

/// The names of a block without its checksum, if that is right.
fn verified(ordinal: u32, block: &[u8]) -> Option<&[u8]> {
    let at = block.len().checked_sub(CRC_BYTES)?;
    let names = block.get(..at)?;
    (u32_at(block, at)? == block_crc(ordinal, names)).then_some(names)
}

fn front_head(body: &[u8]) -> Result<&[u8], FormatError> {
    let mut cursor = Cursor::new(WHAT, body);
    let crc = cursor.u32()?;
    let length = cursor.u32()?;
    good_head(crc, length, cursor.take(length as usize)?)
}

fn back_head(body: &[u8]) -> Result<&[u8], FormatError> {
    let truncated = FormatError::Truncated {
        what: WHAT,
        offset: 0,
        need: HEAD_FIXED_BYTES as u64,
    };
    let at = body
        .len()
        .checked_sub(HEAD_FIXED_BYTES)
        .ok_or(truncated.clone())?;
    let mut cursor = Cursor::new(WHAT, body.get(at..).unwrap_or_default());
    let (length, crc) = (cursor.u32()?, cursor.u32()?);
    let start = at.checked_sub(length as usize).ok_or(truncated)?;
    good_head(crc, length, body.get(start..at).unwrap_or_default())
}

fn good_head(crc: u32, length: u32, head: &[u8]) -> Result<&[u8], FormatError> {
    if hash::crc_append(hash::crc(&length.to_le_bytes()), head) != crc {
        return Err(FormatError::Checksum {
            what: WHAT,
            offset: 0,
        });
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameView;

    const KEY: SegmentKey = SegmentKey {
        salt: 11,
        segment: 5,
    };
    const FIELDS: FrameFields = FrameFields {
        flags: FrameFlags::REPACKED,
        epoch: 1,
        frame_seq: 7,
        base_position: 100,
        durable_seq: 7,
        time: 1,
        prev_hash: 3,
    };

    fn frame(first: u32, names: &[&str]) -> (Vec<u8>, usize) {
        let mut out = Vec::new();
        let to = (DefinitionKind::STREAM, first);
        let (header, taken) = finish_names(to, names, &FIELDS, (KEY, 4096), &mut out).unwrap();
        assert_eq!(FrameHeader::decode(&out, KEY, 4096), Ok(header));
        (out, taken)
    }

    fn names_of(frame: &FrameView<'_>) -> Vec<(u32, String)> {
        let mut found = Vec::new();
        if let Ok(Some(names)) = frame.names() {
            names.for_each(&mut |d| found.push((d.ordinal, d.name.to_owned())));
        }
        found
    }

    fn many(count: u32) -> Vec<String> {
        (0..count)
            .map(|n| format!("order-{:08x}", n.wrapping_mul(0x9E37_79B9)))
            .collect()
    }

    #[test]
    fn names_come_back_by_ordinal() {
        for count in [1, 31, 32, 33, 1_000] {
            let names = many(count);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let (bytes, taken) = frame(40, &names);
            assert_eq!(taken, names.len());
            let view = FrameView::decode(&bytes, KEY, 4096).unwrap();
            assert_eq!(view.records(crate::frame::Verify::Checksums).count(), 0);
            assert!(view.definitions().unwrap().is_empty());
            let expected = (40..).zip(names).map(|(o, name)| (o, name.to_owned()));
            assert_eq!(names_of(&view), expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_too_much_goes_to_the_next_frame() {
        let long = "x".repeat(4_096);
        let names = vec![long.as_str(); 3_000];
        let (_, taken) = frame(0, &names);
        assert_eq!(taken, TEXT_BYTES_MAX / 4_097);
        let (_, taken) = frame(0, &vec!["a"; NAMES_MAX + 1]);
        assert_eq!(taken, NAMES_MAX);
        let mut out = Vec::new();
        let to = (DefinitionKind::TAG, 0);
        assert!(finish_names(to, &[], &FIELDS, (KEY, 4096), &mut out).is_err());
        assert!(finish_names(to, &["a"], &FIELDS, (KEY, 4097), &mut out).is_err());
        let over = "x".repeat(4_097);
        assert!(finish_names(to, &[&over], &FIELDS, (KEY, 4096), &mut out).is_err());
        assert!(out.is_empty());
    }

    /// Damages so many bytes at every place of a frame, and looks how many names are lost; none is ever a wrong one.
    fn check_damage(count: u32, bad_bytes: usize, lost_max: usize) {
        let names = many(count);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (bytes, _) = frame(0, &names);
        let header = FrameHeader::decode(&bytes, KEY, 4096).unwrap();
        let body = HEADER_BYTES..bytes.len() - HEADER_BYTES;
        for at in body.clone().step_by(bad_bytes) {
            let mut bad = bytes.clone();
            let end = (at + bad_bytes).min(body.end);
            bad[at..end].iter_mut().for_each(|byte| *byte ^= 0x41);
            let view = FrameView::new(header, &bad).unwrap();
            assert!(!view.body_is_good(KEY), "from {at}");
            let found = names_of(&view);
            assert!(found.len() + lost_max >= names.len(), "from {at}");
            for (ordinal, name) in found {
                assert_eq!(name, names[ordinal as usize], "from {at}");
            }
        }
    }

    #[test]
    fn no_name_is_lost_to_a_bad_byte_or_a_bad_sector() {
        check_damage(1, 1, 0);
        check_damage(70, 1, 0);
        check_damage(1_000, 1, 0);
        for count in [1, 3, 70, 1_000, 5_000] {
            check_damage(count, 512, 0);
        }
        for count in [1, 3, 70] {
            check_damage(count, 4_096, 0);
        }
        // A sector of 4 KiB may hold more than 16 blocks of short names; that is what the index is for.
        check_damage(20_000, 4_096, 2_000);
    }

    #[test]
    fn changed_bodies_never_panic() {
        let names = many(70);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (bytes, _) = frame(u32::MAX - 70, &names);
        let header = FrameHeader::decode(&bytes, KEY, 4096).unwrap();
        let mut random = fastrand::Rng::with_seed(30);
        for _ in 0..5_000 {
            let mut bad = bytes.clone();
            for _ in 0..random.usize(1..5) {
                let at = random.usize(0..bad.len());
                bad[at] = random.u8(..);
            }
            // A head that verifies, whatever it says.
            let length = u32_at(&bad, 68).unwrap_or(0) as usize;
            if let Some(head) = bad.get(68..72_usize.saturating_add(length)) {
                let crc = hash::crc(head).to_le_bytes();
                bad[64..68].copy_from_slice(&crc);
            }
            assert!(names_of(&FrameView::new(header, &bad).unwrap()).len() <= bad.len());
        }
    }
}
