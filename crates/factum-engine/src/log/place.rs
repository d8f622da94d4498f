//! Where frames go in a segment's file, and in which pages they are written.
//!
//! If no write is under way, a frame continues in the page where the last one ended, and that page is written again with the same
//! bytes before it; else it begins a fresh page, because two writes must never share one. Source: engine measurements show that
//! rewriting the tail page costs no more than writing a fresh one.
//! Relies on: sectors of 512 bytes are overwritten whole or not at all. Never: does I/O.

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
}

/// A frame's bytes and pages, before the file is known.
#[derive(Debug)]
pub(crate) struct Laid {
    pub(crate) header: FrameHeader,
    pub(crate) offset: u64,
    pub(crate) pages_offset: u64,
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

    /// Lays a frame out: its bytes into `bytes`, the pages around it into `pages`, both emptied before.
    pub(crate) fn lay(
        &mut self,
        frame: &mut FrameBuilder,
        base_position: u64,
        time: i64,
        (bytes, pages): (&mut Vec<u8>, &mut AlignedBuf),
    ) -> Laid {
        let offset = self.next_offset();
        let fields = self.fields(FrameFlags::NONE, base_position, time);
        bytes.clear();
        let finished = frame.finish(&fields, self.key, offset, bytes);
        self.lay_finished(finished, offset, (bytes, pages))
    }

    /// Lays a frame without body out.
    pub(crate) fn lay_empty(
        &mut self,
        flags: FrameFlags,
        base_position: u64,
        time: i64,
        (bytes, pages): (&mut Vec<u8>, &mut AlignedBuf),
    ) -> Laid {
        let offset = self.next_offset();
        let fields = self.fields(flags, base_position, time);
        bytes.clear();
        let finished = FrameBuilder::finish_empty(&fields, self.key, offset, bytes);
        self.lay_finished(finished, offset, (bytes, pages))
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
        offset: u64,
        (bytes, pages): (&mut Vec<u8>, &mut AlignedBuf),
    ) -> Laid {
        let header = match finished {
            Ok(header) => header,
            Err(error) => {
                unreachable!("a frame of checked records within the room is sound: {error}")
            }
        };
        if offset.is_multiple_of(PAGE_BYTES) {
            self.tail.clear();
        }
        let pages_offset = offset - self.tail.len() as u64;
        debug_assert!(pages_offset.is_multiple_of(PAGE_BYTES));
        pages.clear();
        pages.extend_from_slice(&self.tail);
        if on(Mutant::TailForgotten) {
            pages.as_mut_slice().fill(0);
        }
        pages.extend_from_slice(bytes);
        let used = pages.len();
        pages.resize_zeroed(used.next_multiple_of(to_usize(PAGE_BYTES)));
        self.offset = offset + bytes.len() as u64;
        let tail_len = (self.offset % PAGE_BYTES) as usize;
        self.tail.clear();
        self.tail
            .extend_from_slice(&pages.as_slice()[used - tail_len..used]);
        self.next_seq += 1;
        self.prev_hash = header.header_hash;
        assert!(
            self.offset <= self.capacity,
            "a frame was placed beyond its segment"
        );
        Laid {
            header,
            offset,
            pages_offset,
        }
    }
}
