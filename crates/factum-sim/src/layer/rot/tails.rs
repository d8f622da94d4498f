//! Whatever was lost, no revision that was ever shown means another event: each append goes behind it, or is refused.
//!
//! Relies on: `Stored`, which remembers what every stream held. Never: asks for an append to be refused that nothing speaks against;
//! tests of the engine do that.

use std::collections::BTreeMap;

use factum_io::sim::SimDisk;
use factum_store::{EventStore, Kind, ReadRequest};
use factum_types::{ExpectedRevision, RecordKind, RecordedEvent, StreamName};

use super::damage::Lost;
use super::store::Stored;
use super::{Explained, ask, check_reads};
use crate::poll;
use crate::session::Session;
use crate::violation::{Checked, Violation, ensure, short};

/// Damages of this kind tried in one case.
const DAMAGES: u64 = 4;

/// A sealed segment loses its index and records, again and again.
///
/// # Errors
/// The broken promise.
pub(super) fn case(stored: &Stored, random: &mut fastrand::Rng) -> Checked<u64> {
    let mut done = 0;
    for number in 0..DAMAGES {
        let disk = stored.disk.fork();
        let Some(harm) = Lost::draw(&disk, random) else {
            continue;
        };
        harm.inflict(&disk)
            .map_err(|error| Violation::new(format!("{harm:?}: {error}")))?;
        done += 1;
        look(&disk, stored).map_err(|v| v.at(format_args!("loss {number}, {harm:?}")))?;
    }
    Ok(done)
}

fn look(disk: &SimDisk, stored: &Stored) -> Checked {
    let session = Session::open(disk.clone(), 6, &stored.settings)
        .map_err(|error| Violation::new(format!("the store does not open: {error}")))?;
    let items = poll::items(session.engine.read(ReadRequest::all().with_control()))?;
    let explained = Explained::of(&session, &items);
    check_reads(&items, stored.events.values(), &explained)?;
    go_on(&session, stored, &|_| true)
}

/// Appends to every stream; none may get a revision that one of its events had, of those that count.
///
/// # Errors
/// When one does, or is refused for another reason than the loss.
pub(super) fn go_on(
    session: &Session,
    stored: &Stored,
    counts: &dyn Fn(&RecordedEvent) -> bool,
) -> Checked {
    let mut last: BTreeMap<&StreamName, u64> = BTreeMap::new();
    for event in stored.events.values() {
        if event.kind == RecordKind::Event && counts(event) {
            last.insert(&event.stream, event.revision.number());
        }
    }
    for (number, (stream, last)) in (1_000..).zip(last) {
        let expected = match number % 3 {
            0 => ExpectedRevision::NoStream,
            1 => ExpectedRevision::StreamExists,
            _ => ExpectedRevision::Any,
        };
        let answer = ask(session, (stream, expected), number)?;
        let right = match &answer {
            Some(Ok(receipt)) => {
                let given = receipt.writes.first().and_then(|write| write.last_revision);
                given.is_some_and(|given| given.number() > last)
            }
            Some(Err(error)) => match error.kind() {
                Kind::Corrupt => error.as_damage().is_some(),
                Kind::Conflict => expected == ExpectedRevision::NoStream,
                _ => false,
            },
            None => false,
        };
        ensure(right, || {
            format!(
                "{stream} was at revision {last}, and an append that expects {expected} is answered with {}",
                short(&answer)
            )
        })?;
    }
    Ok(())
}
