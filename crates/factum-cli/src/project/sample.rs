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
    /// Whether a handler is there for some of them, whatever its conditions say.
    handled: bool,
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
    if most > 0 {
        let first = ReadRequest::forward(declared.source().clone()).limit(half);
        let (last, _) = try_all(declared, store, first, None, &mut seen).await?;
        let rest = ReadRequest::backward(declared.source().clone()).limit(half);
        try_all(declared, store, rest, last, &mut seen).await?;
    }
    for (event, line) in declared.handled() {
        if !seen.contains_key(event) {
            look_for(event, line, declared, store, most, &mut seen, findings).await?;
        }
    }
    if most > 0 {
        report(declared, &seen, findings);
    }
    Ok(())
}

/// Looks for events of a type that was not among those tried; at least for one, so that it is known whether there are any.
async fn look_for(
    event: &EventType,
    line: usize,
    declared: &Declared,
    store: &dyn EventStore,
    most: u64,
    seen: &mut BTreeMap<EventType, Seen>,
    findings: &mut Findings,
) -> Outcome {
    let query = Source::Query(Query::of([event.clone()], []));
    let rare = ReadRequest::forward(query).limit(most.max(1));
    let (_, found) = try_all(declared, store, rare, None, seen).await?;
    if found == 0 {
        findings.error(line, format!("the store has no event of type {event}"));
    } else if seen.contains_key(event) {
    } else if found < most {
        let what = format!("`from` does not read the events of type {event} that the store has");
        findings.error(line, what);
    } else if most > 0 {
        let what = format!(
            "`from` does not read the first {} of type {event} that the store has; --sample looks at more",
            counted(found, "event")
        );
        findings.warning(line, what);
    }
    Ok(())
}

/// Tries what a read gives, except what stands up to `after`; says where the last one stood, and how many there were.
async fn try_all(
    declared: &Declared,
    store: &dyn EventStore,
    request: ReadRequest,
    after: Option<Position>,
    seen: &mut BTreeMap<EventType, Seen>,
) -> Outcome<(Option<Position>, u64)> {
    let mut events = store.read(request);
    let (mut last, mut count) = (None, 0);
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
        count += 1;
        if event.kind == RecordKind::Event && declared.source().matches(&event) {
            let seen = seen.entry(event.event_type.clone()).or_default();
            seen.take(declared, &event);
        }
    }
    Ok((last, count))
}

impl Seen {
    fn take(&mut self, declared: &Declared, event: &RecordedEvent) {
        self.events += 1;
        self.handled |= declared.takes(&event.event_type, event.schema_version);
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
        if !seen.handled {
            let line = handled.get(event).copied();
            let why = match line {
                Some(_) => ": none is for their schema version",
                None => "",
            };
            let what = format!(
                "events of type {event} are read, and no handler takes them ({of} tried){why}"
            );
            findings.warning(line, what);
        }
    }
}
