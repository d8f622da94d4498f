//! The runner: it reads events in batches, lets the projector write them, and commits them with the checkpoint.
//!
//! What lives here: [`Runner`] and how it is put together; batches, waiting and what is told outside are below. Relies on: nothing in memory; a
//! runner may be dropped at any point, and another goes on. Never: moves a checkpoint but in the commit of what it stands for.

mod ahead;
mod batch;
mod live;
mod monitor;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use factum_framework::world::Background;
use factum_framework::{Retry, World};
use factum_store::EventStore;
use factum_types::Position;

use crate::error::{Error, Kind};
use crate::manage::{Edit, Manage};
use crate::parked::Parked;
use crate::projector::Projector;
use crate::sink::{Claim, Lease, Sink, State, Which};

pub(crate) use batch::is_nothing;
pub use monitor::{Lag, Monitor, Status};

/// How many events a batch has at most, unless told otherwise.
const BATCH_EVENTS: usize = 1_000;
/// How many events may be parked, unless told otherwise.
const PARKED_MAX: usize = 10_000;
/// After how many bytes of data a batch takes no more events.
const BATCH_BYTES: usize = 16 << 20;

/// Keeps one generation of one projection.
///
/// By default it waits for a sink that is down as long as it takes, and parks at most 10,000 events.
pub struct Runner<S, P> {
    store: Arc<dyn EventStore>,
    sink: S,
    projector: P,
    world: World,
    which: Which,
    bulk: bool,
    batch_events: usize,
    parked_max: usize,
    backoff: Retry,
    lease: Option<Lease>,
    /// What the sink has; `None` when it has to be asked.
    state: Option<State>,
    events: Option<Reading>,
    monitor: Monitor,
    applied: u64,
    ahead: Option<Arc<dyn Background>>,
}

/// A read that goes on from batch to batch.
struct Reading {
    events: ahead::Events,
    /// The end of the store when the read was begun: up to there nothing is left when it ends.
    head: Option<Position>,
}

/// What a runner came to rest with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CaughtUp {
    /// How many events were applied or parked by this call, counted again where a batch had to be repeated.
    pub applied: u64,
    /// How many events wait.
    pub parked: usize,
    /// Up to where everything is applied or parked; `None` when the store is empty.
    pub checkpoint: Option<Position>,
}

impl<S: Sink, P: Projector<S::Writer>> Runner<S, P> {
    /// A runner of the live generation, which has not begun.
    pub fn new(store: Arc<dyn EventStore>, sink: S, projector: P) -> Self {
        let world = World::real();
        let monitor = Monitor::new(Arc::clone(&store), projector.source(), world.clone());
        let mut backoff = Retry::jittered(u32::MAX);
        backoff.delay_first = Duration::from_millis(50);
        backoff.delay_max = Duration::from_secs(10);
        Self {
            store,
            sink,
            projector,
            world,
            which: Which::Live,
            bulk: false,
            batch_events: BATCH_EVENTS,
            parked_max: PARKED_MAX,
            backoff,
            lease: None,
            state: None,
            events: None,
            monitor,
            applied: 0,
            ahead: None,
        }
    }

    /// Time, chance and waiting from elsewhere.
    #[must_use]
    pub fn with_world(mut self, world: World) -> Self {
        self.monitor = Monitor::new(
            Arc::clone(&self.store),
            self.projector.source(),
            world.clone(),
        );
        self.world = world;
        self
    }

    /// Fills a generation that readers do not see in bulk, so that it can be switched to only when that is finished; [`Rebuild`](crate::Rebuild)
    /// sees to it.
    #[must_use]
    pub(crate) const fn bulk(mut self, bulk: bool) -> Self {
        self.bulk = bulk;
        self
    }

    pub(crate) const fn set_bulk(&mut self, bulk: bool) {
        self.bulk = bulk;
    }

    /// Which generation it fills, as for [`generation`](Self::generation).
    pub(crate) fn aim(&mut self, which: Which) {
        self.which = which;
        self.lease = None;
        self.state = None;
        self.events = None;
    }

    /// As it is without a rebuild.
    pub(crate) fn settled(self) -> Self {
        self.bulk(false).batch_events(BATCH_EVENTS)
    }

    pub(crate) const fn world(&self) -> &World {
        &self.world
    }

    pub(crate) const fn projector(&self) -> &P {
        &self.projector
    }

    pub(crate) const fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    pub(crate) fn store(&self) -> &dyn EventStore {
        &*self.store
    }

    /// Checkpoint, and what waits.
    pub(crate) async fn settled_state(
        &mut self,
    ) -> Result<(Option<Position>, BTreeSet<Position>), Error> {
        let state = self.ready().await?.1;
        let parked = state.parked.iter().map(|it| it.position).collect();
        Ok((state.checkpoint, parked))
    }

    /// Reads the store ahead of the writing, as a task of this background, which must run it on a thread of its own or be a runtime's.
    #[must_use]
    pub fn read_ahead(mut self, background: Arc<dyn Background>) -> Self {
        self.ahead = Some(background);
        self
    }

    /// Which generation it fills. Default: the live one.
    #[must_use]
    pub const fn generation(mut self, which: Which) -> Self {
        self.which = which;
        self
    }

    /// How many events a batch has at most, at least one. Default: 1,000.
    #[must_use]
    pub fn batch_events(mut self, events: usize) -> Self {
        self.batch_events = events.max(1);
        self
    }

    /// How many events may be parked, those that wait behind others included; then it stops. Default: 10,000.
    #[must_use]
    pub const fn parked_max(mut self, events: usize) -> Self {
        self.parked_max = events;
        self
    }

    /// How long to wait for a sink or a store that is down, and how often in a row. Default: up to 10 seconds, for ever.
    #[must_use]
    pub const fn backoff(mut self, backoff: Retry) -> Self {
        self.backoff = backoff;
        self
    }

    /// Shows from elsewhere how far it is.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// The sink, given back.
    pub fn into_sink(self) -> S {
        self.sink
    }

    /// What it claimed, if it has.
    #[must_use]
    pub const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Claims if that was not done, and asks the sink what it has if that is not known.
    async fn ready(&mut self) -> Result<(Lease, &State), Error> {
        let lease = match &self.lease {
            Some(lease) => lease.clone(),
            None => {
                let claim = Claim {
                    projection: self.projector.name(),
                    which: self.which,
                    version: self.projector.version(),
                    bulk: self.bulk,
                };
                let claimed = self.sink.claim(claim).await?;
                // A claim that is repeated must not make a generation more.
                self.which = match self.which {
                    Which::New => Which::Number(claimed.generation),
                    other => other,
                };
                self.lease.insert(claimed).clone()
            }
        };
        let state = match self.state.take() {
            Some(state) => state,
            None => {
                // What was read may be behind what another call committed.
                self.events = None;
                self.sink.look(&lease).await?
            }
        };
        let state = self.state.insert(state);
        self.monitor.looked(&lease, state);
        Ok((lease, state))
    }

    /// Whether waiting helps; then what was known is forgotten.
    async fn forget(&mut self, error: &Error) -> bool {
        use factum_store::Kind as Store;
        self.state = None;
        self.events = None;
        self.sink.roll_back().await;
        matches!(
            error.kind(),
            Kind::Unavailable | Kind::Store(Store::Unavailable | Store::Unknown)
        )
    }
}

/// By hand, over the runner's own sink.
impl<S: Sink + Manage, P: Projector<S::Writer>> Runner<S, P> {
    /// What waits, by position.
    ///
    /// # Errors
    /// What the sink says; this does not wait for it.
    pub async fn parked(&mut self) -> Result<Vec<Parked>, Error> {
        let lease = self.ready().await?.0;
        let all = self
            .sink
            .parked(&lease.projection, lease.generation, usize::MAX);
        all.await
    }

    /// Asks for another attempt at what waits in this partition, with the next batch.
    ///
    /// # Errors
    /// [`Kind::Invalid`]: nothing waits there.
    pub async fn retry_parked(&mut self, partition: &str) -> Result<(), Error> {
        let partition = partition.to_owned();
        self.edit(Edit::Retry { partition }).await
    }

    /// Gives a parked event up; what waits behind it is tried with the next batch.
    ///
    /// # Errors
    /// [`Kind::Invalid`]: it is not parked.
    pub async fn skip_parked(&mut self, position: Position) -> Result<(), Error> {
        self.edit(Edit::Skip { position }).await
    }

    async fn edit(&mut self, edit: Edit) -> Result<(), Error> {
        let lease = self.ready().await?.0;
        self.state = None;
        self.sink
            .edit(&lease.projection, lease.generation, edit)
            .await
    }
}

impl<S, P> std::fmt::Debug for Runner<S, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
