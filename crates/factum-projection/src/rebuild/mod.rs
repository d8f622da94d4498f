//! The rebuild: a new generation beside the live one, filled in bulk, verified, and switched to.
//!
//! What lives here: [`Rebuild`]; what it tells meanwhile and how it verifies are below. Relies on: a sink that keeps generations. Never: shows
//! readers a generation that was not caught up, or that verification found to differ.

mod progress;
mod verify;

use std::sync::Arc;

use factum_framework::{Stop, World};
use factum_store::EventStore;

use crate::error::{Error, Kind};
use crate::manage::{Behind, Generation, Manage};
use crate::memory::MemoryWriter;
use crate::projector::Projector;
use crate::read_back::ReadBack;
use crate::runner::Runner;
use crate::sink::{Sink, Which};

pub use progress::{Phase, Progress, Watch};
pub use verify::{Verified, Verify};

/// How many events a batch has while no reader looks.
const BULK_EVENTS: usize = 10_000;
/// How often it catches up again because the live generation was faster.
const SWITCH_TRIES: u32 = 1_000;

/// Rebuilds a projection without downtime.
///
/// It fills a generation that no reader sees, makes its indexes, catches up, verifies, and switches from one moment to the next. The generation
/// before stays, and whoever runs it goes on: [`Manage::switch_back`] shows it again, [`Manage::drop_generation`] removes it.
///
/// A rebuild that was stopped, dropped or killed is gone on with by the next one: with the newest generation of this version that readers
/// never saw. Two of the same projection fence one another.
///
/// ```
/// use std::sync::Arc;
/// use factum_framework::Stop;
/// use factum_projection::{Manage, MemorySink, Rebuild, kit};
///
/// # pollster::block_on(async {
/// let (store, mut sink) = (kit::log().await, MemorySink::new(kit::orders_tables())?);
/// let mut rebuild = Rebuild::new(store, sink.clone(), kit::Orders::default());
/// let rebuilt = rebuild.run(&Stop::new()).await?;
/// assert_eq!(rebuilt.map(|it| it.generation), Some(1));
///
/// let mut runner = rebuild.into_runner();
/// runner.run_until_caught_up().await?;
/// assert_eq!(sink.live("kit_orders").await?.map(|it| it.number), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Rebuild<S, P> {
    runner: Runner<S, P>,
    verify: Verify,
    afresh: bool,
    watch: Watch,
}

/// What a rebuild came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rebuilt {
    /// What readers see now.
    pub generation: u32,
    /// What they saw before; `None` when there was nothing.
    pub before: Option<u32>,
    /// How many events wait in the new one.
    pub parked: usize,
    /// What was compared; `None` when nothing was.
    pub verified: Option<Verified>,
}

impl<S, P> Rebuild<S, P>
where
    S: Sink + Manage + ReadBack,
    P: Projector<S::Writer> + Projector<MemoryWriter>,
{
    /// A rebuild of what this projector keeps in this sink, which has not begun. It verifies as much as fits.
    pub fn new(store: Arc<dyn EventStore>, sink: S, projector: P) -> Self {
        let world = World::real();
        let runner = Runner::new(store, sink, projector)
            .bulk(true)
            .batch_events(BULK_EVENTS)
            .read_ahead(Arc::clone(&world.background));
        let watch = Watch::new(runner.monitor(), world);
        Self {
            runner,
            verify: Verify::default(),
            afresh: false,
            watch,
        }
    }

    /// The runner inside, changed: its limits, its backoff, its world.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(Runner<S, P>) -> Runner<S, P>) -> Self {
        self.runner = change(self.runner);
        self.watch = Watch::new(self.runner.monitor(), self.runner.world().clone());
        self
    }

    /// How much is compared before the switch.
    #[must_use]
    pub const fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// Drops what rebuilds before left unfinished, in place of going on with it.
    #[must_use]
    pub const fn afresh(mut self) -> Self {
        self.afresh = true;
        self
    }

    /// Shows from elsewhere how far it is.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// The runner of the new generation, to keep it from now on.
    #[must_use]
    pub fn into_runner(self) -> Runner<S, P> {
        self.runner.settled()
    }

    /// Does it; `None` when it was stopped before the switch. Waits for a sink or a store that is down.
    ///
    /// # Errors
    /// - [`Kind::Invalid`]: verification found a difference, which is named: readers see what they saw before. Or as for the runner.
    /// - [`Kind::Fenced`]: another rebuild of the same projection was begun.
    /// - [`Kind::Store`]: as for the runner.
    ///
    /// # Cancel safety
    /// It may be dropped at any point; the next rebuild goes on.
    pub async fn run(&mut self, stop: &Stop) -> Result<Option<Rebuilt>, Error> {
        let done = self.steps(stop).await;
        self.watch.enter(match done {
            Ok(Some(_)) => Phase::Done,
            _ => Phase::Ended,
        });
        done
    }

    async fn steps(&mut self, stop: &Stop) -> Result<Option<Rebuilt>, Error> {
        let name = Projector::<S::Writer>::name(self.runner.projector()).to_owned();
        let Some(before) = self.choose(&name, stop).await? else {
            return Ok(None);
        };
        self.watch.enter(Phase::Filling);
        self.runner.catch_up(stop).await?;
        if stop.is_asked() {
            return Ok(None);
        }
        self.watch.enter(Phase::Finishing);
        let Some(()) = self.runner.finish(stop).await? else {
            return Ok(None);
        };
        self.watch.enter(Phase::CatchingUp);
        self.runner.catch_up(stop).await?;
        self.watch.enter(Phase::Verifying);
        let Some(verified) = self.check(stop).await? else {
            return Ok(None);
        };
        self.watch.enter(Phase::Switching);
        let Some((generation, parked)) = self.switch(&name, stop).await? else {
            return Ok(None);
        };
        Ok(Some(Rebuilt {
            generation,
            before,
            parked,
            verified,
        }))
    }

    /// Decides which generation is filled, and says which is live; `None` inside when it was stopped.
    async fn choose(&mut self, name: &str, stop: &Stop) -> Result<Option<Option<u32>>, Error> {
        let version = Projector::<S::Writer>::version(self.runner.projector()).to_owned();
        let afresh = std::mem::take(&mut self.afresh);
        let list = async |sink: &mut S| sink.generations(name).await;
        let Some(all) = self.runner.persist(stop, list).await? else {
            return Ok(None);
        };
        let live = all.iter().find(|it| it.live).map(|it| it.number);
        let mut open: Vec<Generation> = all
            .into_iter()
            .filter(|it| !it.published && Some(it.number) > live)
            .collect();
        if afresh {
            for generation in std::mem::take(&mut open) {
                let number = generation.number;
                let remove = async |sink: &mut S| sink.drop_generation(name, number).await;
                if self.runner.persist(stop, remove).await?.is_none() {
                    return Ok(None);
                }
            }
        }
        let open = open.iter().rev().find(|it| it.version == version);
        self.runner.aim(match open {
            Some(open) => Which::Number(open.number),
            None => Which::New,
        });
        // What was finished in bulk keeps its indexes.
        self.runner.set_bulk(open.is_none_or(|it| it.bulk));
        Ok(Some(live))
    }

    async fn check(&mut self, stop: &Stop) -> Result<Option<Option<Verified>>, Error> {
        loop {
            if stop.is_asked() {
                return Ok(None);
            }
            match verify::verify(&mut self.runner, self.verify, &self.watch, stop).await {
                Err(error) if error.kind() == Kind::Unavailable => {
                    self.runner.rest(&error, stop).await;
                }
                done => return done,
            }
        }
    }

    async fn switch(&mut self, name: &str, stop: &Stop) -> Result<Option<(u32, usize)>, Error> {
        let mut tries = 0;
        loop {
            let caught_up = self.runner.catch_up(stop).await?;
            let Some(lease) = self.runner.lease().cloned() else {
                return Ok(None);
            };
            if stop.is_asked() {
                return Ok(None);
            }
            let number = lease.generation;
            let switch = async |sink: &mut S| sink.switch(name, number, Behind::Refuse).await;
            match self.runner.persist(stop, switch).await {
                Ok(Some(())) => return Ok(Some((number, caught_up.parked))),
                Ok(None) => return Ok(None),
                Err(error)
                    if tries < SWITCH_TRIES && self.is_behind(name, number, stop).await? =>
                {
                    drop(error);
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn is_behind(&mut self, name: &str, number: u32, stop: &Stop) -> Result<bool, Error> {
        let list = async |sink: &mut S| sink.generations(name).await;
        let all = self.runner.persist(stop, list).await?.unwrap_or_default();
        let live = all.iter().find(|it| it.live);
        let ours = all.iter().find(|it| it.number == number);
        // Also when we have caught up since: the live one was ahead a moment ago.
        Ok(live.is_some() && ours.is_some_and(|it| !it.bulk && !it.live))
    }
}
