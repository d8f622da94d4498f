//! Events as a store would give them back, without one.
//!
//! Relies on: the events' own codec. Never: gives two events one id or one position.

use factum_types::{
    ContentType, EventId, EventType, Metadata, Position, RecordKind, RecordedEvent, Revision,
    StreamName, Timestamp,
};

use super::NOW;
use crate::env::derive_id;
use crate::error::Error;
use crate::event::Event;

/// The events as a store would give them back: one stream, one second apart.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid): an event cannot be written.
pub fn recorded<E: Event>(events: &[E]) -> Result<Vec<RecordedEvent>, Error> {
    let numbered = (0..).zip(events);
    numbered.map(|(number, event)| one(event, number)).collect()
}

/// The event as a store would give it back, as the one with this number.
pub(super) fn one<E: Event>(event: &E, number: u32) -> Result<RecordedEvent, Error> {
    let kind = event.kind();
    let mut recorded = record(kind.name, kind.version, event.encode()?, number)?;
    recorded.tags = event.tags()?;
    Ok(recorded)
}

pub(super) fn record(
    name: &str,
    version: u32,
    data: Vec<u8>,
    number: u32,
) -> Result<RecordedEvent, Error> {
    Ok(RecordedEvent {
        id: sample_id(number),
        stream: stream(),
        revision: Revision::new(number.into()),
        position: Position::from_raw(number.into()),
        time: Timestamp::from_micros(NOW.as_micros() + i64::from(number) * 1_000_000),
        event_type: EventType::new(name)?,
        data: data.into(),
        content_type: ContentType::Json,
        schema_version: version,
        tags: Vec::new(),
        metadata: Metadata::default(),
        personal: factum_types::Bytes::new(),
        kind: RecordKind::Event,
    })
}

fn sample_id(number: u32) -> EventId {
    derive_id(&["sample", &number.to_string()])
}

#[expect(clippy::expect_used, reason = "the name is written here")]
pub(crate) fn stream() -> StreamName {
    StreamName::new("sample-1").expect("a plain name is valid")
}
