//! The body of an append as events.
//!
//! | `Content-Type`                        | the body is                                                          |
//! |---------------------------------------|----------------------------------------------------------------------|
//! | `application/cloudevents+json`        | one `CloudEvent`                                                     |
//! | `application/cloudevents-batch+json`  | an array of them                                                     |
//! | `application/json`                    | one event of our own, or an array of them (`factum_json::plain`)     |
//! | any, with `ce-…` headers              | the data of one `CloudEvent` in binary mode                          |
//!
//! Relies on: factum-json. Never: holds more of a hostile body than a small multiple of it.

use std::fmt;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use factum_json::cloud::bring::{self, Names, TimeOf};
use factum_json::{Wrong, plain};
use factum_types::limits::BATCH_EVENTS_MAX;
use factum_types::{EventId, EventType, NameError, NewEvent, StreamName};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::binary;
use super::problem::Problem;
use crate::wire::event::note_conversation;

/// What a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    Cloud,
    CloudBatch,
    Plain,
    /// Data of this type.
    Binary(Option<String>),
}

impl Form {
    /// What the headers say.
    ///
    /// # Errors
    /// It is nothing that an event could be made of.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let unsupported = |what: String| {
            let detail = format!(
                "{what}; events are application/json, application/cloudevents+json or application/cloudevents-batch+json"
            );
            Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                detail,
            )
        };
        let given = headers.get(CONTENT_TYPE).map(|value| value.to_str());
        let given = given
            .transpose()
            .map_err(|error| unsupported(format!("header Content-Type: {error}")))?;
        let mut parts = given.unwrap_or_default().split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let form = match name.as_str() {
            "application/cloudevents+json" => Self::Cloud,
            "application/cloudevents-batch+json" => Self::CloudBatch,
            _ if binary::is_binary(headers) => return Ok(Self::Binary(given.map(str::to_owned))),
            "application/json" => Self::Plain,
            "" => return Err(unsupported("there is no Content-Type".to_owned())),
            _ => {
                return Err(unsupported(format!(
                    "Content-Type {name:?} is none of an event"
                )));
            }
        };
        let is_charset = |part: &&str| part.to_ascii_lowercase().starts_with("charset=");
        match parts.find(is_charset) {
            Some(charset)
                if !charset
                    .to_ascii_lowercase()
                    .trim_end_matches('"')
                    .ends_with("utf-8") =>
            {
                Err(unsupported(format!("{charset:?} is not UTF-8")))
            }
            _ => Ok(form),
        }
    }
}

/// The events of a body for a stream; `new_id` is for those without an id.
///
/// # Errors
/// One is none; the problem says which, and where.
pub(super) fn events(
    form: Form,
    headers: &HeaderMap,
    stream: &StreamName,
    body: &[u8],
    new_id: impl Fn() -> EventId,
) -> Result<Vec<NewEvent>, Problem> {
    let mut events = match form {
        Form::Binary(content_type) => {
            let event = binary::structured(headers, content_type.as_deref(), body)?;
            let event = of_cloud(&event, stream, &mut Vec::new());
            vec![event.map_err(|wrong| Problem::invalid(wrong.to_string()))?]
        }
        form => of_text(&form, stream, body, new_id)?,
    };
    if events.is_empty() {
        return Err(Problem::invalid("the body has no events"));
    }
    events.iter_mut().for_each(note_conversation);
    Ok(events)
}

fn of_text(
    form: &Form,
    stream: &StreamName,
    body: &[u8],
    new_id: impl Fn() -> EventId,
) -> Result<Vec<NewEvent>, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        Problem::invalid(format!("the body is not UTF-8 at byte {at}")).with("byte", at)
    })?;
    let elements = elements(form, text)?;
    let mut scratch = Vec::new();
    let mut events = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        let json = element.get().as_bytes();
        let event = match form {
            Form::Plain => plain::event(json, &new_id),
            _ => of_cloud(json, stream, &mut scratch),
        };
        events.push(event.map_err(|wrong| at(text, index, element, &wrong))?);
    }
    Ok(events)
}

/// What is wrong with an event, and where that begins.
fn at(text: &str, index: usize, element: &RawValue, wrong: &Wrong) -> Problem {
    let offset = element.get().as_ptr().addr() - text.as_ptr().addr();
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = offset - before.rfind('\n').map_or(0, |at| at + 1) + 1;
    let detail = format!("event {index}, which begins at line {line}, column {column}: {wrong}");
    Problem::invalid(detail)
        .with("event", index)
        .with("line", line)
        .with("column", column)
}

/// The events of a body, each as its text.
fn elements<'a>(form: &Form, text: &'a str) -> Result<Vec<&'a RawValue>, Problem> {
    let is_array = text.trim_ascii_start().starts_with('[');
    let elements = match (form, is_array) {
        (Form::Cloud, true) => {
            let detail = "the body is an array; many events are application/cloudevents-batch+json";
            return Err(Problem::invalid(detail));
        }
        (Form::CloudBatch, false) => {
            let detail = "the body is no array; one event is application/cloudevents+json";
            return Err(Problem::invalid(detail));
        }
        (_, true) => serde_json::from_str(text).map(|Elements(elements)| elements),
        (_, false) => serde_json::from_str::<&RawValue>(text).map(|one| vec![one]),
    };
    elements.map_err(|error| {
        Problem::invalid(format!("the body is wrong: {error}"))
            .with("line", error.line())
            .with("column", error.column())
    })
}

/// No more of them than an append may have: each takes more memory than it may take of the text.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementsVisitor;
        impl<'de> Visitor<'de> for ElementsVisitor {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of events")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if elements.len() == BATCH_EVENTS_MAX {
                        let what = format!("more than {BATCH_EVENTS_MAX} events");
                        return Err(de::Error::custom(what));
                    }
                    elements.push(element);
                }
                Ok(elements)
            }
        }
        deserializer.deserialize_seq(ElementsVisitor).map(Elements)
    }
}

fn of_cloud(json: &[u8], stream: &StreamName, scratch: &mut Vec<u8>) -> Result<NewEvent, Wrong> {
    let (_, event) = bring::event(json, &mut Into(stream), TimeOf::Now, scratch)?;
    Ok(event)
}

/// The one stream that events are for.
struct Into<'a>(&'a StreamName);

impl Names for Into<'_> {
    type Stream = ();

    fn stream(&mut self, name: &str) -> Result<(), String> {
        if name == self.0.as_str() {
            return Ok(());
        }
        let stream = self.0;
        Err(format!(
            "{name:?} is not the stream {stream} that it is sent to"
        ))
    }

    fn without_subject(&mut self) -> Option<()> {
        Some(())
    }

    fn event_type(&mut self, name: &str) -> Result<EventType, NameError> {
        EventType::new(name)
    }
}

#[cfg(test)]
mod tests;
