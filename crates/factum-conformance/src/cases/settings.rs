//! Settings: what a stream still gives of what it was given.

use std::time::Duration;

use factum_store::{Direction, ReadFrom, ReadRequest, Source, StreamState};
use factum_types::{Revision, StreamName, StreamSettings};

use crate::check::{Outcome, Stop, same};
use crate::trial::Trial;
use crate::words::{category, query, stream};

const NONE: StreamSettings = StreamSettings {
    max_count: None,
    max_age: None,
    truncate_before: None,
};

const fn count(max_count: u64) -> StreamSettings {
    StreamSettings {
        max_count: Some(max_count),
        ..NONE
    }
}

const fn before(revision: u64) -> StreamSettings {
    StreamSettings {
        truncate_before: Some(Revision::new(revision)),
        ..NONE
    }
}

const fn age(max_age: Duration) -> StreamSettings {
    StreamSettings {
        max_age: Some(max_age),
        ..NONE
    }
}

fn revisions(t: &Trial, request: ReadRequest) -> Result<Vec<u64>, Stop> {
    Ok(t.read(request)?
        .iter()
        .map(|event| event.revision.number())
        .collect())
}

/// That the stream gives exactly the revisions from `first` up to `end`, in both directions.
fn shows(t: &Trial, what: &str, name: &StreamName, first: u64, end: u64) -> Outcome {
    let mut expected: Vec<_> = (first..end).collect();
    same(
        what,
        revisions(t, ReadRequest::stream(name.clone()))?,
        expected.clone(),
    )?;
    expected.reverse();
    let backward = ReadRequest::backward(Source::Stream(name.clone()));
    same(
        format!("{what}, backwards"),
        revisions(t, backward)?,
        expected,
    )
}

pub(crate) fn max_count_table(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 5)?;
    for (max_count, first) in [
        (0, 5),
        (1, 4),
        (3, 2),
        (5, 0),
        (6, 0),
        (u64::MAX, 0),
        (2, 3),
    ] {
        t.set(&name, count(max_count))?;
        same("settings", t.info(&name)?.settings, count(max_count))?;
        shows(t, &format!("the last {max_count} of 5"), &name, first, 5)?;
    }
    t.fill(&name, 2)?;
    shows(t, "the last 2 of 7", &name, 5, 7)
}

pub(crate) fn truncate_before_table(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 5)?;
    for (revision, first) in [(0, 0), (1, 1), (4, 4), (5, 5), (9, 5), (2, 2)] {
        t.set(&name, before(revision))?;
        same("settings", t.info(&name)?.settings, before(revision))?;
        shows(t, &format!("from revision {revision}"), &name, first, 5)?;
    }
    t.set(&name, before(6))?;
    t.fill(&name, 2)?;
    shows(t, "from a revision that came later", &name, 6, 7)
}

pub(crate) fn combinations(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 6)?;
    let long = Duration::from_hours(24);
    for max_count in [None, Some(0), Some(2), Some(4), Some(9)] {
        for truncate_before in [None, Some(0), Some(3), Some(5), Some(9)] {
            for max_age in [None, Some(long)] {
                let truncate = truncate_before.map(Revision::new);
                let settings = StreamSettings {
                    max_count,
                    max_age,
                    truncate_before: truncate,
                };
                t.set(&name, settings)?;
                same("settings", t.info(&name)?.settings, settings)?;
                let counted = max_count.map_or(0, |count| 6_u64.saturating_sub(count));
                let first = counted.max(truncate_before.unwrap_or(0)).min(6);
                shows(t, &format!("{settings:?}"), &name, first, 6)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn max_age(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let hour = Duration::from_hours(1);
    t.set(&name, age(hour))?;
    t.fill(&name, 2)?;
    shows(t, "young", &name, 0, 2)?;
    t.advance(Duration::from_mins(40))?;
    t.fill(&name, 3)?;
    shows(t, "all under an hour", &name, 0, 5)?;
    t.advance(Duration::from_mins(40))?;
    shows(t, "the first two over an hour", &name, 2, 5)?;
    t.advance(Duration::from_mins(40))?;
    shows(t, "all over an hour", &name, 5, 5)?;
    same("it is still there", t.info(&name)?.state, StreamState::Live)?;
    t.fill(&name, 1)?;
    shows(t, "a new one", &name, 5, 6)?;
    t.set(&name, age(hour * 3))?;
    shows(t, "kept for longer", &name, 0, 6)
}

pub(crate) fn age_and_count(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let hour = Duration::from_hours(1);
    t.fill(&name, 3)?;
    t.advance(hour * 2)?;
    t.fill(&name, 3)?;
    let both = |max_count, first| -> Outcome {
        t.set(
            &name,
            StreamSettings {
                max_count: Some(max_count),
                ..age(hour)
            },
        )?;
        shows(
            t,
            &format!("under an hour and the last {max_count}"),
            &name,
            first,
            6,
        )
    };
    both(5, 3)?;
    both(2, 4)?;
    t.set(
        &name,
        StreamSettings {
            truncate_before: Some(Revision::new(5)),
            ..age(hour)
        },
    )?;
    shows(t, "under an hour and from revision 5", &name, 5, 6)
}

pub(crate) fn replace_all_fields(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 5)?;
    t.set(
        &name,
        StreamSettings {
            max_age: Some(Duration::from_hours(1)),
            ..count(2)
        },
    )?;
    t.set(&name, before(1))?;
    same("only the last settings", t.info(&name)?.settings, before(1))?;
    shows(t, "truncated", &name, 1, 5)?;
    t.set(&name, NONE)?;
    same("no settings", t.info(&name)?.settings, NONE)?;
    shows(t, "everything still stored", &name, 0, 5)
}

/// A stream whose events are all hidden is empty, which is not the same as missing.
pub(crate) fn all_hidden_is_empty(t: &Trial) -> Outcome {
    for (number, settings) in [count(0), before(9)].into_iter().enumerate() {
        let name = stream(format!("order-{number}"));
        t.fill(&name, 3)?;
        t.set(&name, settings)?;
        shows(t, "all hidden", &name, 3, 3)?;
        let info = t.info(&name)?;
        same("state", info.state, StreamState::Live)?;
        same("last revision", info.last_revision, Some(Revision::new(2)))?;
    }
    Ok(())
}

pub(crate) fn many_stream_reads_ignore_them(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 5)?;
    let all = t.read_all()?;
    t.set(
        &name,
        StreamSettings {
            truncate_before: Some(Revision::new(4)),
            ..count(1)
        },
    )?;
    same("all", t.read_all()?, all.clone())?;
    let order = t.read(ReadRequest::category(category("order")))?;
    same("category", order, all.clone())?;
    let found = t.read(ReadRequest::forward(Source::Query(query(&["Filled"], &[]))))?;
    same("query", found, all)
}

pub(crate) fn before_the_first_event(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.set(&name, count(2))?;
    let info = t.info(&name)?;
    same("state", info.state, StreamState::Missing)?;
    same("last revision", info.last_revision, None)?;
    same("settings", info.settings, count(2))?;
    t.fill(&name, 3)?;
    shows(t, "the settings hold", &name, 1, 3)
}

pub(crate) fn read_edges_when_truncated(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 6)?;
    let positions: Vec<_> = t
        .read_stream(&name)?
        .iter()
        .map(|event| event.position)
        .collect();
    t.set(&name, before(3))?;
    for (revision, position) in (0_u64..).zip(&positions) {
        for from in [
            ReadFrom::Revision(Revision::new(revision)),
            ReadFrom::Position(*position),
        ] {
            for limit in [0, 1, 2, 9] {
                let cut = |mut expected: Vec<u64>| {
                    expected.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                    expected
                };
                let source = Source::Stream(name.clone());
                let control = false;
                let request = |direction| ReadRequest {
                    source: source.clone(),
                    from,
                    direction,
                    limit: Some(limit),
                    control,
                };
                let forward = revisions(t, request(Direction::Forward))?;
                same(
                    format!("from {revision}"),
                    forward,
                    cut((revision.max(3)..6).collect()),
                )?;
                let backward = revisions(t, request(Direction::Backward))?;
                let expected = cut((3..=revision).rev().collect());
                same(format!("back from {revision}"), backward, expected)?;
            }
        }
    }
    Ok(())
}
