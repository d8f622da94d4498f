//! A recorded event as one line of CloudEvents JSON.
//!
//! Relies on: `text`. Never: writes a line break.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use factum_types::{ContentType, RecordedEvent};

use super::custom::Custom;
use super::{JSON, OCTETS, SOURCE, tags};
use crate::{text as json, time};

/// Adds `event` to `line`, without a line break at the end.
///
/// ```
/// # use factum_types::{EventId, EventType, NewEvent, Position, RecordKind, RecordedEvent, Revision, StreamName, Timestamp};
/// # let NewEvent { id, event_type, data, content_type, schema_version, tags, metadata, personal, .. } =
/// #     NewEvent::json(EventId::from_bytes([1; 16]), EventType::new("OrderPlaced")?, "{}");
/// # let event = RecordedEvent {
/// #     id, event_type, data, content_type, schema_version, tags, metadata, personal,
/// #     stream: StreamName::new("order-1")?,
/// #     revision: Revision::FIRST,
/// #     position: Position::START,
/// #     time: Timestamp::default(),
/// #     kind: RecordKind::Event,
/// # };
/// let mut line = Vec::new();
/// factum_json::cloud::write::event(&mut line, &event);
/// assert!(line.starts_with(br#"{"specversion":"1.0","id":"01010101-"#));
/// # Ok::<(), factum_types::NameError>(())
/// ```
pub fn event(line: &mut Vec<u8>, event: &RecordedEvent) {
    let custom = Custom::of(event);
    line.extend_from_slice(b"{\"specversion\":\"1.0\"");
    kept_or(line, &custom, "id", |line| {
        let mut text = uuid::Uuid::encode_buffer();
        let id = uuid::Uuid::from_bytes(event.id.to_bytes());
        json::push_string(line, id.as_hyphenated().encode_lower(&mut text));
    });
    kept_or(line, &custom, "source", |line| {
        json::push_string(line, SOURCE);
    });
    text(line, "type", event.event_type.as_str());
    text(line, "subject", event.stream.as_str());
    if let Some(kept) = custom.kept("time") {
        member(line, "time", kept.get());
    } else if let Some(time) = time::rfc3339(event.time) {
        text(line, "time", &time);
    }
    data(line, event, &custom);
    fields(line, event, &custom);
    whole_custom(line, event, &custom);
    for (name, value) in custom.extensions() {
        line.push(b',');
        json::push_string(line, name);
        line.push(b':');
        json::push_value(line, value.get());
    }
    number(line, "position", event.position.raw());
    number(line, "streamrevision", event.revision.number());
    line.push(b'}');
}

fn data(line: &mut Vec<u8>, event: &RecordedEvent, custom: &Custom<'_>) {
    if let Some(schema) = custom.kept("dataschema") {
        member(line, "dataschema", schema.get());
    }
    if event.data.is_empty() {
        if let Some(kept) = custom.kept("datacontenttype") {
            member(line, "datacontenttype", kept.get());
        }
        return;
    }
    // What was stored as JSON is only the writer's word; a line must be valid whatever it was.
    let as_json = match event.content_type {
        ContentType::Json => json::value(&event.data),
        ContentType::Binary => None,
    };
    let usual = if event.content_type == ContentType::Json {
        JSON
    } else {
        OCTETS
    };
    kept_or(line, custom, "datacontenttype", |line| {
        json::push_string(line, usual);
    });
    match as_json {
        Some(value) => member(line, "data", value),
        None => text(line, "data_base64", &STANDARD.encode(&event.data)),
    }
}

fn fields(line: &mut Vec<u8>, event: &RecordedEvent, custom: &Custom<'_>) {
    let metadata = &event.metadata;
    let texts = [
        ("correlationid", &metadata.correlation_id),
        ("causationid", &metadata.causation_id),
        ("userid", &metadata.user_id),
        ("traceparent", &metadata.traceparent),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            text(line, name, value);
        }
    }
    // An attribute of this name that is no tags stands among the extensions.
    if !event.tags.is_empty() && custom.kept("tags").is_none() {
        text(line, "tags", &tags::join(&event.tags));
    }
    if event.schema_version != 1 {
        number(line, "schemaversion", u64::from(event.schema_version));
    }
}

/// Custom metadata that cannot be attributes: as text if it is text.
fn whole_custom(line: &mut Vec<u8>, event: &RecordedEvent, custom: &Custom<'_>) {
    let bytes = &event.metadata.custom;
    if bytes.is_empty() || matches!(custom, Custom::Members(_)) {
        return;
    }
    match std::str::from_utf8(bytes) {
        Ok(words) => text(line, "metadata", words),
        Err(_not_text) => text(line, "metadatabase64", &STANDARD.encode(bytes)),
    }
}

fn kept_or(line: &mut Vec<u8>, custom: &Custom<'_>, name: &str, or: impl FnOnce(&mut Vec<u8>)) {
    match custom.kept(name) {
        Some(kept) => member(line, name, kept.get()),
        None => {
            open(line, name);
            or(line);
        }
    }
}

fn open(line: &mut Vec<u8>, name: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}

fn member(line: &mut Vec<u8>, name: &str, value: &str) {
    open(line, name);
    json::push_value(line, value);
}

fn text(line: &mut Vec<u8>, name: &str, value: &str) {
    open(line, name);
    json::push_string(line, value);
}

fn number(line: &mut Vec<u8>, name: &str, value: u64) {
    use std::io::Write as _;
    open(line, name);
    // Writing into memory cannot fail.
    drop(write!(line, "{value}"));
}

#[cfg(test)]
mod tests;
