//! The repository: a store, seen through an application's own types.
//!
//! What lives here: [`Repository`] and how it is put together; what it does is in `load` and `run`. Relies on: any store. Never: knows
//! which.

use std::sync::Arc;

use factum_store::EventStore;
use factum_types::StreamName;

use crate::cache::Cache;
use crate::decider::Decider;
use crate::error::Error;
use crate::load::Load;
use crate::run::Run;
use crate::snapshot::Registry;
use crate::world::World;

/// How many states are kept in memory unless said otherwise.
const CACHE_STATES: usize = 1_024;

/// Loads states and runs commands over any store. Cloning gives another handle on the same.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{Decider, Emit, Env, Event, Repository};
/// use factum_store::MemoryStore;
/// use factum_types::RecordedEvent;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// #[event(name = "Counted")]
/// struct Counted { by: u32 }
///
/// #[derive(Default, Clone)]
/// struct Counter { total: u32 }
///
/// impl Decider for Counter {
///     type Command = u32;
///     type Event = Counted;
///     type Error = String;
///     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
///     fn decide(&self, by: u32, _: &mut Env) -> Result<Emit<Counted>, String> {
///         if self.total + by > 10 { Err("too much".into()) } else { Ok(Counted { by }.into()) }
///     }
/// }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// let done = repository.run::<Counter>("counter-1", 7).user("ann").await?;
/// assert_eq!(done.events, [Counted { by: 7 }]);
/// assert!(repository.run::<Counter>("counter-1", 7).await.is_err());
///
/// let counter = repository.load::<Counter>("counter-1").at_least(done.token).await?;
/// assert_eq!((counter.state.total, counter.version), (7, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Repository {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) world: World,
    pub(crate) cache: Arc<Cache>,
    pub(crate) snapshots: Registry,
}

impl Repository {
    /// A repository over a store, in the real world.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self {
            store,
            world: World::real(),
            cache: Arc::new(Cache::new(CACHE_STATES)),
            snapshots: Registry::default(),
        }
    }

    /// The same in another world: with the timer of a runtime, or with the clock of a test.
    #[must_use]
    pub fn with_world(mut self, world: World) -> Self {
        self.world = world;
        self
    }

    /// The same with room for this many states in memory; 0 keeps none.
    #[must_use]
    pub fn with_cache(mut self, states: usize) -> Self {
        self.cache = Arc::new(Cache::new(states));
        self
    }

    /// The store underneath.
    #[must_use]
    pub fn store(&self) -> &dyn EventStore {
        &*self.store
    }

    /// The state of a stream. Awaiting what is returned loads it.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): no name of a stream. [`Kind::Decode`](crate::Kind::Decode): an event cannot be read as the
    /// decider's. [`Kind::Behind`](crate::Kind::Behind): the store has not come as far as a token says. Otherwise what the store says. A stream
    /// that is not there is no error; its state is the default.
    ///
    /// # Cancel safety
    /// Dropping the future ends the read and changes nothing.
    pub fn load<D: Decider>(&self, stream: impl AsRef<str>) -> Load<'_, D> {
        Load::new(self, name(stream))
    }

    /// A command to the decider of a stream. Awaiting what is returned runs it.
    ///
    /// # Errors
    /// [`RunError::Rejected`](crate::RunError::Rejected) is what the decision said; nothing was written. `RunError::Failed` by its kind:
    /// [`Kind::Conflict`](crate::Kind::Conflict): others were faster in every attempt, nothing was written.
    /// [`Kind::Invalid`](crate::Kind::Invalid): a name, a tag or a limit; nothing was written. [`Kind::Decode`](crate::Kind::Decode): a stored
    /// event cannot be read. Otherwise what the store says; when its outcome is unknown, only an idempotency key makes another try safe.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped, it is not known whether the events were written. With an idempotency key it can be run again.
    pub fn run<D: Decider>(&self, stream: impl AsRef<str>, command: D::Command) -> Run<'_, D> {
        Run::new(self, name(stream), command)
    }
}

pub(crate) fn name(stream: impl AsRef<str>) -> Result<StreamName, Error> {
    Ok(StreamName::new(stream)?)
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Repository")
    }
}
