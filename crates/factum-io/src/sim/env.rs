//! A whole simulated world from one seed.
//!
//! Relies on: the simulated doors. Never: shares anything with another world.

use std::sync::Arc;

use super::{SimClock, SimDisk, SimRandom, SimSpawner};
use crate::Env;

/// Where the wall clock of a new world stands: 2024-01-01T00:00:00Z.
const START_US: i64 = 1_704_067_200_000_000;

/// The handles by which a test moves the world that the engine sees through [`SimEnv::env`].
#[derive(Clone, Debug)]
pub struct SimEnv {
    /// The disk.
    pub disk: SimDisk,
    /// The clock; it starts at 2024-01-01T00:00:00Z and stands still until told otherwise.
    pub clock: SimClock,
    /// The random numbers.
    pub random: Arc<SimRandom>,
}

impl SimEnv {
    /// An empty disk, and the random numbers of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::on(SimDisk::new(), seed)
    }

    /// A world on `disk`, for example one that survived a crash.
    #[must_use]
    pub fn on(disk: SimDisk, seed: u64) -> Self {
        let random = Arc::new(SimRandom::new(seed));
        Self {
            disk,
            clock: SimClock::new(START_US),
            random,
        }
    }

    /// This world, as an engine sees it. Threads are refused.
    #[must_use]
    pub fn env(&self) -> Env {
        Env {
            disk: Arc::new(self.disk.clone()),
            clock: Arc::new(self.clock.clone()),
            random: Arc::clone(&self.random) as Arc<_>,
            spawner: Arc::new(SimSpawner::new()),
        }
    }
}
