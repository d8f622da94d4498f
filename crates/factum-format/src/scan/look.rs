//! Looking at one offset, and for frames after it.

use super::{Area, missing_sectors};
use crate::{
    FormatError, SegmentKey,
    bytes::is_zero,
    frame::{FOOTER_MAGIC, FrameHeader, FrameView, HEADER_MAGIC},
    limits::{FRAME_ALIGN, FRAME_BYTES_MAX, SECTOR_BYTES},
};

/// More bytes than this in the place of a header are not stray bits. A header has more than twice as many.
const STRAY_BYTES_MAX: usize = 7;

/// What stands at an offset.
#[derive(Debug, Clone, Copy)]
pub enum FrameAt<'a> {
    /// A frame; header, body and footer verify.
    Valid(FrameView<'a>),
    /// A frame which does not verify in all its parts.
    Damaged(DamagedFrame<'a>),
    /// Nothing: the sector (or the part of it from here) is zero, and no footer belongs here.
    Empty,
    /// A few bytes that are not zero where a header would stand, nothing else in the sector, and no footer belongs
    /// here: the pre-written area was hit, no frame was here.
    StrayBits,
    /// Something that is no frame of this segment, or a frame of which neither header nor footer verifies.
    Garbage,
}

/// A frame which does not verify in all its parts.
#[derive(Debug, Clone, Copy)]
pub struct DamagedFrame<'a> {
    /// The header, from the header or from the footer; `None` for [`Damage::NewerVersion`].
    pub header: Option<FrameHeader>,
    /// The frame's bytes, for salvage; empty unless all of the frame lies in the area.
    pub bytes: &'a [u8],
    /// Whether the body matches its hash: then nothing is lost.
    pub body_ok: bool,
    /// Whether a sector of the extent is zero and not meant to be; see [`missing_sectors`].
    pub missing: bool,
    /// The first part that does not verify.
    pub damage: Damage,
}

/// Which part of a frame does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The header's sector (or its part from the frame's start) is zero; the header is known from the footer.
    HeaderMissing,
    /// The header is there but does not verify; it is known from the footer.
    Header,
    /// The header verifies, the body does not.
    Body,
    /// Header and body verify, the footer does not.
    Footer,
    /// The header verifies, but the frame goes past the end of the area: the file was shortened.
    PastEnd,
    /// The header verifies, but a newer release wrote it. Refuse to open.
    NewerVersion,
}

/// What stands at file offset `offset`, a multiple of 64.
///
/// The sequence number, the epoch and the previous hash are not compared with anything: that is the caller's part.
#[must_use]
pub fn scan_frame<'a>(area: &Area<'a>, offset: u64, key: SegmentKey) -> FrameAt<'a> {
    let Some(bytes) = area.after(offset).filter(|bytes| !bytes.is_empty()) else {
        return FrameAt::Empty;
    };
    match FrameHeader::decode(bytes, key, offset) {
        Ok(header) => scan_body(header, bytes, offset, key),
        Err(FormatError::NewerVersion { .. }) => FrameAt::Damaged(DamagedFrame {
            header: None,
            bytes: &[],
            body_ok: false,
            missing: false,
            damage: Damage::NewerVersion,
        }),
        Err(_) => scan_without_header(area, bytes, offset, key),
    }
}

/// The frames after `offset` that can be found without knowing where they begin, by ascending offset.
///
/// Every multiple of 64 bytes is looked at, magic number first. A frame counts when its header verifies, or its footer
/// does and names a start after `offset`; nothing is said about its body. Frames of another segment, or in another
/// place than where they were written, do not verify.
#[must_use]
pub fn find_frames_after<'a>(area: &Area<'a>, offset: u64, key: SegmentKey) -> FramesAfter<'a> {
    let next = offset.checked_next_multiple_of(FRAME_ALIGN);
    let next = if next == Some(offset) {
        offset.checked_add(FRAME_ALIGN)
    } else {
        next
    };
    FramesAfter {
        area: *area,
        key,
        after: offset,
        next,
    }
}

/// Iterator over frames found by their header or footer: the file offset at which each begins, and its header.
#[derive(Debug, Clone)]
pub struct FramesAfter<'a> {
    area: Area<'a>,
    key: SegmentKey,
    after: u64,
    next: Option<u64>,
}

impl FramesAfter<'_> {
    fn found_at(&self, at: u64, bytes: &[u8]) -> Option<(u64, FrameHeader)> {
        match *bytes.first_chunk()? {
            HEADER_MAGIC => Some((at, FrameHeader::decode(bytes, self.key, at).ok()?)),
            FOOTER_MAGIC => {
                let (start, header) = FrameHeader::decode_footer(bytes, self.key, at).ok()?;
                // With a good header the frame has been found before.
                let unseen = start > self.after
                    && self
                        .area
                        .after(start)
                        .is_none_or(|bytes| FrameHeader::decode(bytes, self.key, start).is_err());
                unseen.then_some((start, header))
            }
            _ => None,
        }
    }
}

impl Iterator for FramesAfter<'_> {
    type Item = (u64, FrameHeader);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let at = self.next?;
            let used = self.area.after(at).filter(|_| at < self.area.used_end());
            let Some(bytes) = used else {
                self.next = None;
                return None;
            };
            self.next = at.checked_add(FRAME_ALIGN);
            if let Some(found) = self.found_at(at, bytes) {
                return Some(found);
            }
        }
    }
}

fn scan_body(header: FrameHeader, bytes: &[u8], offset: u64, key: SegmentKey) -> FrameAt<'_> {
    let Ok(frame) = FrameView::new(header, bytes) else {
        return FrameAt::Damaged(DamagedFrame {
            header: Some(header),
            bytes: &[],
            body_ok: false,
            missing: false,
            damage: Damage::PastEnd,
        });
    };
    let body_ok = frame.body_is_good(key);
    if body_ok && frame.footer_is_good(key, offset) {
        return FrameAt::Valid(frame);
    }
    let damage = if body_ok {
        Damage::Footer
    } else {
        Damage::Body
    };
    FrameAt::Damaged(damaged(&frame, offset, body_ok, damage))
}

fn scan_without_header<'a>(
    area: &Area<'a>,
    bytes: &'a [u8],
    offset: u64,
    key: SegmentKey,
) -> FrameAt<'a> {
    if let Some(header) = find_footer(area, offset, key)
        && let Ok(frame) = FrameView::new(header, bytes)
    {
        let header_missing = is_zero(rest_of_sector(frame.bytes(), offset));
        let damage = if header_missing {
            Damage::HeaderMissing
        } else {
            Damage::Header
        };
        return FrameAt::Damaged(damaged(&frame, offset, frame.body_is_good(key), damage));
    }
    let sector = rest_of_sector(bytes, offset);
    if is_zero(sector) {
        return FrameAt::Empty;
    }
    let (header, rest) = sector.split_at_checked(64).unwrap_or((sector, &[]));
    let stray = header.iter().filter(|&&byte| byte != 0).count();
    if stray <= STRAY_BYTES_MAX && is_zero(rest) {
        FrameAt::StrayBits
    } else {
        FrameAt::Garbage
    }
}

fn damaged<'a>(
    frame: &FrameView<'a>,
    offset: u64,
    body_ok: bool,
    damage: Damage,
) -> DamagedFrame<'a> {
    DamagedFrame {
        header: Some(*frame.header()),
        bytes: frame.bytes(),
        body_ok,
        missing: missing_sectors(frame, offset),
        damage,
    }
}

/// The header of the frame that begins at `offset`, from its footer.
fn find_footer(area: &Area<'_>, offset: u64, key: SegmentKey) -> Option<FrameHeader> {
    let limit = offset.checked_add(FRAME_BYTES_MAX)?.min(area.used_end());
    let mut at = offset.checked_add(FRAME_ALIGN)?;
    while at < limit {
        let bytes = area.after(at)?;
        if bytes.first_chunk() == Some(&FOOTER_MAGIC)
            && let Ok((start, header)) = FrameHeader::decode_footer(bytes, key, at)
            && start == offset
        {
            return Some(header);
        }
        at = at.checked_add(FRAME_ALIGN)?;
    }
    None
}

/// The front of `bytes`, which begin at `offset`, up to the end of the file sector.
fn rest_of_sector(bytes: &[u8], offset: u64) -> &[u8] {
    let length = SECTOR_BYTES.saturating_sub(offset % SECTOR_BYTES);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    bytes.get(..length).unwrap_or(bytes)
}
