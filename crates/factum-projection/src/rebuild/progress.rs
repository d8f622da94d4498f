//! How far a rebuild is.
//!
//! Relies on: the monitor of its runner. Never: asks sink or store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use factum_framework::World;
use factum_types::Position;

use crate::runner::Monitor;

/// What a rebuild is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Phase {
    /// It has not begun, or looks which generations there are.
    #[default]
    Beginning,
    /// It applies events in bulk.
    Filling,
    /// It makes indexes.
    Finishing,
    /// It applies what came meanwhile.
    CatchingUp,
    /// It compares rows with a fresh fold.
    Verifying,
    /// It catches up for the last time, and switches.
    Switching,
    /// Readers see the new generation.
    Done,
    /// It was stopped, or ended with an error.
    Ended,
}

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// The generation it fills; `None` until that is known.
    pub generation: Option<u32>,
    /// How many records of the log are behind it, of all kinds and streams; while it verifies, of the fresh fold.
    pub records: u64,
    /// How many the log had when it was last looked at, so no less than `records` is expected to become.
    pub total: u64,
    /// How many events were applied by this run.
    pub applied: u64,
    /// How many events wait.
    pub parked: usize,
    /// Since this run began.
    pub elapsed: Duration,
    /// Records per second in this phase; zero when that is not known yet.
    pub rate: f64,
    /// How long this phase lasts at that rate; `None` when that is not known.
    pub left: Option<Duration>,
}

/// Shows a rebuild from elsewhere. Cloning gives another view of the same.
#[derive(Debug, Clone)]
pub struct Watch {
    monitor: Monitor,
    world: World,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    phase: Phase,
    /// By the monotonic clock.
    began_ns: Option<u64>,
    phase_ns: u64,
    /// Records that were behind it when the phase began; `None` until the first look after that.
    phase_records: Option<u64>,
    /// Of the fresh fold, while verifying.
    folded: Option<Position>,
}

impl Watch {
    pub(super) fn new(monitor: Monitor, world: World) -> Self {
        Self {
            monitor,
            world,
            seen: Arc::default(),
        }
    }

    /// How far it is now.
    #[must_use]
    pub fn now(&self) -> Progress {
        let status = self.monitor.status();
        let now = self.world.clock.monotonic_ns();
        let mut seen = self.lock();
        let verifying = seen.phase == Phase::Verifying;
        let (at, end) = if verifying {
            (seen.folded, status.checkpoint)
        } else {
            (status.checkpoint, status.end)
        };
        let records = passed(at);
        let from = *seen.phase_records.get_or_insert(records);
        let phase = Duration::from_nanos(now.saturating_sub(seen.phase_ns));
        let rate = per_second(records.saturating_sub(from), phase);
        let total = passed(end).max(records);
        let moving = matches!(
            seen.phase,
            Phase::Filling | Phase::CatchingUp | Phase::Verifying
        );
        Progress {
            phase: seen.phase,
            generation: status.lease.map(|lease| lease.generation),
            records,
            total,
            applied: status.applied,
            parked: status.parked,
            elapsed: Duration::from_nanos(now.saturating_sub(seen.began_ns.unwrap_or(now))),
            rate,
            left: left(total.saturating_sub(records), rate).filter(|_| moving),
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        let now = self.world.clock.monotonic_ns();
        let records = passed(self.monitor.status().checkpoint);
        let mut seen = self.lock();
        seen.began_ns.get_or_insert(now);
        (seen.phase, seen.phase_ns, seen.folded) = (phase, now, None);
        // A generation that is gone on with is not where the last look was: the first look says.
        seen.phase_records = match phase {
            Phase::Verifying => Some(0),
            Phase::Filling => None,
            _ => Some(records),
        };
    }

    pub(super) fn folded(&self, to: Position) {
        self.lock().folded = Some(to);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn passed(position: Option<Position>) -> u64 {
    position.map_or(0, |at| at.number().saturating_add(1))
}

#[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
fn per_second(records: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 {
        records as f64 / seconds
    } else {
        0.0
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate need not be exact")]
fn left(records: u64, rate: f64) -> Option<Duration> {
    if rate <= 0.0 {
        return None;
    }
    Duration::try_from_secs_f64(records as f64 / rate).ok()
}
