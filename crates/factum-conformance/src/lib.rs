//! One suite that every store must pass: what it asks is what `factum-store` promises.
//!
//! What lives here: the [`suite`], a table of named [`Case`]s; [`conformance_tests!`], which makes each a test of its own; and [`run_all`],
//! for programs. A store brings a [`Factory`] that makes empty stores, and [`Knobs`] that say what it can do besides.
//! Relies on: factum-store only. Waits are bounded: a store that hangs fails the case by name. The cases bring their own threads
//! and a small executor, being the caller that a store must bear, not part of one.
//! Never: knows a store, asserts an absolute position (stores may write records of their own), sleeps, or skips a case in silence.
//!
//! A failure prints its seed; give that in [`Knobs::seed`] to see it again. docs/store-authors.md is the way in for authors of stores; for
//! trouble on the way to a store there is `Chaos` in the framework's test kit.
//!
//! ```
//! use std::sync::Arc;
//!
//! use factum_conformance::{BoxFuture, Factory, TestStore};
//! use factum_store::MemoryStore;
//!
//! struct Memory;
//!
//! impl Factory for Memory {
//!     fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>> {
//!         Box::pin(async { Arc::new(MemoryStore::new()) as Arc<dyn TestStore> })
//!     }
//! }
//!
//! // In a test: factum_conformance::conformance_tests!(Memory);
//! let factory: Arc<dyn Factory> = Arc::new(Memory);
//! let report = factum_conformance::run_named(&factory, "streams::", 2);
//! assert!(report.is_success(), "{report}");
//! ```

mod cases;
mod check;
mod model;
mod run;
mod table;
mod trial;
mod wait;
mod words;
mod world;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use factum_store::{CheckpointStore, EventStore, SnapshotStore};

pub use check::{Outcome, Stop};
pub use futures_util::future::BoxFuture;
pub use run::{Report, assert_case, run_all, run_case, run_named};
pub use table::suite;
pub use trial::Trial;

/// A store as the suite needs it: all three contracts in one.
pub trait TestStore: EventStore + SnapshotStore + CheckpointStore {}

impl<T: EventStore + SnapshotStore + CheckpointStore> TestStore for T {}

/// Makes stores to be tested.
pub trait Factory: Send + Sync {
    /// A fresh store without events, streams, snapshots and checkpoints, independent of every other one.
    fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>>;

    /// What the stores can do besides, and how hard to test them.
    fn knobs(&self) -> Knobs {
        Knobs::default()
    }
}

/// What a store can do besides the contract, and how hard to test it.
#[derive(Clone)]
pub struct Knobs {
    /// Where random cases begin. The same seed asks the same, though not at the same moments.
    pub seed: u64,
    /// How many threads write at once in cases about races.
    pub writers: usize,
    /// How many events each such thread writes.
    pub events: usize,
    /// How many of the latest event ids the store surely remembers for appends that expect anything.
    pub ids_remembered: usize,
    /// How long one answer or one item may take before the store counts as hanging.
    pub patience: Duration,
    /// Moves the clock of all stores of the factory forward; without it, cases about age are skipped, and say so.
    pub advance_time: Option<Arc<dyn Fn(Duration) + Send + Sync>>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            seed: 0x00FA_C7ED,
            writers: 64,
            events: 25,
            ids_remembered: 1_000,
            patience: Duration::from_secs(20),
            advance_time: None,
        }
    }
}

impl fmt::Debug for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Knobs")
            .field("seed", &self.seed)
            .field("writers", &self.writers)
            .field("events", &self.events)
            .field("ids_remembered", &self.ids_remembered)
            .field("patience", &self.patience)
            .field("advance_time", &self.advance_time.is_some())
            .finish()
    }
}

/// One thing that every store does.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its area and what is promised, `append::positions_increase`.
    pub name: &'static str,
    /// Tries it on a fresh store.
    pub run: fn(&Trial) -> Outcome,
}
