//! The frame: the records of one group commit. The unit of order, durability and atomicity.
//!
//! ```text
//! header 64 | head definitions | records | filler | zero map, if flagged | tail definitions | footer 64
//! ```
//!
//! A frame begins and ends on a multiple of 64 bytes; the first begins at offset 4096 of its file. Header and footer
//! are alike but for the magic number (and so the hash):
//!
//! | offset | size | field          | meaning                                                                      |
//! |-------:|-----:|----------------|------------------------------------------------------------------------------|
//! |      0 |    4 | magic          | `fFrM` in the header, `mRfF` in the footer                                   |
//! |      4 |    1 | version        | 1                                                                            |
//! |      5 |    1 | flags          | [`FrameFlags`]                                                               |
//! |      6 |    2 | epoch          | grows with each cut                                                          |
//! |      8 |    4 | frame length   | header to footer                                                             |
//! |     12 |    4 | record count   |                                                                              |
//! |     16 |    8 | frame sequence | consecutive over all segments of a partition                                 |
//! |     24 |    8 | base position  | of the first record                                                          |
//! |     32 |    8 | durable        | the highest frame sequence known durable when this header was made           |
//! |     40 |    8 | time           | µs since the Unix epoch                                                      |
//! |     48 |    8 | body hash      | XXH3-64, keyed, of all between header and footer                             |
//! |     56 |    4 | previous hash  | header hash of the frame before                                              |
//! |     60 |    4 | header hash    | low half of XXH3-64, keyed, of bytes 0..60 ‖ file offset of the frame (u64) ‖ segment number (u64) |
//!
//! The footer's hash takes the offset of the frame's start too. The footer lets a frame with a damaged header be read
//! exactly, and tells a frame that never arrived whole from one that went bad later.
//!
//! The body is absent in checkpoint and cut frames. Its parts: [`definition`](crate::definition), records back to
//! back, filler bytes (not zero) up to the 64-byte boundary, [`zero_map`](crate::zero_map). A packed segment has its
//! names in frames of their own, see [`FrameNames`], and its other frames define none.
//!
//! Relies on: the segment's salt being secret. Never: lets a payload pass for a frame.

mod builder;
mod header;
mod names;
mod salvage;
#[cfg(test)]
mod tests;
mod view;

pub use builder::{FrameBuilder, FrameFields};
pub use header::{FOOTER_MAGIC, FrameHeader, HEADER_MAGIC};
pub use names::{FrameNames, finish_names};
pub use salvage::{RecordExtent, salvage_records};
pub use view::{FrameView, RecordAt, Records, Verify};

/// What a frame is. Unknown bits are carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FrameFlags(pub u8);

impl FrameFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The body has a zero map. Set by the builder.
    pub const ZERO_MAP: Self = Self(1);
    /// The frame was written again by a rewrite of its segment.
    pub const REPACKED: Self = Self(1 << 1);
    /// No body: says what is durable.
    pub const CHECKPOINT: Self = Self(1 << 2);
    /// No body: a torn tail was cut here, and a new epoch begins.
    pub const CUT: Self = Self(1 << 3);
    /// The body holds names of a packed segment, and no records.
    pub const NAMES: Self = Self(1 << 4);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a frame with these flags has no body.
    #[must_use]
    pub fn bodiless(self) -> bool {
        self.contains(Self::CHECKPOINT) || self.contains(Self::CUT)
    }
}
