//! Real events, tried on a declared projection before it runs.
//!
//! Relies on: a store that is only read. Never: reads more of it than was asked for.

use std::collections::BTreeMap;

use factum_projection::declared::Declared;
use factum_store::{EventStore, Kind, ReadRequest, Source};
use factum_types::{EventType, Position, Query, RecordKind, RecordedEvent};

use super::findings::Findings;
use crate::failure::Outcome;
use crate::ui::progress::{counted, grouped};

/// What was seen of a type.
#[derive(Debug, Default)]
struct Seen {
    events: u64,
    /// Places in the data that some event has, by their text.
    places: BTreeMap<String, usize>,
    /// Why events would be parked: how many, and the first of them.
    refused: BTreeMap<String, (u64, Position)>,
}

/// Tries events, half of them from the beginning and half from the end, and at least as many of each type that is handled.
pub(crate) async fn check(
    declared: &Declared,
    store: &dyn EventStore,
    most: u64,
    findings: &mut Findings,
) -> Outcome {
    if store.head().await?.is_none() {
        findings.warning(None, "the store is empty: nothing could be tried");
        return Ok(());
    }
    let mut seen = BTreeMap::<EventType, Seen>::new();
    let half = most.div_ceil(2);
    let first = ReadRequest::forward(declared.source().clone()).limit(half);
    let last = try_all(declared, store, first, None, &mut seen).await?;
    let rest = ReadRequest::backward(declared.source().clone()).limit(half);
    try_all(declared, store, rest, last, &mut seen).await?;
    for (event, line) in declared.handled() {
        if !seen.contains_key(event) {
            let query = Source::Query(Query::of([event.clone()], []));
            let rare = ReadRequest::forward(query).limit(most);
            let found = try_all(declared, store, rare, None, &mut seen).await?;
            if found.is_none() {
                findings.error(line, format!("the store has no event of type {event}"));
            } else if !seen.contains_key(event) {
                findings.error(
                    line,
                    format!("`from` does not read the events of type {event} that the store has"),
                );
            }
        }
    }
    report(declared, &seen, findings);
    Ok(())
}

/// Tries what a read gives, except what stands up to `after`; says where the last one stood.
async fn try_all(
    declared: &Declared,
    store: &dyn EventStore,
    request: ReadRequest,
    after: Option<Position>,
    seen: &mut BTreeMap<EventType, Seen>,
) -> Outcome<Option<Position>> {
    let mut events = store.read(request);
    let mut last = None;
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Deleted) => break,
            Err(error) => return Err(error.into()),
        };
        if after.is_some_and(|after| event.position <= after) {
            break;
        }
        last = Some(event.position);
        if event.kind == RecordKind::Event && is_read(declared.source(), &event) {
            let seen = seen.entry(event.event_type.clone()).or_default();
            seen.take(declared, &event);
        }
    }
    Ok(last)
}

/// Whether the projection reads this event.
fn is_read(source: &Source, event: &RecordedEvent) -> bool {
    match source {
        Source::All => true,
        Source::Stream(stream) => event.stream == *stream,
        Source::Category(category) => event.stream.category() == Some(category.as_str()),
        Source::Query(query) => query.matches(&event.event_type, &event.tags),
        _ => true,
    }
}

impl Seen {
    fn take(&mut self, declared: &Declared, event: &RecordedEvent) {
        self.events += 1;
        if let Err(error) = declared.probe(event) {
            let refused = self.refused.entry(error.to_string());
            refused.or_insert((0, event.position)).0 += 1;
        }
        if let Ok(data) = serde_json::from_slice(&event.data) {
            for (place, _) in declared.places(&event.event_type) {
                if place.get(&data).is_some() {
                    *self.places.entry(place.to_string()).or_default() += 1;
                }
            }
        }
    }
}

fn report(declared: &Declared, seen: &BTreeMap<EventType, Seen>, findings: &mut Findings) {
    let handled = declared.handled();
    for (event, seen) in seen {
        let of = counted(seen.events, "event");
        for (reason, (times, first)) in &seen.refused {
            let line = handled.get(event).copied();
            let what = format!(
                "{} of {of} tried would be parked, the first at position {first}: {reason}",
                grouped(*times)
            );
            // Some bad events are what parking is for; when it is all of them, it is the file.
            if *times == seen.events {
                findings.error(line, what);
            } else {
                findings.warning(line, what);
            }
        }
        for (place, line) in declared.places(event) {
            if !seen.places.contains_key(&place.to_string()) {
                findings.warning(
                    line,
                    format!("none of the {of} of type {event} that were tried has {place}"),
                );
            }
        }
        if !handled.contains_key(event) && !declared.takes(event, 1) {
            findings.warning(
                None,
                format!("events of type {event} are read, and no handler takes them ({of} tried)"),
            );
        }
    }
}
