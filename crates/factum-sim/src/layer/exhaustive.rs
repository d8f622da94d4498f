//! Small scripts, and every state that a power cut can leave: at every call that changes something, every subset of what was pending.
//!
//! Most crash bugs need no more than three operations (Mohan et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash
//! Testing", OSDI 2018), so this layer comes first. A case is a script and the call in which power fails.
//! Relies on: scripts do the same each time. Never: checks the same disk twice in one case.

use std::collections::BTreeSet;

use factum_io::sim::SimDisk;

use super::actor::Actor;
use super::crash;
use super::scripts::SCRIPTS;
use crate::oracle::{self, Depth};
use crate::session::{Session, Settings};
use crate::violation::{Checked, Violation};

/// No script makes more calls than this; what is beyond the end of a script costs nothing.
const CALLS_MAX: u64 = 48;
/// How many cases there are.
pub const CASES: u64 = SCRIPTS.len() as u64 * CALLS_MAX;
/// How many random subsets are tried where there are too many.
const SAMPLES: u64 = 450;
/// Every so many states, it is checked that the store goes on.
const GOES_ON_EVERY: usize = 6;

/// Runs one script up to one call.
///
/// # Errors
/// The broken promise.
pub fn case(seed: u64) -> Checked<u64> {
    let number = usize::try_from(seed).unwrap_or(0) % SCRIPTS.len();
    let call = (seed / SCRIPTS.len() as u64) % CALLS_MAX + 1;
    let round = seed / CASES;
    let script = SCRIPTS[number];
    let settings = Settings::default();
    let mut actor = Actor::new(settings);
    let disk = setup(&mut actor, script.setup, &settings)?;
    let at_start = disk.op_count();
    disk.power_off_at(call);
    let end = match Session::open(disk.clone(), seed, &settings) {
        Ok(mut session) => {
            actor.perform(&mut session, script.body)?;
            session.world.disk.clone()
        }
        Err(error) if error.to_string().contains("power lost") => disk,
        Err(error) => return Err(Violation::new(format!("opening: {error}"))),
    };
    let calls = end.op_count() - at_start;
    if calls + 1 < call {
        return Ok(0);
    }
    states(&end, &actor, round, &settings)
}

/// The disk after the setup of a script.
///
/// # Errors
/// When an answer is wrong.
pub fn setup(actor: &mut Actor, words: &str, settings: &Settings) -> Checked<SimDisk> {
    if words.is_empty() {
        return Ok(SimDisk::new());
    }
    let mut session = Session::open(SimDisk::new(), 7, settings)
        .map_err(|error| Violation::new(format!("making a store: {error}")))?;
    actor.perform(&mut session, words)?;
    session.settle(&mut actor.history)?;
    Ok(oracle::close(session)?.disk.fork())
}

/// Every state that a power cut may leave of a disk.
fn states(disk: &SimDisk, actor: &Actor, round: u64, settings: &Settings) -> Checked<u64> {
    let mut seen = BTreeSet::new();
    let policies = crash::policies(disk, round.wrapping_mul(0x9E37_79B9), SAMPLES);
    for (number, policy) in policies.into_iter().enumerate() {
        let after = disk.crash(policy);
        if !seen.insert(after.fingerprint()) {
            continue;
        }
        let depth = if number % GOES_ON_EVERY == 0 {
            Depth::GoesOn
        } else {
            Depth::Answers
        };
        let mut history = actor.history.clone();
        oracle::check(&after, &mut history, depth, number as u64, settings)
            .map_err(|v| v.at(format_args!("{policy:?}")))?;
    }
    Ok(seen.len() as u64)
}
