//! The rule table of recovery.

use super::{Damage, FrameAt};
use crate::frame::FrameHeader;

/// What the first frame that does not verify, X, means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The log ends here, and nothing was lost. What follows X may still have to be zeroed
    /// ([`Area::dirty_end`](super::Area::dirty_end)): parts of a frame may have arrived without its first sector.
    CleanEnd {
        /// The place of X's header is not quite zero: the medium changed bits in the pre-written area. Count it.
        stray_bits: bool,
    },
    /// X never arrived whole and no later frame exists: a power cut during a write. It was never acknowledged. Cut.
    CutTorn {
        /// X's header, from its header or footer.
        header: FrameHeader,
    },
    /// X never arrived, or not whole, but frames that were written at the same time did. None of them says that X was
    /// durable, so neither X nor they were acknowledged. Cut at X.
    CutUnacknowledged {
        /// How many later frames are given up.
        later_frames: usize,
    },
    /// X went bad after it was written, or an acknowledged X is gone. Never cut. Quarantine the range, salvage what is
    /// good, keep all later frames.
    Rot {
        /// What is wrong.
        cause: RotCause,
        /// A later frame says that X was durable. Otherwise X may or may not have been acknowledged.
        acknowledged: bool,
        /// X's header is known and its body is good: the frame can be used as it is, and only its repair is due.
        lossless: bool,
    },
}

/// What is wrong with a rotten frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotCause {
    /// The header, or header and footer, do not verify.
    Header,
    /// The body does not match its hash, though all its sectors are there.
    Body,
    /// Only the footer is bad.
    Footer,
    /// Sectors are zero, or the whole frame is, though it was durable.
    Missing,
    /// The frame goes past the end of the file.
    PastEnd,
    /// A valid frame, or the header of a damaged one, that does not belong here in the sequence.
    OutOfSequence,
    /// A newer release wrote the frame: no damage. Refuse to open.
    NewerVersion,
}

/// Judges the first frame that is not the expected valid one.
///
/// - `first_bad`: what [`scan_frame`](super::scan_frame) found. A [`FrameAt::Valid`] one is judged as out of sequence:
///   hand it in when sequence number, epoch or previous hash are not the expected ones.
/// - `seq_expected`: the sequence number that X should have.
/// - `later`: the headers found after X, in this segment and the next, in any order. Those with a sequence number up to
///   `seq_expected` are not counted: they are left from before a cut.
///
/// The first row that fits counts:
///
/// | X                                                         | later frames                | verdict             |
/// |-----------------------------------------------------------|-----------------------------|---------------------|
/// | any                                                       | one with `durable_seq` ≥ X  | `Rot`, acknowledged |
/// | newer version, valid but out of sequence, or past the end | any                         | `Rot`               |
/// | header known, its sequence number is not X's              | any                         | `Rot`               |
/// | every sector there, something does not verify             | any                         | `Rot`               |
/// | header neither zero nor verified, and no footer           | any                         | `Rot`               |
/// | nothing there, or a sector missing                        | some, all `durable_seq` < X | `CutUnacknowledged` |
/// | a sector missing                                          | none                        | `CutTorn`           |
/// | nothing there                                             | none                        | `CleanEnd`          |
///
/// So later frames that do not vouch for X are a reason to cut only if X shows that it never arrived. If X is all
/// there and rotten, it may have been acknowledged together with them, after the last of their headers was made.
#[must_use]
pub fn verdict(first_bad: &FrameAt<'_>, seq_expected: u64, later: &[FrameHeader]) -> Verdict {
    let later = || later.iter().filter(|frame| frame.frame_seq > seq_expected);
    let acknowledged = later().any(|frame| frame.durable_seq >= seq_expected);
    let evidence = weigh(first_bad, seq_expected);
    let cause = match evidence {
        Evidence::Rotten(cause) => Some(cause),
        Evidence::Torn(_) | Evidence::Absent { .. } => acknowledged.then_some(RotCause::Missing),
    };
    if let Some(cause) = cause {
        let lossless = matches!(
            cause,
            RotCause::Header | RotCause::Footer | RotCause::Missing
        ) && matches!(first_bad, FrameAt::Damaged(frame) if frame.body_ok && frame.header.is_some());
        return Verdict::Rot {
            cause,
            acknowledged,
            lossless,
        };
    }
    match (later().count(), evidence) {
        (0, Evidence::Torn(header)) => Verdict::CutTorn { header },
        (0, Evidence::Absent { stray_bits }) => Verdict::CleanEnd { stray_bits },
        (later_frames, _) => Verdict::CutUnacknowledged { later_frames },
    }
}

/// What X says about itself.
#[derive(Debug, Clone, Copy)]
enum Evidence {
    Absent { stray_bits: bool },
    Torn(FrameHeader),
    Rotten(RotCause),
}

fn weigh(first_bad: &FrameAt<'_>, seq_expected: u64) -> Evidence {
    let frame = match first_bad {
        FrameAt::Empty => return Evidence::Absent { stray_bits: false },
        FrameAt::StrayBits => return Evidence::Absent { stray_bits: true },
        FrameAt::Garbage => return Evidence::Rotten(RotCause::Header),
        FrameAt::Valid(_) => return Evidence::Rotten(RotCause::OutOfSequence),
        FrameAt::Damaged(frame) => frame,
    };
    match (frame.header, frame.damage) {
        (None, _) | (_, Damage::NewerVersion) => Evidence::Rotten(RotCause::NewerVersion),
        (_, Damage::PastEnd) => Evidence::Rotten(RotCause::PastEnd),
        (Some(header), _) if header.frame_seq != seq_expected => {
            Evidence::Rotten(RotCause::OutOfSequence)
        }
        (Some(header), Damage::HeaderMissing) => Evidence::Torn(header),
        (Some(header), _) if frame.missing => Evidence::Torn(header),
        (_, Damage::Header) => Evidence::Rotten(RotCause::Header),
        (_, Damage::Body) => Evidence::Rotten(RotCause::Body),
        (_, Damage::Footer) => Evidence::Rotten(RotCause::Footer),
    }
}
