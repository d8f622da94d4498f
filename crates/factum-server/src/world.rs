//! What a server is given of the world here: a clock and randomness; and the ids of events, made of both.

use std::sync::Arc;
use std::time::Duration;

use factum_io::{Clock, Env, Random};
use factum_types::EventId;

/// A clock and a source of randomness. Cloning shares them.
#[derive(Debug, Clone)]
pub struct World {
    /// For deadlines, and for the times that are noted.
    pub clock: Arc<dyn Clock>,
    /// For the ids of events.
    pub random: Arc<dyn Random>,
}

impl World {
    /// The time since some start that is the same for the life of the process.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.clock.monotonic_ns())
    }

    /// Milliseconds since 1970.
    pub(crate) fn unix_ms(&self) -> u64 {
        unix_ms(&*self.clock)
    }

    /// An id that no event has.
    pub(crate) fn event_id(&self) -> EventId {
        event_id(&*self.clock, &*self.random)
    }
}

/// An id that no event has: of version 7, so that it says when it was made.
pub(crate) fn event_id(clock: &dyn Clock, random: &dyn Random) -> EventId {
    let mut chance = [0; 10];
    random.fill(&mut chance);
    EventId::v7(unix_ms(clock), chance)
}

fn unix_ms(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.now_us() / 1_000).unwrap_or_default()
}

impl From<&Env> for World {
    fn from(env: &Env) -> Self {
        Self {
            clock: Arc::clone(&env.clock),
            random: Arc::clone(&env.random),
        }
    }
}
