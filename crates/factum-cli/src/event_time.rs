//! When an event happened: the time it was brought in with, if an import kept that, else when it was recorded.
//!
//! It is the `time` that `factum read` prints, so that what is read there can be asked for.

use factum_types::{Metadata, RecordedEvent};
use serde_json::{Map, Value};

use crate::time;
use factum_json::cloud::SOURCE;

/// When an event happened.
pub(crate) use factum_projection::declared::happened as moment;

/// The same as text.
pub(crate) fn text(event: &RecordedEvent) -> String {
    time::rfc3339(moment(event)).unwrap_or_default()
}

/// Keeps in the metadata of a copy when the event happened, as an import does; metadata that are no JSON object, or have a time of their
/// own, stay as they are.
pub(crate) fn keep(event: &RecordedEvent, metadata: &mut Metadata) {
    let mut members = if metadata.custom.is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(&metadata.custom) {
            Ok(members) => members,
            Err(_no_object) => return,
        }
    };
    if members.contains_key("time") {
        return;
    }
    members.insert("time".to_owned(), Value::String(text(event)));
    members
        .entry("source")
        .or_insert_with(|| Value::from(SOURCE));
    metadata.custom = Value::Object(members).to_string().into();
}
