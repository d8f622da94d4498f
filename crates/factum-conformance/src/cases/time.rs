//! Time: never backwards, one per append, and given ones only where they fit.

use factum_store::{AppendBatch, Change, Kind, ReadRequest, Snapshot};
use factum_types::{Bytes, ExpectedRevision, NewEvent, StreamSettings, Timestamp};

use crate::check::{Outcome, Stop, fail, refused, same, that};
use crate::trial::Trial;
use crate::words::{stream, write};

use ExpectedRevision::Any;

/// A century, in microseconds.
const CENTURY_MICROS: i64 = 100 * 365 * 24 * 3_600 * 1_000_000;

fn last_time(t: &Trial) -> Result<Timestamp, Stop> {
    match t.read_all()?.last() {
        Some(event) => Ok(event.time),
        None => fail("there is an event"),
    }
}

const fn moved(time: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(time.as_micros().saturating_add(micros))
}

fn at(t: &Trial, time: Timestamp) -> NewEvent {
    NewEvent {
        time: Some(time),
        ..t.event("Imported")
    }
}

pub(crate) fn never_goes_backwards(t: &Trial) -> Outcome {
    for number in 0..30 {
        let name = stream(format!("s-{}", number % 3));
        t.fill(&name, 1 + number % 2)?;
        if number % 7 == 0 {
            t.set(&name, StreamSettings::default())?;
        }
    }
    t.change(&stream("s-1"), Change::Delete)?;
    let records = t.read(ReadRequest::all().with_control())?;
    that(
        "times are sorted",
        records.is_sorted_by_key(|record| record.time),
    )
}

pub(crate) fn one_append_shares_it(t: &Trial) -> Outcome {
    let batch = AppendBatch::events(stream("s-1"), Any, t.events("Happened", 3)).and(write(
        &stream("s-2"),
        Any,
        t.events("Happened", 2),
    ));
    t.append(batch)?;
    let times: Vec<_> = t.read_all()?.iter().map(|event| event.time).collect();
    that(
        format!("{times:?} are one"),
        times.windows(2).all(|pair| pair[0] == pair[1]),
    )
}

/// Snapshots are no facts: what is brought in with its own time is not late because one was saved.
pub(crate) fn snapshots_do_not_count(t: &Trial) -> Outcome {
    let name = stream("imported");
    let old = Timestamp::from_micros(-5);
    t.add(&name, Any, vec![at(t, old)])?;
    t.save(Snapshot::new(
        name.clone(),
        "fold",
        1,
        Bytes::from_static(b"{}"),
    ))?;
    t.add(&name, Any, vec![at(t, moved(old, 1))])?;
    let times = t.read_stream(&name)?;
    let times = times.iter().map(|event| event.time.as_micros()).collect();
    same::<Vec<_>>("times", times, vec![-5, -4])
}

pub(crate) fn given_is_kept(t: &Trial) -> Outcome {
    let name = stream("imported");
    // The first event of a store may be as old as it likes.
    let old = Timestamp::from_micros(-5);
    t.add(
        &name,
        Any,
        vec![at(t, old), at(t, old), at(t, moved(old, 3))],
    )?;
    t.add(&name, Any, vec![at(t, moved(old, 3)), at(t, moved(old, 4))])?;
    let times: Vec<_> = t
        .read_stream(&name)?
        .iter()
        .map(|event| event.time.as_micros())
        .collect();
    same("times", times, vec![-5, -5, -2, -2, -1])?;
    t.fill(&name, 1)?;
    let now = last_time(t)?;
    t.add(&name, Any, vec![at(t, now)])?;
    same("the time of the last event", last_time(t)?, now)
}

pub(crate) fn before_the_last_is_refused(t: &Trial) -> Outcome {
    is_refused(t, -1)
}

pub(crate) fn in_the_future_is_refused(t: &Trial) -> Outcome {
    is_refused(t, CENTURY_MICROS)
}

/// That no event may have a time so far from that of the last one.
fn is_refused(t: &Trial, micros: i64) -> Outcome {
    t.fill(&stream("s-1"), 1)?;
    let time = moved(last_time(t)?, micros);
    let first = at(t, time);
    let id = first.id.to_string();
    let error = refused(
        "alone",
        t.add(&stream("s-2"), Any, vec![first]),
        Kind::Invalid,
    )?;
    that(
        format!("{error} names the event"),
        error.to_string().contains(&id),
    )?;
    let second = vec![t.event("Happened"), at(t, time)];
    refused(
        "after one without",
        t.add(&stream("s-2"), Any, second),
        Kind::Invalid,
    )?;
    same("nothing is written", t.read_all()?.len(), 1)
}

/// Within a batch the events are checked in order: an event without a time has that of the append.
pub(crate) fn order_within_a_batch(t: &Trial) -> Outcome {
    let name = stream("s-1");
    let old = Timestamp::from_micros(1_000);
    let falling = vec![at(t, moved(old, 1)), at(t, old)];
    refused("falling", t.add(&name, Any, falling), Kind::Invalid)?;
    let after_now = vec![t.event("Happened"), at(t, old)];
    refused("old after now", t.add(&name, Any, after_now), Kind::Invalid)?;
    let over_streams = AppendBatch::events(name.clone(), Any, vec![at(t, moved(old, 1))])
        .and(write(&stream("s-2"), Any, vec![at(t, old)]));
    refused(
        "falling over streams",
        t.append(over_streams),
        Kind::Invalid,
    )?;
    let settings = Change::Settings(StreamSettings::default());
    let after_settings =
        AppendBatch::change(name.clone(), Any, settings).and(write(&name, Any, vec![at(t, old)]));
    refused(
        "old after settings",
        t.append(after_settings),
        Kind::Invalid,
    )?;
    same("nothing is written", t.read_all()?.len(), 0)?;
    t.add(
        &name,
        Any,
        vec![at(t, old), at(t, moved(old, 1)), t.event("Happened")],
    )?;
    same("rising", t.read_all()?.len(), 3)
}
