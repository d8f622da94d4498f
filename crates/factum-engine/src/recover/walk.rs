//! The walk over the segments that were being written.

use factum_format::frame::{FrameHeader, HEADER_MAGIC};
use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::manifest::QuarantineReason;
use factum_format::scan::{
    Area, FrameAt, RotCause, Verdict, find_frames_after, scan_frame, verdict,
};
use factum_format::segment::Copies;

use super::{
    Cut, Finding, Found, PAGE, Recovered, Tail, UNKNOWN_LOSS_POSITIONS, apply_damaged, harmless,
    malformed,
};
use crate::mutant::{Mutant, on};

const ONE_COPY: &str = "one of the two copies of a segment's header is damaged";

/// A walk under way.
pub(super) struct Walk<'a> {
    found: &'a [Found<'a>],
    tail: Tail,
    cut: Option<Cut>,
    findings: Vec<Finding>,
    newer: bool,
    /// Whether the frame before is known, so that the chain of hashes can be checked.
    chained: bool,
}

/// What to do after a frame that was not the expected one.
enum Next {
    /// Go on in the same segment.
    Here,
    /// Go on in the next segment.
    Segment,
    /// The log ends here.
    End,
}

impl<'a> Walk<'a> {
    pub(super) fn new(found: &'a [Found<'a>], start: Tail) -> Self {
        Self {
            found,
            tail: start,
            cut: None,
            findings: Vec::new(),
            newer: false,
            chained: false,
        }
    }

    pub(super) fn run(&mut self) {
        for index in 0..self.found.len() {
            self.tail.index = index;
            self.tail.offset = SEGMENT_HEADER_BYTES;
            self.check_header(index);
            if !self.segment(index) {
                return;
            }
        }
    }

    pub(super) fn finish(mut self) -> Recovered {
        // Before the first frame, a header of which one copy did not arrive is what a power failure leaves, not damage.
        if self.tail.offset == SEGMENT_HEADER_BYTES
            && let Some(found) = self.found.get(self.tail.index)
        {
            let number = found.unsealed.head.number;
            self.findings.retain(|finding| {
                finding.segment != number
                    || finding.reason.is_some()
                    || finding.offset >= SEGMENT_HEADER_BYTES
            });
        }
        Recovered {
            tail: self.tail,
            cut: self.cut,
            findings: self.findings,
            newer: self.newer,
        }
    }

    fn check_header(&mut self, index: usize) {
        let found = &self.found[index];
        let (offset, what) = match found.copies {
            Some(Copies::Both) => return,
            Some(Copies::FirstOnly) => (SEGMENT_HEADER_BYTES / 2, ONE_COPY),
            Some(Copies::SecondOnly | Copies::Differ) => (0, ONE_COPY),
            None => (
                0,
                "both copies of a segment's header are damaged; the manifest knows it",
            ),
        };
        let position = self.tail.next_position;
        let key = found.unsealed.head.key;
        self.findings
            .push(harmless(key, offset, 128, position, what));
    }

    /// Walks one segment; says whether the log goes on in the next.
    fn segment(&mut self, index: usize) -> bool {
        let found = &self.found[index];
        let area = Area::whole(found.bytes);
        // After a loss was accepted, or when segments in between were given up, the log goes on here with a gap.
        let gap = found
            .unsealed
            .head
            .base_position
            .saturating_sub(self.tail.next_position);
        if gap > 0 {
            self.tail.next_position += gap;
        }
        if found.first_frame_seq > self.tail.next_seq {
            self.tail.next_seq = found.first_frame_seq;
            self.chained = false;
        }
        loop {
            let (offset, at) = self.look(&area);
            if let FrameAt::Valid(frame) = &at
                && self.is_next(frame.header())
            {
                let unsealed = found.unsealed;
                let applied = unsealed.apply(frame.header(), offset, frame.bytes(), true);
                if applied.malformed {
                    let finding = malformed(unsealed, frame.header(), offset);
                    self.findings.push(finding);
                }
                self.pass(frame.header(), offset);
                continue;
            }
            match self.judge(&area, offset, &at) {
                Next::Here => {}
                Next::Segment => return true,
                Next::End => return false,
            }
        }
    }

    /// What stands where the next frame should: right behind the last one, or at the next page when both were under way at once.
    fn look<'b>(&self, area: &Area<'b>) -> (u64, FrameAt<'b>) {
        let key = self.found[self.tail.index].unsealed.head.key;
        let offset = self.tail.offset;
        let page = offset.next_multiple_of(PAGE);
        // Where nothing begins here, a footer far behind may still name this place, and looking for it takes long. There is no need to
        // where the next frame of the chain is whole: under load nearly all frames begin at a page.
        if page != offset
            && !begins_like_a_frame(area, offset)
            && begins_like_a_frame(area, page)
            && let there = scan_frame(area, page, key)
            && let FrameAt::Valid(frame) = &there
            && self.is_next(frame.header())
        {
            return (page, there);
        }
        let at = scan_frame(area, offset, key);
        if matches!(at, FrameAt::Valid(_) | FrameAt::Damaged(_)) || offset.is_multiple_of(PAGE) {
            return (offset, at);
        }
        let there = scan_frame(area, page, key);
        let is_next = match &there {
            FrameAt::Valid(frame) => frame.header().frame_seq == self.tail.next_seq,
            FrameAt::Damaged(damaged) => damaged
                .header
                .is_some_and(|header| header.frame_seq == self.tail.next_seq),
            // Something unknown at the page, and nothing at all before it: either that is where the frame was, and both its ends went
            // bad, or it is the middle of one that began before it and of which neither end arrived. The latter is what every power
            // failure may leave, so only what begins like a frame counts as one.
            FrameAt::Garbage => matches!(at, FrameAt::Empty) && begins_like_a_frame(area, page),
            FrameAt::Empty | FrameAt::StrayBits => false,
        };
        if is_next { (page, there) } else { (offset, at) }
    }

    fn is_next(&self, header: &FrameHeader) -> bool {
        header.frame_seq == self.tail.next_seq
            && header.base_position == self.tail.next_position
            && (header.epoch >= self.tail.epoch || on(Mutant::CutNotCleared))
            && (!self.chained
                || header.prev_hash == self.tail.prev_hash
                || on(Mutant::CutNotCleared))
    }

    /// Goes on behind a frame.
    fn pass(&mut self, header: &FrameHeader, offset: u64) {
        self.tail.offset = offset + u64::from(header.frame_len);
        self.tail.next_seq = header.frame_seq + 1;
        self.tail.durable_seq = header.frame_seq;
        self.tail.prev_hash = header.header_hash;
        self.tail.epoch = header.epoch;
        self.tail.next_position = header.base_position + u64::from(header.record_count);
        self.chained = true;
    }

    fn judge(&mut self, area: &Area<'_>, offset: u64, at: &FrameAt<'_>) -> Next {
        let index = self.tail.index;
        let key = self.found[index].unsealed.head.key;
        let here: Vec<(u64, FrameHeader)> = find_frames_after(area, offset, key).collect();
        if self.ended_normally(index, at, &here) {
            return Next::Segment;
        }
        let mut later: Vec<FrameHeader> = here.iter().map(|(_, header)| *header).collect();
        for next in &self.found[index + 1..] {
            let key = next.unsealed.head.key;
            let frames =
                find_frames_after(&Area::whole(next.bytes), SEGMENT_HEADER_BYTES - 64, key);
            later.extend(frames.map(|(_, header)| header));
        }
        if on(Mutant::LaterFramesIgnored) {
            later.clear();
        }
        let verdict = verdict(at, self.tail.next_seq, &later);
        let shortened = (self.found[index].bytes.len() as u64) < self.found[index].capacity;
        if shortened && !matches!(verdict, Verdict::Rot { .. }) {
            return self.shortened(area.end());
        }
        match verdict {
            Verdict::CleanEnd { stray_bits } => {
                if stray_bits {
                    let what = "stray bits in the prepared part of a segment";
                    let position = self.tail.next_position;
                    self.findings
                        .push(harmless(key, offset, 64, position, what));
                }
                self.end(area, offset, false)
            }
            Verdict::CutTorn { .. } if on(Mutant::TornTakenForRot) => {
                self.rot(area, (offset, at), &here, RotCause::Missing)
            }
            Verdict::CutTorn { .. } | Verdict::CutUnacknowledged { .. } => {
                self.end(area, offset, true)
            }
            Verdict::Rot {
                cause: RotCause::NewerVersion,
                ..
            } => {
                self.newer = true;
                Next::End
            }
            Verdict::Rot { .. } if on(Mutant::RotTakenForTorn) => self.end(area, offset, true),
            Verdict::Rot { cause, .. } => self.rot(area, (offset, at), &here, cause),
        }
    }

    /// Whether the segment simply ended before its end, because the next one begins with the next frame.
    fn ended_normally(&self, index: usize, at: &FrameAt<'_>, here: &[(u64, FrameHeader)]) -> bool {
        let next = self.found.get(index + 1);
        matches!(at, FrameAt::Empty | FrameAt::StrayBits)
            && here
                .iter()
                .all(|(_, header)| header.frame_seq < self.tail.next_seq)
            && next.is_some_and(|next| next.first_frame_seq == self.tail.next_seq)
    }

    /// The log ends at the last good frame. What stands behind it must go.
    fn end(&mut self, area: &Area<'_>, offset: u64, frame: bool) -> Next {
        let from = self.tail.offset;
        let dirty = area.dirty_end(from);
        let later_segments = self.found.len() > self.tail.index + 1;
        if dirty.is_some() || frame || later_segments {
            let dirty_end = dirty.unwrap_or(offset).max(from);
            self.cut = Some(Cut {
                index: self.tail.index,
                offset: from,
                dirty_end,
                frame,
            });
        }
        Next::End
    }

    /// The file ends where the log seems to end: whatever stood behind is gone, and nothing tells how much.
    fn shortened(&mut self, end: u64) -> Next {
        let found = &self.found[self.tail.index];
        self.findings.push(Finding {
            segment: found.unsealed.head.number,
            offset: end,
            length: found.capacity - end,
            first_position: self.tail.next_position,
            lost: 0,
            unbounded: true,
            reason: Some(QuarantineReason::Missing),
            what: describe(RotCause::PastEnd).to_owned(),
        });
        Next::End
    }

    /// A frame went bad after it was written: salvages what is good and goes on behind it.
    fn rot(
        &mut self,
        area: &Area<'_>,
        (offset, at): (u64, &FrameAt<'_>),
        here: &[(u64, FrameHeader)],
        cause: RotCause,
    ) -> Next {
        let unsealed = self.found[self.tail.index].unsealed;
        if let FrameAt::Damaged(damaged) = at
            && let Some(header) = damaged.header
            && header.frame_seq == self.tail.next_seq
            && header.base_position == self.tail.next_position
            && !damaged.bytes.is_empty()
        {
            let finding = apply_damaged(unsealed, &header, offset, damaged.bytes, damaged.body_ok);
            self.findings.push(finding);
            self.pass(&header, offset);
            return Next::Here;
        }
        let (first, seq) = (self.tail.next_position, self.tail.next_seq);
        let behind = here
            .iter()
            .filter(|(_, header)| header.frame_seq > seq && header.base_position >= first)
            .min_by_key(|(at, _)| *at);
        let (next_offset, position) = match behind {
            Some((at, header)) => (*at, Some(header.base_position)),
            None => (area.end(), self.next_segment_position()),
        };
        let lost = position.map_or(0, |position| position.saturating_sub(first));
        // A gap as wide as this was left when a loss of unknown length was accepted: nothing stood in most of it.
        let unbounded = position.is_none() || lost >= UNKNOWN_LOSS_POSITIONS;
        let lost = if unbounded { 0 } else { lost };
        unsealed.lose(u32::try_from(lost).unwrap_or(u32::MAX));
        self.findings.push(Finding {
            segment: unsealed.head.number,
            offset,
            length: next_offset.saturating_sub(offset),
            first_position: first,
            lost,
            unbounded,
            reason: Some(reason(cause)),
            what: describe(cause).to_owned(),
        });
        self.chained = false;
        match behind {
            Some((at, header)) => {
                self.tail.offset = *at;
                self.tail.next_seq = header.frame_seq;
                self.tail.next_position = header.base_position;
                Next::Here
            }
            None => {
                self.tail.next_position += lost;
                if position.is_some() {
                    Next::Segment
                } else {
                    Next::End
                }
            }
        }
    }

    fn next_segment_position(&self) -> Option<u64> {
        self.found
            .get(self.tail.index + 1)
            .map(|next| next.unsealed.head.base_position)
    }
}

fn begins_like_a_frame(area: &Area<'_>, offset: u64) -> bool {
    area.after(offset)
        .is_some_and(|bytes| bytes.starts_with(&HEADER_MAGIC))
}

const fn reason(cause: RotCause) -> QuarantineReason {
    match cause {
        RotCause::Body => QuarantineReason::Body,
        RotCause::Missing | RotCause::PastEnd => QuarantineReason::Missing,
        _ => QuarantineReason::Header,
    }
}

const fn describe(cause: RotCause) -> &'static str {
    match cause {
        RotCause::Header => "the header and footer of a frame are damaged",
        RotCause::Body => "a frame is damaged",
        RotCause::Footer => "the footer of a frame is damaged",
        RotCause::Missing => "an acknowledged frame is missing",
        RotCause::PastEnd => "a segment's file was shortened",
        RotCause::OutOfSequence => "a frame stands where it does not belong",
        RotCause::NewerVersion => "a frame was written by a newer release",
    }
}
