//! What a runner hosts, and what it gives to what it hosts.
//!
//! Relies on: the repository. Never: decides about order, retries or parking; that is the consumer's.

use std::time::Duration;

use factum_store::{AppendBatch, Condition, ReadRequest};
use factum_types::{ExpectedRevision, QueryItem, RecordedEvent, StreamName, Tag};
use futures_core::future::BoxFuture;

use crate::decider::Decider;
use crate::env::Env;
use crate::error::{Error, Kind};
use crate::note::Note;
use crate::orders::Orders;
use crate::repository::Repository;
use crate::retry::Retry;
use crate::run::RunError;
use crate::runner::Stop;

/// What the handlers of one runner share.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) repository: Repository,
    /// Who does the effects.
    pub(crate) runner: String,
    /// How long an effect that was begun is left to whoever began it.
    pub(crate) takeover: Duration,
    /// Whether to stop before the next event.
    pub(crate) stop: Stop,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    /// It is done, by us or by others.
    Done,
    /// Another runner is at it, until this moment at most.
    Elsewhere(factum_types::Timestamp),
}

/// Why an event was not handled.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// It may go better next time.
    Again(String),
    /// It will not go better by itself.
    Park(String),
    /// The store does not do what it should: nothing can be handled.
    Stop(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        use factum_store::Kind as Store;
        match error.kind() {
            Kind::Conflict | Kind::Behind => Self::Again(error.to_string()),
            Kind::Invalid
            | Kind::Decode
            | Kind::Store(Store::Deleted | Store::NotFound | Store::Corrupt) => {
                Self::Park(error.to_string())
            }
            Kind::NeverIdle | Kind::Store(_) => Self::Stop(error),
        }
    }
}

/// A process, a receiver or a reactor, seen from the runner.
pub(crate) trait Hosted: Send + Sync {
    /// The name of the consumer: its kind and its own.
    fn name(&self) -> String;

    /// Whose timers it is woken by, if any.
    fn owner(&self) -> Option<&str>;

    /// The events that it is given.
    fn items(&self) -> Result<Vec<QueryItem>, Error>;

    /// What an event must wait for the failures of, all of it; nothing when the event is not for it.
    fn partitions(&self, event: &RecordedEvent) -> Result<Vec<String>, Error>;

    /// Handles an event; doing so again changes nothing.
    fn handle<'a>(
        &'a self,
        desk: &'a Desk,
        event: &'a RecordedEvent,
    ) -> BoxFuture<'a, Result<Handled, Trouble>>;
}

/// The key under which what an event leads to is done once. Ids are one stream's own.
pub(crate) fn key(event: &RecordedEvent, index: usize) -> String {
    format!("given {} {} {index}", event.id, event.stream)
}

impl Desk {
    /// Runs a decider that refuses nothing, because of an event, once.
    pub(crate) async fn deliver<D: Decider<Error = std::convert::Infallible>>(
        &self,
        stream: &StreamName,
        command: D::Command,
        event: &RecordedEvent,
        index: usize,
    ) -> Result<(), Trouble> {
        let run = self
            .repository
            .run::<D>(stream, command)
            .idempotency(key(event, index))
            .caused_by(event);
        match run.await {
            Ok(_) => Ok(()),
            Err(RunError::Failed(error)) => Err(error.into()),
            Err(RunError::Rejected(never)) => match never {},
        }
    }

    /// Whether anything has this tag.
    pub(crate) async fn is_stored(&self, tag: &Tag) -> Result<bool, Error> {
        let store = self.repository.store();
        let first = store.read(ReadRequest::tag(tag.clone()).limit(1));
        Ok(!first.collect().await?.is_empty())
    }

    /// Notes something in the stream of an event, because of it, with this tag; says whether the conditions held.
    pub(crate) async fn note_if(
        &self,
        event: &RecordedEvent,
        note: &Note,
        tag: Tag,
        conditions: Vec<Condition>,
    ) -> Result<bool, Error> {
        let stream = &event.stream;
        let mut orders = Orders::new();
        orders.caused_by(event);
        // An id of chance: another runner may be noting the same in other words.
        let mut new = note.seal(self.new_id(), stream, orders.metadata)?;
        new.tags.push(tag);
        let mut batch = AppendBatch::events(stream.clone(), ExpectedRevision::Any, vec![new]);
        batch.conditions = conditions;
        match self.repository.append_surely(batch, Retry::default()).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == factum_store::Kind::Conflict => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// An id of chance.
    pub(crate) fn new_id(&self) -> factum_types::EventId {
        let world = &self.repository.world;
        Env::random(world.now(), std::sync::Arc::clone(&world.random)).new_id()
    }
}
