//! A sink in memory: for tests, for verification, and as the shortest example of one.
//!
//! It takes operations down and applies them at commit, as a sink over a network does. Relies on: one lock. Never: shows half a batch.

mod desk;
mod fold;
mod stored;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_types::RecordedEvent;
use futures_core::future::BoxFuture;

use crate::error::Error;
use crate::manage::{no_generation, other_version};
use crate::read_back::Row;
use crate::sink::{Advance, Claim, Lease, Sink, State, Which};
use crate::table::Table;
use stored::Stored;

pub(crate) use fold::Fold;
pub use stored::Point;
pub use writer::MemoryWriter;

/// Tables and points in memory. Cloning gives another sink over the same, as another connection would be.
#[derive(Debug)]
pub struct MemorySink {
    shared: Arc<Mutex<Shared>>,
    writer: MemoryWriter,
}

#[derive(Debug, Default)]
struct Shared {
    projections: BTreeMap<String, Projection>,
}

#[derive(Debug, Default)]
struct Projection {
    generations: BTreeMap<u32, Generation>,
    live: Option<u32>,
    /// The highest number that was ever given.
    newest: u32,
}

#[derive(Debug, Default)]
struct Generation {
    epoch: u64,
    version: String,
    bulk: bool,
    published: bool,
    state: State,
    stored: Stored,
}

impl MemorySink {
    /// A sink with these tables, empty.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): a table is not well formed.
    pub fn new(tables: impl IntoIterator<Item = Table>) -> Result<Self, Error> {
        let tables: Vec<Table> = tables.into_iter().collect();
        Table::check_all(&tables)?;
        Ok(Self {
            shared: Arc::default(),
            writer: MemoryWriter::new(Arc::new(tables)),
        })
    }

    /// The rows of a table that readers see, by key; empty when there are none.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Row> {
        self.live(|stored| stored.rows(table))
    }

    /// The points that readers see, by measurement, tags and time.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        self.live(Stored::points)
    }

    fn live<T>(&self, of: impl Fn(&Stored) -> Vec<T>) -> Vec<T> {
        let shared = self.lock();
        let live = shared
            .projections
            .values()
            .filter_map(|it| it.generations.get(&it.live?));
        live.flat_map(|generation| of(&generation.stored)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        lease: &Lease,
        work: impl FnOnce(&mut Generation) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let name = &lease.projection;
        let mut shared = self.lock();
        let projection = shared.projections.get_mut(name);
        let Some(generation) = projection.and_then(|it| it.generations.get_mut(&lease.generation))
        else {
            let what = format!("generation {} of {name} was dropped", lease.generation);
            return Err(Error::new(crate::Kind::Fenced, what));
        };
        if generation.epoch != lease.epoch {
            let theirs = generation.epoch;
            return Err(Error::fenced(name, lease.epoch, theirs));
        }
        work(generation)
    }
}

impl Clone for MemorySink {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            writer: self.writer.beside(),
        }
    }
}

impl Sink for MemorySink {
    type Writer = MemoryWriter;

    fn claim<'a>(&'a mut self, claim: Claim<'a>) -> BoxFuture<'a, Result<Lease, Error>> {
        let mut shared = self.lock();
        let name = claim.projection.to_owned();
        let claimed = shared.projections.entry(name).or_default().claim(claim);
        Box::pin(std::future::ready(claimed))
    }

    fn look<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<State, Error>> {
        let state = self.with(lease, |generation| Ok(generation.state.clone()));
        Box::pin(std::future::ready(state))
    }

    fn begin<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        self.writer.clear();
        let begun = self.with(lease, |_| Ok(()));
        Box::pin(std::future::ready(begun))
    }

    fn writer(&mut self, event: &RecordedEvent) -> &mut MemoryWriter {
        self.writer.at(event);
        &mut self.writer
    }

    fn commit<'a>(
        &'a mut self,
        lease: &'a Lease,
        advance: &'a Advance,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let operations = self.writer.take();
        let done = self.with(lease, |generation| {
            if generation.state.checkpoint != advance.from {
                return Err(Error::moved(&lease.projection));
            }
            if generation.state.edits != advance.edits {
                return Err(Error::changed(&lease.projection));
            }
            generation.stored.apply(operations)?;
            generation.state.take_up(advance);
            Ok(())
        });
        Box::pin(std::future::ready(done))
    }

    fn roll_back(&mut self) -> BoxFuture<'_, ()> {
        self.writer.clear();
        Box::pin(std::future::ready(()))
    }

    fn finish_bulk<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        let done = self.with(lease, |generation| {
            generation.bulk = false;
            Ok(())
        });
        Box::pin(std::future::ready(done))
    }
}

impl Projection {
    fn claim(&mut self, claim: Claim<'_>) -> Result<Lease, Error> {
        let name = claim.projection;
        let (new, number) = match claim.which {
            Which::Live => (self.live.is_none(), self.live.unwrap_or(self.newest + 1)),
            Which::New => (true, self.newest + 1),
            Which::Number(number) => (false, number),
        };
        if new {
            let version = claim.version.to_owned();
            let made = Generation {
                version,
                ..Generation::default()
            };
            self.generations.insert(number, made);
            self.newest = number;
        }
        let Some(generation) = self.generations.get_mut(&number) else {
            return Err(no_generation(name, number));
        };
        if generation.version != claim.version {
            let theirs = &generation.version;
            return Err(other_version(name, number, theirs, claim.version));
        }
        if claim.which == Which::Live {
            self.live = Some(number);
            generation.published = true;
        }
        generation.bulk = claim.bulk && self.live != Some(number);
        generation.epoch += 1;
        Ok(Lease {
            projection: name.to_owned(),
            generation: number,
            epoch: generation.epoch,
        })
    }
}
