//! `factum append --events`: many events from lines of JSON.

use std::path::Path;

use factum_types::{Bytes, ContentType, NewEvent, limits};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::append::new_id;
use crate::cloud::json;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::{files, time};

/// One append cannot hold more; the rest is room for names and space.
const FILE_BYTES_MAX: usize = 2 * limits::BATCH_BYTES_MAX;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default, borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    id: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
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

/// The events of a file, or of standard input for `-`; blank lines are passed over.
pub(super) fn read(path: &Path, context: &Context) -> Outcome<Vec<NewEvent>> {
    let bytes = files::read_whole(path, FILE_BYTES_MAX)?;
    let name = if path.as_os_str() == "-" {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    };
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let events: Vec<NewEvent> = lines
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(index, line)| {
            event(line, context)
                .map_err(|what| Failure::error(format!("{name}:{}: {what}", index + 1)))
        })
        .collect::<Outcome<_>>()?;
    if events.is_empty() {
        return Err(Failure::error(format!("{name} holds no events"))
            .hint("write one per line: {\"type\":\"OrderPlaced\",\"data\":{\"total\":42}}"));
    }
    Ok(events)
}

fn event(line: &[u8], context: &Context) -> Result<NewEvent, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| {
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        format!("column {}: {what}", error.column())
    })?;
    let id = match line.id {
        Some(text) => text
            .parse()
            .map_err(|error: factum_types::id::EventIdError| error.to_string())?,
        None => new_id(context),
    };
    let event_type = line.event_type.parse().map_err(text)?;
    let mut event = NewEvent::json(id, event_type, Bytes::new());
    event.content_type = ContentType::Json;
    if let Some(data) = line.data {
        event.data = Bytes::copy_from_slice(data.get().as_bytes());
    }
    event.schema_version = line.schema_version.unwrap_or(1);
    event.tags = line
        .tags
        .iter()
        .map(|tag| tag.parse().map_err(text))
        .collect::<Result<_, _>>()?;
    event.metadata.correlation_id = line.correlation_id;
    event.metadata.causation_id = line.causation_id;
    event.metadata.user_id = line.user_id;
    event.metadata.traceparent = line.traceparent;
    if let Some(metadata) = line.metadata {
        json::members(metadata.get().as_bytes()).map_err(|error| format!("metadata: {error}"))?;
        event.metadata.custom = Bytes::copy_from_slice(metadata.get().as_bytes());
    }
    event.time = line.time.as_deref().map(time::parse_rfc3339).transpose()?;
    Ok(event)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err asks for"
)]
fn text(error: factum_types::NameError) -> String {
    error.to_string()
}
