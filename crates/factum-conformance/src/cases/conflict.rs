//! Conflicts: what they say, what they carry, and that they leave nothing behind.

use factum_store::{AppendBatch, Change, Condition, Conflict, ConflictReason};
use factum_types::{
    ExpectedRevision, RecordedEvent, Revision, StreamName, limits::CONFLICT_EVENTS_MAX,
};

use crate::check::{Outcome, Stop, conflict, same};
use crate::trial::Trial;
use crate::words::{exactly, no_match, query, stream, tag, write};

use ExpectedRevision::{Any, NoStream, StreamExists};

fn revisions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.revision.number()).collect()
}

pub(crate) fn exact_carries_later_events(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 5)?;
    let stored = t.read_stream(&name)?;
    for (known, expected) in [(0, 1..5), (1, 2..5), (3, 4..5), (7, 0..0)] {
        let row = format!("known up to revision {known}");
        let found = conflict(&row, t.add(&name, exactly(known), t.events("Late", 1)))?;
        let expected: Vec<_> = stored.get(expected).unwrap_or_default().to_vec();
        same(row, found.events, expected)?;
    }
    Ok(())
}

pub(crate) fn no_stream_carries_readable_events(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 3)?;
    let found = conflict("live", t.add(&name, NoStream, t.events("Late", 1)))?;
    same("from the first", found.events, t.read_stream(&name)?)?;
    t.change(&name, Change::Delete)?;
    t.fill(&name, 2)?;
    let found = conflict("written again", t.add(&name, NoStream, t.events("Late", 1)))?;
    same(
        "from the first after the deletion",
        revisions(&found.events),
        vec![3, 4],
    )
}

pub(crate) fn stream_exists_carries_none(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let found = conflict("missing", t.add(&name, StreamExists, t.events("Late", 1)))?;
    same("events", found.events, vec![])?;
    t.fill(&name, 2)?;
    t.change(&name, Change::Delete)?;
    let found = conflict("deleted", t.add(&name, StreamExists, t.events("Late", 1)))?;
    same("events", found.events, vec![])
}

/// What is gone is not told as if it were there: a stream that does not exist any more has a last revision, and is not at it.
pub(crate) fn stream_exists_says_that_it_is_gone(t: &Trial) -> Outcome {
    let check = |row: &str, name: &StreamName, actual: Option<u64>, as_write: bool| -> Outcome {
        let target = stream("target-1");
        let on = Condition::Stream {
            stream: name.clone(),
            expected: StreamExists,
        };
        let batch = if as_write {
            AppendBatch::events(name.clone(), StreamExists, t.events("Late", 1))
        } else {
            AppendBatch::events(target, Any, t.events("Late", 1)).on(on)
        };
        let answer = t.append(batch);
        let text = answer.as_ref().err().map(ToString::to_string);
        let reason = ConflictReason::Revision {
            stream: name.clone(),
            expected: StreamExists,
            actual: actual.map(Revision::new),
        };
        same(row, conflict(row, answer)?.reason, reason)?;
        let told = text.is_some_and(|text| text.contains("is at revision"));
        same(format!("{row}: told as if it were there"), told, false)
    };
    let (missing, deleted, closed) = (stream("missing-1"), stream("deleted-1"), stream("closed-1"));
    for (name, change) in [(&deleted, Change::Delete), (&closed, Change::Tombstone)] {
        t.fill(name, 3)?;
        t.change(name, change)?;
    }
    for as_write in [true, false] {
        check("missing", &missing, None, as_write)?;
        check("deleted", &deleted, Some(2), as_write)?;
    }
    check("closed for ever", &closed, Some(2), false)
}

pub(crate) fn events_are_bounded(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, CONFLICT_EVENTS_MAX + 9)?;
    let bound = CONFLICT_EVENTS_MAX as u64;
    let found = conflict("exact", t.add(&name, exactly(3), t.events("Late", 1)))?;
    same(
        "the oldest after revision 3",
        revisions(&found.events),
        (4..4 + bound).collect(),
    )?;
    let found = conflict("no stream", t.add(&name, NoStream, t.events("Late", 1)))?;
    same("the oldest", revisions(&found.events), (0..bound).collect())
}

pub(crate) fn actual_is_last_revision(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let check = |expected, actual: Option<u64>| -> Outcome {
        let found = conflict(
            format!("{expected}"),
            t.add(&name, expected, t.events("Late", 1)),
        )?;
        let actual = actual.map(Revision::new);
        let reason = ConflictReason::Revision {
            stream: name.clone(),
            expected,
            actual,
        };
        same("reason", found.reason, reason)
    };
    check(exactly(0), None)?;
    check(StreamExists, None)?;
    t.fill(&name, 3)?;
    check(exactly(3), Some(2))?;
    check(NoStream, Some(2))?;
    t.change(&name, Change::Delete)?;
    check(StreamExists, Some(2))?;
    check(exactly(0), Some(2))
}

pub(crate) fn match_carries_events_and_last_position(t: &Trial) -> Outcome {
    let (one, two) = (stream("seat-1"), stream("seat-2"));
    let taken = |n: u32| t.event("SeatTaken").with_tags([tag(format!("seat:{n}"))]);
    t.add(&one, Any, vec![taken(1), taken(2)])?;
    let middle = t.add(&two, Any, vec![taken(1)])?.last;
    t.add(&two, Any, vec![taken(2), taken(1), taken(2)])?;
    let all = t.read_all()?;
    let seat_one: Vec<_> = all
        .iter()
        .filter(|event| event.tags == [tag("seat:1")])
        .cloned()
        .collect();
    let ask = |after| {
        let batch = AppendBatch::events(stream("other"), Any, t.events("Decided", 1))
            .on(no_match(query(&[], &["seat:1"]), after));
        conflict("a seat is taken", t.append(batch))
    };
    let position = seat_one.last().map(|event| event.position);
    let reason = ConflictReason::Match {
        condition: 0,
        position,
    };
    same(
        "all",
        ask(None)?,
        Conflict {
            reason: reason.clone(),
            events: seat_one.clone(),
        },
    )?;
    let later = seat_one
        .into_iter()
        .filter(|event| event.position > middle)
        .collect();
    same(
        "after the second",
        ask(Some(middle))?,
        Conflict {
            reason,
            events: later,
        },
    )
}

pub(crate) fn match_events_are_bounded(t: &Trial) -> Outcome {
    let name = stream("seat-1");
    let count = CONFLICT_EVENTS_MAX + 5;
    t.fill(&name, count)?;
    let batch = AppendBatch::events(stream("other"), Any, t.events("Decided", 1))
        .on(no_match(query(&["Filled"], &[]), None));
    let found = conflict("many match", t.append(batch))?;
    same(
        "the oldest",
        revisions(&found.events),
        (0..CONFLICT_EVENTS_MAX as u64).collect(),
    )?;
    let position = t.info(&name)?.last_position;
    same(
        "the last",
        found.reason,
        ConflictReason::Match {
            condition: 0,
            position,
        },
    )
}

pub(crate) fn match_names_its_condition(t: &Trial) -> Outcome {
    t.fill(&stream("seat-1"), 1)?;
    let position = t.info(&stream("seat-1"))?.last_position;
    for failing in 0..4 {
        let mut batch = AppendBatch::events(stream("other"), Any, t.events("Decided", 1));
        for number in 0..4 {
            let asked = if number == failing {
                "Filled"
            } else {
                "NeverHappened"
            };
            batch = batch.on(no_match(query(&[asked], &[]), None));
        }
        let found = conflict(format!("condition {failing}"), t.append(batch))?;
        same(
            "reason",
            found.reason,
            ConflictReason::Match {
                condition: failing,
                position,
            },
        )?;
    }
    // Conditions of both sorts are counted together, and the first that fails is named.
    let absent = Condition::Stream {
        stream: stream("absent"),
        expected: NoStream,
    };
    let batch = AppendBatch::events(stream("other"), Any, t.events("Decided", 1))
        .on(absent)
        .on(no_match(query(&["Filled"], &[]), None))
        .on(no_match(query(&[], &[]), None));
    let found = conflict("after a stream condition", t.append(batch))?;
    same(
        "reason",
        found.reason,
        ConflictReason::Match {
            condition: 1,
            position,
        },
    )
}

pub(crate) fn nothing_is_written(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 3)?;
    let (all, info) = (t.read_all()?, t.info(&name)?);
    for expected in [NoStream, exactly(0), exactly(1), exactly(3)] {
        conflict("wrong", t.add(&name, expected, t.events("Late", 2)))?;
        let batch = AppendBatch::events(stream("fresh"), Any, t.events("Late", 1)).and(write(
            &name,
            expected,
            t.events("Late", 1),
        ));
        conflict("wrong in a batch", t.append(batch))?;
    }
    same("all events", t.read_all()?, all)?;
    same("the stream", t.info(&name)?, info)?;
    t.add(&name, exactly(2), t.events("Good", 1))
        .map(|_| ())
        .map_err(Stop::from)
}

/// A conflict is only answered from what is published: whatever it carries can be read at once.
pub(crate) fn events_are_readable(t: &Trial) -> Outcome {
    let name = stream("order-1");
    for round in 0..20 {
        t.fill(&name, 2)?;
        // Two events per round: the last revision is never the number of the round.
        let found = conflict("late", t.add(&name, exactly(round), t.events("Late", 1)))?;
        let stored = t.read_stream(&name)?;
        for event in found.events {
            same(
                "as read",
                stored.iter().find(|e| e.id == event.id),
                Some(&event),
            )?;
        }
    }
    Ok(())
}
