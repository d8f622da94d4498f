//! Order and make durable: the second of the three stages, behind a trait.
//!
//! A frame log takes frames one after the other, each on the condition that it is the next, and makes them durable. Here there are two:
//! [`SegmentLog`] writes them into the segments of the data directory; [`MemoryLog`] keeps them in memory and makes trouble, to show
//! that the stages around it can live with a log that belongs to someone else.
//! Never: looks into a record.

mod memory;
mod place;
mod segment;

use std::io;
use std::ops::Range;

use factum_format::frame::{FrameBuilder, FrameHeader};
use factum_io::buffer::AlignedBuf;

pub(crate) use memory::{MemoryLog, Trouble};
pub(crate) use place::{Begun, Cursor, PAGE_BYTES};
pub(crate) use segment::{LogStart, SegmentLog};

use crate::sequence::SegmentContext;
use std::sync::Arc;

use factum_io::disk::DiskFile;

/// What came of making a frame durable.
#[derive(Debug)]
pub(crate) enum Commit {
    /// It is the next frame, and durable.
    Durable,
    /// It is not the next frame: another one is. Nothing was written.
    Conflict,
    /// It may or may not be the next frame; reading the log tells.
    Unknown,
    /// It may or may not be durable, and nothing will tell before the log is opened anew.
    Broken(io::Error),
}

/// Why there is no place for a frame.
#[derive(Debug)]
pub(crate) enum NoPlace {
    /// There is no space for a further segment. Reading goes on; writing may, when there is space again.
    Full(io::Error),
    /// Preparing a segment failed.
    Broken(io::Error),
}

/// A frame on its way: where it will stand, and its bytes.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) header: FrameHeader,
    pub(crate) segment: u64,
    /// Where it begins in the segment's file.
    pub(crate) offset: u64,
    /// The pages to write: what stands before the frame in its first page, the frame, zeros.
    pub(crate) pages: AlignedBuf,
    /// Where the pages begin in the file.
    pub(crate) pages_offset: u64,
    pub(crate) file: Option<Arc<dyn DiskFile>>,
}

impl Placed {
    /// The frame.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.pages.as_slice()[self.within()]
    }

    /// Where the frame is in its pages.
    pub(crate) fn within(&self) -> Range<usize> {
        place::frame_within(self.offset, &self.header)
    }
}

/// A frame as the log has it.
///
/// Another writer's frames have no records as long as stores are not replicated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoggedFrame {
    pub(crate) header: FrameHeader,
}

/// Takes frames in order and makes them durable.
///
/// [`roll`](FrameLog::roll), [`begin`](FrameLog::begin) and [`place`](FrameLog::place) are called by one thread at a time, in order; [`commit`](FrameLog::commit)
/// from several, in any order.
pub(crate) trait FrameLog: Send + Sync + std::fmt::Debug {
    /// The longest frame that still fits into the segment, in bytes.
    fn room(&self) -> u64;

    /// The longest frame that fits into an empty segment, in bytes.
    fn room_max(&self) -> u64;

    /// Ends the segment and begins the next.
    fn roll(&self, base_position: u64, now: i64) -> Result<SegmentContext, NoPlace>;

    /// Begins the next frame, behind the last one placed; again after each [`roll`](FrameLog::roll).
    fn begin(&self, frame: &mut FrameBuilder);

    /// Gives the frame that was begun its place.
    fn place(&self, frame: &mut FrameBuilder, base_position: u64, time: i64) -> Placed;

    /// Places a frame without records that says what is durable; `None` when there is no room or no need.
    fn place_checkpoint(&self, base_position: u64, time: i64) -> Option<Placed>;

    /// Makes the frame durable; when this returns [`Commit::Durable`], it survives a power failure.
    fn commit(&self, placed: &Placed) -> Commit;

    /// Takes note that every frame up to this one is durable, and takes the buffers back.
    fn durable(&self, placed: Placed);

    /// Whether a frame that was placed may turn out not to be the next one, so that what was sequenced must be undone.
    fn takes_back(&self) -> bool;

    /// The frames from this sequence number on.
    fn read_from(&self, seq: u64) -> io::Result<Vec<LoggedFrame>>;

    /// Forgets the places given from this sequence number on: the next frame follows `previous`.
    fn rewind(&self, seq: u64, previous: Option<&FrameHeader>);
}
