//! What stands at an offset of a segment, and what that means for recovery.
//!
//! [`scan_frame`] looks at one offset. At the first frame that is not [`FrameAt::Valid`], the engine collects the
//! valid frames after it ([`find_frames_after`], and those of the next segment) and asks [`verdict`].
//!
//! Rests on three things. Segment files hold zeros before they are written. A sector is old or new, never half. And
//! each frame says which frames were durable when it was made. So a sector of a frame's extent that is zero, and is
//! not meant to be, never arrived: the frame is *torn* and was never acknowledged. A frame all of whose sectors are
//! there and which does not verify went bad later: it is *rotten*, may have been acknowledged, and must not be cut.
//! (What this cannot see: an acknowledged last frame whose medium turns whole sectors to zero, with no later frame to
//! vouch for it. `docs/decisions/0001-durable-seq.md` says how small that window is.)
//!
//! Relies on: [`Area`] reaching to the end of the file. Never: cuts, writes, or decides; it reports.

mod area;
mod look;
mod missing;
#[cfg(test)]
mod tests;
mod verdict;

pub use area::Area;
pub use look::{Damage, DamagedFrame, FrameAt, FramesAfter, find_frames_after, scan_frame};
pub use missing::missing_sectors;
pub use verdict::{RotCause, Verdict, verdict};
