//! What a segment has lost, as its frames are taken up one after the other: records, and perhaps names with them.
//!
//! Whoever looks for the last event of a stream asks whether a lost record may have been a later one of it. Two things exclude that: the
//! revisions of streams that go on account for all that was lost, or the segment never named the stream and no name of it is lost. Names
//! have consecutive ordinals, so the next definition after a lost frame tells whether that frame defined any.
//! Relies on: frames come in order. Never: takes a loss for explained by what merely may explain it.

use std::cmp::Ordering;

use factum_format::definition::DefinitionKind;
use factum_format::frame::{FrameFlags, FrameHeader};
use factum_format::index::Losses;

/// What was lost so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    first: Option<u32>,
    last: u32,
    count: u32,
    /// How many of them are missing in streams that go on behind them.
    explained: u32,
    names: StreamNames,
}

/// Whether all names of streams are known.
#[derive(Debug, Default, PartialEq, Eq)]
enum StreamNames {
    #[default]
    Known,
    /// As far as the last frame that could not be read; it may have defined some.
    Doubtful,
    /// All of them, and none can follow: a packed segment has them before its records.
    Complete,
    /// One is lost for sure.
    Lost,
}

impl Tally {
    /// Takes note of a lost record.
    pub(super) fn record(&mut self, ordinal: u32) {
        self.first.get_or_insert(ordinal);
        self.last = ordinal;
        self.count += 1;
    }

    /// Takes note of lost records that are missing in a stream which goes on.
    pub(super) const fn explained(&mut self, count: u32) {
        self.explained = self.explained.saturating_add(count);
    }

    /// Takes note of a frame whose definitions are not known.
    pub(super) fn frame_unread(&mut self) {
        if self.names == StreamNames::Known {
            self.names = StreamNames::Doubtful;
        }
    }

    /// Takes note of a frame whose header is known.
    pub(super) fn frame(&mut self, header: &FrameHeader) {
        let records = header.flags.contains(FrameFlags::REPACKED)
            && !header.flags.contains(FrameFlags::NAMES)
            && header.record_count > 0;
        if records && self.names == StreamNames::Known {
            self.names = StreamNames::Complete;
        }
    }

    /// Takes note of a frame of packed names, and whether all of them could be read.
    pub(super) fn names(&mut self, kind: DefinitionKind, whole: bool) {
        match (kind == DefinitionKind::STREAM, &self.names) {
            (true, _) if !whole => self.names = StreamNames::Lost,
            // Kinds come in order, streams first.
            (false, StreamNames::Known) => self.names = StreamNames::Complete,
            _ => {}
        }
    }

    /// Takes note of a stream's name with this ordinal, `next` being the next one.
    pub(super) fn stream_named(&mut self, ordinal: u32, next: usize) {
        match (ordinal as usize).cmp(&next) {
            Ordering::Greater => self.names = StreamNames::Lost,
            Ordering::Equal if self.names == StreamNames::Doubtful => {
                self.names = StreamNames::Known;
            }
            _ => {}
        }
    }

    /// Takes note of a stream's name that is none.
    pub(super) fn stream_lost(&mut self) {
        self.names = StreamNames::Lost;
    }

    /// What was lost and whose it was nobody can tell; `None` when there is nothing of the kind.
    pub(crate) fn losses(&self) -> Option<Losses> {
        self.counted().map(|(_, losses)| losses)
    }

    /// The same, with how many records that are.
    pub(crate) fn counted(&self) -> Option<(u32, Losses)> {
        let count = self.count.checked_sub(self.explained).filter(|n| *n > 0)?;
        let losses = Losses {
            first: self.first?,
            last: self.last,
            unnamed: matches!(self.names, StreamNames::Doubtful | StreamNames::Lost),
        };
        Some((count, losses))
    }
}
