//! Whether what is left of a stream is known to be all of it: lost records may have been later events.
//!
//! While the last event of a stream is looked for, from the newest segment to the oldest, everything lost on the way is noted that may
//! have been of the stream. What proves the opposite: a record of the stream behind the loss, or a segment that knows all of its names and
//! not this one. A stream of which nothing at all is found counts as new where the loss was accepted; elsewhere it is in doubt too.
//! Relies on: [`Losses`]. Never: doubts a stream that goes on behind the loss.

use factum_format::index::Losses;
use factum_store::{Damage, StoreError};
use factum_types::{Position, StreamName};

use crate::mutant::{Mutant, on};
use crate::paths::segment_name;
use crate::view::{Sealed, Unsealed};

/// Lost records that may have been of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Doubt {
    file: String,
    first: u64,
    last: u64,
}

impl Doubt {
    /// What is told of a stream whose last event cannot be proven.
    pub(crate) fn error(self, stream: &StreamName) -> StoreError {
        let damage = Damage {
            file: self.file,
            offset: 0,
            length: 0,
            first: Position::from_raw(self.first),
            last: Position::from_raw(self.last),
        };
        let what = format!(
            "the last event of stream {stream} may be among those that were lost, so that its next revision is not known; restore the file from a backup, or, as the last resort, open the store with the option accept_lost_tails (in the command line --accept-lost-tails)"
        );
        StoreError::corrupt(what, damage)
    }
}

/// A segment on the way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    Sealed(&'a Sealed),
    Unsealed(&'a Unsealed),
}

impl Of<'_> {
    const fn base(self) -> u64 {
        match self {
            Of::Sealed(sealed) => sealed.entry.base_position,
            Of::Unsealed(unsealed) => unsealed.head.base_position,
        }
    }

    /// Its file, as errors show it.
    fn file(self) -> String {
        match self {
            Of::Sealed(sealed) => sealed.shown(),
            Of::Unsealed(unsealed) => {
                format!("segments/{}", segment_name(unsealed.head.number, 0))
            }
        }
    }

    /// Whether somebody accepted what it lost. Nothing is written, and so sealed, behind a loss that was not.
    fn is_accepted(self) -> bool {
        match self {
            Of::Sealed(sealed) => sealed.is_loss_accepted(),
            Of::Unsealed(_) => true,
        }
    }

    fn doubt(self, losses: Losses) -> Doubt {
        Doubt {
            file: self.file(),
            first: self.base().saturating_add(losses.first.into()),
            last: self.base().saturating_add(losses.last.into()),
        }
    }
}

/// What was lost on the way to a stream's last event.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// The newest loss that may have been of the stream.
    newest: Option<Doubt>,
    /// The newest of those that nobody has accepted.
    not_accepted: Option<Doubt>,
    /// Whether there is anything of the stream.
    seen: bool,
    /// Where the segment begins that was looked at last.
    base: Option<u64>,
}

impl Doubts {
    /// Goes on to the next older segment, which ends before this position. Positions between it and the one before were passed over when a
    /// loss of unknown length was accepted.
    pub(crate) fn go_on(&mut self, segment: Of<'_>, end: u64) {
        let newer = self.base.replace(segment.base());
        if let Some(newer) = newer.filter(|newer| *newer > end) {
            let doubt = || Doubt {
                file: segment.file(),
                first: end,
                last: newer - 1,
            };
            self.newest.get_or_insert_with(doubt);
        }
    }

    /// Takes note of what the segment lost in which the stream has its last event at this ordinal, or none but perhaps its name.
    pub(crate) fn lost(
        &mut self,
        (segment, losses): (Of<'_>, Losses),
        last_event: Option<u32>,
        named: bool,
    ) {
        self.seen |= named;
        let excluded = match last_event {
            Some(ordinal) => losses.last < ordinal,
            None => !named && !losses.unnamed,
        };
        if excluded || on(Mutant::LostTailIgnored) {
            return;
        }
        self.newest.get_or_insert_with(|| segment.doubt(losses));
        if !segment.is_accepted() {
            self.not_accepted
                .get_or_insert_with(|| segment.doubt(losses));
        }
    }

    /// There is an event of the stream.
    pub(crate) const fn seen(&mut self) {
        self.seen = true;
    }

    /// There is another record of the stream, at this position.
    pub(crate) fn seen_at(&mut self, position: u64) {
        self.seen = true;
        self.newest.take_if(|doubt| doubt.last < position);
    }

    /// What is in doubt, when everything has been looked at.
    pub(crate) fn left(self) -> Option<Doubt> {
        if self.seen {
            self.newest
        } else {
            self.not_accepted
        }
    }
}
