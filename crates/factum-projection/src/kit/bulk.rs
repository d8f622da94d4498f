//! A bulk whose commits may be answered before they are stored.
//!
//! Relies on: an empty place. Never: takes an answer for more than that until it has looked.

use factum_types::RecordedEvent;

use super::log::Orders;
use super::{Subject, all, log, ok};
use crate::error::{Error, Kind};
use crate::projector::Projector;
use crate::sink::{Advance, Claim, Lease, State, Which};

const NAME: &str = "kit_orders";
/// How often it looks again before that is no progress.
const TRIES: u32 = 10;

async fn commit<S: Subject>(
    sink: &mut S,
    lease: &Lease,
    state: &mut State,
    event: &RecordedEvent,
) -> Result<(), Error> {
    let advance = Advance {
        from: state.checkpoint,
        to: Some(event.position),
        edits: state.edits,
        changes: Vec::new(),
    };
    sink.begin(lease).await?;
    Orders::default().project(event, sink.writer(event))?;
    sink.commit(lease, &advance).await?;
    state.take_up(&advance);
    Ok(())
}

/// What is refused in a bulk is found by looking and doing again what was not stored, and the rest is there.
///
/// # Panics
/// It is otherwise.
pub async fn check_bulk<S: Subject>(mut sink: S) {
    let placed = log::events().await.into_iter().filter(|event| {
        event.stream.as_str().starts_with("order") && event.event_type.as_str() == "Placed"
    });
    let mut events: Vec<RecordedEvent> = placed.take(3).collect();
    // A row that is there already.
    events[2].stream = events[0].stream.clone();
    let claim = Claim {
        projection: NAME,
        which: Which::New,
        version: "1",
        bulk: true,
    };
    let lease = ok(sink.claim(claim).await);
    let mut tries = 0;
    let refused = loop {
        tries += 1;
        assert!(tries < TRIES, "no refusal after {tries} looks");
        let mut state = ok(sink.look(&lease).await);
        let stored = state.checkpoint;
        let mut failed = None;
        for event in events.iter().filter(|it| Some(it.position) > stored) {
            if let Err(error) = commit(&mut sink, &lease, &mut state, event).await {
                failed = Some(error);
                break;
            }
        }
        match failed {
            Some(error) => {
                sink.roll_back().await;
                if error.kind() != Kind::Unavailable {
                    break error;
                }
            }
            // Found at the end at the latest.
            None => ok(sink.finish_bulk(&lease).await),
        }
    };
    assert_eq!(refused.kind(), Kind::Refused, "{refused}");
    ok(sink.finish_bulk(&lease).await);
    let state = ok(sink.look(&lease).await);
    assert_eq!(state.checkpoint, Some(events[1].position));
    let rows = all(&mut sink, NAME, lease.generation, "kit_orders").await;
    assert_eq!(rows.len(), 2, "{rows:?}");
}
