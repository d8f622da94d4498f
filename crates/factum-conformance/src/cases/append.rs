//! Appending: receipts, revisions and positions, batches over many streams, all or nothing.

use factum_store::{AppendBatch, Change, Kind, Receipt, StreamState, StreamWrite};
use factum_types::{ExpectedRevision, RecordedEvent, Revision, StreamName, StreamSettings};

use crate::check::{Outcome, Stop, conflict, fail, increasing, read_back, refused, same, that};
use crate::trial::Trial;
use crate::wait::poll_once;
use crate::words::{exactly, no_match, query, stream, write};

use ExpectedRevision::{Any, NoStream, StreamExists};

pub(crate) fn receipt_is_what_is_read(t: &Trial) -> Outcome {
    let name = stream("order-1");
    for count in [1, 2, 7] {
        let given = t.events("Happened", count);
        let receipt = t.add(&name, Any, given.clone())?;
        let stored = t.read_stream(&name)?;
        let added = stored.get(stored.len() - count..).unwrap_or_default();
        read_back("added", added, &name, (stored.len() - count) as u64, &given)?;
        same(
            "first",
            Some(receipt.first),
            added.first().map(|event| event.position),
        )?;
        same(
            "last",
            Some(receipt.last),
            added.last().map(|event| event.position),
        )?;
        let [write] = &receipt.writes[..] else {
            return same("writes", receipt.writes.len(), 1);
        };
        same("stream", &write.stream, &name)?;
        same(
            "last revision",
            write.last_revision,
            added.last().map(|event| event.revision),
        )?;
        same("position", write.position, receipt.last)?;
        that("it is not a replay", !receipt.replayed)?;
    }
    Ok(())
}

pub(crate) fn revisions_are_consecutive(t: &Trial) -> Outcome {
    let names = [stream("a-1"), stream("a-2"), stream("b")];
    for round in 0..6 {
        for (number, name) in names.iter().enumerate() {
            t.fill(name, 1 + (round + number) % 3)?;
        }
    }
    for name in &names {
        let revisions: Vec<_> = t
            .read_stream(name)?
            .iter()
            .map(|event| event.revision.number())
            .collect();
        same(
            name,
            revisions.clone(),
            (0..revisions.len() as u64).collect(),
        )?;
    }
    Ok(())
}

pub(crate) fn positions_increase(t: &Trial) -> Outcome {
    let mut last = None;
    for number in 0..20 {
        let receipt = t.add(
            &stream(format!("s-{}", number % 3)),
            Any,
            t.events("Happened", 2),
        )?;
        that(
            "the first comes before the last",
            receipt.first < receipt.last,
        )?;
        that(
            "it comes after the append before",
            last < Some(receipt.first),
        )?;
        last = Some(receipt.last);
    }
    increasing("all", &t.read_all()?)?;
    increasing("one stream", &t.read_stream(&stream("s-1"))?)
}

pub(crate) fn head_is_at_least_the_receipt(t: &Trial) -> Outcome {
    for number in 0..5 {
        let receipt = t.add(&stream("order-1"), Any, t.events("Happened", number + 1))?;
        that("the head is there", t.head()? >= Some(receipt.last))?;
        let settings = t.set(&stream("order-1"), StreamSettings::default())?;
        that(
            "the head is at the settings",
            t.head()? >= Some(settings.last),
        )?;
    }
    Ok(())
}

pub(crate) fn many_streams_keep_batch_order(t: &Trial) -> Outcome {
    let names: Vec<_> = (0..7)
        .map(|n| stream(format!("part-{}", n * 3 % 7)))
        .collect();
    let mut batch = AppendBatch::default();
    let mut given = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let events = t.events("Happened", number % 3 + 1);
        given.extend(events.iter().map(|event| (event.id, name.clone())));
        batch = batch.and(write(name, NoStream, events));
    }
    let receipt = t.append(batch)?;
    let stored = t.read_all()?;
    let places: Vec<_> = stored
        .iter()
        .map(|event| (event.id, event.stream.clone()))
        .collect();
    same("order of all", places, given)?;
    same(
        "first",
        Some(receipt.first),
        stored.first().map(|event| event.position),
    )?;
    same(
        "last",
        Some(receipt.last),
        stored.last().map(|event| event.position),
    )?;
    same("one receipt per write", receipt.writes.len(), names.len())?;
    for (write, name) in receipt.writes.iter().zip(&names) {
        same("stream", &write.stream, name)?;
        let own = t.read_stream(name)?;
        same(
            "revision",
            write.last_revision,
            own.last().map(|event| event.revision),
        )?;
        same(
            "position",
            Some(write.position),
            own.last().map(|event| event.position),
        )?;
    }
    Ok(())
}

pub(crate) fn one_stream_twice(t: &Trial) -> Outcome {
    let (name, other) = (stream("order-1"), stream("order-2"));
    let given = t.events("Happened", 5);
    let (early, late) = given.split_at(2);
    let batch = AppendBatch::events(name.clone(), NoStream, early.to_vec())
        .and(write(&other, NoStream, t.events("Between", 1)))
        .and(write(&name, exactly(1), late.to_vec()));
    let receipt = t.append(batch)?;
    let stored = t.read_stream(&name)?;
    read_back("both writes", &stored, &name, 0, &given)?;
    let revisions: Vec<_> = receipt
        .writes
        .iter()
        .map(|w| w.last_revision.map(Revision::number))
        .collect();
    same("revisions", revisions, vec![Some(1), Some(0), Some(4)])?;
    let between = t.read_stream(&other)?;
    let order: Vec<_> = stored
        .iter()
        .take(2)
        .chain(&between)
        .chain(stored.iter().skip(2))
        .collect();
    that(
        "order of all",
        order
            .windows(2)
            .all(|pair| pair[0].position < pair[1].position),
    )
}

pub(crate) fn delete_and_rewrite_in_one_batch(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 2)?;
    let change = |expected, change| StreamWrite {
        stream: name.clone(),
        expected,
        change,
    };
    let again = t.events("Again", 2);
    let batch = AppendBatch::change(name.clone(), exactly(1), Change::Delete)
        .and(change(NoStream, Change::Events(again.clone())));
    t.append(batch)?;
    read_back("what is left", &t.read_stream(&name)?, &name, 2, &again)?;
    same("state", t.info(&name)?.state, StreamState::Live)
}

pub(crate) fn write_after_tombstone_in_one_batch(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let changes = [
        Change::Events(t.events("Late", 1)),
        Change::Settings(StreamSettings::default()),
        Change::Delete,
        Change::Tombstone,
    ];
    for change in changes {
        let late = StreamWrite {
            stream: name.clone(),
            expected: Any,
            change,
        };
        let batch = AppendBatch::change(name.clone(), Any, Change::Tombstone).and(late);
        refused(
            "a write after the tombstone",
            t.append(batch),
            Kind::Deleted,
        )?;
        same("state", t.info(&name)?.state, StreamState::Missing)?;
    }
    Ok(())
}

pub(crate) fn control_receipts(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let mut last = None;
    let mut check = |receipt: Receipt, revision: Option<u64>| -> Outcome {
        same("one record", receipt.first, receipt.last)?;
        let found = receipt
            .writes
            .first()
            .map(|write| (write.last_revision, write.position));
        same(
            "write",
            found,
            Some((revision.map(Revision::new), receipt.last)),
        )?;
        that("positions increase", last < Some(receipt.last))?;
        last = Some(receipt.last);
        that("it is not a replay", !receipt.replayed)
    };
    check(t.set(&name, StreamSettings::default())?, None)?;
    t.fill(&name, 3)?;
    check(t.set(&name, StreamSettings::default())?, Some(2))?;
    check(t.change(&name, Change::Delete)?, Some(2))?;
    check(t.change(&name, Change::Tombstone)?, Some(2))?;
    check(t.change(&stream("empty"), Change::Tombstone)?, None)
}

/// A batch over eight streams whose write number `k` fails: for every `k`, nothing of it is there.
fn kth_write(t: &Trial, failing: impl Fn(usize) -> StreamWrite, kind: Kind) -> Outcome {
    t.fill(&stream("existing"), 2)?;
    if t.info(&stream("closed"))?.state == StreamState::Missing {
        t.change(&stream("closed"), Change::Tombstone)?;
    }
    let before = everything(t)?;
    for k in 0..8 {
        let mut batch = AppendBatch::default();
        for number in 0..8 {
            let name = stream(format!("part-{number}"));
            batch = batch.and(if number == k {
                failing(number)
            } else {
                write(&name, NoStream, t.events("Happened", 2))
            });
        }
        refused(format!("write {k} fails"), t.append(batch), kind)?;
        same(
            format!("after write {k} failed"),
            everything(t)?,
            before.clone(),
        )?;
    }
    Ok(())
}

fn everything(t: &Trial) -> Result<(Vec<RecordedEvent>, Vec<StreamName>), Stop> {
    let streams = t.streams(factum_store::StreamsRequest::default())?;
    Ok((
        t.read_all()?,
        streams.into_iter().map(|info| info.stream).collect(),
    ))
}

pub(crate) fn kth_conflict_writes_nothing(t: &Trial) -> Outcome {
    let existing = stream("existing");
    kth_write(
        t,
        |_| write(&existing, exactly(0), t.events("Late", 1)),
        Kind::Conflict,
    )?;
    let fresh = |number| stream(format!("fresh-{number}"));
    kth_write(
        t,
        |n| write(&fresh(n), StreamExists, t.events("Late", 1)),
        Kind::Conflict,
    )
}

pub(crate) fn kth_tombstone_writes_nothing(t: &Trial) -> Outcome {
    let closed = stream("closed");
    kth_write(
        t,
        |_| write(&closed, Any, t.events("Late", 1)),
        Kind::Deleted,
    )
}

pub(crate) fn kth_invalid_writes_nothing(t: &Trial) -> Outcome {
    let name = stream("invalid");
    kth_write(t, |_| write(&name, Any, vec![]), Kind::Invalid)
}

pub(crate) fn kth_condition_writes_nothing(t: &Trial) -> Outcome {
    t.fill(&stream("existing"), 1)?;
    let before = everything(t)?;
    for k in 0..5 {
        let mut batch = AppendBatch::events(stream("part-1"), NoStream, t.events("Happened", 2))
            .and(write(&stream("part-2"), NoStream, t.events("Happened", 1)));
        for number in 0..5 {
            let asked = if number == k {
                "Filled"
            } else {
                "NeverHappened"
            };
            batch = batch.on(no_match(query(&[asked], &[]), None));
        }
        conflict(format!("condition {k} fails"), t.append(batch))?;
        same(
            format!("after condition {k} failed"),
            everything(t)?,
            before.clone(),
        )?;
    }
    Ok(())
}

pub(crate) fn nothing_to_write_is_refused(t: &Trial) -> Outcome {
    refused("no writes", t.append(AppendBatch::default()), Kind::Invalid)?;
    let only_condition = AppendBatch::default().on(no_match(query(&["X"], &[]), None));
    refused("only a condition", t.append(only_condition), Kind::Invalid)?;
    refused(
        "no events",
        t.add(&stream("order-1"), Any, vec![]),
        Kind::Invalid,
    )?;
    same("streams", everything(t)?.1, vec![])
}

pub(crate) fn one_id_in_two_streams(t: &Trial) -> Outcome {
    let event = t.event("Transferred");
    let (from, to) = (stream("account-1"), stream("account-2"));
    let batch = AppendBatch::events(from.clone(), NoStream, vec![event.clone()]).and(write(
        &to,
        NoStream,
        vec![event.clone()],
    ));
    t.append(batch)?;
    for name in [from, to] {
        read_back(
            "one id",
            &t.read_stream(&name)?,
            &name,
            0,
            std::slice::from_ref(&event),
        )?;
    }
    Ok(())
}

pub(crate) fn id_twice_in_a_stream_is_refused(t: &Trial) -> Outcome {
    let (event, name) = (t.event("Happened"), stream("order-1"));
    let twice = vec![event.clone(), t.event("Between"), event.clone()];
    for expected in [Any, NoStream] {
        refused(
            "in one write",
            t.add(&name, expected, twice.clone()),
            Kind::Invalid,
        )?;
    }
    let batch = AppendBatch::events(name.clone(), NoStream, vec![event.clone()])
        .and(write(&stream("order-2"), NoStream, vec![event.clone()]))
        .and(write(&name, exactly(0), vec![event]));
    refused("in two writes", t.append(batch), Kind::Invalid)?;
    same("streams", everything(t)?.1, vec![])
}

/// Dropping an append before it was begun, or right after, never disturbs others, and never splits the batch.
pub(crate) fn unpolled_append_is_harmless(t: &Trial) -> Outcome {
    let name = stream("order-1");
    drop(t.store.append(AppendBatch::events(
        name.clone(),
        Any,
        t.events("Dropped", 3),
    )));
    let future = t.store.append(AppendBatch::events(
        name.clone(),
        Any,
        t.events("Dropped", 3),
    ));
    drop(poll_once(future));
    let given = t.fill(&name, 2)?;
    let stored = t.read_stream(&name)?;
    let dropped = stored
        .iter()
        .filter(|event| event.event_type.as_str() == "Dropped")
        .count();
    that(
        format!("{dropped} of 6 dropped events are whole batches"),
        dropped.is_multiple_of(3),
    )?;
    let kept: Vec<_> = stored.iter().map(|event| event.id).collect();
    that(
        "the append after it is there",
        given.iter().all(|event| kept.contains(&event.id)),
    )?;
    let revisions: Vec<_> = stored.iter().map(|event| event.revision.number()).collect();
    same(
        "revisions",
        revisions.clone(),
        (0..revisions.len() as u64).collect(),
    )
}

/// Of many that are handed over together, each is judged after those before it, where nothing but streams is asked, and none minds what
/// becomes of another.
pub(crate) fn each_stands_by_itself(t: &Trial) -> Outcome {
    let (name, other, closed) = (stream("order-1"), stream("order-2"), stream("order-3"));
    t.change(&closed, Change::Tombstone)?;
    let to =
        |name: &StreamName, expected, events| AppendBatch::events(name.clone(), expected, events);
    let (first, second, third) = (t.events("A", 2), t.events("B", 1), t.events("C", 3));
    let given = [first.clone(), second.clone()].concat();
    let batches = vec![
        to(&name, NoStream, first.clone()),
        to(&name, NoStream, t.events("Refused", 1)),
        to(&closed, Any, t.events("Refused", 1)),
        to(&name, Any, Vec::new()),
        to(&name, exactly(1), second),
        to(&name, NoStream, first),
        to(&other, Any, third.clone()),
        to(&other, exactly(2), t.events("D", 1)),
    ];
    let answers = t.append_each(batches)?;
    let answers = <[_; 8]>::try_from(answers)
        .or_else(|answers| fail(format!("there are {} answers to 8", answers.len())))?;
    let [landed, taken, shut, empty, next, again, beside, last] = answers;
    let (landed, next) = (landed?, next?);
    let ran_into = conflict("no stream, where there is one", taken)?;
    same("events of the conflict", ran_into.events.len() >= 2, true)?;
    refused("a stream with a tombstone", shut, Kind::Deleted)?;
    refused("nothing to append", empty, Kind::Invalid)?;
    let again = again?;
    that("the same again is a replay", again.replayed)?;
    same(
        "where it is",
        (again.first, again.last),
        (landed.first, landed.last),
    )?;
    that("the next one comes after it", next.first > landed.last)?;
    read_back("stream", &t.read_stream(&name)?, &name, 0, &given)?;
    let (beside, last) = (beside?, last?);
    that("the last one is the last", last.first > beside.last)?;
    same("events beside it", t.read_stream(&other)?.len(), 4)?;
    same("none", t.append_each(Vec::new())?.len(), 0)
}

/// Many appends from many threads, each with many of them together: all are there once.
pub(crate) fn each_of_many_is_there_once(t: &Trial) -> Outcome {
    const TOGETHER: usize = 40;
    let written = t.threads(4, |thread| -> Result<Vec<_>, Stop> {
        let mut written = Vec::new();
        for round in 0..5 {
            let mut batches = Vec::new();
            for number in 0..TOGETHER {
                let name = stream(format!("own-{thread}-{}", number % 3));
                let events = t.events("Happened", 1 + (round + number) % 2);
                written.extend(events.iter().map(|event| event.id));
                batches.push(AppendBatch::events(name, Any, events));
            }
            for answer in t.append_each(batches)? {
                answer?;
            }
        }
        Ok(written)
    })?;
    let stored = t.read_all()?;
    let mut found: Vec<_> = stored.iter().map(|event| event.id).collect();
    let mut expected = Vec::new();
    for thread in written {
        expected.extend(thread);
    }
    found.sort_unstable();
    expected.sort_unstable();
    same("events", found, expected)?;
    increasing("all", &stored)
}
