//! The event: as given to a store, and as read back.

use bytes::Bytes;

use crate::id::EventId;
use crate::limits::{EVENT_DATA_BYTES_MAX, EVENT_PERSONAL_BYTES_MAX, EVENT_TAGS_MAX};
use crate::metadata::Metadata;
use crate::name::{EventType, StreamName, Tag};
use crate::position::{Position, Revision};
use crate::time::Timestamp;

/// What the data of an event is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ContentType {
    /// JSON text (RFC 8259). The store takes the writer's word for it.
    #[default]
    Json,
    /// Anything else.
    Binary,
}

/// What a record in the log stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RecordKind {
    /// A fact.
    Event,
    /// The stream was closed for ever.
    Tombstone,
    /// The stream was emptied; it may be written again, and its revisions go on.
    Delete,
    /// The stream's settings were changed.
    Settings,
}

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its identity. The same id again is the same event.
    pub id: EventId,
    /// What kind of thing happened.
    pub event_type: EventType,
    /// What happened: exact bytes, at most [`EVENT_DATA_BYTES_MAX`].
    pub data: Bytes,
    /// What `data` is written in.
    pub content_type: ContentType,
    /// Which version of the type's shape `data` has; 1 when never changed.
    pub schema_version: u32,
    /// At most [`EVENT_TAGS_MAX`], each once.
    pub tags: Vec<Tag>,
    /// Who, why, caused by what.
    pub metadata: Metadata,
    /// Sealed envelopes with the personal part, opaque to the store; empty when there is none.
    pub personal: Bytes,
    /// When it happened, for events brought from elsewhere; `None` for now. A time before that of the last event in the store, or in
    /// the future, is refused: times never go backwards.
    pub time: Option<Timestamp>,
}

impl NewEvent {
    /// An event with JSON data, schema version 1, and nothing else.
    #[must_use]
    pub fn json(id: EventId, event_type: EventType, data: impl Into<Bytes>) -> Self {
        Self {
            id,
            event_type,
            data: data.into(),
            content_type: ContentType::Json,
            schema_version: 1,
            tags: Vec::new(),
            metadata: Metadata::default(),
            personal: Bytes::new(),
            time: None,
        }
    }

    /// An event with binary data, schema version 1, and nothing else.
    #[must_use]
    pub fn binary(id: EventId, event_type: EventType, data: impl Into<Bytes>) -> Self {
        Self {
            content_type: ContentType::Binary,
            ..Self::json(id, event_type, data)
        }
    }

    /// The same event with these tags.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags = tags.into_iter().collect();
        self
    }

    /// The same event with this metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Bytes that count towards the limits of an append.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.data.len()
            + self.personal.len()
            + self.metadata.byte_len()
            + self.event_type.as_str().len()
            + self
                .tags
                .iter()
                .map(|tag| tag.as_str().len())
                .sum::<usize>()
    }

    /// What is over its limit, if anything: its name, its size and the limit.
    #[must_use]
    pub fn over_limit(&self) -> Option<(&'static str, usize, usize)> {
        let sizes = [
            ("data", self.data.len(), EVENT_DATA_BYTES_MAX),
            (
                "personal section",
                self.personal.len(),
                EVENT_PERSONAL_BYTES_MAX,
            ),
            ("number of tags", self.tags.len(), EVENT_TAGS_MAX),
        ];
        sizes
            .into_iter()
            .find(|(_, size, limit)| size > limit)
            .or_else(|| self.metadata.over_limit())
    }
}

/// An event as read: what was given, and where and when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its identity.
    pub id: EventId,
    /// The stream it belongs to.
    pub stream: StreamName,
    /// Its number in the stream. For a tombstone, delete or settings record: the number the stream's next event would have had.
    pub revision: Revision,
    /// Where it stands in the order of all.
    pub position: Position,
    /// When it was recorded, by the store's clock; never earlier than the event before it.
    pub time: Timestamp,
    /// What kind of thing happened. Tombstone, delete and settings records have types that begin with `$`.
    pub event_type: EventType,
    /// What happened, as given.
    pub data: Bytes,
    /// What `data` is written in.
    pub content_type: ContentType,
    /// Which version of the type's shape `data` has.
    pub schema_version: u32,
    /// Its tags, in the order given.
    pub tags: Vec<Tag>,
    /// Who, why, caused by what.
    pub metadata: Metadata,
    /// Sealed envelopes with the personal part; empty when there is none.
    pub personal: Bytes,
    /// A fact, or a change to its stream.
    pub kind: RecordKind,
}
