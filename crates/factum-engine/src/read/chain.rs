//! Revisions follow each other: a stream read in which one is missing says so.
//!
//! An event that was lost with its head leaves no trace in its stream's list. The next event does: its revision is not the next.
//! Never: calls hidden events missing; the chain begins where the read does.

use factum_store::{Damage, Kind, StoreError};
use factum_types::{Position, RecordKind, RecordedEvent, StreamName};

/// The chain of revisions of a stream read.
#[derive(Debug)]
pub(crate) struct Chain {
    stream: StreamName,
    forward: bool,
    /// The revision that the next event should have, if that is known.
    next: Option<u64>,
    /// The position of the last event given.
    last: Option<u64>,
}

impl Chain {
    pub(crate) const fn new(stream: StreamName, forward: bool, next: Option<u64>) -> Self {
        Self {
            stream,
            forward,
            next,
            last: None,
        }
    }

    pub(crate) const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// Follows the chain by one item; an error when events are missing before it.
    pub(crate) fn follow(
        &mut self,
        item: &Result<RecordedEvent, StoreError>,
    ) -> Option<StoreError> {
        let event = match item {
            Ok(event) if event.kind == RecordKind::Event => event,
            Ok(_) => return None,
            Err(error) => {
                // A damaged event stands for one revision.
                if error.kind() == Kind::Corrupt {
                    self.next = self.next.and_then(|next| self.after(next));
                }
                return None;
            }
        };
        let revision = event.revision.number();
        let missing = match self.next {
            Some(next) if self.forward && revision > next => Some((next, revision - 1)),
            Some(next) if !self.forward && revision < next => Some((revision + 1, next)),
            _ => None,
        };
        let position = event.position.raw();
        let gap = missing.map(|missing| self.gap(missing, position));
        self.next = self.after(revision);
        self.last = Some(position);
        gap
    }

    const fn after(&self, revision: u64) -> Option<u64> {
        if self.forward {
            revision.checked_add(1)
        } else {
            revision.checked_sub(1)
        }
    }

    fn gap(&self, (first, last): (u64, u64), position: u64) -> StoreError {
        let (low, high) = match (self.last, self.forward) {
            (Some(before), true) => (before + 1, position.saturating_sub(1)),
            (Some(after), false) => (position + 1, after.saturating_sub(1)),
            (None, true) => (0, position.saturating_sub(1)),
            (None, false) => (position + 1, position + 1),
        };
        let stream = &self.stream;
        let damage = Damage {
            file: "segments".to_owned(),
            offset: 0,
            length: 0,
            first: Position::from_raw(low),
            last: Position::from_raw(high.max(low)),
        };
        let what = format!("revisions {first} to {last} of stream {stream} are lost, somewhere at");
        StoreError::corrupt(what, damage)
    }
}
