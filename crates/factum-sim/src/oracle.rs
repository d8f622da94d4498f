//! What must hold after every recovery.
//!
//! Relies on: the history of what was asked, answered and shown. Never: forgives a difference.

use factum_io::sim::{SimDisk, SimEnv};

use crate::compare::{self, check_shape, compare};
use crate::history::{History, Model, Request};
use crate::session::{Session, Settings, verify_full};
use crate::violation::{Checked, Violation, ensure, short};
use crate::workload::{Sizes, Workload};

/// How much is looked at after a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Order, content, atomicity, what was shown; every index; every byte.
    Answers,
    /// The same, and that the store goes on: it is written, sealed, closed and opened again.
    GoesOn,
}

/// Opens a store after a plain power cut, which must leave it whole and writable.
///
/// # Errors
/// When it does not open, or not for writing, or says that something is damaged.
pub fn reopen(disk: &SimDisk, seed: u64, settings: &Settings) -> Checked<Session> {
    let session = Session::open(disk.clone(), seed, settings)
        .map_err(|error| Violation::new(format!("opening after a crash: {error}")))?;
    let report = session.engine.report();
    ensure(
        session.is_writable() && !report.degraded && report.damage.is_empty(),
        || format!("a false alarm after a plain power cut: {}", short(report)),
    )?;
    Ok(session)
}

/// Settles the history by what a recovered store holds, and compares everything.
///
/// # Errors
/// The first broken promise.
pub fn check_recovered(
    session: &Session,
    history: &mut History,
    model: &mut Model,
    salt: u64,
) -> Checked {
    let end = compare::end(&session.engine)?;
    let scan = compare::scan(&session.engine, 0)?;
    let known = history.end;
    let fresh: Vec<_> = scan
        .iter()
        .filter(|e| e.position.raw() >= known)
        .cloned()
        .collect();
    history.settle(&fresh, end, true)?;
    history.check_shown(&scan)?;
    check_shape(&scan)?;
    for event in &scan {
        history.show(event)?;
    }
    model.follow(&history.log)?;
    compare(&session.engine, model, history, salt)
}

/// Everything that must hold of the store on a disk after a plain power cut.
///
/// # Errors
/// The first broken promise.
pub fn check(
    disk: &SimDisk,
    history: &mut History,
    depth: Depth,
    seed: u64,
    settings: &Settings,
) -> Checked {
    let mut model = Model::default();
    let session = reopen(disk, seed, settings)?;
    check_recovered(&session, history, &mut model, seed)?;
    if depth == Depth::Answers {
        let world = close(session)?;
        return clean(&world);
    }
    goes_on(session, history, &mut model, seed, settings)
}

/// The store is written, sealed, closed and opened again, and holds everything.
///
/// # Errors
/// The first broken promise.
pub fn goes_on(
    session: Session,
    history: &mut History,
    model: &mut Model,
    seed: u64,
    settings: &Settings,
) -> Checked {
    continues(session, (history, model), seed, settings, &clean)
}

/// The same after calls have failed: what exists twice may be damaged once.
///
/// # Errors
/// The first broken promise.
pub fn goes_on_after_fault(
    session: Session,
    history: &mut History,
    model: &mut Model,
    seed: u64,
    settings: &Settings,
) -> Checked {
    continues(
        session,
        (history, model),
        seed,
        settings,
        &crate::layer::fault::nothing_lost,
    )
}

fn continues(
    mut session: Session,
    (history, model): (&mut History, &mut Model),
    seed: u64,
    settings: &Settings,
    look: &dyn Fn(&SimEnv) -> Checked,
) -> Checked {
    let mut workload = Workload::new(seed ^ 0x60E5_0000_0000_0000, Sizes::Small);
    for _ in 0..3 {
        let request = workload.request();
        if history.hidden_is_open() && !matches!(request, Request::Append(_)) {
            continue;
        }
        session.ask(history, request)?;
        session.drain(history)?;
    }
    let failed = |error: std::io::Error| Violation::new(format!("sealing: {error}"));
    while session.maintain().map_err(failed)? {}
    session.settle(history)?;
    model.follow(&history.log)?;
    compare(&session.engine, model, history, seed)?;
    let world = close(session)?;
    look(&world)?;
    let session = reopen(&world.disk.fork(), seed ^ 1, settings)?;
    check_recovered(&session, history, model, seed)?;
    look(&close(session)?)
}

/// Closes a store that has no trouble.
///
/// # Errors
/// When it has.
pub fn close(session: Session) -> Checked<SimEnv> {
    session
        .close()
        .map_err(|error| Violation::new(format!("closing: {error}")))
}

/// Every byte of the store is as it was written.
///
/// # Errors
/// What is not.
pub fn clean(world: &SimEnv) -> Checked {
    let report = verify_full(world)?;
    ensure(report.is_clean(), || {
        format!("verifying finds: {}", short(&report.findings))
    })
}

/// Recovering twice leaves the same bytes as recovering once.
///
/// # Errors
/// When it does not.
pub fn check_idempotent(disk: &SimDisk, seed: u64, settings: &Settings) -> Checked {
    let once = reopen(disk, seed, settings)?.kill();
    let first = once.disk.fingerprint();
    let twice = reopen(&once.disk, seed, settings)?.kill();
    let second = twice.disk.fingerprint();
    ensure(first == second, || {
        format!("recovering again changes the disk: {first:x} to {second:x}")
    })
}
