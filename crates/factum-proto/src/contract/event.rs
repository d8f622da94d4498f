//! Events, streams' settings and expectations, queries.

use std::time::Duration;

use factum_store::StoreError;
use factum_types::{
    Category, ContentType, EventId, EventType, ExpectedRevision, Metadata, NewEvent, Position,
    Query, QueryItem, RecordKind, RecordedEvent, Revision, StreamName, StreamSettings, Tag,
    Timestamp,
};
use prost::bytes::Bytes;

use super::{each, given, unfit, unheard_of};
use crate::v1;

pub(super) fn stream_name(text: &str) -> Result<StreamName, StoreError> {
    StreamName::new(text).map_err(unfit)
}

pub(super) fn category(text: &str) -> Result<Category, StoreError> {
    Category::new(text).map_err(unfit)
}

fn event_type(text: &str) -> Result<EventType, StoreError> {
    EventType::new(text).map_err(unfit)
}

fn tags(texts: &[String]) -> Result<Vec<Tag>, StoreError> {
    texts
        .iter()
        .map(|text| Tag::new(text).map_err(unfit))
        .collect()
}

fn texts(tags: &[Tag]) -> Vec<String> {
    tags.iter().map(|tag| tag.as_str().to_owned()).collect()
}

fn id_bytes(id: EventId) -> Bytes {
    Bytes::copy_from_slice(&id.to_bytes())
}

fn id(bytes: &Bytes) -> Result<EventId, StoreError> {
    let count = bytes.len();
    let wrong = |_| StoreError::invalid(format!("an event id has {count} bytes, not 16"));
    <[u8; 16]>::try_from(&bytes[..])
        .map(EventId::from_bytes)
        .map_err(wrong)
}

impl From<ContentType> for v1::ContentType {
    fn from(content_type: ContentType) -> Self {
        match content_type {
            ContentType::Json => Self::Json,
            ContentType::Binary => Self::Binary,
        }
    }
}

fn content_type(number: i32) -> Result<ContentType, StoreError> {
    match v1::ContentType::try_from(number) {
        Ok(v1::ContentType::Json) => Ok(ContentType::Json),
        Ok(v1::ContentType::Binary) => Ok(ContentType::Binary),
        Err(error) => Err(unfit(error)),
    }
}

impl TryFrom<RecordKind> for v1::RecordKind {
    type Error = StoreError;

    fn try_from(kind: RecordKind) -> Result<Self, StoreError> {
        match kind {
            RecordKind::Event => Ok(Self::Event),
            RecordKind::Tombstone => Ok(Self::Tombstone),
            RecordKind::Delete => Ok(Self::Delete),
            RecordKind::Settings => Ok(Self::Settings),
            _ => Err(unheard_of("kind of record")),
        }
    }
}

fn record_kind(number: i32) -> Result<RecordKind, StoreError> {
    match v1::RecordKind::try_from(number) {
        Ok(v1::RecordKind::Event) => Ok(RecordKind::Event),
        Ok(v1::RecordKind::Tombstone) => Ok(RecordKind::Tombstone),
        Ok(v1::RecordKind::Delete) => Ok(RecordKind::Delete),
        Ok(v1::RecordKind::Settings) => Ok(RecordKind::Settings),
        Err(error) => Err(unfit(error)),
    }
}

/// `None` when nothing is set: most events have none, and a message of its own is more than nothing.
fn metadata_message(metadata: Metadata) -> Option<v1::Metadata> {
    if metadata.is_empty() {
        return None;
    }
    let Metadata {
        correlation_id,
        causation_id,
        user_id,
        traceparent,
        custom,
    } = metadata;
    Some(v1::Metadata {
        correlation_id,
        causation_id,
        user_id,
        traceparent,
        custom,
    })
}

fn metadata(message: Option<v1::Metadata>) -> Metadata {
    let Some(message) = message else {
        return Metadata::default();
    };
    Metadata {
        correlation_id: message.correlation_id,
        causation_id: message.causation_id,
        user_id: message.user_id,
        traceparent: message.traceparent,
        custom: message.custom,
    }
}

impl From<NewEvent> for v1::NewEvent {
    fn from(event: NewEvent) -> Self {
        Self {
            id: id_bytes(event.id),
            event_type: event.event_type.as_str().to_owned(),
            data: event.data,
            content_type: v1::ContentType::from(event.content_type).into(),
            schema_version: event.schema_version,
            tags: texts(&event.tags),
            metadata: metadata_message(event.metadata),
            personal: event.personal,
            time: event.time.map(Timestamp::as_micros),
        }
    }
}

/// Bytes by themselves: those of a message keep all of it in memory, and an event waits for the store, whatever else its message had in it.
fn copied(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

impl TryFrom<v1::NewEvent> for NewEvent {
    type Error = StoreError;

    fn try_from(event: v1::NewEvent) -> Result<Self, StoreError> {
        let metadata = metadata(event.metadata);
        Ok(Self {
            id: id(&event.id)?,
            event_type: event_type(&event.event_type)?,
            data: copied(&event.data),
            content_type: content_type(event.content_type)?,
            schema_version: event.schema_version,
            tags: tags(&event.tags)?,
            metadata: Metadata {
                custom: copied(&metadata.custom),
                ..metadata
            },
            personal: copied(&event.personal),
            time: event.time.map(Timestamp::from_micros),
        })
    }
}

impl TryFrom<RecordedEvent> for v1::RecordedEvent {
    type Error = StoreError;

    fn try_from(event: RecordedEvent) -> Result<Self, StoreError> {
        Ok(Self {
            id: id_bytes(event.id),
            stream: event.stream.as_str().to_owned(),
            revision: event.revision.number(),
            position: event.position.raw(),
            time: event.time.as_micros(),
            event_type: event.event_type.as_str().to_owned(),
            data: event.data,
            content_type: v1::ContentType::from(event.content_type).into(),
            schema_version: event.schema_version,
            tags: texts(&event.tags),
            metadata: metadata_message(event.metadata),
            personal: event.personal,
            kind: v1::RecordKind::try_from(event.kind)?.into(),
        })
    }
}

impl TryFrom<v1::RecordedEvent> for RecordedEvent {
    type Error = StoreError;

    fn try_from(event: v1::RecordedEvent) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(&event.id)?,
            stream: stream_name(&event.stream)?,
            revision: Revision::new(event.revision),
            position: Position::from_raw(event.position),
            time: Timestamp::from_micros(event.time),
            event_type: event_type(&event.event_type)?,
            data: event.data,
            content_type: content_type(event.content_type)?,
            schema_version: event.schema_version,
            tags: tags(&event.tags)?,
            metadata: metadata(event.metadata),
            personal: event.personal,
            kind: record_kind(event.kind)?,
        })
    }
}

impl From<StreamSettings> for v1::StreamSettings {
    fn from(settings: StreamSettings) -> Self {
        Self {
            max_count: settings.max_count,
            max_age: settings.max_age.map(|age| v1::Age {
                seconds: age.as_secs(),
                nanoseconds: age.subsec_nanos(),
            }),
            truncate_before: settings.truncate_before.map(Revision::number),
        }
    }
}

impl TryFrom<v1::StreamSettings> for StreamSettings {
    type Error = StoreError;

    fn try_from(settings: v1::StreamSettings) -> Result<Self, StoreError> {
        let age = |age: v1::Age| match age.nanoseconds {
            nanoseconds @ ..1_000_000_000 => Ok(Duration::new(age.seconds, nanoseconds)),
            more => Err(StoreError::invalid(format!(
                "the age of a stream's settings has {more} nanoseconds, which is a second or more"
            ))),
        };
        Ok(Self {
            max_count: settings.max_count,
            max_age: settings.max_age.map(age).transpose()?,
            truncate_before: settings.truncate_before.map(Revision::new),
        })
    }
}

impl From<ExpectedRevision> for v1::Expected {
    fn from(expected: ExpectedRevision) -> Self {
        use v1::expected::{Any, Expected, NoStream, StreamExists};
        let expected = match expected {
            ExpectedRevision::Any => Expected::Any(Any {}),
            ExpectedRevision::NoStream => Expected::NoStream(NoStream {}),
            ExpectedRevision::StreamExists => Expected::StreamExists(StreamExists {}),
            ExpectedRevision::Exactly(revision) => Expected::Revision(revision.number()),
        };
        Self {
            expected: Some(expected),
        }
    }
}

pub(super) fn expected(message: Option<v1::Expected>) -> Result<ExpectedRevision, StoreError> {
    use v1::expected::Expected;
    let expected = message.and_then(|message| message.expected);
    Ok(match given(expected, "expectation of a stream")? {
        Expected::Any(_) => ExpectedRevision::Any,
        Expected::NoStream(_) => ExpectedRevision::NoStream,
        Expected::StreamExists(_) => ExpectedRevision::StreamExists,
        Expected::Revision(revision) => ExpectedRevision::Exactly(Revision::new(revision)),
    })
}

impl From<Query> for v1::Query {
    fn from(query: Query) -> Self {
        let item = |item: QueryItem| v1::QueryItem {
            types: item.types.iter().map(|t| t.as_str().to_owned()).collect(),
            tags: texts(&item.tags),
        };
        Self {
            items: query.items.into_iter().map(item).collect(),
        }
    }
}

impl TryFrom<v1::QueryItem> for QueryItem {
    type Error = StoreError;

    fn try_from(item: v1::QueryItem) -> Result<Self, StoreError> {
        let types: Result<_, _> = item.types.iter().map(|text| event_type(text)).collect();
        Ok(Self {
            types: types?,
            tags: tags(&item.tags)?,
        })
    }
}

impl TryFrom<v1::Query> for Query {
    type Error = StoreError;

    fn try_from(query: v1::Query) -> Result<Self, StoreError> {
        Ok(Self {
            items: each(query.items)?,
        })
    }
}
