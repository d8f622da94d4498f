//! Control records: changes of a stream, in the shape of events.
//!
//! Relies on: the caller knows the stream's heading before the change. Never: takes a revision.

use std::fmt::Write as _;

use factum_types::{
    Bytes, ContentType, EventId, EventType, Metadata, Position, RecordKind, RecordedEvent,
    Revision, StreamName, StreamSettings, Timestamp,
};

/// What a control record says.
pub(super) enum Control {
    Tombstone,
    Delete,
    Settings(StreamSettings),
}

impl Control {
    /// The record of this change, at this place.
    pub(super) fn record(
        &self,
        stream: StreamName,
        revision: Revision,
        position: Position,
        time: Timestamp,
    ) -> RecordedEvent {
        let (kind, event_type, data) = match self {
            Self::Tombstone => (RecordKind::Tombstone, "$tombstoned", "{}".to_owned()),
            Self::Delete => (RecordKind::Delete, "$deleted", "{}".to_owned()),
            Self::Settings(settings) => (RecordKind::Settings, "$settings", json(settings)),
        };
        RecordedEvent {
            id: id_at(position),
            stream,
            revision,
            position,
            time,
            event_type: EventType::new(event_type).expect("the three types are valid names"),
            data: Bytes::from(data),
            content_type: ContentType::Json,
            schema_version: 1,
            tags: Vec::new(),
            metadata: Metadata::default(),
            personal: Bytes::new(),
            kind,
        }
    }
}

/// The id of a control record: its position, big-endian, in the last eight bytes.
fn id_at(position: Position) -> EventId {
    EventId::from_bytes(u128::from(position.raw()).to_be_bytes())
}

/// The fields that are set, as a JSON object of numbers.
fn json(settings: &StreamSettings) -> String {
    let fields = [
        ("maxCount", settings.max_count),
        (
            "maxAgeMicros",
            settings
                .max_age
                .map(|age| age.as_micros().try_into().unwrap_or(u64::MAX)),
        ),
        (
            "truncateBefore",
            settings.truncate_before.map(Revision::number),
        ),
    ];
    let mut text = String::from("{");
    for (name, value) in fields {
        let Some(value) = value else { continue };
        let comma = if text.len() > 1 { "," } else { "" };
        write!(text, "{comma}\"{name}\":{value}").expect("a string takes any text");
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::json;
    use factum_types::{Revision, StreamSettings};
    use std::time::Duration;

    #[test]
    fn settings_show_what_is_set() {
        let check = |settings: StreamSettings, expected: &str| {
            assert_eq!(json(&settings), expected);
        };
        check(StreamSettings::default(), "{}");
        let mut settings = StreamSettings {
            max_count: Some(3),
            ..StreamSettings::default()
        };
        check(settings, r#"{"maxCount":3}"#);
        settings.truncate_before = Some(Revision::new(5));
        check(settings, r#"{"maxCount":3,"truncateBefore":5}"#);
        settings.max_age = Some(Duration::from_millis(1));
        check(
            settings,
            r#"{"maxCount":3,"maxAgeMicros":1000,"truncateBefore":5}"#,
        );
    }
}
