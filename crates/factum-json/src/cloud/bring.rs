//! One event in CloudEvents JSON as an event to be appended.
//!
//! Relies on: [`json::members`] for validity. Never: reads the data beyond finding its end.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use factum_types::{
    Bytes, ContentType, EventId, EventType, Metadata, NameError, NewEvent, Tag, Timestamp, limits,
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{JSON, OCTETS, tags};
use crate::text::{self as json, Member};
use crate::{Wrong, time};

/// Where names come from, so that equal ones can be shared.
pub trait Names {
    /// What stands for a stream.
    type Stream;

    /// The stream of this name, which is the event's `subject`.
    ///
    /// # Errors
    /// It cannot be one; the message is about the name.
    fn stream(&mut self, name: &str) -> Result<Self::Stream, String>;

    /// The stream of an event without a `subject`; `None` when there has to be one.
    fn without_subject(&mut self) -> Option<Self::Stream> {
        None
    }

    /// The event type of this name.
    ///
    /// # Errors
    /// It is none.
    fn event_type(&mut self, name: &str) -> Result<EventType, NameError>;
}

/// Whether an event keeps the moment it happened at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeOf {
    /// The store's clock says when it was recorded; the event's own time is kept beside.
    Now,
    /// It is recorded with its own time.
    Event,
}

/// The attributes of a line, before they become an event.
#[derive(Default)]
struct Attributes<'a> {
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    event_type: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    data: Option<&'a RawValue>,
    data_base64: Option<Cow<'a, str>>,
    content_type: Option<Cow<'a, str>>,
    version_seen: bool,
    schema_version: Option<u32>,
    tags: Vec<Tag>,
    metadata: Metadata,
}

/// The event on a line, and the stream it belongs to. `scratch` is overwritten.
///
/// ```
/// use factum_json::cloud::bring::{Names, TimeOf, event};
/// use factum_types::{EventType, NameError};
///
/// struct Texts;
///
/// impl Names for Texts {
///     type Stream = String;
///
///     fn stream(&mut self, name: &str) -> Result<String, String> {
///         Ok(name.to_owned())
///     }
///
///     fn event_type(&mut self, name: &str) -> Result<EventType, NameError> {
///         EventType::new(name)
///     }
/// }
///
/// let line = br#"{"specversion":"1.0","id":"7","source":"shop","type":"OrderPlaced","subject":"order-1","data":{"total":42}}"#;
/// let (stream, event) = event(line, &mut Texts, TimeOf::Now, &mut Vec::new())?;
/// assert_eq!((stream.as_str(), &event.data[..]), ("order-1", &br#"{"total":42}"#[..]));
/// # Ok::<(), factum_json::Wrong>(())
/// ```
///
/// # Errors
/// It is no CloudEvent, or none that an event can be made of; the message names the member.
pub fn event<N: Names>(
    line: &[u8],
    names: &mut N,
    time_of: TimeOf,
    scratch: &mut Vec<u8>,
) -> Result<(N::Stream, NewEvent), Wrong> {
    let members = json::members(line).map_err(|error| not_json(line, &error))?;
    let mut attributes = Attributes::default();
    scratch.clear();
    if let Some(name) = json::twice(&members) {
        return Err(format!("member {name:?} is there twice").into());
    }
    for member in &members {
        attributes.take(member, scratch)?;
    }
    attributes.into_event(names, time_of, scratch)
}

impl<'a> Attributes<'a> {
    /// Takes one member: into a field, or into the custom metadata in `scratch`, or both.
    fn take(&mut self, (name, value): &Member<'a>, scratch: &mut Vec<u8>) -> Result<(), Wrong> {
        if value.get() == "null" && name != "data" {
            return Ok(());
        }
        match name.as_ref() {
            "specversion" => {
                let version = required(name, value)?;
                if version != "1.0" && !version.starts_with("1.0.") {
                    return Err(format!("specversion {version:?} is not 1.0").into());
                }
                self.version_seen = true;
            }
            "id" => {
                let id = required(name, value)?;
                if !is_canonical_uuid(&id) {
                    keep(scratch, name, value);
                }
                self.id = Some(id);
            }
            "source" => {
                self.source = Some(required(name, value)?);
                keep(scratch, name, value);
            }
            "time" => {
                self.time = Some(required(name, value)?);
                keep(scratch, name, value);
            }
            "type" => self.event_type = Some(required(name, value)?),
            "subject" => self.subject = Some(required(name, value)?),
            "datacontenttype" => {
                self.content_type = Some(required(name, value)?);
            }
            "data" => self.data = Some(value),
            "data_base64" => self.data_base64 = Some(required(name, value)?),
            // Where the event stood in the store it comes from; it will stand elsewhere in this one.
            "position" | "streamrevision" => {}
            _ => self.extension(name, value, scratch),
        }
        Ok(())
    }

    fn extension(&mut self, name: &str, value: &'a RawValue, scratch: &mut Vec<u8>) {
        let text = json::string(value);
        let field = match name {
            "correlationid" => Some(&mut self.metadata.correlation_id),
            "causationid" => Some(&mut self.metadata.causation_id),
            "userid" | "user_id" => Some(&mut self.metadata.user_id),
            "traceparent" => Some(&mut self.metadata.traceparent),
            _ => None,
        };
        if let (Some(field @ None), Some(text)) = (field, &text)
            && text.len() <= limits::METADATA_FIELD_BYTES_MAX
        {
            *field = Some(text.as_ref().to_owned());
            return;
        }
        if let ("tags", Some(tags)) = (name, text.as_deref().and_then(tags::split)) {
            self.tags = tags;
            return;
        }
        if let ("schemaversion", Ok(version @ 2..)) = (name, value.get().parse()) {
            self.schema_version = Some(version);
            return;
        }
        keep(scratch, name, value);
    }

    fn into_event<N: Names>(
        mut self,
        names: &mut N,
        time_of: TimeOf,
        scratch: &mut Vec<u8>,
    ) -> Result<(N::Stream, NewEvent), Wrong> {
        if !self.version_seen {
            return Err("there is no specversion, so this is not a CloudEvent"
                .to_owned()
                .into());
        }
        let id = present("id", self.id.take())?;
        let source = present("source", self.source.take())?;
        let event_type = present("type", self.event_type.take())?;
        const SUBJECT: &str = "subject, which would name the stream";
        let stream = match self.subject.take() {
            None => names.without_subject().map(Ok),
            subject => Some(Err(present(SUBJECT, subject)?)),
        };
        let stream = stream.ok_or_else(|| format!("there is no {SUBJECT}"))?;
        let (data, content_type) = self.data()?;
        let usual = if content_type == ContentType::Json {
            JSON
        } else {
            OCTETS
        };
        if let Some(kept) = self.content_type.as_deref().filter(|kept| *kept != usual) {
            keep_text(scratch, "datacontenttype", kept);
        }
        scratch.push(b'}');
        self.metadata.custom = Bytes::copy_from_slice(scratch);
        let event = NewEvent {
            id: id_of(&id, &source),
            event_type: names
                .event_type(&event_type)
                .map_err(|error| format!("type: {error}"))?,
            data,
            content_type,
            schema_version: self.schema_version.unwrap_or(1),
            tags: self.tags,
            metadata: self.metadata,
            personal: Bytes::new(),
            time: time(self.time.as_deref(), time_of)?,
        };
        if let Some((what, size, limit)) = event.over_limit() {
            return Err(format!("{what} is {size}, more than the limit of {limit}").into());
        }
        let named = |subject: Cow<'_, str>| names.stream(&subject);
        let stream = stream
            .or_else(named)
            .map_err(|error| format!("subject: {error}"))?;
        Ok((stream, event))
    }

    fn data(&mut self) -> Result<(Bytes, ContentType), Wrong> {
        match (self.data.take(), self.data_base64.take()) {
            (Some(_), Some(_)) => Err("both data and data_base64 are there".to_owned().into()),
            (Some(json), None) => Ok((
                Bytes::copy_from_slice(json.get().as_bytes()),
                ContentType::Json,
            )),
            (None, Some(text)) => STANDARD
                .decode(text.as_bytes())
                .map(|bytes| (Bytes::from(bytes), ContentType::Binary))
                .map_err(|error| format!("data_base64 is not base64: {error}").into()),
            (None, None) => Ok((Bytes::new(), ContentType::Json)),
        }
    }
}

fn time(text: Option<&str>, time_of: TimeOf) -> Result<Option<Timestamp>, Wrong> {
    match (time_of, text) {
        (TimeOf::Now, _) => Ok(None),
        (TimeOf::Event, Some(text)) => Ok(Some(time::parse_rfc3339(text)?)),
        (TimeOf::Event, None) => Err("there is no time to preserve".to_owned().into()),
    }
}

fn not_json(line: &[u8], error: &serde_json::Error) -> Wrong {
    let mut wrong = Wrong::json(error);
    if line.starts_with(b"[") {
        "an array, not one event per line; `jq -c '.[]'` turns it into lines"
            .clone_into(&mut wrong.message);
    }
    wrong
}

fn required<'a>(name: &str, value: &'a RawValue) -> Result<Cow<'a, str>, Wrong> {
    json::string(value).ok_or_else(|| Wrong::from(format!("{name} is not a text")))
}

fn present<'a>(name: &str, value: Option<Cow<'a, str>>) -> Result<Cow<'a, str>, Wrong> {
    match value {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) => Err(format!("there is an empty {name}").into()),
        None => Err(format!("there is no {name}").into()),
    }
}

/// Keeps a member in the custom metadata, byte for byte.
fn keep(scratch: &mut Vec<u8>, name: &str, value: &RawValue) {
    begin(scratch, name);
    scratch.extend_from_slice(value.get().as_bytes());
}

fn keep_text(scratch: &mut Vec<u8>, name: &str, text: &str) {
    begin(scratch, name);
    json::push_string(scratch, text);
}

fn begin(scratch: &mut Vec<u8>, name: &str) {
    scratch.push(if scratch.is_empty() { b'{' } else { b',' });
    json::push_string(scratch, name);
    scratch.push(b':');
}

fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// The id itself if it is a UUID, else the version 5 UUID (RFC 9562, section 5.5) of source and id: the same every time.
fn id_of(id: &str, source: &str) -> EventId {
    id.parse().unwrap_or_else(|_not_a_uuid| {
        let name = format!("{source}\n{id}");
        EventId::from_bytes(Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).into_bytes())
    })
}
