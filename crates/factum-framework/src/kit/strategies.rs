//! Commands at random on a store, with snapshots by every strategy: they change how fast a state is loaded, and nothing else.
//!
//! Relies on: a store without trouble that can be made anew. Never: waits; time passes by being asked for.

use std::fmt::Debug;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use factum_store::{EventStore, SnapshotStore};

use super::chance::{Chance, Told};
use super::commands::{Commands, Tally, json};
use super::world::FakeWorld;
use crate::error::Error;
use crate::event::Event;
use crate::load::{Loaded, Origin};
use crate::repository::Repository;
use crate::run::RunError;
use crate::snapshot::{Policy, Snapshots};
use crate::world::run_here;

/// How many streams each strategy gets, unless said otherwise.
const RUNS: u32 = 2;
const STREAM: &str = "check-1";

impl<D> Commands<'_, D>
where
    D: Snapshots<Event: Debug + PartialEq, Error: Debug>,
{
    /// Lives through it on stores that `make` makes, once for each strategy of snapshots, and says what came of it all.
    ///
    /// The strategies are: every event, every third, by age, by load time, on each kind of event, by hand, and several at once. After
    /// every command the state that is loaded with snapshots is the one that is loaded without, and so is every version of the past at
    /// the end; then a snapshot of *every* version is taken, one after the other, and what is loaded from it is compared too.
    /// Two streams are lived through for each strategy, unless [`runs`](Commands::runs) says otherwise.
    ///
    /// # Panics
    /// What differs, or what the store answered; the seed is printed.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use factum_framework::kit;
    /// use factum_store::MemoryStore;
    /// # use factum_framework::{Decider, Emit, Env, Event, Snapshots};
    /// # use factum_types::RecordedEvent;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
    /// # #[event(name = "Counted")]
    /// # struct Counted { by: u64 }
    /// # #[derive(Default, Clone, Serialize, Deserialize)]
    /// # struct Counter { total: u64 }
    /// # impl Decider for Counter {
    /// #     type Command = u64;
    /// #     type Event = Counted;
    /// #     type Error = &'static str;
    /// #     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
    /// #     fn decide(&self, by: u64, _: &mut Env) -> Result<Emit<Counted>, &'static str> { Ok(Counted { by }.into()) }
    /// # }
    /// # impl Snapshots for Counter {
    /// #     fn samples() -> Vec<Counted> { vec![Counted { by: 2 }] }
    /// # }
    ///
    /// kit::commands::<Counter>(|chance| chance.below(5)).steps(10).check_on(|| Arc::new(MemoryStore::new()));
    /// ```
    pub fn check_on<S>(mut self, make: impl Fn() -> Arc<S>) -> Tally
    where
        S: EventStore + SnapshotStore + 'static,
    {
        let _told = Told::of_commands("commands at random on a store", self.seed);
        let mut chance = Chance::new(self.seed);
        let mut tally = Tally::new::<D::Event>(self.seed);
        for _ in 0..self.runs.unwrap_or(RUNS) {
            for policy in policies::<D>() {
                let bench = match Bench::new::<D, S>(make(), policy.clone(), chance.number()) {
                    Ok(bench) => bench,
                    Err(error) => panic!("{policy:?}: no snapshots can be kept: {error}"),
                };
                let lived = run_here(self.live_on(&bench, &mut chance, &mut tally));
                let lived = match lived {
                    Ok(()) => run_here(bench.check_past::<D>()),
                    Err(error) => Err(error),
                };
                if let Err(error) = lived {
                    panic!("{policy:?}: {error}");
                }
            }
        }
        tally
    }

    async fn live_on(
        &mut self,
        bench: &Bench,
        chance: &mut Chance,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        for _ in 0..self.steps {
            if chance.once_in(2) {
                bench
                    .fake
                    .clock
                    .advance(Duration::from_millis(chance.below(3_000)));
            }
            let with = if chance.once_in(2) {
                bench.with.clone()
            } else {
                // Nothing in memory: snapshots are all that helps.
                bench.with.clone().with_cache(0)
            };
            let command = (self.draw)(chance);
            match with.run::<D>(STREAM, command).into_future().await {
                Ok(done) => tally.count(&done.events),
                Err(RunError::Rejected(_)) => tally.refused += 1,
                Err(RunError::Failed(error)) => return Err(error),
            }
            if chance.once_in(2) {
                bench.fake.run_background().await;
            }
            if chance.once_in(5) {
                with.snapshot::<D>(STREAM).await?;
            }
            let loaded = bench.compare::<D>(None).await?;
            self.check_rules(&loaded.state);
        }
        Ok(())
    }
}

/// Every strategy, and some of them together.
fn policies<D: Snapshots>() -> Vec<Policy> {
    let (soon, later) = (Duration::from_secs(2), Duration::from_secs(3_600));
    let mut policies = vec![
        Policy::every(1),
        Policy::every(3),
        Policy::at_interval(Duration::ZERO),
        Policy::at_interval(soon),
        Policy::slower_than(Duration::ZERO),
        Policy::manual(),
        Policy::every(7).or(Policy::at_interval(soon)),
        Policy::at_interval(later)
            .or(Policy::slower_than(later))
            .or(Policy::every(5)),
    ];
    let names = crate::event::names(D::Event::KINDS);
    policies.extend(names.iter().map(|name| Policy::on(*name)));
    policies.extend(
        names
            .first()
            .map(|name| Policy::on(*name).or(Policy::every(4))),
    );
    policies
}

/// One store, seen with snapshots and without.
struct Bench {
    fake: FakeWorld,
    with: Repository,
    without: Repository,
    policy: Policy,
}

impl Bench {
    fn new<D, S>(store: Arc<S>, policy: Policy, seed: u64) -> Result<Self, Error>
    where
        D: Snapshots,
        S: EventStore + SnapshotStore + 'static,
    {
        let fake = FakeWorld::new(seed);
        // Every question to the clock takes time, so that loading does.
        fake.clock.set_step(Duration::from_millis(1));
        let events = Arc::clone(&store) as Arc<dyn EventStore>;
        let plain = Repository::new(events).with_world(fake.world());
        let with = plain
            .clone()
            .with_snapshot_store(store)
            .with_snapshots::<D>(policy.clone())?;
        Ok(Self {
            fake,
            with,
            without: plain.with_cache(0),
            policy,
        })
    }

    /// The state as it is, or was, loaded in both ways.
    async fn compare<D: Snapshots>(&self, version: Option<u64>) -> Result<Loaded<D>, Error> {
        let cold = self.with.clone().with_cache(0);
        let (with, without) = match version {
            Some(version) => (
                cold.load::<D>(STREAM).as_of(version).await?,
                self.without.load::<D>(STREAM).as_of(version).await?,
            ),
            None => (
                cold.load::<D>(STREAM).await?,
                self.without.load::<D>(STREAM).await?,
            ),
        };
        self.same(&with, &without);
        if version.is_none() {
            let warm = self.with.load::<D>(STREAM).await?;
            self.same(&warm, &without);
        }
        Ok(with)
    }

    #[track_caller]
    fn same<D: Snapshots>(&self, with: &Loaded<D>, without: &Loaded<D>) {
        let seen = |loaded: &Loaded<D>| {
            let json = String::from_utf8_lossy(&json(&loaded.state)).into_owned();
            (loaded.version, json)
        };
        assert_eq!(
            seen(with),
            seen(without),
            "{:?}: what was loaded with snapshots ({:?}) differs from a replay",
            self.policy,
            with.origin
        );
    }

    /// Every version of the past, and then the present from a snapshot of every version.
    async fn check_past<D: Snapshots>(&self) -> Result<(), Error> {
        let end = self.without.load::<D>(STREAM).await?;
        for version in 0..=end.version {
            self.compare::<D>(Some(version)).await?;
        }
        let Some(keeper) = self.with.snapshots.keeper::<D>() else {
            return Ok(());
        };
        for version in 1..=end.version {
            let cut = self.without.load::<D>(STREAM).as_of(version).await?;
            keeper.save(&cut).await?;
            let loaded = self.compare::<D>(None).await?;
            assert_eq!(
                loaded.origin,
                Origin::Snapshot(version),
                "{:?}: the snapshot of version {version} was not used",
                self.policy
            );
        }
        Ok(())
    }
}
