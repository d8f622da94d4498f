//! The contract of a sink: rows and checkpoint together, under a lease.
//!
//! What lives here: [`Sink`] and what is passed to it. Relies on: nothing. Never: names a sink.
//!
//! The runner calls `claim`, then again and again `begin`, the projector with `writer` for each event, and `commit` or `roll_back`. After
//! any error of kind [`Unavailable`](crate::Kind::Unavailable) it calls `roll_back` and, some time later, `look`, until that succeeds. What is done
//! by hand goes past the lease, through [`Manage`](crate::Manage); a commit notices it by [`Advance::edits`].

use factum_types::{Position, RecordedEvent};
use futures_core::future::BoxFuture;

use crate::error::Error;
use crate::lot::Lot;
use crate::manage::Edit;
use crate::parked::Parked;

/// Which generation of a projection a runner fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Which {
    /// The one that readers see; the first claim makes it.
    #[default]
    Live,
    /// A new one, empty, that readers do not see yet. Its number is higher than every one that was given before.
    New,
    /// This one.
    Number(u32),
}

/// What a runner asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Claim<'a> {
    /// The projection.
    pub projection: &'a str,
    /// Its generation.
    pub which: Which,
    /// The version of the projector, kept with a new generation. A generation that has another is
    /// [`Outdated`](crate::Kind::Outdated): it needs a rebuild.
    pub version: &'a str,
    /// A generation that no reader sees is to be filled in bulk, until [`Sink::finish_bulk`]. Of no effect on a live one. A claim without it
    /// ends a bulk that was not finished. In a bulk a sink may answer a commit before it is stored: see [`Sink::commit`].
    pub bulk: bool,
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
    /// Whether nothing is to be applied for now. A commit does not look at it.
    pub paused: bool,
    /// How often something was done by hand: raised by every [`Edit`].
    pub edits: u64,
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

    /// What a sink has after something was done by hand: the definition of what sinks do with an [`Edit`]. A refused one changes nothing.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): nothing waits in this partition, or the event is not parked.
    pub fn edit(&mut self, edit: &Edit) -> Result<(), Error> {
        match edit {
            Edit::Pause => self.paused = true,
            Edit::Resume => self.paused = false,
            Edit::Retry { partition } => {
                if self.parked.want(partition) == 0 {
                    let what = format!("nothing is parked in the partition {partition}");
                    return Err(Error::invalid(what));
                }
            }
            Edit::Skip { position } => match self.parked.release(*position) {
                Some(skipped) => drop(self.parked.want(&skipped.partition)),
                None => {
                    let what = format!("the event at position {position} is not parked");
                    return Err(Error::invalid(what));
                }
            },
        }
        self.edits += 1;
        Ok(())
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
    /// [`State::edits`] as the runner saw it; the commit is refused as [`Changed`](crate::Kind::Changed) when it is another.
    pub edits: u64,
    /// In this order.
    pub changes: Vec<Change>,
}

/// Where a read model lives.
///
/// A sink says whether [`Sink::commit`] is one transaction (*exactly once*) or only such that a repeat changes nothing (*effectively once*):
/// then it writes the rows first and the checkpoint after them, and what it cannot keep of the rules below is said in its own docs.
/// In both a checkpoint is never ahead of its rows. [`kit`](crate::kit) tests one.
pub trait Sink: Send {
    /// What a projector is given.
    type Writer: Send;

    /// Takes a generation over: its epoch is raised, so that every earlier lease is worth nothing. Makes what is not there yet.
    ///
    /// # Errors
    /// - [`Kind::Unavailable`](crate::Kind::Unavailable).
    /// - [`Kind::Invalid`](crate::Kind::Invalid): the sink cannot hold this projection, or there is no such generation.
    /// - [`Kind::Outdated`](crate::Kind::Outdated): it was filled by another version, or with other tables.
    /// - [`Kind::Denied`](crate::Kind::Denied): the sink does not let us in, or not do this.
    fn claim<'a>(&'a mut self, claim: Claim<'a>) -> BoxFuture<'a, Result<Lease, Error>>;

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

    /// What the projector writes this event with, between `begin` and `commit`: asked for once for each event. A sink that makes writes
    /// repeatable by the event takes its position, id and time from here. Whether it writes at once or at commit is its affair.
    fn writer(&mut self, event: &RecordedEvent) -> &mut Self::Writer;

    /// Makes the batch durable and visible, with the checkpoint and the changes of what waits: all or nothing.
    ///
    /// Epoch, checkpoint and edits are compared in the same step in which the checkpoint is stored, so a skip or a pause that got in
    /// between is not undone: the runner looks again and does what it then should.
    ///
    /// In a bulk it may answer before that, and store several batches together, in order, each whole with its checkpoint. Every other call
    /// first stores what was answered for. If that fails, or is lost later with a crash of the sink, the next commits are
    /// [`Unavailable`](crate::Kind::Unavailable) until `look` has told the checkpoint that is stored, from which all is done again.
    ///
    /// # Errors
    /// - [`Kind::Refused`](crate::Kind::Refused): something written will never be taken. Nothing was stored.
    /// - [`Kind::Fenced`](crate::Kind::Fenced): the lease or `from` does not hold. Nothing was stored.
    /// - [`Kind::Changed`](crate::Kind::Changed): something was done by hand since `look`. Nothing was stored.
    /// - [`Kind::Unavailable`](crate::Kind::Unavailable): it is not known whether it was stored; `look` says.
    fn commit<'a>(
        &'a mut self,
        lease: &'a Lease,
        advance: &'a Advance,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Takes back what was written since `begin`. Cannot fail: what is not committed is lost anyway.
    fn roll_back(&mut self) -> BoxFuture<'_, ()>;

    /// Ends a bulk that [`Claim::bulk`] began: makes the indexes that were left out. Nothing when there is none. May take long; repeated
    /// after a failure. Only then can the generation be switched to. What is stored then may be less than what commits were answered for, down to
    /// nothing: whoever calls it looks afterwards, and does the rest again.
    ///
    /// # Errors
    /// [`Kind::Fenced`](crate::Kind::Fenced), [`Kind::Unavailable`](crate::Kind::Unavailable).
    fn finish_bulk<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>>;
}
