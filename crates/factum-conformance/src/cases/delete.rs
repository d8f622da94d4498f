//! Deletion: the stream reads as missing, may be written again, and its revisions go on.

use factum_store::{AppendBatch, Change, Kind, ReadRequest, Source, StreamState};
use factum_types::{ExpectedRevision, Revision, StreamSettings};

use crate::check::{Outcome, conflict, read_back, refused, same};
use crate::trial::Trial;
use crate::words::{category, exactly, query, stream};

use ExpectedRevision::{Any, NoStream, StreamExists};

pub(crate) fn reads_as_missing(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 3)?;
    t.change(&name, Change::Delete)?;
    let source = || Source::Stream(name.clone());
    for request in [
        ReadRequest::forward(source()),
        ReadRequest::backward(source()),
        ReadRequest::forward(source()).with_control(),
        ReadRequest::forward(source()).limit(0),
    ] {
        refused(format!("{request:?}"), t.read(request), Kind::NotFound)?;
    }
    let info = t.info(&name)?;
    same("state", info.state, StreamState::Deleted)?;
    same("last revision", info.last_revision, Some(Revision::new(2)))?;
    same(
        "truncated before",
        info.settings.truncate_before,
        Some(Revision::new(3)),
    )
}

pub(crate) fn rewriting_goes_on(t: &Trial) -> Outcome {
    for (number, expected) in [Any, NoStream, exactly(2)].into_iter().enumerate() {
        let name = stream(format!("order-{number}"));
        t.fill(&name, 3)?;
        t.change(&name, Change::Delete)?;
        conflict(
            "it does not exist",
            t.add(&name, StreamExists, t.events("Late", 1)),
        )?;
        let again = t.events("Again", 2);
        t.add(&name, expected, again.clone())?;
        read_back("again", &t.read_stream(&name)?, &name, 3, &again)?;
        let info = t.info(&name)?;
        same("state", info.state, StreamState::Live)?;
        same(
            "truncated before",
            info.settings.truncate_before,
            Some(Revision::new(3)),
        )?;
        t.add(&name, StreamExists, t.events("More", 1))?;
        conflict("it exists", t.add(&name, NoStream, t.events("Late", 1)))?;
    }
    Ok(())
}

/// On a deleted stream, settings may hide more, never less.
pub(crate) fn settings_cannot_undo_it(t: &Trial) -> Outcome {
    let rows = [
        (None, 3),
        (Some(0), 3),
        (Some(2), 3),
        (Some(3), 3),
        (Some(5), 5),
    ];
    for (number, (given, kept)) in rows.into_iter().enumerate() {
        let name = stream(format!("order-{number}"));
        t.fill(&name, 3)?;
        t.change(&name, Change::Delete)?;
        let settings = StreamSettings {
            max_count: Some(7),
            max_age: None,
            truncate_before: given.map(Revision::new),
        };
        t.set(&name, settings)?;
        let info = t.info(&name)?;
        same("state", info.state, StreamState::Deleted)?;
        let expected = StreamSettings {
            truncate_before: Some(Revision::new(kept)),
            ..settings
        };
        same(format!("given {given:?}"), info.settings, expected)?;
        refused("still missing", t.read_stream(&name), Kind::NotFound)?;
        let again = t.fill(&name, 3)?;
        let shown = usize::try_from(kept - 3).unwrap_or(usize::MAX);
        let expected = again.get(shown..).unwrap_or_default();
        read_back(
            "written again",
            &t.read_stream(&name)?,
            &name,
            kept,
            expected,
        )?;
    }
    Ok(())
}

pub(crate) fn needs_a_live_stream(t: &Trial) -> Outcome {
    let delete = |name: &str, expected| {
        t.append(AppendBatch::change(stream(name), expected, Change::Delete))
    };
    for expected in [Any, NoStream] {
        let found = conflict("missing", delete("missing", expected))?;
        let actual = None;
        let stream = stream("missing");
        let reason = factum_store::ConflictReason::Revision {
            stream,
            expected,
            actual,
        };
        same("reason", found.reason, reason)?;
    }
    t.set(&stream("settings-only"), StreamSettings::default())?;
    conflict("settings only", delete("settings-only", Any))?;
    t.fill(&stream("live"), 1)?;
    delete("live", exactly(0))?;
    for expected in [Any, NoStream, exactly(0)] {
        conflict("deleted before", delete("live", expected))?;
    }
    Ok(())
}

pub(crate) fn is_kept_in_all(t: &Trial) -> Outcome {
    is_kept_in_all_after(t, Change::Delete)
}

/// That the events of a stream stay readable beside it, whatever closed it.
pub(super) fn is_kept_in_all_after(t: &Trial, change: Change) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 3)?;
    let all = t.read_all()?;
    t.change(&name, change)?;
    same("all", t.read_all()?, all.clone())?;
    same(
        "category",
        t.read(ReadRequest::category(category("order")))?,
        all.clone(),
    )?;
    let found = t.read(ReadRequest::forward(Source::Query(query(&["Filled"], &[]))))?;
    same("query", found, all)
}

pub(crate) fn twice_with_rewrites(t: &Trial) -> Outcome {
    let name = stream("order-1");
    let mut next = 0;
    for count in [2, 3, 1] {
        let given = t.events("Written", count);
        t.add(&name, NoStream, given.clone())?;
        read_back("only the last", &t.read_stream(&name)?, &name, next, &given)?;
        next += count as u64;
        t.append(AppendBatch::change(
            name.clone(),
            exactly(next - 1),
            Change::Delete,
        ))?;
        let truncated = t.info(&name)?.settings.truncate_before;
        same("truncated before", truncated, Some(Revision::new(next)))?;
    }
    same("all", t.read_all()?.len(), 6)
}
