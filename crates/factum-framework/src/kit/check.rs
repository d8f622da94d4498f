//! A domain, checked by its samples.
//!
//! Relies on: [`Snapshots::samples`]. Never: needs a store.

use std::fmt::Debug;

use factum_types::RecordedEvent;

use super::golden::{check_golden, golden_name};
use super::record::{recorded, stream};
use crate::codec;
use crate::error::Error;
use crate::event::{Event, EventKind};
use crate::load::{Loaded, Origin};
use crate::lock;
use crate::snapshot::{Snapshots, differs_from_replay};

/// Checks a domain by its samples.
///
/// - Every kind of event has a sample, and each is read as it was written.
/// - Every kind of event changes the state, unless it is among those [`ignored`](Snapshots::ignored): one that the fold forgot.
/// - A snapshot at every cut, and the rest, give what a replay gives.
/// - The lock file has every kind as it is, where there is one.
/// - Golden samples of every version are read, and nothing of the newest is lost; they are wanted as soon as the lock file has an older
///   version of anything.
///
/// What follows from commands is checked by [`commands`](super::commands).
///
/// # Panics
/// What is wrong, with which event, and what to do.
///
/// ```
/// use factum_framework::{Decider, Emit, Env, Event, Snapshots, kit};
/// use factum_types::RecordedEvent;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// #[event(name = "Counted")]
/// struct Counted { by: u32 }
///
/// #[derive(Default, Clone, Serialize, Deserialize)]
/// struct Counter { total: u32 }
///
/// impl Decider for Counter {
///     type Command = u32;
///     type Event = Counted;
///     type Error = String;
///     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
///     fn decide(&self, by: u32, _: &mut Env) -> Result<Emit<Counted>, String> { Ok(Counted { by }.into()) }
/// }
///
/// impl Snapshots for Counter {
///     fn samples() -> Vec<Counted> { vec![Counted { by: 2 }] }
/// }
///
/// kit::check::<Counter>();
/// ```
#[track_caller]
pub fn check<D: Snapshots<Event: Debug + PartialEq>>() {
    let samples = D::samples();
    let recorded = match recorded(&samples) {
        Ok(recorded) => recorded,
        Err(error) => panic!("a sample cannot be written: {error}"),
    };
    check_samples::<D>(&samples, &recorded);
    match unhandled::<D>(&samples, &recorded) {
        Ok(names) if names.is_empty() => (),
        Ok(names) => panic!(
            "the fold does nothing with {}: take up what they say in `evolve`, or name them in `Snapshots::ignored`",
            names.join(", ")
        ),
        Err(error) => panic!("the samples cannot be folded: {error}"),
    }
    match differs_from_replay::<D>(&recorded) {
        Ok(None) => (),
        Ok(Some(cut)) => {
            panic!("a snapshot after {cut} of the samples, and the rest, differ from a replay")
        }
        Err(error) => panic!("a snapshot cannot be taken: {error}"),
    }
    if let Err(error) = check_stored::<D::Event>() {
        panic!("{error}");
    }
}

#[track_caller]
fn check_samples<D: Snapshots<Event: Debug + PartialEq>>(
    samples: &[D::Event],
    recorded: &[RecordedEvent],
) {
    for kind in D::Event::KINDS {
        assert!(
            samples.iter().any(|sample| sample.kind() == kind),
            "{} v{} has no sample: add one to `Snapshots::samples`",
            kind.name,
            kind.version
        );
    }
    for (sample, recorded) in samples.iter().zip(recorded) {
        match crate::event::read::<D::Event>(recorded) {
            Ok(read) => assert_eq!(
                read.as_slice(),
                std::slice::from_ref(sample),
                "a sample is read as another"
            ),
            Err(error) => panic!("{sample:?} cannot be read: {error}"),
        }
    }
}

/// The names of events of which no sample changes the state, unless they are said to be ignored.
fn unhandled<D: Snapshots>(
    samples: &[D::Event],
    recorded: &[RecordedEvent],
) -> Result<Vec<&'static str>, Error> {
    let mut loaded = Loaded::<D>::new(stream(), Origin::Replay);
    let mut before = codec::encode(&loaded.state)?;
    let mut handled: Vec<&EventKind> = Vec::new();
    for (sample, recorded) in samples.iter().zip(recorded) {
        loaded.fold(recorded)?;
        let after = codec::encode(&loaded.state)?;
        if after != before {
            handled.push(sample.kind());
        }
        before = after;
    }
    let ignored = D::ignored();
    let kinds = D::Event::KINDS.iter();
    let unhandled = kinds.filter(|kind| !handled.contains(kind) && !ignored.contains(&kind.name));
    Ok(unhandled.map(|kind| kind.name).collect())
}

/// The lock file and the golden samples, where the events have them. Both may be shared with other events, whose names are passed over.
fn check_stored<E: Event>() -> Result<(), Error> {
    if let Some(text) = E::LOCK {
        lock::check::<E>(text)?;
    }
    let newest: Vec<_> = E::KINDS.iter().map(EventKind::line).collect();
    let newest = newest.join("\n");
    let is_own = |name: &str| {
        let known = E::KINDS.iter().any(|kind| kind.name == name);
        known || E::STEPS.iter().any(|step| step.name() == name)
    };
    let locked = E::LOCK.unwrap_or(&newest).lines();
    let own: Vec<_> = locked.filter(|line| is_own(lock::name(line))).collect();
    let wanted = own.join("\n");
    if let Some(samples) = E::GOLDEN {
        let own: Vec<_> = samples
            .lines()
            .filter(|line| golden_name(line).is_none_or(|name| is_own(&name)))
            .collect();
        return check_golden::<E>(&own.join("\n"), &wanted);
    }
    let newest: Vec<_> = lock::versions(&newest).collect();
    match lock::versions(&wanted).find(|version| !newest.contains(version)) {
        Some(older) => Err(Error::invalid(format!(
            "{older} is in the lock file, and nothing shows that it can still be read: keep golden samples beside the lock file, and name them with #[event(golden = GOLDEN)]"
        ))),
        None => Ok(()),
    }
}
