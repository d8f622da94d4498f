//! What can go wrong, sorted by what the caller should do about it.

use std::fmt;
use std::sync::Arc;

use factum_types::{ExpectedRevision, Position, RecordedEvent, Revision, StreamName};

/// What the caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Read again and decide again: an expectation or a condition does not hold. Nothing was written.
    Conflict,
    /// Fix the request. Nothing was written.
    Invalid,
    /// Look elsewhere: what was asked for is not there.
    NotFound,
    /// Give the stream up: it was closed for ever.
    Deleted,
    /// Try again: nothing was written, and the cause is passing.
    Unavailable,
    /// Try again with the same ids, which is safe: it is not known whether it was written.
    Unknown,
    /// Repair or restore: stored bytes are not what was written. The rest of the store is readable.
    Corrupt,
    /// Free space: there is no room to write. Reading goes on.
    Full,
    /// Do not write: the store was opened for reading only, or stopped writing to protect what it has; the message says which.
    ReadOnly,
    /// Report a bug, or a failing machine: something that must not happen did.
    Internal,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::NotFound => "not found",
            Self::Deleted => "deleted",
            Self::Unavailable => "unavailable",
            Self::Unknown => "outcome unknown",
            Self::Corrupt => "corrupt",
            Self::Full => "full",
            Self::ReadOnly => "read only",
            Self::Internal => "internal",
        })
    }
}

/// The error of every store operation. Cloning one is cheap.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: Kind,
    message: String,
    conflict: Option<Arc<Conflict>>,
    damage: Option<Arc<Damage>>,
    #[source]
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// What an append ran into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Which expectation or condition does not hold.
    pub reason: ConflictReason,
    /// The events that broke it, oldest first: those after the expected revision, or those that match the query. At most
    /// [`CONFLICT_EVENTS_MAX`](factum_types::limits::CONFLICT_EVENTS_MAX); may be empty when they are many or no longer stored.
    pub events: Vec<RecordedEvent>,
}

/// Which expectation or condition does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConflictReason {
    /// A stream is not at the expected revision.
    Revision {
        /// The stream.
        stream: StreamName,
        /// What was expected.
        expected: ExpectedRevision,
        /// Its last revision; `None` when it never had an event. A stream that was deleted or closed for ever keeps it, so this alone does
        /// not say that the stream exists: where [`ExpectedRevision::StreamExists`] does not hold, it has gone, whatever stands here.
        actual: Option<Revision>,
    },
    /// An event matches a query that none should match.
    Match {
        /// Which condition of the batch, from 0.
        condition: usize,
        /// The position of the last event that matches, when known.
        position: Option<Position>,
    },
}

/// Which stored bytes are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file, relative to the data directory.
    pub file: String,
    /// Where the damage begins in it, in bytes.
    pub offset: u64,
    /// How many bytes are affected.
    pub length: u64,
    /// The first position affected.
    pub first: Position,
    /// The last position affected.
    pub last: Position,
}

impl StoreError {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            conflict: None,
            damage: None,
            source: None,
        }
    }

    /// An error of kind [`Kind::Invalid`].
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// An error of kind [`Kind::Conflict`], worded from the reason.
    #[must_use]
    pub fn conflict(conflict: Conflict) -> Self {
        let message = match &conflict.reason {
            ConflictReason::Revision {
                stream,
                expected: expected @ ExpectedRevision::StreamExists,
                actual: Some(actual),
            } => {
                format!(
                    "stream {stream} is gone since its revision {actual}, not as expected ({expected})"
                )
            }
            ConflictReason::Revision {
                stream,
                expected,
                actual: Some(actual),
            } => {
                format!("stream {stream} is at revision {actual}, not as expected ({expected})")
            }
            ConflictReason::Revision {
                stream,
                expected,
                actual: None,
            } => {
                format!("stream {stream} has no events, not as expected ({expected})")
            }
            ConflictReason::Match {
                condition,
                position: Some(position),
            } => format!(
                "condition {condition} does not hold: the event at position {position} matches its query"
            ),
            ConflictReason::Match {
                condition,
                position: None,
            } => {
                format!("condition {condition} does not hold: an event matches its query")
            }
        };
        Self {
            conflict: Some(Arc::new(conflict)),
            ..Self::new(Kind::Conflict, message)
        }
    }

    /// An error of kind [`Kind::Corrupt`]; `what` begins the message, the damage ends it.
    #[must_use]
    pub fn corrupt(what: impl fmt::Display, damage: Damage) -> Self {
        let Damage {
            file,
            offset,
            length,
            first,
            last,
        } = &damage;
        let positions = if first == last {
            format!("position {first}")
        } else {
            format!("positions {first} to {last}")
        };
        let message = format!("{what}: {positions} in {file}, {length} bytes at offset {offset}");
        Self {
            damage: Some(Arc::new(damage)),
            ..Self::new(Kind::Corrupt, message)
        }
    }

    /// An error that was told somewhere else, over a wire for instance, with all that was told of it.
    ///
    /// ```
    /// use factum_store::{Kind, StoreError};
    ///
    /// let error = StoreError::told(Kind::NotFound, "stream order-1 has no events", None, None);
    /// assert_eq!((error.kind(), error.as_damage()), (Kind::NotFound, None));
    /// ```
    #[must_use]
    pub fn told(
        kind: Kind,
        message: impl Into<String>,
        conflict: Option<Conflict>,
        damage: Option<Damage>,
    ) -> Self {
        Self {
            conflict: conflict.map(Arc::new),
            damage: damage.map(Arc::new),
            ..Self::new(kind, message)
        }
    }

    /// The same error, with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What the caller should do.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What the append ran into, for [`Kind::Conflict`].
    #[must_use]
    pub fn as_conflict(&self) -> Option<&Conflict> {
        self.conflict.as_deref()
    }

    /// Which bytes are damaged, for [`Kind::Corrupt`].
    #[must_use]
    pub fn as_damage(&self) -> Option<&Damage> {
        self.damage.as_deref()
    }
}
