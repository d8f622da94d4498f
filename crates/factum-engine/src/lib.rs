//! Factum's embedded storage engine: an append-only log of events in a directory, with everything derived from it.
//!
//! Three stages are kept apart: *sequence* (judge and number, in memory), *order and make durable* (a frame log behind a trait), and
//! *apply and publish* (indexes, answers, subscribers; a function of the frames alone).
//!
//! | module | stage or part |
//! |---|---|
//! | `request`, `append` | the caller's side |
//! | `sequence` | first stage |
//! | `log`, `supply` | second stage: segments, or memory with trouble |
//! | `buffers` | memory that all stages use again |
//! | `core` | the pipeline through all three, step by step |
//! | `view`, `read`, `subscribe` | third stage and readers |
//! | `open`, `recover` | from bytes back to a store |
//! | `seal`, `maintain`, `catalog` | background, manifest |
//! | [`backup`], [`mod@verify`] | copies and checks |
//!
//! The files are drawn in docs/format.md, the promises in docs/guarantees.md.
//! Invariants: one writer; sealed segments never change; a payload is never parsed; after a failed write of the log nothing is written
//! until the store is opened again.

mod append;
pub mod backup;
mod buffers;
mod catalog;
mod core;
mod engine;
mod errors;
mod key;
mod log;
mod maintain;
pub mod mutant;
mod number;
mod open;
mod options;
mod paths;
mod read;
mod reader;
mod recover;
mod report;
mod request;
mod seal;
mod sequence;
pub mod step;
mod subscribe;
mod supply;
mod sync;
pub mod verify;
mod view;

pub use engine::{Engine, Scan};
pub use options::Options;
pub use read::{EventRef, Page};
pub use report::{DamageReport, OpenReport, Stats};
