//! Every kind of error at every call of the scripts, once or from then on.
//!
//! After an error of the log nothing is acknowledged until the store is opened again, and reads go on; other errors are answered and
//! passed. Afterwards the process is killed or the power fails, and the store must be whole.
//! Relies on: the same scripts as the exhaustive layer. Never: counts a case in which no call failed.

use factum_io::sim::{Calls, Fault, FaultRule};

use super::actor::Actor;
use super::crash;
use super::exhaustive::setup;
use super::scripts::SCRIPTS;
use crate::compare::compare;
use crate::history::Model;
use crate::oracle;
use crate::poll;
use crate::session::{Session, Settings, verify_full};
use crate::violation::{Checked, ensure, short};

const FAULTS: [Fault; 9] = [
    Fault::Eio,
    Fault::EioCleanPage,
    Fault::EioRevert,
    Fault::Enospc,
    Fault::Emfile,
    Fault::Interrupted,
    Fault::ShortWrite(0),
    // Devices write whole sectors.
    Fault::ShortWrite(512),
    Fault::ShortWrite(4_096),
];

/// The scripts that are used, by number: one of each kind.
const USED: [usize; 14] = [1, 3, 12, 13, 17, 23, 25, 26, 29, 33, 36, 38, 42, 48];
/// Calls of a script that are made to fail.
const CALLS_MAX: u64 = 125;
/// How many cases there are.
pub const CASES: u64 = USED.len() as u64 * FAULTS.len() as u64 * 2 * CALLS_MAX;

/// Runs one script with one failing call.
///
/// # Errors
/// The broken promise.
pub fn case(seed: u64) -> Checked<u64> {
    let pick = |within: u64, of: usize| usize::try_from(within).unwrap_or(0) % of;
    let script = SCRIPTS[USED[pick(seed, USED.len())]];
    let rest = seed / USED.len() as u64;
    let fault = FAULTS[pick(rest, FAULTS.len())];
    let rest = rest / FAULTS.len() as u64;
    let (sticky, nth) = (rest % 2 == 1, rest / 2 % CALLS_MAX + 1);
    if sticky && fault == Fault::Interrupted {
        // Interrupted calls are repeated; no system interrupts for ever.
        return Ok(0);
    }
    let settings = Settings::default();
    let mut actor = Actor::new(settings);
    let disk = setup(&mut actor, script.setup, &settings)?;
    let rule = FaultRule {
        sticky,
        ..FaultRule::once(Calls::Any, nth, fault)
    };
    disk.fail(rule);
    disk.set_trace(true);
    let place = format!(
        "{fault:?} at call {nth}{}",
        if sticky { " and on" } else { "" }
    );
    run(&mut actor, &disk, script.body, seed, &settings).map_err(|v| v.at(place))
}

fn run(
    actor: &mut Actor,
    disk: &factum_io::sim::SimDisk,
    body: &str,
    seed: u64,
    settings: &Settings,
) -> Checked<u64> {
    let hit =
        |disk: &factum_io::sim::SimDisk| disk.trace().iter().any(|line| line.contains(" -> "));
    let disk = match Session::open(disk.clone(), seed, settings) {
        Ok(mut session) => {
            session.may_fail = true;
            actor.perform(&mut session, body)?;
            let disk = session.world.disk.clone();
            if !hit(&disk) {
                return Ok(0);
            }
            still_reads(&session, actor)?;
            disk.clear_faults();
            after(&mut session, actor)?;
            disk
        }
        Err(_) => disk.clone(),
    };
    disk.clear_faults();
    disk.set_trace(false);
    let mut random = fastrand::Rng::with_seed(seed);
    let left = if random.bool() {
        disk.fork()
    } else {
        disk.crash(crash::policy(&mut random))
    };
    let session = oracle::reopen(&left, seed, settings)?;
    let mut model = Model::default();
    oracle::check_recovered(&session, &mut actor.history, &mut model, seed)?;
    oracle::goes_on_after_fault(session, &mut actor.history, &mut model, seed, settings)?;
    Ok(1)
}

/// While calls fail, each event that is read is right, or it is an error.
fn still_reads(session: &Session, actor: &mut Actor) -> Checked {
    use factum_store::EventStore;
    let read = session
        .engine
        .read(factum_store::ReadRequest::all().with_control());
    for event in poll::items(read)?.into_iter().flatten() {
        actor.history.show(&event)?;
    }
    Ok(())
}

/// When calls do not fail any more: what was published is read, and after a failure of the log nothing is acknowledged.
fn after(session: &mut Session, actor: &mut Actor) -> Checked {
    session.settle(&mut actor.history)?;
    let mut model = Model::default();
    model.follow(&actor.history.log)?;
    compare(&session.engine, &model, &actor.history, 1)?;
    let (poisoned, before) = (session.poisoned(), session.acknowledged);
    actor.perform(session, "put last 1 10")?;
    if poisoned {
        ensure(session.acknowledged == before, || {
            "an append succeeded after the log had failed".into()
        })
    } else {
        // A failure in the background only need not be known to any append before this one.
        let fine = session.acknowledged > before || session.engine.trouble().is_some();
        ensure(fine, || {
            format!(
                "nothing fails any more, and appends are refused: {:?}",
                session.refusals
            )
        })
    }
}

/// Nothing is lost; what exists twice may be damaged once.
///
/// # Errors
/// What is lost.
pub fn nothing_lost(world: &factum_io::sim::SimEnv) -> Checked {
    use factum_engine::verify::Severity;
    let report = verify_full(world)?;
    let lost = report
        .findings
        .iter()
        .find(|finding| finding.severity >= Severity::Accepted);
    ensure(lost.is_none(), || {
        format!("verifying finds a loss: {}", short(&lost))
    })
}
