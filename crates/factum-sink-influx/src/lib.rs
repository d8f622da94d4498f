//! Projections into InfluxDB: points of time series, *effectively once*.
//!
//! What lives here: [`InfluxSink`]. Relies on: points that are the same whenever their event is applied, so that writing them again changes nothing.
//! Never: writes a checkpoint before its points, or a point that overwrites one of another event.
//!
//! Generation 3 of what is called `orders` is in the database `orders_g3`; which one readers are to read is said by [`Manage::live`] and, for
//! dashboards, in the database `factum`: `SELECT kept FROM factum_projection WHERE projection = '…'`. InfluxDB has no name that could be moved.
//!
//! InfluxDB has no transactions and no writes under a condition. What follows from that is in decision 0021: a search may see points of
//! a batch whose checkpoint is not stored yet; when a point is refused, points of its batch that waited behind it may be there already,
//! and stay when that event is skipped by hand; and of two runners the old one may write points a last time, the same ones that the new one writes.
//!
//! [`Manage::live`]: factum_projection::Manage::live
//!
//! ```no_run
//! use factum_projection::{Error, Points, Projector, Runner};
//! use factum_sink_influx::{InfluxSink, Options};
//! use factum_store::{MemoryStore, Source};
//! use factum_types::RecordedEvent;
//!
//! struct Payments;
//!
//! impl<W: Points> Projector<W> for Payments {
//!     fn name(&self) -> &str { "payments" }
//!     fn source(&self) -> Source { Source::All }
//!     fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
//!         let tags = [("type", event.event_type.as_str())];
//!         to.point("payments", &tags, &[("count", 1_i64.into())], None)
//!     }
//! }
//!
//! # pollster::block_on(async {
//! let sink = InfluxSink::new(Options::new("http://factum:secret@localhost:8086", "payments")?)?;
//! let mut runner = Runner::new(std::sync::Arc::new(MemoryStore::new()), sink, Payments);
//! runner.run_until_caught_up().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod fields;
mod inspect;
mod keep;
mod line;
mod manage;
mod options;
mod points;
mod read_back;
mod server;

use std::fmt;
use std::sync::Arc;

use factum_framework::World;
use factum_http_client::Client;
use factum_io::{Clock, Random};
use factum_projection::manage::{no_generation, other_version};
use factum_projection::{Advance, Claim, Error, Lease, Sink, State, Which};
use factum_types::{Position, RecordedEvent};
use futures_core::future::BoxFuture;

pub use options::{Api, Options};
pub use points::InfluxPoints;

use fields::Fields;
use keep::{Head, Known, Projection};
use server::Server;

/// How often a claim is tried while others claim too.
const CLAIMS: usize = 16;

/// An InfluxDB as a sink. Connections are made when they are needed.
pub struct InfluxSink {
    server: Server,
    options: Options,
    points: InfluxPoints,
    fields: Fields,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
}

impl InfluxSink {
    /// A sink. Nothing is asked of the server before a projection is claimed.
    ///
    /// # Errors
    /// - [`Kind::Invalid`](factum_projection::Kind::Invalid): a name is not well formed, or the certificates cannot be read.
    /// - [`Kind::Unavailable`](factum_projection::Kind::Unavailable): the system has no thread left.
    pub fn new(options: Options) -> Result<Self, Error> {
        options.check()?;
        let world = World::real();
        Ok(Self {
            server: Server::new(Client::new(&options.http)?, options.api.clone()),
            options,
            points: InfluxPoints::default(),
            fields: Fields::default(),
            random: world.random,
            clock: world.clock,
        })
    }

    /// The database, or bucket, of a generation.
    #[must_use]
    pub fn database(&self, generation: u32) -> String {
        format!("{}_g{generation}", self.options.database)
    }

    async fn claim_generation(&mut self, claim: Claim<'_>) -> Result<Lease, Error> {
        let name = claim.projection;
        keep::check_name(name)?;
        self.server.make(&self.options.meta).await?;
        match self.owner().await? {
            Some(owner) if owner != name => return Err(Error::invalid(self.theirs(&owner, name))),
            Some(_) => (),
            None => {
                let tags = [("database", self.options.database.as_str())];
                self.keep("factum_database", &tags, &name).await?;
            }
        }
        let projection = self.projection(name).await?.unwrap_or_default();
        let generation = self.generation(&claim, projection).await?;
        self.fields.forget();
        self.take_over(name, generation).await
    }

    /// The generation that is asked for, made if need be.
    async fn generation(
        &self,
        claim: &Claim<'_>,
        mut projection: Projection,
    ) -> Result<u32, Error> {
        let name = claim.projection;
        let number = match claim.which {
            Which::Live => projection.live.unwrap_or(projection.newest + 1),
            Which::New => projection.newest + 1,
            Which::Number(number) => number,
            _ => return Err(Error::invalid("this sink does not know such a generation")),
        };
        let live = projection.live == Some(number);
        let bulk = claim.bulk && !live && claim.which != Which::Live;
        let before = projection.clone();
        match projection
            .generations
            .iter_mut()
            .find(|known| known.number == number)
        {
            Some(known) if known.version != claim.version => {
                return Err(other_version(name, number, &known.version, claim.version));
            }
            Some(known) => known.bulk = bulk,
            None if matches!(claim.which, Which::Number(_)) => {
                return Err(no_generation(name, number));
            }
            None => {
                let publish = claim.which == Which::Live;
                projection.newest = number;
                projection.live = projection.live.or(publish.then_some(number));
                projection.generations.push(Known {
                    number,
                    version: claim.version.to_owned(),
                    published: publish,
                    bulk,
                });
            }
        }
        self.server.make(&self.database(number)).await?;
        if projection != before {
            self.keep_projection(name, &projection).await?;
        }
        Ok(number)
    }

    /// Raises the epoch: a claim is good when no other of its epoch is seen after it was written.
    async fn take_over(&self, name: &str, generation: u32) -> Result<Lease, Error> {
        for _ in 0..CLAIMS {
            let epoch = self.standing(name, generation).await?.epoch() + 1;
            let ours = format!("{:016x}", self.random.next_u64());
            let (number, word) = (generation.to_string(), epoch.to_string());
            let tags = [
                ("projection", name),
                ("generation", number.as_str()),
                ("epoch", word.as_str()),
                ("claim", ours.as_str()),
            ];
            self.keep("factum_claim", &tags, &1).await?;
            let standing = self.standing(name, generation).await?;
            let others = standing
                .claims
                .iter()
                .filter(|(theirs, _)| *theirs >= epoch);
            if others.count() != 1 {
                continue;
            }
            let lease = Lease {
                projection: name.to_owned(),
                generation,
                epoch,
            };
            // What is parked is copied too: the runner before may still delete its own.
            let state = self.state((name, generation), &standing.head).await?;
            let head = self.keep_lot(&lease, &state).await?;
            let done = standing.head.done.clone();
            self.keep_head(&lease, &Head { done, ..head }).await?;
            let old = standing.claims.iter().filter(|(theirs, _)| *theirs < epoch);
            let old: Vec<String> = old.map(|(theirs, _)| theirs.to_string()).collect();
            let tidied: Vec<_> = old
                .iter()
                .flat_map(|epoch| {
                    ["factum_claim", "factum_head"].map(|from| (from, "epoch", epoch.as_str()))
                })
                .collect();
            self.tidy(name, generation, &tidied).await;
            return Ok(lease);
        }
        Err(Error::unavailable(format!(
            "others claim projection {name} again and again"
        )))
    }

    /// What is stored, with the edits that were asked for since taken up.
    async fn look_up(&mut self, lease: &Lease) -> Result<State, Error> {
        let standing = self.standing(&lease.projection, lease.generation).await?;
        self.check(lease, &standing).await?;
        let state = self
            .state((&lease.projection, lease.generation), &standing.head)
            .await?;
        if standing.asked.is_empty() {
            return Ok(state);
        }
        let (state, done) = standing.edited(state);
        let kept = Head {
            done: done.clone(),
            ..self.keep_lot(lease, &state).await?
        };
        self.keep_head(lease, &kept).await?;
        // A claim meanwhile may go on from the head that was before, and then needs the edits; one from now on sees this head.
        let now = self.standing(&lease.projection, lease.generation).await?;
        now.check(lease)?;
        let mut tidied: Vec<_> = done
            .iter()
            .map(|edit| ("factum_edit", "edit", edit.as_str()))
            .collect();
        let lot = standing
            .head
            .lot
            .as_ref()
            .map(|(lot, _)| ("factum_lot", "lot", lot.as_str()));
        tidied.extend(lot);
        self.tidy(&lease.projection, lease.generation, &tidied)
            .await;
        Ok(state)
    }

    async fn check(&self, lease: &Lease, standing: &keep::Standing) -> Result<(), Error> {
        standing.check(lease)?;
        let projection = self
            .projection(&lease.projection)
            .await?
            .unwrap_or_default();
        let mut all = projection.generations.iter();
        if all.any(|known| known.number == lease.generation) {
            return Ok(());
        }
        keep::Standing::default().check(lease)
    }

    async fn commit_batch(&mut self, lease: &Lease, advance: &Advance) -> Result<(), Error> {
        let lines = self.points.take();
        let (name, generation) = (lease.projection.as_str(), lease.generation);
        let standing = self.standing(name, generation).await?;
        self.check(lease, &standing).await?;
        if standing.head.checkpoint != advance.from.map(Position::raw) {
            return Err(Error::moved(name));
        }
        if standing.head.edits != advance.edits || !standing.asked.is_empty() {
            return Err(Error::changed(name));
        }
        let database = self.database(generation);
        self.fields.check(&self.server, &database, &lines).await?;
        self.server.write(&database, &lines).await?;
        self.fields.took(&lines);
        let old = standing.head;
        let mut head = Head {
            checkpoint: advance.to.map(Position::raw),
            ..old.clone()
        };
        if !advance.changes.is_empty() {
            let mut state = self.state((name, generation), &old).await?;
            state.take_up(advance);
            let done = old.done.clone();
            head = Head {
                done,
                ..self.keep_lot(lease, &state).await?
            };
        }
        self.keep_head(lease, &head).await?;
        if let Some((lot, _)) = old.lot.as_ref().filter(|_| old.lot != head.lot) {
            self.tidy(name, generation, &[("factum_lot", "lot", lot)])
                .await;
        }
        Ok(())
    }

    async fn finish(&self, lease: &Lease) -> Result<(), Error> {
        let standing = self.standing(&lease.projection, lease.generation).await?;
        self.check(lease, &standing).await?;
        let mut projection = self
            .projection(&lease.projection)
            .await?
            .unwrap_or_default();
        let mut all = projection.generations.iter_mut();
        let known = all.find(|known| known.number == lease.generation && known.bulk);
        match known {
            Some(known) => known.bulk = false,
            None => return Ok(()),
        }
        self.keep_projection(&lease.projection, &projection).await
    }
}

impl Sink for InfluxSink {
    type Writer = InfluxPoints;

    fn claim<'a>(&'a mut self, claim: Claim<'a>) -> BoxFuture<'a, Result<Lease, Error>> {
        Box::pin(self.claim_generation(claim))
    }

    fn look<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<State, Error>> {
        Box::pin(self.look_up(lease))
    }

    fn begin<'a>(&'a mut self, _lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        drop(self.points.take());
        // Whether the lease holds is seen at commit.
        Box::pin(std::future::ready(Ok(())))
    }

    fn writer(&mut self, event: &RecordedEvent) -> &mut InfluxPoints {
        self.points.event(event)
    }

    fn commit<'a>(
        &'a mut self,
        lease: &'a Lease,
        advance: &'a Advance,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.commit_batch(lease, advance))
    }

    fn roll_back(&mut self) -> BoxFuture<'_, ()> {
        drop(self.points.take());
        Box::pin(std::future::ready(()))
    }

    fn finish_bulk<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.finish(lease))
    }
}

impl fmt::Debug for InfluxSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InfluxSink")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
