//! The contract of a sink: rows and checkpoint together, under a lease.
//!
//! What lives here: [`Sink`] and what is passed to it. Relies on: nothing. Never: names a sink.
//!
//! The runner calls `claim`, then again and again `begin`, the projector with `writer`, and `commit` or `roll_back`. After any error of kind
//! [`Unavailable`](crate::Kind::Unavailable) it calls `roll_back` and, some time later, `look`, until that succeeds.

use factum_types::Position;
use futures_core::future::BoxFuture;

use crate::error::Error;
use crate::lot::Lot;
use crate::parked::Parked;

/// Which generation of a projection a runner fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Which {
    /// The one that readers see; the first claim makes it.
    #[default]
    Live,
    /// A new one, empty, that readers do not see yet.
    New,
    /// This one.
    Number(u32),
}

/// The right to write a generation of a projection, until another claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The projection.
    pub projection: String,
    /// Its generation, from 1.
    pub generation: u32,
    /// Raised by every claim, from 1.
    pub epoch: u64,
}

/// What a sink remembers of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Everything up to here is applied or parked; `None` before the first event.
    pub checkpoint: Option<Position>,
    /// What waits.
    pub parked: Lot,
}

impl State {
    /// What a sink has after a commit, given what it had before: the definition of what sinks do with an [`Advance`].
    pub fn take_up(&mut self, advance: &Advance) {
        self.checkpoint = advance.to;
        for change in &advance.changes {
            match change {
                Change::Release(position) => drop(self.parked.release(*position)),
                Change::Park(parked) => self.parked.park(parked.clone()),
            }
        }
    }
}

/// How a commit changes what waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This waits now, or still: it replaces an entry with the same position.
    Park(Parked),
    /// This was applied.
    Release(Position),
}

/// What is stored together with the rows of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advance {
    /// The checkpoint before; the commit is refused as [`Fenced`](crate::Kind::Fenced) when it is another.
    pub from: Option<Position>,
    /// The checkpoint afterwards, not before `from`.
    pub to: Option<Position>,
    /// In this order.
    pub changes: Vec<Change>,
}

/// Where a read model lives.
///
/// A sink says whether [`Sink::commit`] is one transaction (*exactly once*) or only such that a repeat changes nothing (*effectively once*).
/// In both a checkpoint is never ahead of its rows. [`kit::check_exactly_once`](crate::kit::check_exactly_once) tests one.
pub trait Sink: Send {
    /// What a projector is given.
    type Writer: Send;

    /// Takes a generation over: its epoch is raised, so that every earlier lease is worth nothing. Makes what is not there yet.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::Kind::Unavailable), or [`Kind::Invalid`](crate::Kind::Invalid): the sink cannot hold this projection.
    fn claim<'a>(
        &'a mut self,
        projection: &'a str,
        which: Which,
    ) -> BoxFuture<'a, Result<Lease, Error>>;

    /// What is stored now.
    ///
    /// # Errors
    /// [`Kind::Fenced`](crate::Kind::Fenced): the lease is worth nothing any more.
    fn look<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<State, Error>>;

    /// Begins a batch; whatever was begun and not committed is taken back first.
    ///
    /// # Errors
    /// [`Kind::Fenced`](crate::Kind::Fenced), [`Kind::Unavailable`](crate::Kind::Unavailable). A sink may also notice at commit only.
    fn begin<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>>;

    /// What the projector writes with, between `begin` and `commit`. Whether it writes at once or at commit is the sink's affair.
    fn writer(&mut self) -> &mut Self::Writer;

    /// Makes the batch durable and visible, with the checkpoint and the changes of what waits: all or nothing.
    ///
    /// # Errors
    /// - [`Kind::Refused`](crate::Kind::Refused): something written will never be taken. Nothing was stored.
    /// - [`Kind::Fenced`](crate::Kind::Fenced): the lease or `from` does not hold. Nothing was stored.
    /// - [`Kind::Unavailable`](crate::Kind::Unavailable): it is not known whether it was stored; `look` says.
    fn commit<'a>(
        &'a mut self,
        lease: &'a Lease,
        advance: &'a Advance,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Takes back what was written since `begin`. Cannot fail: what is not committed is lost anyway.
    fn roll_back(&mut self) -> BoxFuture<'_, ()>;

    /// Asks for another attempt at what waits in a partition of a generation; the runner finds it marked in what it looks at.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): nothing waits there.
    fn retry_parked<'a>(
        &'a mut self,
        lease: &'a Lease,
        partition: &'a str,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Gives a parked event up, and asks for an attempt at what waits behind it.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is not parked.
    fn skip_parked<'a>(
        &'a mut self,
        lease: &'a Lease,
        position: Position,
    ) -> BoxFuture<'a, Result<(), Error>>;
}
