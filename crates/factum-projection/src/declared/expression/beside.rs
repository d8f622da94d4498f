//! What stands beside the data of an event, by its words.
//!
//! Relies on: the event. Never: anything that differs from run to run.

use factum_types::{RecordedEvent, Timestamp};
use serde::Deserialize;

use super::convert;
use crate::{ColumnType, Value};

/// What stands beside the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    Time,
    Recorded,
    Position,
    Revision,
    Stream,
    Category,
    Id,
    Type,
    Version,
    User,
    Correlation,
    Causation,
}

/// The words for it.
pub(super) const WORDS: &[(&str, Beside)] = &[
    ("time", Beside::Time),
    ("recorded", Beside::Recorded),
    ("position", Beside::Position),
    ("revision", Beside::Revision),
    ("stream", Beside::Stream),
    ("category", Beside::Category),
    ("id", Beside::Id),
    ("type", Beside::Type),
    ("version", Beside::Version),
    ("user", Beside::User),
    ("correlation", Beside::Correlation),
    ("causation", Beside::Causation),
];

/// What an import keeps of an event's own time in the metadata.
#[derive(Debug, Deserialize)]
struct Kept {
    source: Option<serde_json::Value>,
    time: Option<serde_json::Value>,
}

impl Beside {
    /// The value, of the type that it has by nature.
    pub(super) fn of(self, event: &RecordedEvent) -> Result<Value, String> {
        let metadata = &event.metadata;
        let whole = |number: u64, what: &str| {
            let number = i64::try_from(number);
            number
                .map(Value::Integer)
                .map_err(|_too_large| format!("the {what} is larger than a column can hold"))
        };
        Ok(match self {
            Self::Time => happened(event).into(),
            Self::Recorded => event.time.into(),
            Self::Position => whole(event.position.raw(), "position")?,
            Self::Revision => whole(event.revision.number(), "revision")?,
            Self::Stream => event.stream.as_str().into(),
            Self::Category => event.stream.category().into(),
            Self::Id => event.id.to_string().into(),
            Self::Type => event.event_type.as_str().into(),
            Self::Version => event.schema_version.into(),
            Self::User => metadata.user_id.as_deref().into(),
            Self::Correlation => metadata.correlation_id.as_deref().into(),
            Self::Causation => metadata.causation_id.as_deref().into(),
        })
    }

    /// Why a column of this type cannot take it.
    pub(super) fn check(self, holds: ColumnType, formed: bool) -> Result<(), String> {
        if formed {
            return Err(
                "`as` is for values of the data; what stands beside has its type".to_owned(),
            );
        }
        let (name, fits) = match self {
            Self::Time | Self::Recorded => (
                "a moment",
                matches!(
                    holds,
                    ColumnType::Time | ColumnType::Text | ColumnType::Json
                ),
            ),
            Self::Position | Self::Revision | Self::Version => (
                "a whole number",
                matches!(
                    holds,
                    ColumnType::Integer | ColumnType::Real | ColumnType::Json
                ),
            ),
            _ => ("text", matches!(holds, ColumnType::Text | ColumnType::Json)),
        };
        if fits {
            return Ok(());
        }
        Err(format!("{name}, not {}", convert::name_of(holds)))
    }
}

/// When an event happened: the time that it was imported with, else when it was recorded. It is what `factum read` prints.
#[must_use]
pub fn happened(event: &RecordedEvent) -> Timestamp {
    let custom = &event.metadata.custom;
    if custom.is_empty() {
        return event.time;
    }
    let kept = serde_json::from_slice::<Kept>(custom).ok();
    let kept = kept.filter(|kept| {
        kept.source
            .as_ref()
            .is_some_and(serde_json::Value::is_string)
    });
    let time = kept.and_then(|kept| convert::time(kept.time?.as_str()?));
    time.unwrap_or(event.time)
}
