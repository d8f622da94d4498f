//! Append conditions over types and tags: the lock of decisions that span streams.

use std::sync::atomic::{AtomicUsize, Ordering};

use factum_store::{AppendBatch, Change, ConflictReason, Kind, ReadRequest, Source};
use factum_types::{
    ExpectedRevision, NewEvent, Position, Query, QueryItem, Revision, StreamSettings,
};

use crate::check::{Outcome, Stop, conflict, fail, same, that};
use crate::trial::Trial;
use crate::words::{exactly, no_match, query, stream, tag};

use ExpectedRevision::{Any, NoStream};

const RACE_ROUNDS: usize = 8;

/// Whether a batch on this condition is written.
fn holds(t: &Trial, query: Query, after: Option<Position>) -> Result<bool, Stop> {
    let target = stream("decisions");
    let batch = AppendBatch::events(target, Any, t.events("Decided", 1));
    match t.append(batch.on(no_match(query, after))) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == Kind::Conflict => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The types A, B, and C × the tags x:1 and y:1, asked for in every combination and after every place.
pub(crate) fn types_tags_after_table(t: &Trial) -> Outcome {
    let marked =
        |event_type: &str, tags: &[&str]| t.event(event_type).with_tags(tags.iter().map(tag));
    let facts: [(&str, &[&str]); 6] = [
        ("A", &["x:1"]),
        ("B", &["x:1", "y:1"]),
        ("A", &[]),
        ("C", &["y:1"]),
        ("A", &["y:1", "x:1"]),
        ("Unrelated", &["z:1"]),
    ];
    let mut places = Vec::new();
    for (number, (event_type, tags)) in facts.into_iter().enumerate() {
        let name = stream(format!("fact-{}", number % 2));
        places.push(t.add(&name, Any, vec![marked(event_type, tags)])?.last);
    }
    let types: [&[&str]; 6] = [
        &[],
        &["A"],
        &["C"],
        &["Never"],
        &["A", "B"],
        &["Never", "C"],
    ];
    let tags: [&[&str]; 6] = [
        &[],
        &["x:1"],
        &["y:1"],
        &["no:1"],
        &["x:1", "y:1"],
        &["x:1", "no:1"],
    ];
    let afters = [None, Some(Position::START)].into_iter().chain(
        places
            .iter()
            .copied()
            .flat_map(|p| [p.previous(), Some(p), p.next()]),
    );
    for after in afters {
        for (types, tags) in types
            .iter()
            .flat_map(|types| tags.iter().map(move |tags| (types, tags)))
        {
            if types.is_empty() && tags.is_empty() {
                continue; // It would match the decisions of other rows; it has a case of its own.
            }
            let matching = facts
                .iter()
                .zip(&places)
                .filter(|((event_type, its), place)| {
                    (types.is_empty() || types.contains(event_type))
                        && tags.iter().all(|tag| its.contains(tag))
                        && after.is_none_or(|after| **place > after)
                });
            let row = format!("types {types:?}, tags {tags:?}, after {after:?}");
            let expected = matching.count() == 0;
            same(row, holds(t, query(types, tags), after)?, expected)?;
        }
    }
    Ok(())
}

pub(crate) fn alternatives(t: &Trial) -> Outcome {
    t.add(
        &stream("fact-1"),
        Any,
        vec![t.event("A").with_tags([tag("x:1")])],
    )?;
    let never = || query(&["Never"], &[]);
    let check = |what: &str, query: Query, expected: bool| -> Outcome {
        same(what, holds(t, query, None)?, expected)
    };
    check("neither", never().or(query(&["A"], &["y:1"])), true)?;
    check("the first", query(&["A"], &[]).or(never()), false)?;
    check(
        "the last of three",
        never().or(query(&[], &["y:1"])).or(query(&["A"], &["x:1"])),
        false,
    )?;
    check(
        "types of one and tags of the other",
        query(&["A"], &["y:1"]).or(query(&["B"], &["x:1"])),
        true,
    )
}

pub(crate) fn no_items_match_nothing(t: &Trial) -> Outcome {
    t.fill(&stream("fact-1"), 3)?;
    that(
        "a query without items matches nothing",
        holds(t, Query::default(), None)?,
    )
}

pub(crate) fn everything_item_matches_any_event(t: &Trial) -> Outcome {
    let anything = || Query {
        items: vec![QueryItem::default()],
    };
    t.set(&stream("fact-1"), StreamSettings::default())?;
    that("nothing has happened yet", holds(t, anything(), None)?)?;
    let last = t
        .fill(&stream("fact-1"), 1)
        .map(|_| t.info(&stream("fact-1")))??
        .last_position;
    that("something happened", !holds(t, anything(), None)?)?;
    that("nothing happened since", holds(t, anything(), last)?)?;
    that(
        "the decision itself happened since",
        !holds(t, anything(), last)?,
    )
}

pub(crate) fn control_records_never_match(t: &Trial) -> Outcome {
    let name = stream("fact-1");
    let last = t.fill(&name, 1).map(|_| t.head())??;
    t.set(
        &name,
        StreamSettings {
            max_count: Some(1),
            ..StreamSettings::default()
        },
    )?;
    t.change(&name, Change::Delete)?;
    t.change(&name, Change::Tombstone)?;
    let anything = Query {
        items: vec![QueryItem::default()],
    };
    let named = query(&["$settings", "$deleted", "$tombstoned"], &[]);
    that("no event since, by type", holds(t, named, None)?)?;
    // Last, because the decision is an event.
    let name = stream("fact-2");
    t.set(&name, StreamSettings::default())?;
    let decisions = t.info(&stream("decisions"))?.last_position;
    that("no event since", holds(t, anything, last.max(decisions))?)
}

/// What a stream hides has happened all the same.
pub(crate) fn hidden_events_match(t: &Trial) -> Outcome {
    let hide: [(&str, Change); 4] = [
        ("deleted", Change::Delete),
        ("tombstoned", Change::Tombstone),
        (
            "truncated",
            Change::Settings(StreamSettings {
                truncate_before: Some(Revision::new(9)),
                ..StreamSettings::default()
            }),
        ),
        (
            "counted out",
            Change::Settings(StreamSettings {
                max_count: Some(0),
                ..StreamSettings::default()
            }),
        ),
    ];
    for (number, (what, change)) in hide.into_iter().enumerate() {
        let (name, own) = (
            stream(format!("fact-{number}")),
            tag(format!("fact:{number}")),
        );
        t.add(&name, Any, vec![t.event("A").with_tags([own.clone()])])?;
        t.change(&name, change)?;
        that(
            format!("the {what} event matches"),
            !holds(t, Query::tag(own), None)?,
        )?;
    }
    Ok(())
}

pub(crate) fn own_events_do_not_count(t: &Trial) -> Outcome {
    let seat = tag("seat:1");
    let event = t.event("SeatTaken").with_tags([seat.clone()]);
    let batch = AppendBatch::events(stream("booking-1"), NoStream, vec![event])
        .on(no_match(Query::tag(seat.clone()), None));
    t.append(batch)?;
    that("another finds it taken", !holds(t, Query::tag(seat), None)?)
}

/// Read, decide, append on what was read: holds again and again as long as nobody is between.
pub(crate) fn fresh_decisions_hold(t: &Trial) -> Outcome {
    let course = tag("course:1");
    let mut known = None;
    for number in 0..10 {
        let event = t.event("Enrolled").with_tags([course.clone()]);
        let name = stream(format!("student-{number}"));
        let stale = known;
        let batch = AppendBatch::events(name, NoStream, vec![event])
            .on(no_match(Query::tag(course.clone()), known));
        known = Some(t.append(batch)?.last);
        let found = holds(t, Query::tag(course.clone()), stale)?;
        that("who does not know it is refused", !found)?;
    }
    Ok(())
}

/// So many writers race for one thing; exactly one of them may have it, and the others learn who.
fn race(t: &Trial, batch: impl Fn(usize, usize, NewEvent) -> AppendBatch + Sync) -> Outcome {
    for round in 0..RACE_ROUNDS {
        let outcomes = t.threads(t.knobs.writers, |writer| {
            let event = t.event("Won").with_tags([tag(format!("round:{round}"))]);
            let id = event.id;
            match t.append(batch(round, writer, event)) {
                Ok(receipt) => {
                    that("a win is no replay", !receipt.replayed)?;
                    Ok((Some(id), None))
                }
                Err(error) => match error.as_conflict() {
                    Some(found) => Ok((None, Some(found.clone()))),
                    None => Err(error.into()),
                },
            }
        })?;
        let winners: Vec<_> = outcomes.iter().filter_map(|(won, _)| *won).collect();
        same(format!("winners of round {round}"), winners.len(), 1)?;
        let tagged = t.read(ReadRequest::tag(tag(format!("round:{round}"))))?;
        same(
            "what is recorded",
            tagged.iter().map(|e| e.id).collect::<Vec<_>>(),
            winners.clone(),
        )?;
        for found in outcomes.into_iter().filter_map(|(_, found)| found) {
            let carried: Vec<_> = found.events.iter().map(|event| event.id).collect();
            same("what the losers were shown", carried, winners.clone())?;
        }
    }
    Ok(())
}

pub(crate) fn racing_query_decisions(t: &Trial) -> Outcome {
    race(t, |round, writer, event| {
        let query = query(&["Won"], &[&format!("round:{round}")]);
        AppendBatch::events(stream(format!("racer-{writer}")), Any, vec![event])
            .on(no_match(query, None))
    })
}

pub(crate) fn racing_revisions(t: &Trial) -> Outcome {
    let name = stream("account-1");
    t.fill(&name, 1)?;
    race(t, |round, _, event| {
        AppendBatch::events(name.clone(), exactly(round as u64), vec![event])
    })
}

pub(crate) fn racing_names(t: &Trial) -> Outcome {
    race(t, |round, _, event| {
        AppendBatch::events(stream(format!("name-{round}")), NoStream, vec![event])
    })
}

/// A course with room for `CAPACITY`, and many more who want in, each reading, deciding and trying again.
pub(crate) fn capacity_is_never_exceeded(t: &Trial) -> Outcome {
    const CAPACITY: usize = 10;
    let course = || query(&["Enrolled"], &["course:1"]);
    let conflicts = AtomicUsize::new(0);
    let enrolled = t.threads(t.knobs.writers.max(CAPACITY * 2), |student| {
        // Each failed attempt means that another got in, so nobody tries more often than there are places.
        for _ in 0..=CAPACITY {
            let seen = t.read(ReadRequest::forward(Source::Query(course())))?;
            if seen.len() >= CAPACITY {
                return Ok(false);
            }
            let event = t.event("Enrolled").with_tags([tag("course:1")]);
            let known = seen.last().map(|event| event.position);
            let name = stream(format!("student-{student}"));
            match t.append(
                AppendBatch::events(name, NoStream, vec![event]).on(no_match(course(), known)),
            ) {
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == Kind::Conflict => {
                    conflicts.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        fail("a conflict without somebody else getting in")
    })?;
    let inside = enrolled.into_iter().filter(|got_in| *got_in).count();
    same("who got in", inside, CAPACITY)?;
    let recorded = t.read(ReadRequest::forward(Source::Query(course())))?.len();
    same("who is recorded", recorded, CAPACITY)?;
    let late = AppendBatch::events(stream("late"), NoStream, t.events("Enrolled", 1));
    let found = conflict("too late", t.append(late.on(no_match(course(), None))))?;
    that(
        "by a match",
        matches!(found.reason, ConflictReason::Match { condition: 0, .. }),
    )
}
