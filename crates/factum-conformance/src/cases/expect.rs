//! Expectations: every one against every state a stream can be in, for every change.

use factum_store::{
    AppendBatch, Change, Condition, ConflictReason, Kind, Receipt, StoreError, StreamInfo,
    StreamState, StreamWrite,
};
use factum_types::{ExpectedRevision, Revision, StreamName, StreamSettings};

use crate::check::{Outcome, Stop, conflict, refused, same};
use crate::trial::Trial;
use crate::words::{exactly, no_match, query, stream, write};

use ExpectedRevision::{Any, NoStream, StreamExists};

/// The states that a stream can be brought into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Missing,
    SettingsOnly,
    /// Revisions 0 to 2.
    Live,
    /// Revisions 0 to 2, deleted.
    Deleted,
    /// The same, and then revision 3.
    Rewritten,
    /// Revisions 0 to 2, closed.
    Tombstoned,
    /// Closed without an event.
    TombstonedEmpty,
}

pub(super) const STAGES: [Stage; 7] = [
    Stage::Missing,
    Stage::SettingsOnly,
    Stage::Live,
    Stage::Deleted,
    Stage::Rewritten,
    Stage::Tombstoned,
    Stage::TombstonedEmpty,
];

const EXPECTATIONS: [ExpectedRevision; 8] = [
    Any,
    NoStream,
    StreamExists,
    exactly(0),
    exactly(1),
    exactly(2),
    exactly(3),
    exactly(u64::MAX),
];

impl Stage {
    pub(super) fn make(self, t: &Trial, name: &StreamName) -> Outcome {
        if matches!(
            self,
            Self::Live | Self::Deleted | Self::Rewritten | Self::Tombstoned
        ) {
            t.fill(name, 3)?;
        }
        match self {
            Self::Missing | Self::Live => {}
            Self::SettingsOnly => {
                t.set(
                    name,
                    StreamSettings {
                        max_count: Some(9),
                        ..StreamSettings::default()
                    },
                )?;
            }
            Self::Deleted => {
                t.change(name, Change::Delete)?;
            }
            Self::Rewritten => {
                t.change(name, Change::Delete)?;
                t.fill(name, 1)?;
            }
            Self::Tombstoned | Self::TombstonedEmpty => {
                t.change(name, Change::Tombstone)?;
            }
        }
        Ok(())
    }

    pub(super) const fn last_revision(self) -> Option<u64> {
        match self {
            Self::Missing | Self::SettingsOnly | Self::TombstonedEmpty => None,
            Self::Live | Self::Deleted | Self::Tombstoned => Some(2),
            Self::Rewritten => Some(3),
        }
    }

    const fn is_closed(self) -> bool {
        matches!(self, Self::Tombstoned | Self::TombstonedEmpty)
    }

    /// The table: what holds in which state.
    fn holds(self, expected: ExpectedRevision) -> bool {
        let holding: &[ExpectedRevision] = match self {
            Self::Missing | Self::SettingsOnly => &[Any, NoStream],
            Self::Live => &[Any, StreamExists, exactly(2)],
            Self::Deleted => &[Any, NoStream, exactly(2)],
            Self::Rewritten => &[Any, StreamExists, exactly(3)],
            Self::Tombstoned | Self::TombstonedEmpty => &[Any],
        };
        holding.contains(&expected)
    }

    /// That the answer is the conflict with what the stream is now.
    fn refuses(
        self,
        row: &str,
        answer: Result<Receipt, StoreError>,
        name: &StreamName,
        expected: ExpectedRevision,
    ) -> Outcome {
        let reason = ConflictReason::Revision {
            stream: name.clone(),
            expected,
            actual: self.last_revision().map(Revision::new),
        };
        same(row, conflict(row, answer)?.reason, reason)
    }
}

/// Tries a change on every state under every expectation; `allowed` says whether the state bears it at all, `after` what it makes of it.
fn table(
    t: &Trial,
    change: impl Fn(&Trial) -> Change,
    allowed: impl Fn(Stage) -> bool,
    after: impl Fn(Stage, &StreamInfo, &StreamInfo) -> Outcome,
) -> Outcome {
    for stage in STAGES {
        for (number, expected) in EXPECTATIONS.into_iter().enumerate() {
            let name = stream(format!("{stage:?}-{number}"));
            stage.make(t, &name)?;
            let before = t.info(&name)?;
            let answer = t.append(AppendBatch::change(name.clone(), expected, change(t)));
            let info = t.info(&name)?;
            let row = format!("{stage:?}, expected {expected}");
            if stage.is_closed() {
                refused(&row, answer, Kind::Deleted)?;
                same(format!("{row}: unchanged"), info, before)?;
            } else if stage.holds(expected) && allowed(stage) {
                let receipt = answer.map_err(|error| Stop::from(error).at(&row))?;
                let last = receipt.writes.first().and_then(|write| write.last_revision);
                same(format!("{row}: last revision"), last, info.last_revision)?;
                after(stage, &before, &info).map_err(|stop| stop.at(&row))?;
            } else {
                stage.refuses(&row, answer, &name, expected)?;
                same(format!("{row}: unchanged"), info, before)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn events_table(t: &Trial) -> Outcome {
    let two = |t: &Trial| Change::Events(t.events("Happened", 2));
    table(
        t,
        two,
        |_| true,
        |stage, before, info| {
            let next = stage.last_revision().map_or(0, |last| last + 1);
            same(
                "last revision",
                info.last_revision,
                Some(Revision::new(next + 1)),
            )?;
            same("state", info.state, StreamState::Live)?;
            same("settings", info.settings, before.settings)
        },
    )
}

pub(crate) fn settings_table(t: &Trial) -> Outcome {
    let settings = StreamSettings {
        max_count: Some(5),
        ..StreamSettings::default()
    };
    table(
        t,
        move |_| Change::Settings(settings),
        |_| true,
        |stage, before, info| {
            // What was deleted stays hidden.
            // What was deleted stays hidden, whatever the settings say.
            let was_deleted = matches!(stage, Stage::Deleted | Stage::Rewritten);
            let truncate_before = was_deleted.then_some(Revision::new(3));
            same(
                "settings",
                info.settings,
                StreamSettings {
                    truncate_before,
                    ..settings
                },
            )?;
            same("state", info.state, before.state)?;
            same("last revision", info.last_revision, before.last_revision)
        },
    )
}

pub(crate) fn delete_table(t: &Trial) -> Outcome {
    let live = |stage| matches!(stage, Stage::Live | Stage::Rewritten);
    table(
        t,
        |_| Change::Delete,
        live,
        |_, before, info| {
            same("state", info.state, StreamState::Deleted)?;
            same("last revision", info.last_revision, before.last_revision)?;
            same("last position", info.last_position, before.last_position)?;
            let next = before
                .last_revision
                .map(|last| Revision::new(last.number() + 1));
            same("truncated before", info.settings.truncate_before, next)
        },
    )
}

pub(crate) fn tombstone_table(t: &Trial) -> Outcome {
    table(
        t,
        |_| Change::Tombstone,
        |_| true,
        |_, before, info| {
            same("state", info.state, StreamState::Tombstoned)?;
            same("last revision", info.last_revision, before.last_revision)
        },
    )
}

/// As conditions the expectations hold as for writes, but a tombstone is just never as expected.
pub(crate) fn condition_table(t: &Trial) -> Outcome {
    for stage in STAGES {
        let name = stream(format!("{stage:?}"));
        stage.make(t, &name)?;
        for (number, expected) in EXPECTATIONS.into_iter().enumerate() {
            let row = format!("{stage:?}, condition {expected}");
            let target = stream(format!("{stage:?}-target-{number}"));
            let batch = AppendBatch::events(target.clone(), NoStream, t.events("Happened", 1)).on(
                Condition::Stream {
                    stream: name.clone(),
                    expected,
                },
            );
            let answer = t.append(batch);
            let written = t.info(&target)?.last_revision.is_some();
            same(format!("{row}: written"), written, stage.holds(expected))?;
            if stage.holds(expected) {
                answer.map_err(|error| Stop::from(error).at(&row))?;
                continue;
            }
            stage.refuses(&row, answer, &name, expected)?;
        }
    }
    Ok(())
}

/// A decision may depend on a stream that it does not write: nothing is left behind there.
pub(crate) fn condition_on_unwritten_stream(t: &Trial) -> Outcome {
    let (account, ledger) = (stream("account-1"), stream("ledger-1"));
    let known = t.add(&account, NoStream, t.events("Opened", 2))?;
    let batch = || AppendBatch::events(ledger.clone(), Any, t.events("Booked", 1));
    let at = |expected| Condition::Stream {
        stream: account.clone(),
        expected,
    };
    t.append(batch().on(at(exactly(1))))?;
    t.append(batch().on(at(exactly(1))).on(at(StreamExists)))?;
    let last = t.info(&account)?.last_position;
    same("the stream of the condition", last, Some(known.last))?;
    t.fill(&account, 1)?;
    conflict(
        "after the stream moved",
        t.append(batch().on(at(exactly(1)))),
    )?;
    same("bookings", t.read_stream(&ledger)?.len(), 2)?;
    let absent = stream("never-written");
    let on_absent = Condition::Stream {
        stream: absent.clone(),
        expected: NoStream,
    };
    t.append(batch().on(on_absent))?;
    same(
        "a stream only asked about",
        t.info(&absent)?.state,
        StreamState::Missing,
    )
}

/// Conditions are judged before the first write, expectations in order after those before them.
pub(crate) fn conditions_see_the_state_before(t: &Trial) -> Outcome {
    let name = stream("seat-1");
    let batch = AppendBatch::events(name.clone(), NoStream, t.events("SeatTaken", 1))
        .and(write(&name, exactly(0), t.events("SeatTaken", 1)))
        .on(Condition::Stream {
            stream: name.clone(),
            expected: NoStream,
        })
        .on(no_match(query(&["SeatTaken"], &[]), None));
    t.append(batch)?;
    same("events", t.read_stream(&name)?.len(), 2)
}

pub(crate) fn later_write_sees_earlier(t: &Trial) -> Outcome {
    let name = stream("chain-1");
    let change = |expected, change| StreamWrite {
        stream: name.clone(),
        expected,
        change,
    };
    let events = |count| Change::Events(t.events("Linked", count));
    let batch = AppendBatch::change(name.clone(), NoStream, events(2))
        .and(change(StreamExists, events(1)))
        .and(change(exactly(2), Change::Delete))
        .and(change(NoStream, events(1)))
        .and(change(
            exactly(3),
            Change::Settings(StreamSettings::default()),
        ))
        .and(change(exactly(3), events(1)));
    let receipt = t.append(batch)?;
    let revisions: Vec<_> = receipt
        .writes
        .iter()
        .map(|w| w.last_revision.map(Revision::number))
        .collect();
    same(
        "revisions",
        revisions,
        [1, 2, 2, 3, 3, 4].map(Some).to_vec(),
    )
}

pub(crate) fn later_write_fails_on_earlier(t: &Trial) -> Outcome {
    let expectations = [NoStream, exactly(0), exactly(2)];
    for (number, expected) in expectations.into_iter().enumerate() {
        let name = stream(format!("chain-{number}"));
        let batch = AppendBatch::events(name.clone(), NoStream, t.events("Linked", 2)).and(write(
            &name,
            expected,
            t.events("Linked", 1),
        ));
        let found = conflict(format!("after two events, {expected}"), t.append(batch))?;
        let actual = Some(Revision::new(1));
        let reason = ConflictReason::Revision {
            stream: name.clone(),
            expected,
            actual,
        };
        same("reason", found.reason, reason)?;
        same("state", t.info(&name)?.state, StreamState::Missing)?;
    }
    Ok(())
}
