//! Events as JSON of our own: the members are the fields of an event.
//!
//! | member                                                  | to be appended             | as read                              |
//! |---------------------------------------------------------|----------------------------|--------------------------------------|
//! | `id`                                                    | a UUID; a new one without  | the id                               |
//! | `type`                                                  | needed                     | the type                             |
//! | `data`                                                  | any JSON; none without     | JSON data, exact                     |
//! | `data_base64`                                           | bytes instead of `data`    | data that is not JSON                |
//! | `tags`                                                  | an array of `key:value`    | the same, if there are any           |
//! | `metadata`                                              | an object                  | the same; `metadata_base64` if it is none |
//! | `correlation_id` `causation_id` `user_id` `traceparent` | text                       | the same, if set                     |
//! | `schema_version`                                        | a number from 1; 1 without | the same, if not 1                   |
//! | `time`                                                  | RFC 3339; now without      | when it was recorded                 |
//! | `stream`, `revision`, `position`                        | refused                    | where it stands                      |
//!
//! Members that are not in the table are refused. Never: changes a byte of JSON data, except line breaks.

use std::fmt;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use factum_types::{Bytes, ContentType, EventId, NewEvent, RecordedEvent, Tag, limits};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::text as json;
use crate::{Wrong, time};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event<'a> {
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default, borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
    id: Option<String>,
    #[serde(default, deserialize_with = "tags")]
    tags: Vec<Tag>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    user_id: Option<String>,
    traceparent: Option<String>,
    schema_version: Option<u32>,
    time: Option<String>,
}

/// `null` is data: only a member that is not there is none.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// No more of them than an event may have: each takes more memory than it takes of the text.
fn tags<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<Tag>, D::Error> {
    struct Tags;
    impl<'de> Visitor<'de> for Tags {
        type Value = Vec<Tag>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of tags")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Tag>, A::Error> {
            let mut tags: Vec<Tag> = Vec::new();
            while let Some(text) = seq.next_element::<String>()? {
                if tags.len() == limits::EVENT_TAGS_MAX {
                    let limit = limits::EVENT_TAGS_MAX;
                    return Err(de::Error::custom(format_args!("more than {limit} tags")));
                }
                tags.push(Tag::new(text).map_err(de::Error::custom)?);
            }
            Ok(tags)
        }
    }
    value.deserialize_seq(Tags)
}

/// The event that a JSON object is; without an id it is given that of `new_id`.
///
/// ```
/// use factum_types::EventId;
///
/// let json = br#"{"type":"OrderPlaced","data":{"total":42},"tags":["order:1"]}"#;
/// let event = factum_json::plain::event(json, || EventId::from_bytes([1; 16]))?;
/// assert_eq!((event.event_type.as_str(), event.tags.len()), ("OrderPlaced", 1));
/// # Ok::<(), factum_json::Wrong>(())
/// ```
///
/// # Errors
/// It is none; the message names the member. What an append refuses by its size is not looked at.
pub fn event(json: &[u8], new_id: impl FnOnce() -> EventId) -> Result<NewEvent, Wrong> {
    // It would be taken for the members in their order, without their names.
    if json.trim_ascii_start().starts_with(b"[") {
        return Err("an array, not the object that an event is"
            .to_owned()
            .into());
    }
    let given: Event<'_> = serde_json::from_slice(json).map_err(|error| Wrong::json(&error))?;
    let id = match given.id {
        Some(text) => text.parse().map_err(words)?,
        None => new_id(),
    };
    let event_type = given.event_type.parse().map_err(words)?;
    let mut event = NewEvent::json(id, event_type, Bytes::new());
    match (given.data, given.data_base64) {
        (Some(_), Some(_)) => return Err("both data and data_base64 are there".to_owned().into()),
        (Some(data), None) => event.data = Bytes::copy_from_slice(data.get().as_bytes()),
        (None, Some(text)) => {
            let decoded = STANDARD.decode(text.as_bytes());
            let decoded = decoded.map_err(|error| format!("data_base64 is not base64: {error}"))?;
            event.data = decoded.into();
            event.content_type = ContentType::Binary;
        }
        (None, None) => {}
    }
    event.schema_version = match given.schema_version {
        Some(0) => return Err("schema_version 0 is less than 1".to_owned().into()),
        given => given.unwrap_or(1),
    };
    event.tags = given.tags;
    event.metadata.correlation_id = given.correlation_id;
    event.metadata.causation_id = given.causation_id;
    event.metadata.user_id = given.user_id;
    event.metadata.traceparent = given.traceparent;
    if let Some(metadata) = given.metadata {
        json::members(metadata.get().as_bytes()).map_err(|error| {
            let Wrong { message, .. } = Wrong::json(&error);
            format!("metadata: {message}")
        })?;
        event.metadata.custom = Bytes::copy_from_slice(metadata.get().as_bytes());
    }
    event.time = given.time.as_deref().map(time::parse_rfc3339).transpose()?;
    Ok(event)
}

fn words(error: impl fmt::Display) -> String {
    error.to_string()
}

/// Adds `event` to `line`, all but the closing brace, so that a caller may add members; without a line break.
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
/// factum_json::plain::begin(&mut line, &event);
/// let id = "01010101-0101-0101-0101-010101010101";
/// let where_and_when = r#""stream":"order-1","revision":0,"position":0,"time":"1970-01-01T00:00:00Z""#;
/// let expected = format!(r#"{{"id":"{id}","type":"OrderPlaced",{where_and_when},"data":{{}}"#);
/// assert_eq!(String::from_utf8(line)?, expected);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn begin(line: &mut Vec<u8>, event: &RecordedEvent) {
    line.extend_from_slice(b"{\"id\":");
    json::push_string(line, &event.id.to_string());
    text(line, "type", event.event_type.as_str());
    text(line, "stream", event.stream.as_str());
    number(line, "revision", event.revision.number());
    number(line, "position", event.position.raw());
    if let Some(time) = time::rfc3339(event.time) {
        text(line, "time", &time);
    }
    if event.schema_version != 1 {
        number(line, "schema_version", u64::from(event.schema_version));
    }
    if !event.tags.is_empty() {
        let mut before = b'[';
        open(line, "tags");
        for tag in &event.tags {
            line.push(before);
            json::push_string(line, tag.as_str());
            before = b',';
        }
        line.push(b']');
    }
    for (name, value) in event.metadata.fields() {
        if let Some(value) = value {
            text(line, name, value);
        }
    }
    custom(line, &event.metadata.custom);
    data(line, event);
}

fn custom(line: &mut Vec<u8>, custom: &[u8]) {
    if custom.is_empty() {
        return;
    }
    // By convention it is an object; that is only the writer's word.
    match json::value(custom).filter(|value| value.starts_with('{')) {
        Some(value) => member(line, "metadata", value),
        None => text(line, "metadata_base64", &STANDARD.encode(custom)),
    }
}

fn data(line: &mut Vec<u8>, event: &RecordedEvent) {
    if event.data.is_empty() && event.content_type == ContentType::Json {
        return;
    }
    let as_json = match event.content_type {
        ContentType::Json => json::value(&event.data),
        ContentType::Binary => None,
    };
    match as_json {
        Some(value) => member(line, "data", value),
        None => text(line, "data_base64", &STANDARD.encode(&event.data)),
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
    open(line, name);
    // Writing into memory cannot fail.
    drop(write!(line, "{value}"));
}

#[cfg(test)]
mod tests {
    use factum_types::{
        EventId, NewEvent, Position, RecordKind, RecordedEvent, Revision, StreamName, Timestamp,
    };

    use super::{begin, event};
    use crate::Wrong;

    const ID: &str = "b5936983-7577-53f7-88e5-5927b89c0422";

    fn read(json: &str) -> Result<NewEvent, Wrong> {
        event(json.as_bytes(), || EventId::from_bytes([9; 16]))
    }

    fn written(event: NewEvent) -> String {
        let recorded = RecordedEvent {
            id: event.id,
            stream: StreamName::new("order-1").unwrap(),
            revision: Revision::new(3),
            position: Position::from_raw(7),
            time: Timestamp::from_micros(1_700_000_000_000_000),
            event_type: event.event_type,
            data: event.data,
            content_type: event.content_type,
            schema_version: event.schema_version,
            tags: event.tags,
            metadata: event.metadata,
            personal: event.personal,
            kind: RecordKind::Event,
        };
        let mut line = Vec::new();
        begin(&mut line, &recorded);
        line.push(b'}');
        let text = String::from_utf8(line).unwrap();
        let valid = serde_json::from_str::<serde_json::Value>(&text);
        assert!(valid.is_ok() && !text.contains('\n'), "{text}");
        text
    }

    #[test]
    fn what_is_read_is_what_was_given() {
        let check = |more: &str| {
            let given = format!(r#"{{"id":"{ID}","type":"T"{more}}}"#);
            let place =
                r#""stream":"order-1","revision":3,"position":7,"time":"2023-11-14T22:13:20Z""#;
            let expected = format!(r#"{{"id":"{ID}","type":"T",{place}{more}}}"#);
            assert_eq!(written(read(&given).unwrap()), expected);
        };
        check("");
        check(r#","data":null"#);
        check(r#","data":2.50e3"#);
        check(r#","data_base64":"AP8=""#);
        check(
            r#","schema_version":2,"tags":["a:1","b:2"],"correlation_id":"c","causation_id":"d","user_id":"anna","traceparent":"t","metadata":{"x": [1]},"data":{"a":"\u00e9"}"#,
        );
    }

    #[test]
    fn an_event_without_an_id_is_given_one() {
        let event = read(r#"{"type":"T"}"#).unwrap();
        assert_eq!(event.id, EventId::from_bytes([9; 16]));
        assert!(event.data.is_empty());
    }

    #[test]
    fn bytes_that_only_claim_to_be_json_do_not_break_the_line() {
        let mut event = read(r#"{"type":"T"}"#).unwrap();
        event.data = "{\n".into();
        event.metadata.custom = "[1]".into();
        let text = written(event);
        assert!(
            text.contains(r#""metadata_base64":"WzFd","data_base64":"ewo=""#),
            "{text}"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |json: &str, expected: &str| {
            let wrong = read(json).unwrap_err();
            assert!(wrong.to_string().contains(expected), "{json}: {wrong}");
        };
        check("{", "EOF");
        check("[]", "an array");
        check(r#" ["T", 1]"#, "an array");
        check("{}", "missing field `type`");
        check(r#"{"type":""}"#, "empty");
        check(r#"{"type":"T","type":"U"}"#, "duplicate field");
        check(r#"{"type":"T","revision":3}"#, "unknown field `revision`");
        check(r#"{"type":"T","id":"x"}"#, "not a UUID");
        check(r#"{"type":"T","tags":["x"]}"#, "key:value");
        check(r#"{"type":"T","metadata":[]}"#, "metadata");
        check(r#"{"type":"T","data":1,"data_base64":"AA=="}"#, "both");
        check(r#"{"type":"T","data_base64":"~"}"#, "base64");
        check(r#"{"type":"T","schema_version":0}"#, "less than 1");
        check(r#"{"type":"T","time":"soon"}"#, "RFC 3339");
        let many = vec![r#""a:1""#; 33].join(",");
        check(
            &format!(r#"{{"type":"T","tags":[{many}]}}"#),
            "more than 32 tags",
        );
    }
}
