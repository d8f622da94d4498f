//! Retries: the same events again are the same append; anything else under the same ids is refused.

use std::mem::take;

use factum_store::{AppendBatch, Change, Condition, Kind, Receipt, StreamState, StreamWrite};
use factum_types::{
    Bytes, ContentType, ExpectedRevision, NewEvent, Query, StreamName, StreamSettings, Timestamp,
};

use crate::check::{Outcome, Stop, conflict, read_back, refused, same, that};
use crate::trial::Trial;
use crate::words::{exactly, no_match, stream, tag, typed, write};

use ExpectedRevision::{Any, NoStream, StreamExists};

/// That a batch, sent again, is answered with its first receipt and changes nothing.
fn replayed(what: &str, t: &Trial, batch: AppendBatch, first: &Receipt) -> Outcome {
    let before = t.read_all()?;
    let again = t
        .append(batch)
        .map_err(|error| Stop::from(error).at(what))?;
    same(
        what,
        again,
        Receipt {
            replayed: true,
            ..first.clone()
        },
    )?;
    same(format!("{what}: all events"), t.read_all()?, before)
}

pub(crate) fn every_expectation_is_replayed(t: &Trial) -> Outcome {
    for count in [1, 3] {
        for (expected, present) in [
            (Any, 0),
            (Any, 2),
            (NoStream, 0),
            (StreamExists, 2),
            (exactly(1), 2),
        ] {
            let name = stream(format!("{expected}-{present}-{count}"));
            if present > 0 {
                t.fill(&name, present)?;
            }
            let batch = AppendBatch::events(name.clone(), expected, t.events("Once", count));
            let first = t.append(batch.clone())?;
            that("the first is no replay", !first.replayed)?;
            for attempt in 0..3 {
                replayed(
                    &format!("{name}, attempt {attempt}"),
                    t,
                    batch.clone(),
                    &first,
                )?;
            }
            same("events", t.read_stream(&name)?.len(), present + count)?;
        }
    }
    Ok(())
}

pub(crate) fn after_more_events(t: &Trial) -> Outcome {
    for (expected, present) in [(Any, 1), (NoStream, 0), (StreamExists, 1), (exactly(0), 1)] {
        let name = stream(format!("{expected}-after"));
        if present > 0 {
            t.fill(&name, present)?;
        }
        let batch = AppendBatch::events(name.clone(), expected, t.events("Once", 2));
        let first = t.append(batch.clone())?;
        t.fill(&name, 3)?;
        t.fill(&stream("elsewhere"), 2)?;
        t.set(
            &name,
            StreamSettings {
                max_count: Some(2),
                ..StreamSettings::default()
            },
        )?;
        replayed(&format!("{expected}"), t, batch, &first)?;
    }
    Ok(())
}

pub(crate) fn over_many_streams(t: &Trial) -> Outcome {
    let names: Vec<_> = (0..5).map(|n| stream(format!("part-{n}"))).collect();
    t.fill(&names[1], 2)?;
    t.fill(&names[3], 1)?;
    let expectations = [NoStream, exactly(1), Any, StreamExists, NoStream];
    let mut batch = AppendBatch::default();
    for (name, expected) in names.iter().zip(expectations) {
        batch = batch.and(write(name, expected, t.events("Once", 2)));
    }
    batch = batch.and(write(&names[0], exactly(1), t.events("Once", 1)));
    let first = t.append(batch.clone())?;
    replayed("at once", t, batch.clone(), &first)?;
    for name in &names {
        t.fill(name, 1)?;
    }
    replayed("after more events", t, batch, &first)
}

/// The events that the condition must not find are now the batch's own.
pub(crate) fn with_query_condition(t: &Trial) -> Outcome {
    for (seat, expected) in [Any, NoStream].into_iter().enumerate() {
        let name = stream(format!("{expected}-booking"));
        let event = t
            .event("SeatTaken")
            .with_tags([tag(format!("seat:{seat}"))]);
        let asked = no_match(query_of(&event), None);
        let batch = AppendBatch::events(name.clone(), expected, vec![event]).on(asked);
        let first = t.append(batch.clone())?;
        replayed("with its condition", t, batch.clone(), &first)?;
        t.fill(&name, 2)?;
        replayed("after more events", t, batch.clone(), &first)?;
        let mut other = batch;
        other.writes = vec![write(&name, Any, t.events("SeatTaken", 1))];
        conflict("another event on the same condition", t.append(other))?;
    }
    Ok(())
}

/// The query that means events like this one.
fn query_of(event: &NewEvent) -> Query {
    Query::of([event.event_type.clone()], event.tags.clone())
}

pub(crate) fn with_stream_condition(t: &Trial) -> Outcome {
    let (name, other) = (stream("order-1"), stream("stock-1"));
    t.fill(&other, 2)?;
    let batch = AppendBatch::events(name, Any, t.events("Once", 1)).on(Condition::Stream {
        stream: other.clone(),
        expected: exactly(1),
    });
    let first = t.append(batch.clone())?;
    replayed("while it holds", t, batch.clone(), &first)?;
    t.fill(&other, 1)?;
    replayed("when it holds no more", t, batch, &first)
}

/// Changes without events are not looked at, and not done again.
pub(crate) fn with_control_changes(t: &Trial) -> Outcome {
    let (name, other) = (stream("order-1"), stream("order-2"));
    t.fill(&other, 2)?;
    let settings = StreamSettings {
        max_count: Some(1),
        ..StreamSettings::default()
    };
    let change = |stream: &StreamName, change| StreamWrite {
        stream: stream.clone(),
        expected: Any,
        change,
    };
    let batch = AppendBatch::events(name.clone(), NoStream, t.events("Once", 2))
        .and(change(&name, Change::Settings(settings)))
        .and(change(&other, Change::Delete));
    let first = t.append(batch.clone())?;
    t.set(&name, StreamSettings::default())?;
    t.fill(&other, 1)?;
    let before = t.read_all()?;
    let again = t.append(batch)?;
    that("it is a replay", again.replayed)?;
    same("first", again.first, first.first)?;
    same(
        "the write with events",
        again.writes.first(),
        first.writes.first(),
    )?;
    let streams = |receipt: &Receipt| -> Vec<_> {
        receipt
            .writes
            .iter()
            .map(|write| write.stream.clone())
            .collect()
    };
    same("streams", streams(&again), streams(&first))?;
    same("all events", t.read_all()?, before)?;
    same(
        "settings are not set again",
        t.info(&name)?.settings,
        StreamSettings::default(),
    )?;
    same(
        "it is not deleted again",
        t.info(&other)?.state,
        StreamState::Live,
    )
}

pub(crate) fn no_stream_after_delete_and_rewrite(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let batch = |events: &[NewEvent]| AppendBatch::events(name.clone(), NoStream, events.to_vec());
    let (old, new) = (t.events("Old", 2), t.events("New", 2));
    let first_old = t.append(batch(&old))?;
    t.change(&name, Change::Delete)?;
    let first_new = t.append(batch(&new))?;
    replayed("after the deletion", t, batch(&new), &first_new)?;
    replayed("from the very start", t, batch(&old), &first_old)?;
    let wrong = t.append(batch(&t.events("Neither", 2)));
    conflict("neither", wrong).map(|_| ())
}

pub(crate) fn beginning_of_a_batch_is_a_replay(t: &Trial) -> Outcome {
    for expected in [Any, StreamExists, exactly(0)] {
        let name = stream(format!("{expected}-part"));
        t.fill(&name, 1)?;
        let events = t.events("Once", 4);
        let first = t.add(&name, expected, events.clone())?;
        let part = events.get(..2).unwrap_or_default().to_vec();
        let again = t.add(&name, expected, part)?;
        that("it is a replay", again.replayed)?;
        same("first", again.first, first.first)?;
        let stored = t.read_stream(&name)?;
        same(
            "last",
            Some(again.last),
            stored.get(2).map(|event| event.position),
        )?;
        same("events", stored.len(), 5)?;
    }
    Ok(())
}

/// Recorded events and one more: neither a repetition nor new.
pub(crate) fn longer_is_no_replay(t: &Trial) -> Outcome {
    for (expected, kind) in [
        (Any, Kind::Invalid),
        (StreamExists, Kind::Invalid),
        (exactly(0), Kind::Conflict),
    ] {
        let name = stream(format!("{expected}-longer"));
        t.fill(&name, 1)?;
        let mut events = t.events("Once", 2);
        t.add(&name, expected, events.clone())?;
        events.push(t.event("More"));
        refused(format!("{expected}"), t.add(&name, expected, events), kind)?;
        same("events", t.read_stream(&name)?.len(), 3)?;
    }
    Ok(())
}

pub(crate) fn reordered_is_no_replay(t: &Trial) -> Outcome {
    for (expected, kind) in [
        (Any, Kind::Invalid),
        (StreamExists, Kind::Invalid),
        (exactly(0), Kind::Conflict),
    ] {
        let name = stream(format!("{expected}-reordered"));
        t.fill(&name, 1)?;
        let mut events = t.events("Once", 3);
        t.add(&name, expected, events.clone())?;
        events.swap(0, 1);
        refused(
            format!("{expected}, swapped"),
            t.add(&name, expected, events.clone()),
            kind,
        )?;
        events.swap(0, 1);
        events.remove(1);
        refused(
            format!("{expected}, one left out"),
            t.add(&name, expected, events),
            kind,
        )?;
        same("events", t.read_stream(&name)?.len(), 4)?;
    }
    Ok(())
}

pub(crate) fn half_of_the_streams_is_no_replay(t: &Trial) -> Outcome {
    for (expected, kind) in [(Any, Kind::Invalid), (NoStream, Kind::Conflict)] {
        let (one, two) = (
            stream(format!("{expected}-1")),
            stream(format!("{expected}-2")),
        );
        let events = t.events("Once", 2);
        t.add(&one, expected, events.clone())?;
        let batch = AppendBatch::events(one.clone(), expected, events).and(write(
            &two,
            expected,
            t.events("Once", 1),
        ));
        refused(format!("{expected}"), t.append(batch), kind)?;
        same(
            "the other stream",
            t.info(&two)?.state,
            StreamState::Missing,
        )?;
    }
    Ok(())
}

/// The ids are there, but not where the expectation says.
pub(crate) fn other_place_is_a_conflict(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let events = t.events("Once", 2);
    t.fill(&name, 2)?;
    t.add(&name, exactly(1), events.clone())?;
    for expected in [exactly(0), exactly(2), exactly(7), NoStream] {
        conflict(
            format!("{expected}"),
            t.add(&name, expected, events.clone()),
        )?;
    }
    that("in its place", t.add(&name, exactly(1), events)?.replayed)
}

/// An event and each way of being another under the same id.
fn others(event: &NewEvent) -> Vec<(&'static str, NewEvent)> {
    let changed = |what, change: fn(&mut NewEvent)| {
        let mut other = event.clone();
        change(&mut other);
        (what, other)
    };
    vec![
        changed("type", |e| e.event_type = typed("Other")),
        changed("data", |e| e.data = Bytes::from_static(b"{\"other\":1}")),
        changed("less data", |e| e.data = Bytes::new()),
        changed("content type", |e| e.content_type = ContentType::Binary),
        changed("schema version", |e| e.schema_version += 1),
        changed("custom metadata", |e| {
            e.metadata.custom = Bytes::from_static(b"{}");
        }),
        changed("correlation id", |e| e.metadata.correlation_id = None),
        changed("causation id", |e| {
            e.metadata.causation_id = Some("other".to_owned());
        }),
        changed("user id", |e| e.metadata.user_id = Some("other".to_owned())),
        changed("traceparent", |e| {
            e.metadata.traceparent = Some(String::new());
        }),
    ]
}

pub(crate) fn other_content_is_refused(t: &Trial) -> Outcome {
    for expected in [Any, NoStream, exactly(0), StreamExists] {
        let name = stream(format!("{expected}-content"));
        if expected != NoStream {
            t.fill(&name, 1)?;
        }
        let mut events = t.events("Once", 3);
        for event in &mut events {
            event.metadata.correlation_id = Some("conversation".to_owned());
        }
        t.add(&name, expected, events.clone())?;
        let before = t.read_stream(&name)?;
        for number in 0..events.len() {
            for (what, other) in others(&events[number]) {
                let mut changed = events.clone();
                changed[number] = other;
                let row = format!("{expected}, event {number}, other {what}");
                let error = refused(&row, t.add(&name, expected, changed), Kind::Invalid)?;
                let id = events[number].id.to_string();
                that(
                    format!("{row}: {error} names the id"),
                    error.to_string().contains(&id),
                )?;
            }
        }
        same("the stream", t.read_stream(&name)?, before)?;
        that(
            "unchanged is a replay",
            t.add(&name, expected, take(&mut events))?.replayed,
        )?;
    }
    Ok(())
}

fn check_in_use(t: &Trial, place: usize) -> Outcome {
    for expected in [Any, StreamExists] {
        let name = stream(format!("{expected}-{place}"));
        let used = t.fill(&name, 3)?;
        let mut events = t.events("New", 2);
        events.insert(place, used[1].clone());
        let answer = t.add(&name, expected, events);
        let error = refused(format!("{expected}"), answer, Kind::Invalid)?;
        let text = error.to_string();
        for part in [
            used[1].id.to_string(),
            name.to_string(),
            "revision 1".to_owned(),
        ] {
            that(format!("{text:?} names {part}"), text.contains(&part))?;
        }
        same("events", t.read_stream(&name)?.len(), 3)?;
    }
    Ok(())
}

pub(crate) fn id_in_use_is_refused(t: &Trial) -> Outcome {
    check_in_use(t, 0)
}

pub(crate) fn id_in_use_after_a_new_one_is_refused(t: &Trial) -> Outcome {
    check_in_use(t, 1)?;
    check_in_use(t, 2)
}

pub(crate) fn same_id_in_another_stream(t: &Trial) -> Outcome {
    let events = t.events("Once", 2);
    let names = [stream("order-1"), stream("order-2"), stream("order-3")];
    for (name, expected) in names.iter().zip([Any, NoStream, Any]) {
        let receipt = t.add(name, expected, events.clone())?;
        that("it is no replay", !receipt.replayed)?;
        read_back("all of it", &t.read_stream(name)?, name, 0, &events)?;
    }
    Ok(())
}

/// An exact expectation that holds says that the writer knows the stream: its ids are not searched.
pub(crate) fn exact_that_holds_is_not_compared(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let used = t.fill(&name, 2)?;
    let receipt = t.add(&name, exactly(1), used)?;
    that("it is no replay", !receipt.replayed)?;
    same("events", t.read_stream(&name)?.len(), 4)
}

pub(crate) fn given_time_is_not_compared(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let mut event = t.event("Once");
    let first = t.add(&name, NoStream, vec![event.clone()])?;
    let recorded = t.read_stream(&name)?.first().map(|event| event.time);
    t.fill(&name, 2)?;
    for time in [
        recorded,
        Some(Timestamp::from_micros(1)),
        Some(Timestamp::from_micros(i64::MAX)),
    ] {
        event.time = time;
        let batch = AppendBatch::events(name.clone(), NoStream, vec![event.clone()]);
        replayed(&format!("{time:?}"), t, batch, &first)?;
    }
    Ok(())
}

/// What was closed for ever says so, also to a late retry.
pub(crate) fn of_a_tombstoned_stream_is_deleted(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let events = t.events("Once", 1);
    t.add(&name, Any, events.clone())?;
    t.change(&name, Change::Tombstone)?;
    refused("a retry", t.add(&name, Any, events), Kind::Deleted).map(|_| ())
}

pub(crate) fn within_the_window(t: &Trial) -> Outcome {
    let between = t.knobs.ids_remembered.saturating_sub(8).min(2_000);
    let name = stream("order-1");
    let plain = AppendBatch::events(name.clone(), Any, t.events("Once", 2));
    let event = t.event("Once").with_tags([tag("only:once")]);
    let asked = no_match(query_of(&event), None);
    let guarded = AppendBatch::events(name.clone(), Any, vec![event]).on(asked);
    let (first_plain, first_guarded) = (t.append(plain.clone())?, t.append(guarded.clone())?);
    let mut left = between;
    while left > 0 {
        let count = left.min(100);
        t.fill(&stream(format!("other-{}", left % 5)), count)?;
        left -= count;
    }
    replayed("plain", t, plain, &first_plain)?;
    replayed("with a query condition", t, guarded, &first_guarded)
}

pub(crate) fn concurrent_identical(t: &Trial) -> Outcome {
    for (round, expected) in [Any, NoStream, Any, NoStream].into_iter().enumerate() {
        let name = stream(format!("order-{round}"));
        let batch = AppendBatch::events(name.clone(), expected, t.events("Once", 3)).and(write(
            &stream(format!("stock-{round}")),
            Any,
            t.events("Once", 1),
        ));
        let receipts = t.threads(16, |_| Ok(t.append(batch.clone())?))?;
        let firsts = receipts.iter().filter(|receipt| !receipt.replayed).count();
        same("appends that were the first", firsts, 1)?;
        let mut places = receipts.into_iter().map(|r| Receipt {
            replayed: false,
            ..r
        });
        let first = places.next();
        that(
            "all have the same places",
            places.all(|places| Some(places) == first),
        )?;
        same("events", t.read_stream(&name)?.len(), 3)?;
    }
    Ok(())
}

/// Every writer sends every batch of its own three times, among the others: each is there once.
pub(crate) fn concurrent_retries_of_many(t: &Trial) -> Outcome {
    let name = stream("shared");
    let ids = t.threads(8, |_| {
        let mut ids = Vec::new();
        for _ in 0..10 {
            let events = t.events("Once", 2);
            let batch = AppendBatch::events(name.clone(), Any, events.clone());
            let first = t.append(batch.clone())?;
            for _ in 0..2 {
                let again = t.append(batch.clone())?;
                same(
                    "again",
                    again,
                    Receipt {
                        replayed: true,
                        ..first.clone()
                    },
                )?;
            }
            ids.extend(events.iter().map(|event| event.id));
        }
        Ok(ids)
    })?;
    let mut expected: Vec<_> = ids.into_iter().flatten().collect();
    let mut found: Vec<_> = t.read_stream(&name)?.iter().map(|event| event.id).collect();
    expected.sort_unstable();
    found.sort_unstable();
    same("ids in the stream", found, expected)
}

pub(crate) fn control_changes_alone_are_not_replayed(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 2)?;
    let first = t.set(&name, StreamSettings::default())?;
    let again = t.set(&name, StreamSettings::default())?;
    that(
        "settings are set again",
        !again.replayed && first.last < again.last,
    )?;
    let delete = || AppendBatch::change(name.clone(), exactly(1), Change::Delete);
    t.append(delete())?;
    conflict("deleting again", t.append(delete())).map(|_| ())
}
