//! Factum's bytes on disk, version 1, as pure functions.
//!
//! | module         | what it draws                                                                      |
//! |----------------|------------------------------------------------------------------------------------|
//! | [`segment`]    | the 4 KiB header of a segment file, written twice                                  |
//! | [`frame`]      | one group commit: header, definitions, records, zero map, footer                   |
//! | [`definition`] | a name and the ordinal it gets within its segment                                  |
//! | [`zero_map`]   | the sectors of a frame that are meant to be zero                                   |
//! | [`record`]     | one event (or tombstone, settings, snapshot, …)                                    |
//! | [`section`]    | the typed parts of a record; [`metadata`] and [`settings`] are two of them         |
//! | [`scan`]       | what stands at an offset of a segment, and whether it is torn or rotten            |
//! | [`manifest`]   | the list of segments and quarantined ranges                                        |
//! | [`index`]      | the file beside a sealed segment, which can be rebuilt from it                     |
//!
//! `docs/format.md` draws every byte. Files written by a released version open for ever: what is promised there is
//! checked by the fixtures of `tests/it`.
//!
//! Relies on: nothing but its arguments. Never: reads a file or a clock, panics on input, allocates by an unchecked
//! length, or interprets a payload. Every integer is little-endian.
#![warn(clippy::indexing_slicing, clippy::expect_used)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod bytes;
pub mod definition;
mod error;
pub mod frame;
mod front;
pub mod hash;
pub mod index;
pub mod limits;
pub mod manifest;
pub mod metadata;
mod packed_names;
pub mod record;
pub mod scan;
pub mod section;
pub mod segment;
pub mod settings;
pub mod snapshot;
#[cfg(test)]
mod support;
pub mod varint;
pub mod zero_map;

pub use error::FormatError;
pub use hash::SegmentKey;
