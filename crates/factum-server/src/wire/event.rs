//! Events: as clients propose them, and as they are given back.

use std::collections::BTreeMap;

use bytes::Bytes;
use factum_proto::kurrent::Uuid as WireUuid;
use factum_proto::kurrent::streams::read_resp::ReadEvent;
use factum_proto::kurrent::streams::read_resp::read_event::{
    Position as EventPosition, RecordedEvent as Wire,
};
use factum_types::limits::{
    EVENT_DATA_BYTES_MAX, EVENT_METADATA_BYTES_MAX, EVENT_TAGS_MAX, METADATA_FIELD_BYTES_MAX,
};
use factum_types::{ContentType, EventType, Metadata, NewEvent, RecordKind, RecordedEvent, Tag};
use serde::Deserialize;
use tonic::Status;

use super::id::{self, IdKind};
use super::position::{self, TOMBSTONE_REVISION};
use super::{errors, identifier};

/// The key of the tag that finds the events of a conversation (decision 0030).
pub(crate) const CORRELATION_TAG: &str = "$correlationId";
/// The type of the event that stands for a tombstone.
pub(crate) const TOMBSTONE_TYPE: &str = "$streamDeleted";
/// How the protocol names the content type of JSON; everything else is bytes.
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";
/// Ticks of the protocol, of 100 ns, in a microsecond.
const TICKS_PER_MICRO: i64 = 10;

/// An event as a client proposes it; two messages of the protocol have these fields.
#[derive(Debug)]
pub(crate) struct Proposed {
    pub(crate) id: Option<WireUuid>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) custom_metadata: Bytes,
    pub(crate) data: Bytes,
}

/// What a conversation is known by, in metadata that is JSON.
#[derive(Deserialize, Default)]
struct Correlation {
    #[serde(rename = "$correlationId")]
    correlation: Option<serde_json::Value>,
    #[serde(rename = "$causationId")]
    causation: Option<serde_json::Value>,
}

impl Proposed {
    /// The event for the store.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: type or content type is missing, a name or an id is none, or it is over the limit for one event.
    pub(crate) fn into_event(self) -> Result<NewEvent, Status> {
        let id = id::read(self.id)?;
        let event_type = match self.metadata.get("type").map(String::as_str) {
            None | Some("") => return Err(errors::missing_property("type")),
            Some(name) => {
                EventType::new(name).map_err(|error| Status::invalid_argument(error.to_string()))?
            }
        };
        let content_type = match self.metadata.get("content-type").map(String::as_str) {
            None => return Err(errors::missing_property("content-type")),
            Some(JSON) => ContentType::Json,
            Some(_) => ContentType::Binary,
        };
        let size = self.data.len() + self.custom_metadata.len() + 2 * event_type.as_str().len();
        if self.data.len() > EVENT_DATA_BYTES_MAX {
            return Err(errors::event_too_large(
                &id.to_string(),
                size,
                EVENT_DATA_BYTES_MAX,
            ));
        }
        if self.custom_metadata.len() > EVENT_METADATA_BYTES_MAX {
            return Err(errors::event_too_large(
                &id.to_string(),
                size,
                EVENT_METADATA_BYTES_MAX,
            ));
        }
        let mut event = NewEvent::json(id, event_type, self.data);
        event.content_type = content_type;
        correlate(&mut event, self.custom_metadata);
        Ok(event)
    }
}

/// Gives an event its metadata; what names its conversation goes to the event's own fields too, and to a tag.
pub(crate) fn correlate(event: &mut NewEvent, custom: Bytes) {
    event.metadata = Metadata {
        custom,
        ..Metadata::default()
    };
    note_conversation(event);
}

/// Puts what names the conversation of an event into its own fields, if they are empty, and into a tag, if there is room.
pub(crate) fn note_conversation(event: &mut NewEvent) {
    let found = correlation(&event.metadata.custom);
    let text = |value: Option<serde_json::Value>| match value {
        Some(serde_json::Value::String(text)) if text.len() <= METADATA_FIELD_BYTES_MAX => {
            Some(text)
        }
        _ => None,
    };
    let metadata = &mut event.metadata;
    metadata.correlation_id = metadata.correlation_id.take().or(text(found.correlation));
    metadata.causation_id = metadata.causation_id.take().or(text(found.causation));
    let tag = metadata.correlation_id.as_deref().and_then(correlation_tag);
    if let Some(tag) = tag
        && event.tags.len() < EVENT_TAGS_MAX
        && !event.tags.contains(&tag)
    {
        event.tags.push(tag);
    }
}

/// The tag by which the events of a conversation are found; `None` for an id that no tag can hold.
pub(crate) fn correlation_tag(id: &str) -> Option<Tag> {
    Tag::new(format!("{CORRELATION_TAG}:{id}")).ok()
}

fn correlation(custom: &[u8]) -> Correlation {
    // Most metadata names no conversation, and need not be parsed.
    let named = custom.windows(2).any(|pair| pair == b"\"$");
    if !named {
        return Correlation::default();
    }
    serde_json::from_slice(custom).unwrap_or_default()
}

/// An event that was read, as asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shape {
    pub(crate) ids: IdKind,
}

impl Shape {
    /// An event that is no link.
    pub(crate) fn event(self, event: RecordedEvent) -> ReadEvent {
        let position = position::to_wire(event.position);
        ReadEvent {
            event: Some(self.recorded(event)),
            link: None,
            position: Some(EventPosition::CommitPosition(position)),
        }
    }

    /// A link and what it points to, `None` when that is gone.
    pub(crate) fn link(self, link: Wire, target: Option<RecordedEvent>) -> ReadEvent {
        let position = link.commit_position;
        ReadEvent {
            event: target.map(|target| self.recorded(target)),
            link: Some(link),
            position: Some(EventPosition::CommitPosition(position)),
        }
    }

    /// One recorded event; a tombstone as the protocol has it.
    pub(crate) fn recorded(self, event: RecordedEvent) -> Wire {
        let at = position::to_wire(event.position);
        let tombstone = event.kind == RecordKind::Tombstone;
        let (kind, revision) = if tombstone {
            (TOMBSTONE_TYPE, TOMBSTONE_REVISION)
        } else {
            (event.event_type.as_str(), event.revision.number())
        };
        let content = match event.content_type {
            ContentType::Json => JSON,
            ContentType::Binary => BYTES,
        };
        let created = event.time.as_micros().saturating_mul(TICKS_PER_MICRO);
        Wire {
            id: Some(id::write(event.id, self.ids)),
            stream_identifier: Some(identifier(&event.stream)),
            stream_revision: revision,
            prepare_position: at,
            commit_position: at,
            metadata: properties(kind, created, content),
            custom_metadata: custom_metadata(&event.metadata),
            data: if tombstone { Bytes::new() } else { event.data },
        }
    }
}

fn properties(kind: &str, created: i64, content: &str) -> BTreeMap<String, String> {
    [
        ("type".to_owned(), kind.to_owned()),
        ("created".to_owned(), created.to_string()),
        ("content-type".to_owned(), content.to_owned()),
    ]
    .into_iter()
    .collect()
}

/// Metadata as the protocol has it: what the writer gave, or, where only the event's own fields are set, those as JSON.
fn custom_metadata(metadata: &Metadata) -> Bytes {
    if !metadata.custom.is_empty() || metadata.is_empty() {
        return metadata.custom.clone();
    }
    let known: BTreeMap<&str, &str> = metadata
        .fields()
        .filter_map(|(name, value)| Some((wire_name(name), value?)))
        .collect();
    serde_json::to_vec(&known)
        .map(Bytes::from)
        .unwrap_or_default()
}

/// What the protocol's metadata calls a field of ours.
fn wire_name(field: &'static str) -> &'static str {
    match field {
        "correlation_id" => "$correlationId",
        "causation_id" => "$causationId",
        "user_id" => "$userId",
        other => other,
    }
}
