//! Tombstones: closed for ever, for readers and writers.

use factum_store::{Change, Direction, Kind, ReadFrom, ReadRequest, Source, StreamState};
use factum_types::{ExpectedRevision, Position, Revision, StreamName, StreamSettings};

use super::delete::is_kept_in_all_after;
use crate::check::{Outcome, refused, same};
use crate::trial::Trial;
use crate::words::{exactly, stream};

/// That nothing can be read from the stream or written to it.
fn is_closed(t: &Trial, name: &StreamName) -> Outcome {
    let froms = [
        ReadFrom::Start,
        ReadFrom::End,
        ReadFrom::Position(Position::START),
        ReadFrom::Revision(Revision::FIRST),
    ];
    for from in froms {
        for (direction, control) in [(Direction::Forward, false), (Direction::Backward, true)] {
            let source = Source::Stream(name.clone());
            let request = ReadRequest {
                source,
                from,
                direction,
                limit: None,
                control,
            };
            refused(format!("{request:?}"), t.read(request), Kind::Deleted)?;
        }
    }
    let changes = || {
        [
            Change::Events(t.events("Late", 1)),
            Change::Settings(StreamSettings::default()),
            Change::Delete,
            Change::Tombstone,
        ]
    };
    for change in changes() {
        let what = format!("{change:?}");
        refused(what, t.change(name, change), Kind::Deleted)?;
    }
    for expected in [
        ExpectedRevision::NoStream,
        ExpectedRevision::StreamExists,
        exactly(2),
    ] {
        refused(
            format!("{expected}"),
            t.add(name, expected, t.events("Late", 1)),
            Kind::Deleted,
        )?;
    }
    same("state", t.info(name)?.state, StreamState::Tombstoned)
}

pub(crate) fn closes_reading_and_writing(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 3)?;
    t.change(&name, Change::Tombstone)?;
    is_closed(t, &name)?;
    same(
        "last revision",
        t.info(&name)?.last_revision,
        Some(Revision::new(2)),
    )?;
    t.fill(&stream("order-2"), 1)
        .map(|_| ())
        .map_err(Into::into)
}

pub(crate) fn of_a_stream_without_events(t: &Trial) -> Outcome {
    let (missing, set) = (stream("order-1"), stream("order-2"));
    t.change(&missing, Change::Tombstone)?;
    t.set(&set, StreamSettings::default())?;
    t.change(&set, Change::Tombstone)?;
    for name in [missing, set] {
        is_closed(t, &name)?;
        let info = t.info(&name)?;
        same(
            "last",
            (info.last_revision, info.last_position),
            (None, None),
        )?;
    }
    Ok(())
}

pub(crate) fn of_a_deleted_stream(t: &Trial) -> Outcome {
    let name = stream("order-1");
    t.fill(&name, 3)?;
    t.change(&name, Change::Delete)?;
    t.change(&name, Change::Tombstone)?;
    is_closed(t, &name)
}

pub(crate) fn is_kept_in_all(t: &Trial) -> Outcome {
    is_kept_in_all_after(t, Change::Tombstone)
}
