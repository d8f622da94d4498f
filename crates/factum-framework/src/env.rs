//! What a decision sees of the world: one moment, and ids.
//!
//! Relies on: what it was made with. Never: reads a clock while a decision runs; all of one decision happens at one moment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use factum_io::Random;
use factum_types::{EventId, Timestamp};
use uuid::Uuid;

/// The time and the ids of one decision.
///
/// ```
/// use factum_framework::Env;
/// use factum_types::Timestamp;
///
/// let mut env = Env::fixed(Timestamp::from_micros(7), "a test");
/// assert_eq!(env.now().as_micros(), 7);
/// assert_ne!(env.new_id(), env.new_id());
/// ```
pub struct Env {
    now: Timestamp,
    ids: Ids,
}

enum Ids {
    Random(Arc<dyn Random>),
    Derived { from: Uuid, count: u64 },
}

impl Env {
    /// A moment, and ids of chance (version 7).
    pub(crate) fn random(now: Timestamp, random: Arc<dyn Random>) -> Self {
        Self {
            now,
            ids: Ids::Random(random),
        }
    }

    /// A moment, and ids that are the same for the same seed: for tests, and for commands that carry an idempotency key.
    #[must_use]
    pub fn fixed(now: Timestamp, seed: &str) -> Self {
        Self {
            now,
            ids: Ids::Derived {
                from: derive_uuid(&[seed]),
                count: 0,
            },
        }
    }

    /// When the decision is made.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// A moment this long after the decision is made, for a timer.
    #[must_use]
    pub fn after(&self, duration: Duration) -> Timestamp {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.now.as_micros().saturating_add(micros))
    }

    /// An id that nothing else has.
    pub fn new_id(&mut self) -> EventId {
        match &mut self.ids {
            Ids::Random(random) => random_id(self.now, &**random),
            Ids::Derived { from, count } => {
                *count += 1;
                derive_id(&[&from.to_string(), &count.to_string()])
            }
        }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("now", &self.now).finish()
    }
}

fn random_id(now: Timestamp, random: &dyn Random) -> EventId {
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    EventId::v7(u64::try_from(now.as_micros() / 1_000).unwrap_or(0), bytes)
}

/// An id that is the same for the same parts (version 5, RFC 9562).
pub(crate) fn derive_id(parts: &[&str]) -> EventId {
    EventId::from_bytes(derive_uuid(parts).into_bytes())
}

fn derive_uuid(parts: &[&str]) -> Uuid {
    /// The namespace of ids that the framework derives; chosen once by chance.
    const NAMESPACE: Uuid = Uuid::from_u128(0x6c1f_0d0a_91d4_4c0e_8a57_3f1b_7d24_e9b6);
    let mut bytes = Vec::new();
    for part in parts {
        // The length goes first, so that the bounds between parts cannot move.
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &bytes)
}
