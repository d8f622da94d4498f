//! Leases, what is done by hand, and generations.
//!
//! Relies on: two connections to the same empty place. Never: needs a runner, so that each step is seen alone.

use std::slice;

use factum_types::{RecordedEvent, Timestamp};

use super::log::Orders;
use super::{Subject, all, log, ok};
use crate::error::{Error, Kind};
use crate::manage::{Behind, Edit};
use crate::parked::Parked;
use crate::projector::Projector;
use crate::sink::{Advance, Change, Claim, Lease, State, Which};

const NAME: &str = "kit_orders";

const fn claim(which: Which) -> Claim<'static> {
    Claim {
        projection: NAME,
        which,
        version: "1",
        bulk: false,
    }
}

/// Applies these events from this state on.
async fn apply<S: Subject>(
    sink: &mut S,
    lease: &Lease,
    state: &State,
    events: &[RecordedEvent],
    changes: Vec<Change>,
) -> Result<(), Error> {
    let advance = Advance {
        from: state.checkpoint,
        to: events
            .last()
            .map_or(state.checkpoint, |it| Some(it.position)),
        edits: state.edits,
        changes,
    };
    let done = match sink.begin(lease).await {
        Ok(()) => {
            let mut events = events.iter();
            let written =
                events.try_for_each(|event| Orders::default().project(event, sink.writer(event)));
            match written {
                Ok(()) => sink.commit(lease, &advance).await,
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    };
    sink.roll_back().await;
    done
}

fn refused<T>(done: Result<T, Error>, kind: Kind, what: &str) {
    match done {
        Ok(_) => panic!("{what}: not refused"),
        Err(error) => assert_eq!(error.kind(), kind, "{what}: {error}"),
    }
}

fn placed(events: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let of = |event: &&RecordedEvent| {
        event.stream.as_str().starts_with("order") && event.event_type.as_str() == "Placed"
    };
    events.iter().filter(of).take(4).cloned().collect()
}

/// Only the last lease writes, and only from where it left off; what is refused leaves nothing.
///
/// # Panics
/// It is otherwise.
pub async fn check_fencing<S: Subject>(mut first: S, mut second: S) {
    let events = placed(&log::events().await);
    let old = ok(first.claim(claim(Which::Live)).await);
    assert_eq!((old.generation, old.epoch), (1, 1), "{old:?}");
    let start = ok(first.look(&old).await);
    assert_eq!(start, State::default());
    ok(apply(&mut first, &old, &start, &events[..1], vec![]).await);
    // From where it is not any more.
    let again = apply(&mut first, &old, &start, &events[1..2], vec![]).await;
    refused(again, Kind::Fenced, "a commit from an old checkpoint");

    let new = ok(second.claim(claim(Which::Live)).await);
    assert_eq!((new.generation, new.epoch), (1, 2), "{new:?}");
    let state = ok(second.look(&new).await);
    assert_eq!(state.checkpoint, Some(events[0].position));
    refused(first.look(&old).await, Kind::Fenced, "a zombie that looks");
    let written = apply(&mut first, &old, &state, &events[1..2], vec![]).await;
    refused(written, Kind::Fenced, "a zombie that commits");
    refused(
        first.finish_bulk(&old).await,
        Kind::Fenced,
        "a zombie's end of a bulk",
    );
    assert_eq!(all(&mut second, NAME, 1, "kit_orders").await.len(), 1);
    ok(apply(&mut second, &new, &state, &events[1..2], vec![]).await);
    assert_eq!(all(&mut second, NAME, 1, "kit_orders").await.len(), 2);

    // Another version of the projector.
    let other = Claim {
        version: "2",
        ..claim(Which::Live)
    };
    refused(first.claim(other).await, Kind::Outdated, "another version");
    refused(
        first.claim(claim(Which::Number(9))).await,
        Kind::Invalid,
        "no such generation",
    );
    ok(second.look(&new).await);
}

fn park(event: &RecordedEvent, partition: &str, attempts: u32) -> Change {
    let since = Timestamp::from_micros(1_700_000_000_000_001);
    let reason = "it's \"bad\"\n";
    Change::Park(Parked::new(event, partition, reason, attempts, since))
}

const fn skip(event: &RecordedEvent) -> Edit {
    Edit::Skip {
        position: event.position,
    }
}

/// Pause, resume, retry and skip, each as [`State::edit`] says; a commit that did not see one is refused, so that nothing is undone.
///
/// # Panics
/// It is otherwise.
pub async fn check_hand<S: Subject>(mut sink: S, mut desk: S) {
    let events = placed(&log::events().await);
    let retry = |partition: &str| Edit::Retry {
        partition: partition.to_owned(),
    };
    refused(
        desk.edit(NAME, 1, Edit::Pause).await,
        Kind::Invalid,
        "nothing to pause",
    );
    refused(
        desk.parked(NAME, 1, 9).await,
        Kind::Invalid,
        "nothing to list",
    );
    let lease = ok(sink.claim(claim(Which::Live)).await);
    let mut state = ok(sink.look(&lease).await);
    let parks = vec![
        park(&events[0], "a", 1),
        park(&events[1], "a", 0),
        park(&events[2], "b", 1),
    ];
    let advance = Advance {
        to: Some(events[2].position),
        changes: parks.clone(),
        ..Advance::default()
    };
    ok(sink.begin(&lease).await);
    ok(sink.commit(&lease, &advance).await);
    state.take_up(&advance);
    assert_eq!(ok(sink.look(&lease).await), state);
    let listed = ok(desk.parked(NAME, 1, 2).await);
    assert!(listed.iter().eq(state.parked.iter().take(2)), "{listed:?}");

    for (edit, fits) in [
        (Edit::Pause, true),
        (retry("a"), true),
        (retry("c"), false),
        (skip(&events[3]), false),
        (Edit::Resume, true),
        (skip(&events[0]), true),
    ] {
        let done = desk.edit(NAME, 1, edit.clone()).await;
        assert_eq!(done.is_ok(), fits, "{edit:?}: {done:?}");
        assert_eq!(state.edit(&edit).is_ok(), fits, "{edit:?}");
        assert_eq!(ok(sink.look(&lease).await), state, "{edit:?}");
        let seen = ok(desk.generations(NAME).await);
        let seen: Vec<_> = seen.iter().map(|it| (it.paused, it.parked)).collect();
        assert_eq!(
            seen,
            [(state.paused, state.parked.len() as u64)],
            "{edit:?}"
        );
    }

    check_late(sink, desk, &lease, state, &events).await;
}

/// The runner tried what was skipped meanwhile: it must not come back.
async fn check_late<S: Subject>(
    mut sink: S,
    mut desk: S,
    lease: &Lease,
    mut state: State,
    events: &[RecordedEvent],
) {
    let before = state.clone();
    let edit = skip(&events[2]);
    ok(desk.edit(NAME, 1, edit.clone()).await);
    ok(state.edit(&edit));
    for change in [
        park(&events[2], "b", 2),
        Change::Release(events[2].position),
    ] {
        let late = apply(&mut sink, lease, &before, &events[3..], vec![change]).await;
        refused(late, Kind::Changed, "a commit that did not see a skip");
        assert_eq!(ok(sink.look(lease).await), state);
    }
    // It looks again, and goes on.
    ok(apply(&mut sink, lease, &state, &events[3..], vec![]).await);
    // Edits are older than this claim, and count all the same.
    let newer = ok(desk.claim(claim(Which::Live)).await);
    let seen = ok(desk.look(&newer).await);
    assert_eq!((seen.edits, seen.parked), (state.edits, state.parked));
}

fn numbers(all: &[crate::Generation]) -> Vec<(u32, bool, bool)> {
    all.iter().map(|it| (it.number, it.live, it.bulk)).collect()
}

/// New generations, in bulk and not; switching, going back, dropping.
///
/// # Panics
/// It is otherwise.
pub async fn check_generations<S: Subject>(mut sink: S, mut desk: S) {
    let events = placed(&log::events().await);
    assert_eq!(ok(desk.projections().await), [""; 0]);
    assert_eq!(ok(desk.generations(NAME).await), []);
    let live = ok(sink.claim(claim(Which::Live)).await);
    let start = State::default();
    ok(apply(&mut sink, &live, &start, &events[..2], vec![]).await);
    assert_eq!(ok(desk.projections().await), [NAME]);

    let bulk = Claim {
        bulk: true,
        version: "2",
        ..claim(Which::New)
    };
    let new = ok(sink.claim(bulk).await);
    assert_eq!((new.generation, new.epoch), (2, 1), "{new:?}");
    ok(apply(&mut sink, &new, &start, &events[..1], vec![]).await);
    assert_eq!(
        numbers(&ok(desk.generations(NAME).await)),
        [(1, true, false), (2, false, true)]
    );
    assert_eq!(all(&mut desk, NAME, 1, "kit_orders").await.len(), 2);
    assert_eq!(all(&mut desk, NAME, 2, "kit_orders").await.len(), 1);
    let early = desk.switch(NAME, 2, Behind::Allow).await;
    refused(early, Kind::Invalid, "a switch to what is filled in bulk");
    ok(sink.finish_bulk(&new).await);
    ok(sink.finish_bulk(&new).await);
    let early = desk.switch(NAME, 2, Behind::Refuse).await;
    refused(early, Kind::Invalid, "a switch to what is behind");
    refused(
        desk.switch(NAME, 7, Behind::Allow).await,
        Kind::Invalid,
        "a switch to nothing",
    );
    refused(
        desk.switch_back(NAME).await,
        Kind::Invalid,
        "nothing to go back to",
    );
    let state = ok(sink.look(&new).await);
    ok(apply(&mut sink, &new, &state, &events[1..3], vec![]).await);
    ok(desk.switch(NAME, 2, Behind::Refuse).await);
    ok(desk.switch(NAME, 2, Behind::Refuse).await);
    let seen = ok(desk.live(NAME).await).unwrap_or_default();
    assert_eq!((seen.number, seen.version.as_str()), (2, "2"));
    assert_eq!(seen.checkpoint, Some(events[2].position));

    // The runner of the one before goes on; then back, though it is behind.
    let state = ok(sink.look(&live).await);
    ok(apply(
        &mut sink,
        &live,
        &state,
        slice::from_ref(&events[2]),
        vec![],
    )
    .await);
    refused(
        desk.drop_generation(NAME, 2).await,
        Kind::Invalid,
        "the live one dropped",
    );
    assert_eq!(ok(desk.switch_back(NAME).await), 1);
    assert_eq!(
        numbers(&ok(desk.generations(NAME).await)),
        [(1, true, false), (2, false, false)]
    );

    check_dropped(sink, desk, &new).await;
}

/// A dropped one does not come back, nor does its number.
async fn check_dropped<S: Subject>(mut sink: S, mut desk: S, new: &Lease) {
    ok(desk.drop_generation(NAME, 2).await);
    refused(
        desk.drop_generation(NAME, 2).await,
        Kind::Invalid,
        "dropped twice",
    );
    refused(
        sink.look(new).await,
        Kind::Fenced,
        "the runner of a dropped one",
    );
    refused(
        desk.count(NAME, 2, "kit_orders").await,
        Kind::Invalid,
        "rows of a dropped one",
    );
    let newest = ok(sink.claim(claim(Which::New)).await);
    assert_eq!((newest.generation, newest.epoch), (3, 1));
    assert_eq!(all(&mut desk, NAME, 3, "kit_orders").await, []);
    // Taken over in bulk, and without: that ends it.
    for (bulk, epoch) in [(true, 2), (false, 3)] {
        let again = Claim {
            bulk,
            ..claim(Which::Number(3))
        };
        assert_eq!(ok(sink.claim(again).await).epoch, epoch);
        assert_eq!(ok(desk.generations(NAME).await)[1].bulk, bulk);
    }
    ok(desk.switch(NAME, 3, Behind::Allow).await);
}
