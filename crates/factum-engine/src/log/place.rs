//! Where frames go in a segment's file, and in which pages they are written.
//!
//! If no write is under way, a frame continues in the page where the last one ended, and that page is written again with the same
//! bytes before it; else it begins a fresh page, because two writes must never share one. Source: engine measurements show that
//! rewriting the tail page costs no more than writing a fresh one.
//! Relies on: sectors of 512 bytes are overwritten whole or not at all. Never: does I/O.

use std::ops::Range;

use crate::mutant::{Mutant, on};
use crate::number::to_usize;
use factum_format::SegmentKey;
use factum_format::frame::{FrameBuilder, FrameFields, FrameFlags, FrameHeader};
use factum_io::buffer::AlignedBuf;

/// Writes begin and end at multiples of this many bytes.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// The writing end of the log.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) key: SegmentKey,
    pub(crate) capacity: u64,
    /// Where the last frame ends.
    pub(crate) offset: u64,
    /// What stands in the last page before `offset`.
    pub(crate) tail: Vec<u8>,
    pub(crate) next_seq: u64,
    pub(crate) durable_seq: u64,
    pub(crate) prev_hash: u32,
    pub(crate) epoch: u16,
    pub(crate) in_flight: u32,
    /// Where the frame that was begun last will stand.
    pub(crate) begun: Begun,
}

/// A frame that was begun: its place in the file, and where its pages begin in the buffer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Begun {
    offset: u64,
    pages_start: usize,
}

/// A frame with its pages, before the file is known.
#[derive(Debug)]
pub(crate) struct Laid {
    pub(crate) header: FrameHeader,
    pub(crate) offset: u64,
    pub(crate) pages: AlignedBuf,
    pub(crate) pages_offset: u64,
}

impl Laid {
    /// The frame.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.pages.as_slice()[frame_within(self.offset, &self.header)]
    }
}

/// Where the frame that stands at `offset` of a file is in the pages around it.
pub(super) fn frame_within(offset: u64, header: &FrameHeader) -> Range<usize> {
    let start = to_usize(offset % PAGE_BYTES);
    start..start + header.frame_len as usize
}

impl Cursor {
    /// Where the next frame goes.
    pub(crate) fn next_offset(&self) -> u64 {
        if self.in_flight == 0 || on(Mutant::PageShared) {
            self.offset
        } else {
            self.offset.next_multiple_of(PAGE_BYTES)
        }
    }

    /// The longest frame that still fits, in bytes.
    pub(crate) const fn room(&self) -> u64 {
        self.capacity
            .saturating_sub(self.offset.next_multiple_of(PAGE_BYTES))
    }

    /// Begins a frame in a buffer: behind what its first page holds already. Its place is decided now, and holds until the next one is
    /// begun: nothing can come under way in between, and what comes back only leaves more room.
    pub(crate) fn begin(&mut self, frame: &mut FrameBuilder, buffer: Vec<u8>) {
        frame.begin(self.begin_pages(buffer));
    }

    /// Finishes the frame that was begun.
    pub(crate) fn lay(&mut self, frame: &mut FrameBuilder, base_position: u64, time: i64) -> Laid {
        let fields = self.fields(FrameFlags::NONE, base_position, time);
        let finished = frame.finish_in_place(&fields, self.key, self.begun.offset);
        self.lay_finished(finished, frame.take_buffer())
    }

    /// Lays a frame without body out.
    pub(crate) fn lay_empty(
        &mut self,
        flags: FrameFlags,
        base_position: u64,
        time: i64,
        buffer: Vec<u8>,
    ) -> Laid {
        let mut buffer = self.begin_pages(buffer);
        let fields = self.fields(flags, base_position, time);
        let offset = self.begun.offset;
        let finished = FrameBuilder::finish_empty(&fields, self.key, offset, &mut buffer);
        self.lay_finished(finished, buffer)
    }

    fn begin_pages(&mut self, buffer: Vec<u8>) -> Vec<u8> {
        let mut buffer = AlignedBuf::begin(buffer);
        self.begun = Begun {
            offset: self.next_offset(),
            pages_start: buffer.len(),
        };
        if !self.begun.offset.is_multiple_of(PAGE_BYTES) {
            buffer.extend_from_slice(&self.tail);
            if on(Mutant::TailForgotten) {
                buffer[self.begun.pages_start..].fill(0);
            }
        }
        buffer
    }

    fn fields(&self, flags: FrameFlags, base_position: u64, time: i64) -> FrameFields {
        FrameFields {
            flags,
            epoch: self.epoch,
            frame_seq: self.next_seq,
            base_position,
            durable_seq: if on(Mutant::DurableSeqUnknown) {
                0
            } else {
                self.durable_seq
            },
            time,
            prev_hash: self.prev_hash,
        }
    }

    fn lay_finished(
        &mut self,
        finished: Result<FrameHeader, factum_format::FormatError>,
        mut buffer: Vec<u8>,
    ) -> Laid {
        let header = match finished {
            Ok(header) => header,
            Err(error) => {
                unreachable!("a frame of checked records within the room is sound: {error}")
            }
        };
        let Begun {
            offset,
            pages_start,
        } = self.begun;
        let used = buffer.len() - pages_start;
        let pages_offset = offset - (offset % PAGE_BYTES);
        self.offset = pages_offset + used as u64;
        assert!(
            self.offset == offset + u64::from(header.frame_len),
            "a frame stands behind what its first page holds"
        );
        assert!(
            self.offset <= self.capacity,
            "a frame was placed beyond its segment"
        );
        let tail_len = (self.offset % PAGE_BYTES) as usize;
        self.tail.clear();
        self.tail
            .extend_from_slice(&buffer[buffer.len() - tail_len..]);
        buffer.resize(pages_start + used.next_multiple_of(to_usize(PAGE_BYTES)), 0);
        self.next_seq += 1;
        self.prev_hash = header.header_hash;
        Laid {
            header,
            offset,
            pages: AlignedBuf::from_vec(buffer, pages_start),
            pages_offset,
        }
    }
}
