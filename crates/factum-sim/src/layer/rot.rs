//! Damage to stored bytes, in every class of files: each read is right, or an explicit error that contains the damage.
//!
//! Relies on: one damage at a time, which is what checksums are for. Never: excuses wrong bytes, or events that are gone without a word,
//! except in the blind spot that docs/guarantees.md names: the last frame, turned to zeros.

mod damage;
mod store;
mod tails;

use std::collections::{BTreeMap, BTreeSet};

use factum_engine::verify::VerifyReport;
use factum_io::sim::SimDisk;
use factum_store::{AppendBatch, EventStore, Kind, ReadRequest, Source, StoreError};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName};

use crate::poll;
use crate::session::{Session, Settings, verify_full};
use crate::violation::{Checked, Violation, ensure, short};
use crate::workload::named;
use damage::Harm;
use store::Stored;

/// Damages tried in one case.
const DAMAGES: u64 = 20;

/// Makes a store and damages it in many ways, one at a time.
///
/// # Errors
/// The broken promise.
pub fn case(seed: u64) -> Checked<u64> {
    let stored = Stored::make(seed)?;
    let mut random = fastrand::Rng::with_seed(seed ^ 0x0000_0707_0707_0707);
    let mut done = 0;
    for number in 0..DAMAGES {
        let disk = stored.disk.fork();
        let before = disk.fingerprint();
        let Some(harm) = Harm::draw(&disk, &mut random) else {
            continue;
        };
        harm.inflict(&disk)
            .map_err(|error| Violation::new(format!("{harm:?}: {error}")))?;
        if disk.fingerprint() == before {
            continue;
        }
        done += 1;
        look(&disk, &stored, &harm).map_err(|v| v.at(format_args!("damage {number}, {harm:?}")))?;
    }
    done += tails::case(&stored, &mut random)?;
    Ok(done)
}

/// Which positions an error or a report accounts for.
#[derive(Debug, Default)]
pub struct Explained {
    ranges: Vec<(u64, u64)>,
}

impl Explained {
    /// By the errors of a read and by what opening found.
    #[must_use]
    pub fn of(session: &Session, items: &[Result<RecordedEvent, StoreError>]) -> Self {
        let mut ranges = Vec::new();
        for damage in items
            .iter()
            .filter_map(|item| item.as_ref().err()?.as_damage())
        {
            ranges.push((damage.first.raw(), damage.last.raw()));
        }
        for report in &session.engine.report().damage {
            let last = match report.lost {
                Some(0) => continue,
                Some(_) => report.damage.last.raw(),
                None => u64::MAX,
            };
            ranges.push((report.damage.first.raw(), last));
        }
        Self { ranges }
    }

    /// And everything after a position; everything at all if there is none.
    #[must_use]
    pub fn and_after(mut self, last: Option<u64>) -> Self {
        self.ranges
            .push((last.map_or(0, |last| last + 1), u64::MAX));
        self
    }

    fn contains(&self, position: u64) -> bool {
        self.ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&position))
    }
}

/// Each event read is right and in its place; each that is not read is accounted for.
///
/// # Errors
/// Wrong bytes, or events gone without a word.
pub fn check_reads<'a>(
    items: &[Result<RecordedEvent, StoreError>],
    right: impl Iterator<Item = &'a RecordedEvent>,
    explained: &Explained,
) -> Checked {
    let mut got: BTreeMap<u64, &RecordedEvent> = BTreeMap::new();
    let mut last = None;
    for item in items {
        match item {
            Ok(event) => {
                let position = event.position.raw();
                ensure(last < Some(position), || {
                    format!("out of order: {}", short(event))
                })?;
                last = Some(position);
                got.insert(position, event);
            }
            Err(error) => {
                let named = matches!(error.kind(), Kind::Corrupt | Kind::NotFound);
                ensure(named, || format!("damage is answered with {error:?}"))?;
            }
        }
    }
    for event in right {
        let position = event.position.raw();
        match got.remove(&position) {
            Some(read) => ensure(read == event, || {
                format!("wrong bytes: {} instead of {}", short(read), short(event))
            })?,
            None => ensure(explained.contains(position), || {
                format!(
                    "position {position} is gone without a word; errors: {}",
                    errors(items)
                )
            })?,
        }
    }
    ensure(got.is_empty(), || {
        format!("events that never were: {}", short(&got))
    })
}

fn errors(items: &[Result<RecordedEvent, StoreError>]) -> String {
    let errors: Vec<_> = items
        .iter()
        .filter_map(|item| item.as_ref().err())
        .collect();
    short(&errors)
}

fn look(disk: &SimDisk, stored: &Stored, harm: &Harm) -> Checked {
    let settings = stored.settings;
    // Before opening, which repairs what exists twice.
    let report = verify_full(&factum_io::sim::SimEnv::on(disk.clone(), 2));
    let session = match Session::open(disk.clone(), 3, &settings) {
        Ok(session) => session,
        Err(error) => {
            let explicit = matches!(error.kind(), Kind::Corrupt | Kind::NotFound);
            return ensure(explicit && harm.may_prevent_opening(), || {
                format!("the store does not open: {error}")
            });
        }
    };
    let read =
        |session: &Session| poll::items(session.engine.read(ReadRequest::all().with_control()));
    let items = read(&session)?;
    let mut explained = Explained::of(&session, &items);
    if harm.is_in_blind_spot() {
        explained = explained.and_after(stored.before_last_frame);
    }
    check_reads(&items, stored.events.values(), &explained)?;
    indexes(&session, stored, &explained)?;
    let missing = stored.events.len() - items.iter().flatten().count();
    let report = report?;
    ensure(
        missing == 0 || !report.is_clean() || harm.is_in_blind_spot(),
        || "events are missing, and verifying finds nothing".to_owned(),
    )?;
    check_verify(&report, harm)?;
    let degraded = session.engine.report().degraded;
    ensure(degraded != session.is_writable(), || {
        format!("degraded: {degraded}, and yet")
    })?;
    // In the blind spot, the last frame may be gone as if it had never been.
    let until = if harm.is_in_blind_spot() {
        stored.before_last_frame.unwrap_or(0)
    } else {
        u64::MAX
    };
    let shown = Shown {
        stored,
        until,
        accepted: degraded,
    };
    if degraded {
        return accept(session, &shown, &items);
    }
    write_on(session, &shown, &items, &settings)
}

/// What was shown before the damage.
struct Shown<'a> {
    stored: &'a Stored,
    /// Up to this position it must not be shown otherwise.
    until: u64,
    /// Whether the loss must be accepted first.
    accepted: bool,
}

/// A flipped bit in a file that is in use is found by verifying.
fn check_verify(report: &VerifyReport, harm: &Harm) -> Checked {
    ensure(!report.is_clean() || !harm.must_be_found(), || {
        "verifying finds nothing".to_owned()
    })
}

/// Every list of an index gives a part of the right answer, and accounts for the rest.
fn indexes(session: &Session, stored: &Stored, known: &Explained) -> Checked {
    for source in &stored.sources {
        let wanted = |event: &&RecordedEvent| match source {
            Source::Category(category) => event.stream.category() == Some(category.as_str()),
            Source::Query(query) => query.matches(&event.event_type, &event.tags),
            Source::Stream(stream) => event.stream == *stream,
            _ => true,
        };
        let right = stored
            .events
            .values()
            .filter(|e| e.kind == factum_types::RecordKind::Event);
        let items = poll::items(session.engine.read(ReadRequest::forward(source.clone())))?;
        let mut explained = Explained::of(session, &items);
        explained.ranges.extend(known.ranges.iter().copied());
        let right: Vec<&RecordedEvent> = right.filter(wanted).collect();
        // What hides events of a stream may be damaged itself; then an error says so.
        let hides = matches!(source, Source::Stream(_)) && items.iter().any(Result::is_err);
        if hides {
            explained = explained.and_after(None);
        }
        check_reads(&items, right.into_iter(), &explained)
            .map_err(|v| v.at(format_args!("{source:?}")))?;
    }
    Ok(())
}

/// Accepting the loss makes the store writable; nothing else is lost, and lost positions are not used again.
fn accept(
    session: Session,
    shown: &Shown<'_>,
    items: &[Result<RecordedEvent, StoreError>],
) -> Checked {
    let answer = ask(&session, (&later(), ExpectedRevision::Any), 1)?;
    let refused = matches!(&answer, Some(Err(error)) if error.kind() == Kind::ReadOnly);
    ensure(refused, || {
        format!("a degraded store answers an append with {}", short(&answer))
    })?;
    let disk = session.kill().disk;
    let settings = Settings {
        accept_loss: true,
        ..shown.stored.settings
    };
    let session = Session::open(disk, 4, &settings)
        .map_err(|error| Violation::new(format!("accepting the loss: {error}")))?;
    ensure(session.is_writable(), || {
        "the loss was accepted, and the store is not writable".into()
    })?;
    write_on(session, shown, items, &shown.stored.settings)
}

/// Appends go on behind everything that was ever shown, and everything that was readable stays so, also when opened again.
fn write_on(
    session: Session,
    shown: &Shown<'_>,
    items: &[Result<RecordedEvent, StoreError>],
    settings: &Settings,
) -> Checked {
    let (stored, until) = (shown.stored, shown.until);
    let before: BTreeMap<u64, RecordedEvent> = items
        .iter()
        .flatten()
        .map(|event| (event.position.raw(), event.clone()))
        .collect();
    // A stream of which nothing is left where a loss was accepted is new.
    let left: BTreeSet<&StreamName> = before.values().map(|event| &event.stream).collect();
    let counts = |event: &RecordedEvent| {
        event.position.raw() <= until && (!shown.accepted || left.contains(&event.stream))
    };
    let mut session = session;
    for round in 0..2 {
        // Before anything is written behind the loss, or after it was met again.
        if round == stored.end % 2 {
            tails::go_on(&session, stored, &counts)?;
        }
        let receipt = match ask(&session, (&later(), ExpectedRevision::Any), 100 + round)? {
            Some(Ok(receipt)) => receipt,
            other => {
                return Err(Violation::new(format!(
                    "an append is answered with {}",
                    short(&other)
                )));
            }
        };
        let reused =
            receipt.first.raw() < stored.end && stored.shown_at(receipt.first.raw(), &before);
        ensure(!reused, || {
            format!("position {} is used again", receipt.first)
        })?;
        let again = if round == 0 {
            // Killed: no mark says what is durable, nothing is sealed, and what was accepted is met again.
            session.kill().disk
        } else {
            while session.maintain().is_ok_and(|more| more) {}
            session
                .close()
                .map_err(|error| Violation::new(format!("closing: {error}")))
                .map(|world| world.disk.fork())?
        };
        session = Session::open(again, 5 + round, settings)
            .map_err(|error| Violation::new(format!("opening again: {error}")))?;
        ensure(session.is_writable(), || {
            format!("degraded again: {}", short(session.engine.report()))
        })?;
        let now = poll::items(session.engine.read(ReadRequest::all().with_control()))?;
        let now: BTreeMap<u64, &RecordedEvent> = now
            .iter()
            .flatten()
            .map(|event| (event.position.raw(), event))
            .collect();
        for (position, event) in &before {
            ensure(now.get(position).is_some_and(|now| *now == event), || {
                format!(
                    "position {position} was readable, and now it is {}",
                    short(&now.get(position))
                )
            })?;
        }
        ensure(now.contains_key(&receipt.first.raw()), || {
            "what was appended is gone".to_owned()
        })?;
    }
    Ok(())
}

/// A stream that was never written.
fn later() -> StreamName {
    named(StreamName::new("later-1"))
}

/// Appends one event.
fn ask(
    session: &Session,
    (stream, expected): (&StreamName, ExpectedRevision),
    number: u64,
) -> Checked<Option<Result<factum_store::Receipt, StoreError>>> {
    let id = EventId::from_bytes((0x0B5E_u128 << 100 | u128::from(number)).to_be_bytes());
    let event = NewEvent::json(id, named(EventType::new("Later")), "{}");
    let batch = AppendBatch::events(stream.clone(), expected, vec![event]);
    let engine = session.engine.clone();
    let mut answer: poll::Owned<_> = Box::pin(async move { engine.append(batch).await });
    for _ in 0..8 {
        if let Some(answer) = poll::poll(answer.as_mut()) {
            return Ok(Some(answer));
        }
        session.run_one();
    }
    Ok(None)
}
