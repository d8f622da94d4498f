//! An event that waits, because it failed or because one before it did.
//!
//! Relies on: the sink, which stores it. Never: holds the event itself; that is read again from the store.

use factum_types::{EventId, EventType, Position, RecordedEvent, Revision, StreamName, Timestamp};

/// Longer reasons are cut.
const REASON_BYTES_MAX: usize = 4 << 10;

/// A parked event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// What it waits in.
    pub partition: String,
    /// Where it stands.
    pub position: Position,
    /// Its id.
    pub event: EventId,
    /// Its stream.
    pub stream: StreamName,
    /// Its number in the stream.
    pub revision: Revision,
    /// What kind of thing happened.
    pub event_type: EventType,
    /// Why it waits, at most 4 KiB.
    pub reason: String,
    /// How often it was tried; 0 for one that waits behind another.
    pub attempts: u32,
    /// Since when, or when it was last tried in vain.
    pub since: Timestamp,
    /// Whether someone asked for another attempt.
    pub wanted: bool,
}

impl Parked {
    /// An event that was tried so often and waits since now.
    #[must_use]
    pub fn new(
        event: &RecordedEvent,
        partition: impl Into<String>,
        reason: impl Into<String>,
        attempts: u32,
        now: Timestamp,
    ) -> Self {
        Self {
            partition: partition.into(),
            position: event.position,
            event: event.id,
            stream: event.stream.clone(),
            revision: event.revision,
            event_type: event.event_type.clone(),
            reason: shortened(reason.into()),
            attempts,
            since: now,
            wanted: false,
        }
    }
}

fn shortened(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        let end = (0..=REASON_BYTES_MAX)
            .rev()
            .find(|end| reason.is_char_boundary(*end));
        reason.truncate(end.unwrap_or(0));
        reason.push('…');
    }
    reason
}
