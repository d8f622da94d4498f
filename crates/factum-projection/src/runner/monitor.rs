//! What a runner tells outside: how far it is, what troubles it, and how far behind.
//!
//! Relies on: what the runner saw last. Never: asks the sink, so it can be looked at while that is down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use factum_framework::World;
use factum_store::{EventStore, ReadRequest, Source};
use factum_types::Position;

use super::batch::{after, is_nothing};
use crate::error::Error;
use crate::sink::{Lease, State};

/// How far a runner is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Status {
    /// What it claimed; `None` until it has.
    pub lease: Option<Lease>,
    /// Up to where everything is applied or parked.
    pub checkpoint: Option<Position>,
    /// The end of the store when it was last read from; `None` when it was empty, or not read yet.
    pub end: Option<Position>,
    /// How many events were applied or parked since the runner was made, counted again where a batch had to be repeated.
    pub applied: u64,
    /// How many events wait.
    pub parked: usize,
    /// Whether it is paused, and so waits.
    pub paused: bool,
    /// What failed last, and how often in a row; `None` when the last attempt went well.
    pub trouble: Option<(String, u32)>,
}

/// How far a read model is behind the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Lag {
    /// Records after the checkpoint; of a projection that reads only some, an upper bound.
    pub events: u64,
    /// How old the first event is that is not applied; zero when there is none.
    pub age: Duration,
}

/// Shows a runner from elsewhere. Cloning gives another view of the same.
#[derive(Clone)]
pub struct Monitor {
    store: Arc<dyn EventStore>,
    source: Source,
    world: World,
    status: Arc<Mutex<Status>>,
}

impl Monitor {
    pub(super) fn new(store: Arc<dyn EventStore>, source: Source, world: World) -> Self {
        Self {
            store,
            source,
            world,
            status: Arc::default(),
        }
    }

    /// What the runner saw last.
    #[must_use]
    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    /// How far the runner's checkpoint is behind the store.
    ///
    /// # Errors
    /// [`Kind::Store`](crate::Kind::Store): what the store says.
    pub async fn lag(&self) -> Result<Lag, Error> {
        let done = self.status().checkpoint;
        let request = ReadRequest::forward(self.source.clone()).from(after(done));
        let next = match self.store.read(request.limit(1)).next().await {
            None => return Ok(Lag::default()),
            Some(Err(error)) if is_nothing(&error) => return Ok(Lag::default()),
            Some(next) => next?,
        };
        let past =
            |position: Option<Position>| position.map_or(0, |it| it.number().saturating_add(1));
        let head = self.store.head().await?;
        let now = self.world.now().as_micros();
        let age = now.saturating_sub(next.time.as_micros());
        Ok(Lag {
            events: past(head).saturating_sub(past(done)),
            age: Duration::from_micros(u64::try_from(age).unwrap_or(0)),
        })
    }

    pub(super) fn looked(&self, lease: &Lease, state: &State) {
        let mut status = self.lock();
        if status.lease.as_ref() != Some(lease) {
            status.lease = Some(lease.clone());
        }
        status.checkpoint = state.checkpoint;
        status.parked = state.parked.len();
        status.paused = state.paused;
    }

    pub(super) fn ends(&self, end: Option<Position>) {
        self.lock().end = end;
    }

    pub(super) fn applied(&self, events: u64) {
        self.lock().applied += events;
    }

    pub(super) fn trouble(&self, error: &Error, failures: u32) {
        self.lock().trouble = Some((error.to_string(), failures));
    }

    pub(super) fn fine(&self) {
        self.lock().trouble = None;
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
