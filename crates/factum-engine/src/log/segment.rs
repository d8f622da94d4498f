//! The frame log in the segments of the data directory.
//!
//! Every frame is written with one `pwritev2(RWF_DSYNC)` into space that was written before, so that it costs one trip to the device.
//! Several writes may be under way; which frames are durable is known in order.
//! Relies on: the supply of prepared segments. Never: retries a failed write; after one, everything is [`Commit::Broken`].

use std::io;
use std::sync::Arc;

use factum_format::SegmentKey;
use factum_format::frame::{FrameBuilder, FrameFlags, FrameHeader};
use factum_format::limits::{FRAME_BYTES_MIN, SEGMENT_HEADER_BYTES};
use factum_io::buffer::AlignedBuf;
use factum_io::disk::DiskFile;

use super::place::{Begun, Cursor, Laid, PAGE_BYTES};
use super::{Commit, FrameLog, LoggedFrame, NoPlace, Placed};
use crate::buffers::{BUFFER_BYTES, Buffers};
use crate::mutant::{Mutant, on};
use crate::number::to_usize;
use crate::sequence::SegmentContext;
use crate::supply::{Begin, Supply};
use crate::sync::{Mutex, lock};

/// Where writing goes on.
#[derive(Debug)]
pub(crate) struct LogStart {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) context: SegmentContext,
    pub(crate) salt: u64,
    pub(crate) capacity: u64,
    /// Where the last frame ends, and what stands before that in its page.
    pub(crate) offset: u64,
    pub(crate) tail: Vec<u8>,
    pub(crate) next_seq: u64,
    pub(crate) durable_seq: u64,
    pub(crate) prev_hash: u32,
    pub(crate) epoch: u16,
}

/// So many frames of a segment say how long the next ones will be.
const FRAMES_TO_JUDGE_BY: u64 = 16;

/// The buffer for a frame is not grown to its size if the one before it was so long.
const LARGE_FRAME_BYTES: u64 = 128 << 10;

/// Where a frame did not fit into a common buffer, that is expected of so many after it: growing one costs more than the rest of the frame.
const LONG_FRAMES: u32 = 8;

/// The frame log in the segments of the data directory.
#[derive(Debug)]
pub(crate) struct SegmentLog {
    supply: Arc<Supply>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    cursor: Cursor,
    context: SegmentContext,
    file: Arc<dyn DiskFile>,
    /// Buffers to be used again.
    spare: Vec<AlignedBuf>,
    /// More of them, for large frames.
    buffers: Arc<Buffers>,
    /// Whether the last frame placed was large.
    is_large: bool,
    /// For so many frames to come a buffer is taken that has room for the longest.
    long_frames: u32,
    broken: bool,
    /// Frames placed in the segment since it was begun or opened, and their bytes.
    frames: u64,
    frame_bytes: u64,
    /// Whether the last frame placed says that all before it are durable.
    checkpointed: bool,
}

impl SegmentLog {
    pub(crate) fn new(supply: Arc<Supply>, start: LogStart, buffers: Arc<Buffers>) -> Self {
        supply.filled(start.offset);
        let cursor = Cursor {
            key: SegmentKey {
                salt: start.salt,
                segment: start.context.number,
            },
            capacity: start.capacity,
            offset: start.offset,
            tail: start.tail,
            next_seq: start.next_seq,
            durable_seq: start.durable_seq,
            prev_hash: start.prev_hash,
            epoch: start.epoch,
            in_flight: 0,
            begun: Begun::default(),
        };
        let state = State {
            cursor,
            context: start.context,
            file: start.file,
            spare: Vec::new(),
            buffers,
            is_large: false,
            long_frames: 0,
            broken: false,
            frames: 0,
            frame_bytes: 0,
            checkpointed: true,
        };
        Self {
            supply,
            state: Mutex::new(state),
        }
    }
}

impl State {
    /// A buffer that was used before, if there is one.
    fn buffer(&mut self) -> Vec<u8> {
        if self.long_frames > 0 {
            return self.buffers.take_large();
        }
        match self.spare.pop() {
            Some(spare) => spare.into_vec(),
            None if self.is_large => self.buffers.take(),
            None => Vec::new(),
        }
    }

    fn placed(&mut self, laid: Laid) -> Placed {
        let bytes = u64::from(laid.header.frame_len);
        self.cursor.in_flight += 1;
        self.frames += 1;
        self.frame_bytes += bytes;
        self.is_large = bytes >= LARGE_FRAME_BYTES;
        self.long_frames = if bytes > BUFFER_BYTES as u64 {
            LONG_FRAMES
        } else {
            self.long_frames.saturating_sub(1)
        };
        Placed {
            header: laid.header,
            segment: self.context.number,
            offset: laid.offset,
            pages: laid.pages,
            pages_offset: laid.pages_offset,
            file: Some(Arc::clone(&self.file)),
        }
    }
}

impl FrameLog for SegmentLog {
    fn room(&self) -> u64 {
        lock(&self.state).cursor.room()
    }

    fn room_max(&self) -> u64 {
        lock(&self.state).cursor.capacity - SEGMENT_HEADER_BYTES
    }

    fn roll(&self, base_position: u64, now: i64) -> Result<SegmentContext, NoPlace> {
        let mut state = lock(&self.state);
        let begin = Begin {
            base_position,
            base_time: now,
            first_frame_seq: state.cursor.next_seq,
            prev_hash: u64::from(state.cursor.prev_hash),
            epoch: state.cursor.epoch,
        };
        let segment = self.supply.begin(begin)?;
        if let Some(mean) = state.frame_bytes.checked_div(state.frames) {
            self.supply.expect_frames_of(mean);
        }
        self.supply.filled(SEGMENT_HEADER_BYTES);
        (state.frames, state.frame_bytes) = (0, 0);
        state.context = SegmentContext {
            number: segment.number,
            base_time: now,
        };
        state.file = segment.file;
        state.cursor = Cursor {
            key: SegmentKey {
                salt: segment.salt,
                segment: segment.number,
            },
            capacity: segment.capacity,
            offset: SEGMENT_HEADER_BYTES,
            tail: Vec::new(),
            in_flight: 0,
            ..state.cursor
        };
        Ok(state.context)
    }

    fn begin(&self, frame: &mut FrameBuilder) {
        let mut state = lock(&self.state);
        let mut buffer = frame.take_buffer();
        if buffer.capacity() < to_usize(PAGE_BYTES) {
            buffer = state.buffer();
        }
        state.cursor.begin(frame, buffer);
    }

    fn place(&self, frame: &mut FrameBuilder, base_position: u64, time: i64) -> Placed {
        let mut state = lock(&self.state);
        let laid = state.cursor.lay(frame, base_position, time);
        state.checkpointed = false;
        let placed = state.placed(laid);
        self.supply.filled(state.cursor.offset);
        // A few frames say nothing yet.
        if state.frames >= FRAMES_TO_JUDGE_BY {
            self.supply
                .expect_frames_of(state.frame_bytes / state.frames);
        }
        placed
    }

    fn place_checkpoint(&self, base_position: u64, time: i64) -> Option<Placed> {
        let mut state = lock(&self.state);
        let all_durable = state.cursor.durable_seq + 1 == state.cursor.next_seq;
        let room = state.cursor.capacity - state.cursor.offset;
        if state.checkpointed || state.broken || !all_durable || room < FRAME_BYTES_MIN {
            return None;
        }
        let buffer = state.buffer();
        let laid = state
            .cursor
            .lay_empty(FrameFlags::CHECKPOINT, base_position, time, buffer);
        state.checkpointed = true;
        Some(state.placed(laid))
    }

    fn commit(&self, placed: &Placed) -> Commit {
        let Some(file) = &placed.file else {
            unreachable!("a segment's frame has a file")
        };
        let pages = placed.pages.as_slice();
        let written = if on(Mutant::AckBeforeDurable) {
            file.write_at(pages, placed.pages_offset)
        } else {
            file.write_durable_at(pages, placed.pages_offset)
        };
        let mut state = lock(&self.state);
        if placed.segment == state.context.number {
            state.cursor.in_flight -= 1;
        }
        let error = match written {
            _ if state.broken => io::Error::other("an earlier write of the log failed"),
            Ok(length) if length == pages.len() => return Commit::Durable,
            Ok(_) if on(Mutant::ShortWriteIgnored) => return Commit::Durable,
            Err(_) if on(Mutant::ErrorIgnored) => return Commit::Durable,
            Err(_) if on(Mutant::SyncRetried) && file.sync().is_ok() => return Commit::Durable,
            Ok(length) => io::Error::new(
                io::ErrorKind::WriteZero,
                format!(
                    "only {length} of {} bytes of a frame were written",
                    pages.len()
                ),
            ),
            Err(error) => error,
        };
        state.broken = true;
        Commit::Broken(error)
    }

    fn durable(&self, placed: Placed) {
        const SPARE_BYTES_MAX: usize = 4 << 20;
        let mut state = lock(&self.state);
        state.cursor.durable_seq = state.cursor.durable_seq.max(placed.header.frame_seq);
        let usable = to_usize(PAGE_BYTES)..=SPARE_BYTES_MAX;
        if state.spare.len() < 4 && usable.contains(&placed.pages.capacity()) {
            state.spare.push(placed.pages);
        } else {
            state.buffers.give(placed.pages.into_vec());
        }
    }

    fn takes_back(&self) -> bool {
        false
    }

    fn read_from(&self, _: u64) -> io::Result<Vec<LoggedFrame>> {
        Err(io::Error::other(
            "the outcome of a write to a segment is known after reopening only",
        ))
    }

    fn rewind(&self, _: u64, _: Option<&FrameHeader>) {
        unreachable!("nobody else writes to the segments of a locked directory");
    }
}
