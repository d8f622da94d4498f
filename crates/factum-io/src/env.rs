//! The bundle of doors that one engine is given.
//!
//! Relies on: the four traits. Never: is a global; two engines in one process may have two environments.

use std::sync::Arc;

use crate::{Clock, Disk, Random, Spawner, real};

/// The outside world, as one engine sees it. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Env {
    /// Files and directories.
    pub disk: Arc<dyn Disk>,
    /// Wall clock and monotonic clock.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// Threads.
    pub spawner: Arc<dyn Spawner>,
}

impl Env {
    /// The operating system's files, clocks, randomness and threads.
    #[must_use]
    pub fn real() -> Self {
        Self {
            disk: Arc::new(real::RealDisk::new()),
            clock: Arc::new(real::RealClock::new()),
            random: Arc::new(real::RealRandom::new()),
            spawner: Arc::new(real::RealSpawner::new()),
        }
    }
}
