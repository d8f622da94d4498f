//! Parked events as text: what a sink without tables stores of them.
//!
//! Relies on: nothing. Never: loses a field.

use factum_projection::{Error, Lot, Parked};
use factum_types::{EventId, EventType, Position, Revision, StreamName, Timestamp};
use serde::{Deserialize, Serialize};

/// An entry, with short names: there may be thousands.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    at: u64,
    partition: String,
    id: String,
    stream: String,
    revision: u64,
    #[serde(rename = "type")]
    event_type: String,
    reason: String,
    attempts: u32,
    since: i64,
    wanted: bool,
}

/// What waits, as text.
///
/// # Errors
/// [`Kind::Invalid`](factum_projection::Kind::Invalid): never for what was made here.
pub fn write(lot: &Lot) -> Result<String, Error> {
    let entries: Vec<Entry> = lot.iter().map(entry).collect();
    serde_json::to_string(&entries).map_err(|error| {
        Error::invalid(format!("cannot write down what is parked: {error}")).because(error)
    })
}

/// What waits, from text.
///
/// # Errors
/// [`Kind::Invalid`](factum_projection::Kind::Invalid): it is no such text.
pub fn read(text: &str) -> Result<Lot, Error> {
    let entries: Vec<Entry> =
        serde_json::from_str(text).map_err(|error| bad(&error).because(error))?;
    entries.into_iter().map(parked).collect()
}

fn bad(error: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("what is parked cannot be read: {error}"))
}

fn entry(parked: &Parked) -> Entry {
    Entry {
        at: parked.position.raw(),
        partition: parked.partition.clone(),
        id: parked.event.to_string(),
        stream: parked.stream.as_str().to_owned(),
        revision: parked.revision.number(),
        event_type: parked.event_type.as_str().to_owned(),
        reason: parked.reason.clone(),
        attempts: parked.attempts,
        since: parked.since.as_micros(),
        wanted: parked.wanted,
    }
}

fn parked(entry: Entry) -> Result<Parked, Error> {
    let event: EventId = entry.id.parse().map_err(|error| bad(&error))?;
    Ok(Parked {
        partition: entry.partition,
        position: Position::from_raw(entry.at),
        event,
        stream: StreamName::new(&entry.stream).map_err(|error| bad(&error))?,
        revision: Revision::new(entry.revision),
        event_type: EventType::new(&entry.event_type).map_err(|error| bad(&error))?,
        reason: entry.reason,
        attempts: entry.attempts,
        since: Timestamp::from_micros(entry.since),
        wanted: entry.wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        let mut lot = Lot::default();
        for (position, attempts) in [(7, 1), (u64::MAX, 0)] {
            lot.park(Parked {
                partition: "order \"1\"\n".to_owned(),
                position: Position::from_raw(position),
                event: EventId::from_bytes([7; 16]),
                stream: StreamName::new("order-1").unwrap(),
                revision: Revision::new(3),
                event_type: EventType::new("Placed").unwrap(),
                reason: "no amount".to_owned(),
                attempts,
                since: Timestamp::from_micros(-5),
                wanted: false,
            });
        }
        lot.want("order \"1\"\n");
        let text = write(&lot).unwrap();
        assert_eq!(read(&text).unwrap(), lot);
        assert!(read("[{}]").is_err());
    }
}
