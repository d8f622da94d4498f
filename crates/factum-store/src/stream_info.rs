//! What is known about a stream.

use factum_types::{Position, Revision, StreamName, StreamSettings};

/// Whether a stream can be read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamState {
    /// It never had an event.
    Missing,
    /// It can be read and written.
    Live,
    /// It was deleted and not written since: it reads as missing, and may be written.
    Deleted,
    /// It was closed for ever.
    Tombstoned,
}

/// What is known about a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// The stream.
    pub stream: StreamName,
    /// Whether it can be read and written.
    pub state: StreamState,
    /// The revision of its last event, `None` when it never had one. A deleted stream keeps it.
    pub last_revision: Option<Revision>,
    /// The position of its last event, `None` when it never had one.
    pub last_position: Option<Position>,
    /// What it keeps. Deleting sets `truncate_before` to the next revision.
    pub settings: StreamSettings,
}

/// Which streams to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsRequest {
    /// Names that begin with this; all when empty.
    pub prefix: String,
    /// Names after this one; from the first when `None`.
    pub after: Option<StreamName>,
    /// At most this many.
    pub limit: usize,
}

impl Default for StreamsRequest {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            after: None,
            limit: 1_000,
        }
    }
}
