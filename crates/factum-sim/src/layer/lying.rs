//! A disk that reports syncs as done and does not do them: no survival is promised, only that no wrong byte is shown and that a loss in the
//! middle is detected.
//!
//! Relies on: the workload. Never: expects what was acknowledged on such a disk.

use factum_io::sim::SimDisk;
use factum_store::{EventStore, ReadRequest};
use factum_types::RecordedEvent;
use std::collections::BTreeMap;

use super::actor::Actor;
use super::crash;
use super::exhaustive::setup;
use super::rot::{Explained, check_reads};
use super::scripts::SCRIPTS;
use crate::poll;
use crate::session::{Session, Settings};
use crate::violation::{Checked, Violation};

/// Runs one script on a disk that begins to lie.
///
/// # Errors
/// The broken promise.
pub fn case(seed: u64) -> Checked<u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let script = SCRIPTS[random.usize(0..SCRIPTS.len())];
    let settings = Settings::default();
    let mut actor = Actor::new(settings);
    let disk = setup(&mut actor, script.setup, &settings)?;
    let mut session = Session::open(disk, seed, &settings)
        .map_err(|error| Violation::new(format!("opening: {error}")))?;
    session.world.disk.lie_about_syncs(true);
    actor.perform(&mut session, script.body)?;
    actor.perform(&mut session, "drain")?;
    let all = crate::compare::scan(&session.engine, 0)?;
    let right: BTreeMap<u64, RecordedEvent> = all
        .into_iter()
        .map(|event| (event.position.raw(), event))
        .collect();
    let lied = session.world.disk.clone();
    let mut states = 0;
    for _ in 0..8 {
        let left = lied.crash(crash::policy(&mut random));
        look(&left, seed, &settings, &right)?;
        states += 1;
    }
    Ok(states)
}

fn look(
    disk: &SimDisk,
    seed: u64,
    settings: &Settings,
    right: &BTreeMap<u64, RecordedEvent>,
) -> Checked {
    // An error that says what is wrong is an answer.
    let Ok(session) = Session::open(disk.clone(), seed, settings) else {
        return Ok(());
    };
    let read = session.engine.read(ReadRequest::all().with_control());
    let items = poll::items(read)?;
    let last = items
        .iter()
        .flatten()
        .map(|event| event.position.raw())
        .max();
    let explained = Explained::of(&session, &items).and_after(last);
    check_reads(&items, right.values(), &explained)
}
