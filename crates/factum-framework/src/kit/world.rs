//! A world that tests move by hand.
//!
//! Relies on: factum-io's simulated clock and randomness. Never: waits.

use std::collections::VecDeque;
use std::fmt::{Debug, Formatter, Result};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use factum_io::sim::{SimClock, SimRandom};
use factum_io::{Clock, Random};
use futures_core::future::BoxFuture;

use super::NOW;
use crate::world::{Background, Timer, World};

/// A world for tests of a repository: a clock that is moved by hand, ids that are the same in every run, waits that are over at once, and
/// a background that works when it is told to.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use factum_framework::{Repository, kit::FakeWorld};
/// use factum_store::MemoryStore;
///
/// let fake = FakeWorld::new(7);
/// let repository = Repository::new(Arc::new(MemoryStore::new())).with_world(fake.world());
/// fake.clock.advance(Duration::from_secs(3_600));
/// # drop(repository);
/// ```
#[derive(Debug, Clone)]
pub struct FakeWorld {
    /// The clock, to be moved.
    pub clock: Arc<SimClock>,
    random: Arc<dyn Random>,
    tasks: Arc<Tasks>,
}

impl FakeWorld {
    /// A world that is the same for the same seed, at [`NOW`].
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            clock: Arc::new(SimClock::new(NOW.as_micros())),
            random: Arc::new(SimRandom::new(seed)),
            tasks: Arc::new(Tasks::default()),
        }
    }

    /// The world, for a repository.
    #[must_use]
    pub fn world(&self) -> World {
        World {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            random: Arc::clone(&self.random),
            timer: Arc::clone(&self.tasks) as Arc<dyn Timer>,
            background: Arc::clone(&self.tasks) as Arc<dyn Background>,
        }
    }

    /// Does all that waits in the background, and says how much that was.
    ///
    /// # Cancel safety
    /// Dropped, the task that was under way is not ended.
    pub async fn run_background(&self) -> usize {
        let mut done = 0;
        while let Some(task) = self.tasks.next() {
            task.await;
            done += 1;
        }
        done
    }
}

/// Work that waits until it is told to go on.
#[derive(Default)]
struct Tasks(Mutex<VecDeque<BoxFuture<'static, ()>>>);

impl Tasks {
    fn next(&self) -> Option<BoxFuture<'static, ()>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

impl Timer for Tasks {
    fn wait(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl Background for Tasks {
    fn start(&self, task: BoxFuture<'static, ()>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(task);
    }
}

impl Debug for Tasks {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("Tasks")
    }
}
