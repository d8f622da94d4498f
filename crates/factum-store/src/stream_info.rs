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

impl StreamInfo {
    /// The revision that its next event will have; 0 when it never had one.
    ///
    /// ```
    /// use factum_store::{AppendBatch, EventStore, MemoryStore};
    /// use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
    ///
    /// # pollster::block_on(async {
    /// let (store, stream) = (MemoryStore::new(), StreamName::new("order-1")?);
    /// assert_eq!(store.stream_info(stream.clone()).await?.next_revision(), 0);
    /// let event = NewEvent::json(EventId::from_bytes([1; 16]), EventType::new("OrderPlaced")?, "{}");
    /// store.append(AppendBatch::events(stream.clone(), ExpectedRevision::NoStream, vec![event])).await?;
    /// let info = store.stream_info(stream).await?;
    /// assert_eq!((info.next_revision(), info.is_whole()), (1, true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn next_revision(&self) -> u64 {
        self.last_revision.map_or(0, |last| last.number() + 1)
    }

    /// Whether a read gives every event it ever had: it can be read, and no setting hides anything. Only then is a state that was
    /// folded earlier, and the events since, what all of its events give.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.state == StreamState::Live && self.settings == StreamSettings::default()
    }
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
