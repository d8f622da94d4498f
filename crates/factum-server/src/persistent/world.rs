//! What a server is given of the world here: a clock and randomness.

use std::sync::Arc;
use std::time::Duration;

use factum_io::{Clock, Env, Random};
use factum_types::EventId;

use super::group::Moment;

/// A clock and a source of randomness. Cloning shares them.
#[derive(Debug, Clone)]
pub struct World {
    /// For deadlines, and for the times that are noted.
    pub clock: Arc<dyn Clock>,
    /// For the ids of events.
    pub random: Arc<dyn Random>,
}

impl World {
    pub(crate) fn now(&self) -> Moment {
        Duration::from_nanos(self.clock.monotonic_ns())
    }

    /// Milliseconds since 1970.
    pub(crate) fn unix_ms(&self) -> u64 {
        u64::try_from(self.clock.now_us() / 1_000).unwrap_or_default()
    }

    pub(crate) fn event_id(&self) -> EventId {
        let mut random = [0; 10];
        self.random.fill(&mut random);
        EventId::v7(self.unix_ms(), random)
    }
}

impl From<&Env> for World {
    fn from(env: &Env) -> Self {
        Self {
            clock: Arc::clone(&env.clock),
            random: Arc::clone(&env.random),
        }
    }
}
