//! Recovery: what the segments that were being written hold, and whether anything acknowledged is missing.
//!
//! A pure walk over the bytes of the unsealed segments, frame by frame. The first frame that is not the expected one is judged by the table
//! of `factum_format::scan::verdict`: either it never arrived, and the log is cut there; or it did and went bad, and then nothing is cut:
//! what is good is salvaged, and the store does not write until the loss is accepted.
//! Relies on: the bytes were read from the device. Never: writes; takes damage in the middle for the end.

mod header;
mod walk;

use factum_format::SegmentKey;
use factum_format::frame::FrameHeader;
use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::manifest::{QuarantineReason, SegmentEntry};
use factum_format::scan::{Area, FrameAt, find_frames_after, scan_frame};
use factum_format::segment::Copies;

use crate::view::Unsealed;
pub(crate) use header::{HeaderFound, find_header};
use walk::Walk;

/// A segment that was being written, as found.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) unsealed: &'a Unsealed,
    pub(crate) bytes: &'a [u8],
    pub(crate) first_frame_seq: u64,
    /// Which copies of the header were good; none when it is as the manifest remembers it.
    pub(crate) copies: Option<Copies>,
    /// How long the file was made; it is never shortened before it is sealed.
    pub(crate) capacity: u64,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// The first position concerned, and how many were lost; none when nothing was.
    pub(crate) first_position: u64,
    pub(crate) lost: u64,
    /// Whether it is not even known how many were lost.
    pub(crate) unbounded: bool,
    pub(crate) reason: Option<QuarantineReason>,
    pub(crate) what: String,
}

/// Where the log is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Which of the segments found.
    pub(crate) index: usize,
    pub(crate) offset: u64,
    /// One more than the last byte that is not zero behind it.
    pub(crate) dirty_end: u64,
    /// Whether a frame is given up, rather than bytes that never were one.
    pub(crate) frame: bool,
}

/// The state of the log after the last good frame.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    /// Which of the segments found; the log goes on in it.
    pub(crate) index: usize,
    pub(crate) offset: u64,
    pub(crate) next_seq: u64,
    pub(crate) durable_seq: u64,
    pub(crate) prev_hash: u32,
    pub(crate) epoch: u16,
    pub(crate) next_position: u64,
}

/// What a recovery found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) tail: Tail,
    pub(crate) cut: Option<Cut>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) newer: bool,
}

impl Recovered {
    /// Whether anything acknowledged is lost, or may be.
    pub(crate) fn lost(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.lost > 0 || finding.unbounded)
    }
}

/// Walks the segments found, oldest first, and applies what is good.
pub(crate) fn recover(found: &[Found<'_>], start: Tail) -> Recovered {
    let mut walk = Walk::new(found, start);
    walk.run();
    walk.finish()
}

/// Applies all that is good in a sealed segment; reports the rest.
pub(crate) fn scan_sealed(
    unsealed: &Unsealed,
    entry: &SegmentEntry,
    bytes: &[u8],
    report: &mut dyn FnMut(Finding),
) {
    let end = usize::try_from(entry.end_offset)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let area = Area::whole(&bytes[..end]);
    let key = unsealed.head.key;
    let mut offset = SEGMENT_HEADER_BYTES;
    while offset < entry.end_offset {
        let at = scan_frame(&area, offset, key);
        let next_position = unsealed.end_position();
        match at {
            FrameAt::Valid(frame) => {
                let applied = unsealed.apply(frame.header(), offset, frame.bytes(), true);
                if applied.malformed {
                    report(malformed(unsealed, frame.header(), offset));
                }
                offset += u64::from(frame.header().frame_len);
                continue;
            }
            FrameAt::Empty if !offset.is_multiple_of(PAGE) => {
                // Padding between frames that were under way at once.
                offset = offset.next_multiple_of(PAGE);
                continue;
            }
            FrameAt::StrayBits if !offset.is_multiple_of(PAGE) => {
                let next = offset.next_multiple_of(PAGE);
                report(harmless(
                    key,
                    offset,
                    next - offset,
                    next_position,
                    "stray bits in padding",
                ));
                offset = next;
                continue;
            }
            _ => {}
        }
        let lengths = (entry.end_offset, entry.base_position + entry.record_count);
        offset = pass_damage(unsealed, &area, (offset, at), lengths, report);
    }
}

const PAGE: u64 = crate::log::PAGE_BYTES;

/// After a tail of unknown length was lost, positions go on this far behind it, so that none is used twice.
pub(crate) const UNKNOWN_LOSS_POSITIONS: u64 = 1 << 20;

/// Applies what is left of a damaged frame; gives where the next one begins.
fn pass_damage(
    unsealed: &Unsealed,
    area: &Area<'_>,
    (offset, at): (u64, FrameAt<'_>),
    (end_offset, end_position): (u64, u64),
    report: &mut dyn FnMut(Finding),
) -> u64 {
    let key = unsealed.head.key;
    let next_position = unsealed.end_position();
    if let FrameAt::Damaged(damaged) = &at
        && let Some(header) = damaged.header
        && header.base_position == next_position
        && !damaged.bytes.is_empty()
    {
        report(apply_damaged(
            unsealed,
            &header,
            offset,
            damaged.bytes,
            damaged.body_ok,
        ));
        return offset + u64::from(header.frame_len);
    }
    let next = find_frames_after(area, offset, key)
        .find(|(_, header)| header.base_position >= next_position);
    let (next_offset, position) = match next {
        Some((offset, header)) => (offset, header.base_position),
        None => (end_offset, end_position),
    };
    // No more than the segment is known to have, whatever a forged header says.
    let lost = position.min(end_position).saturating_sub(next_position);
    unsealed.lose(u32::try_from(lost).unwrap_or(u32::MAX));
    report(Finding {
        segment: key.segment,
        offset,
        length: next_offset.saturating_sub(offset),
        first_position: next_position,
        lost,
        unbounded: false,
        reason: Some(QuarantineReason::Header),
        what: "a frame is damaged beyond recognition".to_owned(),
    });
    next_offset
}

/// Applies a frame whose header is known and something else is not.
fn apply_damaged(
    unsealed: &Unsealed,
    header: &FrameHeader,
    offset: u64,
    bytes: &[u8],
    body_ok: bool,
) -> Finding {
    let lost = if body_ok {
        unsealed.apply(header, offset, bytes, false);
        0
    } else {
        unsealed.apply_damaged(header, offset, bytes)
    };
    let what = match (body_ok, lost) {
        (true, _) => "a frame's header or footer is damaged; its events are whole".to_owned(),
        (false, 0) => "a frame is damaged outside its events".to_owned(),
        (false, _) => format!("{lost} events of a frame are damaged"),
    };
    Finding {
        segment: unsealed.head.number,
        offset,
        length: u64::from(header.frame_len),
        first_position: header.base_position,
        lost: u64::from(lost),
        unbounded: false,
        reason: Some(if body_ok {
            QuarantineReason::Header
        } else {
            QuarantineReason::Body
        }),
        what,
    }
}

/// A frame whose hashes hold and that nobody writes: what could be taken up was.
fn malformed(unsealed: &Unsealed, header: &FrameHeader, offset: u64) -> Finding {
    Finding {
        segment: unsealed.head.number,
        offset,
        length: header.frame_len.into(),
        first_position: header.base_position,
        lost: header.record_count.max(1).into(),
        unbounded: false,
        reason: Some(QuarantineReason::Body),
        what: "a frame's hashes hold, and its content makes no sense".to_owned(),
    }
}

/// Damage that concerns no event.
fn harmless(key: SegmentKey, offset: u64, length: u64, position: u64, what: &str) -> Finding {
    Finding {
        segment: key.segment,
        offset,
        length,
        first_position: position,
        lost: 0,
        unbounded: false,
        reason: None,
        what: what.to_owned(),
    }
}
