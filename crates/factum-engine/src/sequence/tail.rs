//! The tail of a stream: all that is needed to judge and number the next write.
//!
//! Pure rules, the same for the sequencer, for recovery and for readers. Relies on: nothing. Never: does I/O.

use factum_format::settings::StreamState as Stored;
use factum_types::{ExpectedRevision, Revision, StreamSettings};

/// Whether a stream can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TailState {
    #[default]
    Live,
    Deleted,
    Tombstoned,
}

/// All that is needed to judge and number the next write of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StreamTail {
    /// The revision of the next event.
    pub(crate) next_revision: u64,
    /// One more than the position of the last event; 0 when there is none.
    pub(crate) after_last_event: u64,
    /// One more than the position of the last record of any kind; 0 when there is none.
    pub(crate) after_last_record: u64,
    pub(crate) state: TailState,
    /// What its control records say; `None` for a stream without, as nearly all are.
    pub(crate) control: Option<Box<ControlState>>,
}

/// What a stream's last control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlState {
    pub(crate) settings: StreamSettings,
    /// The revision from which its current life counts, if it was ever deleted.
    pub(crate) deleted_before: Option<u64>,
    pub(crate) state: Stored,
}

impl StreamTail {
    pub(crate) const fn last_revision(&self) -> Option<Revision> {
        match self.next_revision {
            0 => None,
            next => Some(Revision::new(next - 1)),
        }
    }

    pub(crate) fn settings(&self) -> StreamSettings {
        self.control
            .as_ref()
            .map_or_else(StreamSettings::default, |control| control.settings)
    }

    pub(crate) fn deleted_before(&self) -> Option<u64> {
        self.control
            .as_ref()
            .and_then(|control| control.deleted_before)
    }

    /// Whether it holds at least one event to read, as far as deletion is concerned.
    pub(crate) fn exists(&self) -> bool {
        self.next_revision > 0 && self.state == TailState::Live
    }

    /// Whether the expectation holds; never for a stream with a tombstone, unless nothing is expected.
    pub(crate) fn meets(&self, expected: ExpectedRevision) -> bool {
        match expected {
            ExpectedRevision::Any => true,
            _ if self.state == TailState::Tombstoned => false,
            ExpectedRevision::NoStream => {
                self.next_revision == 0 || self.state == TailState::Deleted
            }
            ExpectedRevision::StreamExists => self.exists(),
            ExpectedRevision::Exactly(revision) => {
                revision.number().checked_add(1) == Some(self.next_revision)
            }
        }
    }

    /// Takes note of an event at this position.
    pub(crate) const fn on_event(&mut self, position: u64) {
        self.next_revision += 1;
        self.after_last_event = position + 1;
        self.after_last_record = position + 1;
        if matches!(self.state, TailState::Deleted) {
            self.state = TailState::Live;
        }
    }

    /// Takes note of a record that changes the stream.
    pub(crate) fn on_control(&mut self, position: u64, control: ControlState) {
        self.state = match control.state {
            Stored::Live => TailState::Live,
            Stored::Deleted => TailState::Deleted,
            Stored::Tombstoned => TailState::Tombstoned,
        };
        self.control = Some(Box::new(control));
        self.after_last_record = position + 1;
    }

    /// What a delete leaves behind.
    pub(crate) fn deleted(&self) -> ControlState {
        let truncate_before = Some(Revision::new(self.next_revision));
        ControlState {
            settings: StreamSettings {
                truncate_before,
                ..self.settings()
            },
            deleted_before: Some(self.next_revision),
            state: Stored::Deleted,
        }
    }

    /// What a tombstone leaves behind.
    pub(crate) fn tombstoned(&self) -> ControlState {
        ControlState {
            settings: self.settings(),
            deleted_before: self.deleted_before(),
            state: Stored::Tombstoned,
        }
    }

    /// What new settings leave behind: a deleted stream stays deleted, and what was deleted stays hidden for ever.
    pub(crate) fn with_settings(&self, mut settings: StreamSettings) -> ControlState {
        let deleted_before = self.deleted_before();
        let deleted = self.state == TailState::Deleted;
        let state = if deleted {
            Stored::Deleted
        } else {
            Stored::Live
        };
        settings.truncate_before = settings
            .truncate_before
            .max(deleted_before.map(Revision::new));
        ControlState {
            settings,
            deleted_before,
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{StreamTail, TailState};
    use factum_types::{ExpectedRevision, Revision};

    #[test]
    fn expectations_by_state() {
        let tail = |next_revision, state| StreamTail {
            next_revision,
            state,
            ..Default::default()
        };
        let exactly = |n| ExpectedRevision::Exactly(Revision::new(n));
        let check = |tail: &StreamTail, expected: [bool; 4]| {
            let asked = [
                ExpectedRevision::Any,
                ExpectedRevision::NoStream,
                ExpectedRevision::StreamExists,
                exactly(2),
            ];
            assert_eq!(asked.map(|e| tail.meets(e)), expected, "{tail:?}");
        };
        check(&tail(0, TailState::Live), [true, true, false, false]);
        check(&tail(3, TailState::Live), [true, false, true, true]);
        check(&tail(3, TailState::Deleted), [true, true, false, true]);
        check(&tail(3, TailState::Tombstoned), [true, false, false, false]);
        assert!(!tail(0, TailState::Live).meets(exactly(u64::MAX)));
    }

    #[test]
    fn an_event_reopens_a_deleted_stream() {
        let mut tail = StreamTail::default();
        tail.on_event(7);
        let deleted = tail.deleted();
        tail.on_control(8, deleted);
        assert!(!tail.exists());
        tail.on_event(9);
        assert!(tail.exists());
        assert_eq!(tail.settings().truncate_before, Some(Revision::new(1)));
        assert_eq!((tail.next_revision, tail.after_last_event), (2, 10));
    }
}
