//! Listing streams, and what is known about each.

use factum_store::{AppendBatch, Change, StreamInfo, StreamState, StreamsRequest};
use factum_types::{ExpectedRevision, Position, Revision, StreamSettings};

use crate::cases::expect::{STAGES, Stage};
use crate::check::{Outcome, Stop, refused, same};
use crate::trial::Trial;
use crate::words::{exactly, stream};

fn names(t: &Trial, request: StreamsRequest) -> Result<Vec<String>, Stop> {
    Ok(t.streams(request)?
        .iter()
        .map(|info| info.stream.to_string())
        .collect())
}

fn request(prefix: &str, after: Option<&str>, limit: usize) -> StreamsRequest {
    StreamsRequest {
        prefix: prefix.to_owned(),
        after: after.map(stream),
        limit,
    }
}

/// By bytes, whatever the language.
const NAMES: [&str; 10] = [
    "reorder-1",
    "Order-1",
    "item-1",
    "order",
    "order-1",
    "order-10",
    "order-2",
    "order-é",
    "zebra",
    "größe-1",
];

fn sorted() -> Vec<String> {
    let mut names: Vec<_> = NAMES.into_iter().map(str::to_owned).collect();
    names.sort_unstable();
    names
}

fn fill(t: &Trial) -> Outcome {
    for name in NAMES {
        t.fill(&stream(name), 1)?;
    }
    Ok(())
}

pub(crate) fn sorted_names(t: &Trial) -> Outcome {
    same(
        "an empty store",
        names(t, StreamsRequest::default())?,
        vec![],
    )?;
    fill(t)?;
    same("by bytes", names(t, StreamsRequest::default())?, sorted())
}

pub(crate) fn paged(t: &Trial) -> Outcome {
    fill(t)?;
    for limit in 1..=NAMES.len() + 1 {
        let mut found: Vec<String> = Vec::new();
        loop {
            let page = names(t, request("", found.last().map(String::as_str), limit))?;
            if page.is_empty() {
                break;
            }
            same(
                "a page is full unless it is the last",
                page.len() <= limit,
                true,
            )?;
            found.extend(page);
            if found.len() > NAMES.len() {
                break;
            }
        }
        same(format!("pages of {limit}"), found, sorted())?;
    }
    Ok(())
}

pub(crate) fn prefix(t: &Trial) -> Outcome {
    fill(t)?;
    for prefix in [
        "", "o", "order", "order-", "order-1", "order-1x", "g", "gr", "grö", "Z", "z",
    ] {
        for after in [
            None,
            Some("order"),
            Some("order-1"),
            Some("order-11"),
            Some("zzz"),
            Some("A"),
        ] {
            let mut expected = sorted();
            expected.retain(|name| {
                name.starts_with(prefix) && after.is_none_or(|after| name.as_str() > after)
            });
            let what = format!("prefix {prefix:?}, after {after:?}");
            same(
                &what,
                names(t, request(prefix, after, 100))?,
                expected.clone(),
            )?;
            expected.truncate(2);
            same(
                format!("{what}, two"),
                names(t, request(prefix, after, 2))?,
                expected,
            )?;
        }
    }
    Ok(())
}

pub(crate) fn limits(t: &Trial) -> Outcome {
    fill(t)?;
    for limit in [0, 1, NAMES.len(), NAMES.len() + 1, usize::MAX] {
        let mut expected = sorted();
        expected.truncate(limit);
        same(
            format!("limit {limit}"),
            names(t, request("", None, limit))?,
            expected,
        )?;
    }
    Ok(())
}

/// Listed is what has a record; asking or failing leaves nothing behind.
pub(crate) fn which_are_listed(t: &Trial) -> Outcome {
    for stage in STAGES {
        stage.make(t, &stream(format!("{stage:?}")))?;
    }
    let never = stream("Never");
    t.info(&never)?;
    t.read_stream(&never).err();
    refused(
        "a conflict",
        t.add(&never, exactly(5), t.events("Late", 1)),
        factum_store::Kind::Conflict,
    )?;
    let asked = factum_store::Condition::Stream {
        stream: stream("Asked"),
        expected: ExpectedRevision::NoStream,
    };
    let batch = AppendBatch::events(stream("Live"), ExpectedRevision::Any, t.events("More", 1));
    t.append(batch.on(asked))?;
    let follow = t
        .follow_from_start(factum_store::Source::Stream(stream("Followed")))
        .caught_up();
    same("nothing to follow", follow?.0.len(), 0)?;
    let mut expected: Vec<_> = STAGES
        .into_iter()
        .filter(|stage| *stage != Stage::Missing)
        .map(|stage| format!("{stage:?}"))
        .collect();
    expected.sort_unstable();
    same("streams", names(t, StreamsRequest::default())?, expected)
}

pub(crate) fn info_in_each_state(t: &Trial) -> Outcome {
    for stage in STAGES {
        let name = stream(format!("{stage:?}"));
        stage.make(t, &name)?;
        let info = t.info(&name)?;
        let state = match stage {
            Stage::Missing | Stage::SettingsOnly => StreamState::Missing,
            Stage::Live | Stage::Rewritten => StreamState::Live,
            Stage::Deleted => StreamState::Deleted,
            Stage::Tombstoned | Stage::TombstonedEmpty => StreamState::Tombstoned,
        };
        let settings = match stage {
            Stage::SettingsOnly => StreamSettings {
                max_count: Some(9),
                ..StreamSettings::default()
            },
            Stage::Deleted | Stage::Rewritten => StreamSettings {
                truncate_before: Some(Revision::new(3)),
                ..StreamSettings::default()
            },
            _ => StreamSettings::default(),
        };
        let all = t.read_all()?;
        let last = all
            .iter()
            .rfind(|event| event.stream == name)
            .map(|event| event.position);
        let expected = StreamInfo {
            stream: name.clone(),
            state,
            last_revision: stage.last_revision().map(Revision::new),
            last_position: last,
            settings,
        };
        same(format!("{stage:?}"), &info, &expected)?;
        let listed = t.streams(request(name.as_str(), None, 100))?;
        let listed = listed.into_iter().find(|listed| listed.stream == name);
        let expected = (stage != Stage::Missing).then_some(expected);
        same(format!("{stage:?}, listed"), listed, expected)?;
    }
    Ok(())
}

pub(crate) fn info_follows_every_change(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let check = |state, revision: Option<u64>, position: Option<Position>| -> Outcome {
        let info = t.info(&name)?;
        let found = (info.state, info.last_revision, info.last_position);
        same(
            "info",
            found,
            (state, revision.map(Revision::new), position),
        )
    };
    check(StreamState::Missing, None, None)?;
    let add = |count| t.add(&name, ExpectedRevision::Any, t.events("More", count));
    let first = add(2)?.last;
    check(StreamState::Live, Some(1), Some(first))?;
    t.fill(&stream("order-2"), 3)?;
    check(StreamState::Live, Some(1), Some(first))?;
    let second = add(1)?.last;
    check(StreamState::Live, Some(2), Some(second))?;
    t.change(&name, Change::Delete)?;
    check(StreamState::Deleted, Some(2), Some(second))?;
    let third = add(1)?.last;
    check(StreamState::Live, Some(3), Some(third))?;
    t.change(&name, Change::Tombstone)?;
    check(StreamState::Tombstoned, Some(3), Some(third))
}
