//! Import: lines in, events in the store, each once.
//!
//! ```text
//!   file ─► unpack ─► lines ─► events ─► chunks ══► plan ─► appends in flight ─► receipts
//!   └──────────── a thread of its own ────────┘    └──────── the calling thread ───────┘
//! ```
//!
//! **Resumable at any kill**: an event is known by its id in its stream. What the store already holds is passed over if it is the
//! same and refused if it is not; the rest follows after it. **In the order of the file**: events become one write per run of lines of
//! the same stream, so that positions follow lines, and times may be preserved. **All before a bad line is durable, nothing after it
//! is written.**
//! Memory: per stream a name and a number; per line 40 bytes, for at most [`IDS_MAX`] lines.

mod lines;
mod parse;
mod pipeline;
mod plan;
mod seen;

pub(crate) use pipeline::{Finished, Watcher, run};

use factum_json::cloud::bring::TimeOf;

/// Longest line, in bytes; a longer one is refused without reading it into memory.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 20;
/// For so many ids it is remembered that they came; a later one that repeats an earlier one is left to the store to recognise.
pub(crate) const IDS_MAX: usize = 50_000_000;
/// How many events one append holds unless told otherwise.
pub(crate) const BATCH_EVENTS: usize = 2_048;
/// More events than this in one append are not allowed: each may be a write of its own.
pub(crate) const BATCH_EVENTS_MAX: usize = factum_types::limits::BATCH_WRITES_MAX;
/// A batch that has so much takes no further line. The rest up to the store's limit is room for the last one, however large it is, and for names.
const BATCH_BYTES: usize = 3 << 19;
/// How many appends are in flight.
const APPENDS_IN_FLIGHT: usize = 4;
/// How many chunks may wait between the two threads.
const CHUNKS_WAITING: usize = 4;

/// What to do with a line that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// End there.
    Stop,
    /// Pass it over and count it.
    Skip,
}

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Events are appended.
    Append,
    /// Everything is checked, nothing is written.
    DryRun,
}

/// How to import.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// With which times.
    pub(crate) time_of: TimeOf,
    /// How many events one append holds, at most [`BATCH_EVENTS_MAX`].
    pub(crate) batch_events: usize,
    /// What to do with a line that is wrong.
    pub(crate) invalid: Invalid,
    /// Whether anything is written.
    pub(crate) effect: Effect,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Events that are new in the store.
    pub(crate) added: u64,
    /// Events that the store held already.
    pub(crate) already_there: u64,
    /// Lines that repeat an earlier line.
    pub(crate) repeated: u64,
    /// Lines that were wrong.
    pub(crate) invalid: u64,
    /// Streams in the file.
    pub(crate) streams: u64,
}
