//! The frame log in memory, which makes trouble on request.
//!
//! It stands for a log that belongs to someone else: another writer's frame may come first, an answer may be lost, and commits may
//! finish in any order. What it does is drawn from a seed. Nothing is durable; it is for tests.
//! Never: loses a frame that it has taken.

use std::io;

use factum_format::SegmentKey;
use factum_format::frame::{FrameBuilder, FrameFields, FrameFlags, FrameHeader};
use factum_format::limits::SEGMENT_HEADER_BYTES;

use super::place::{Begun, Cursor};
use super::{Commit, FrameLog, LoggedFrame, NoPlace, Placed};
use crate::sequence::SegmentContext;
use crate::sync::{Mutex, lock};

/// How often, in 256, which trouble comes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trouble {
    /// Another writer's frame comes first.
    pub(crate) conflict: u8,
    /// The frame is taken, but the answer is lost.
    pub(crate) lost_answer: u8,
    /// The frame is not taken, and the answer is lost.
    pub(crate) lost_request: u8,
}

/// A log in memory that makes trouble.
#[derive(Debug)]
pub(crate) struct MemoryLog {
    trouble: Trouble,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    cursor: Cursor,
    frames: Vec<LoggedFrame>,
    random: u64,
}

const CONTEXT: SegmentContext = SegmentContext {
    number: 1,
    base_time: 0,
};
const KEY: SegmentKey = SegmentKey {
    salt: 0x5EED,
    segment: CONTEXT.number,
};

impl MemoryLog {
    pub(crate) fn new(seed: u64, trouble: Trouble) -> Self {
        let cursor = Cursor {
            key: KEY,
            capacity: u64::from(u32::MAX),
            offset: SEGMENT_HEADER_BYTES,
            tail: Vec::new(),
            next_seq: 1,
            durable_seq: 0,
            prev_hash: 0,
            epoch: 0,
            in_flight: 0,
            begun: Begun::default(),
        };
        let state = State {
            cursor,
            frames: Vec::new(),
            random: seed | 1,
        };
        Self {
            trouble,
            state: Mutex::new(state),
        }
    }
}

impl State {
    /// Whether something that happens so often, in 256, happens now (xorshift64*).
    fn happens(&mut self, often: u8) -> bool {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let byte = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56;
        byte < u64::from(often)
    }

    const fn next_seq(&self) -> u64 {
        self.frames.len() as u64 + 1
    }

    fn last_hash(&self) -> u32 {
        self.frames.last().map_or(0, |last| last.header.header_hash)
    }

    /// Another writer's frame: it has no records, but it takes the place.
    fn take_place(&mut self, offset: u64) {
        let mut bytes = Vec::new();
        let fields = FrameFields {
            flags: FrameFlags::CHECKPOINT,
            epoch: 0,
            frame_seq: self.next_seq(),
            base_position: self.frames.last().map_or(0, |last| {
                last.header.base_position + u64::from(last.header.record_count)
            }),
            durable_seq: self.next_seq() - 1,
            time: 0,
            prev_hash: self.last_hash(),
        };
        let finished = FrameBuilder::finish_empty(&fields, KEY, offset, &mut bytes);
        let Ok(header) = finished else {
            unreachable!("an empty frame is sound: {finished:?}")
        };
        self.frames.push(LoggedFrame { header });
    }
}

impl FrameLog for MemoryLog {
    fn room(&self) -> u64 {
        u64::from(u32::MAX)
    }

    fn room_max(&self) -> u64 {
        u64::from(u32::MAX)
    }

    fn roll(&self, _: u64, _: i64) -> Result<SegmentContext, NoPlace> {
        unreachable!("a log in memory has room until the machine has none")
    }

    fn begin(&self, frame: &mut FrameBuilder) {
        let buffer = frame.take_buffer();
        lock(&self.state).cursor.begin(frame, buffer);
    }

    fn place(&self, frame: &mut FrameBuilder, base_position: u64, time: i64) -> Placed {
        let laid = lock(&self.state).cursor.lay(frame, base_position, time);
        Placed {
            header: laid.header,
            segment: CONTEXT.number,
            offset: laid.offset,
            pages: laid.pages,
            pages_offset: laid.pages_offset,
            file: None,
        }
    }

    fn takes_back(&self) -> bool {
        true
    }

    fn place_checkpoint(&self, _: u64, _: i64) -> Option<Placed> {
        None
    }

    fn commit(&self, placed: &Placed) -> Commit {
        let mut state = lock(&self.state);
        let lost = || Commit::Unknown;
        if state.happens(self.trouble.conflict) {
            let offset = placed.offset;
            state.take_place(offset);
        }
        if state.happens(self.trouble.lost_request) {
            return lost();
        }
        // The place alone is not enough: behind another writer's frame it would be free again for the one after ours.
        let follows = placed.header.prev_hash == state.last_hash();
        if placed.header.frame_seq != state.next_seq() || !follows {
            return Commit::Conflict;
        }
        state.frames.push(LoggedFrame {
            header: placed.header,
        });
        if state.happens(self.trouble.lost_answer) {
            lost()
        } else {
            Commit::Durable
        }
    }

    fn durable(&self, placed: Placed) {
        let mut state = lock(&self.state);
        state.cursor.durable_seq = state.cursor.durable_seq.max(placed.header.frame_seq);
    }

    fn read_from(&self, seq: u64) -> io::Result<Vec<LoggedFrame>> {
        let first = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(lock(&self.state)
            .frames
            .get(first..)
            .unwrap_or_default()
            .to_vec())
    }

    fn rewind(&self, seq: u64, previous: Option<&FrameHeader>) {
        let mut state = lock(&self.state);
        state.cursor.next_seq = seq;
        if let Some(previous) = previous {
            state.cursor.prev_hash = previous.header_hash;
        } else {
            state.cursor.prev_hash = state.last_hash();
        }
    }
}
