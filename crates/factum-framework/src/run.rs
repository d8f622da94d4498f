//! Running a command: load, decide, append; and again when others were faster.
//!
//! What lives here: [`Run`], what it gives, and what it does about conflicts and repetitions. Relies on: the store's rule that the same
//! ids again give the first receipt. Never: gives a refusal that was decided on an old state, and never appends without an expectation.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use factum_store::{AppendBatch, Condition, ConflictReason, ReadRequest, Receipt, StoreError};
use factum_types::{
    EventType, ExpectedRevision, Metadata, NewEvent, RecordedEvent, StreamName, Tag,
};
use futures_core::future::BoxFuture;

use crate::codec::tag;
use crate::decider::Decider;
use crate::env::{Env, derive_id};
use crate::error::Error;
use crate::event::{self, Event};
use crate::load::{Dial, Loaded, Token};
use crate::repository::Repository;
use crate::retry::Retry;

/// The key of the tag by which a repetition is recognised.
const KEY_TAG: &str = "factum-key";

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed<E> {
    /// Up to where is known what it did; for reads.
    pub token: Token,
    /// What happened; nothing, when the decision was that nothing need happen.
    pub events: Vec<E>,
    /// How often it was decided.
    pub attempts: u32,
    /// Whether an earlier command with the same idempotency key did it.
    pub replayed: bool,
}

impl<E> Committed<E> {
    pub(crate) const fn new(token: Token, events: Vec<E>, attempts: u32, replayed: bool) -> Self {
        Self {
            token,
            events,
            attempts,
            replayed,
        }
    }
}

/// Why a command did nothing.
#[derive(Debug, Clone)]
pub enum RunError<R> {
    /// The rules of the domain refuse it.
    Rejected(R),
    /// It could not be carried out.
    Failed(Error),
}

impl<R> RunError<R> {
    /// Why it could not be carried out, unless it was refused.
    pub const fn failure(&self) -> Option<&Error> {
        match self {
            Self::Rejected(_) => None,
            Self::Failed(error) => Some(error),
        }
    }
}

impl<R: fmt::Display> fmt::Display for RunError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(why) => write!(f, "rejected: {why}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<R: fmt::Debug + fmt::Display> std::error::Error for RunError<R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failure().map(|error| error as _)
    }
}

impl<R> From<Error> for RunError<R> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<R> From<StoreError> for RunError<R> {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// How a command is carried out: what all kinds of commands have in common.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) metadata: Metadata,
    pub(crate) key: Option<String>,
    pub(crate) retry: Retry,
}

impl Orders {
    pub(crate) fn new() -> Self {
        Self {
            metadata: Metadata::default(),
            key: None,
            retry: Retry::default(),
        }
    }

    /// What was caused by an event is of its conversation and by its user, unless something else was said.
    pub(crate) fn caused_by(&mut self, event: &RecordedEvent) {
        let cause = &event.metadata;
        let ours = &mut self.metadata;
        ours.causation_id = Some(event.id.to_string());
        ours.correlation_id = ours
            .correlation_id
            .take()
            .or_else(|| cause.correlation_id.clone())
            .or_else(|| Some(event.id.to_string()));
        ours.user_id = ours.user_id.take().or_else(|| cause.user_id.clone());
        ours.traceparent = ours
            .traceparent
            .take()
            .or_else(|| cause.traceparent.clone());
    }
}

/// A command that knows who it is: what stays the same over all its attempts.
pub(crate) struct Prepared {
    pub(crate) scope: String,
    pub(crate) metadata: Metadata,
    pub(crate) key: Option<(String, Tag)>,
    pub(crate) retry: Retry,
}

impl Prepared {
    /// `scope` is what idempotency keys are compared within.
    pub(crate) fn new(repository: &Repository, scope: &str, orders: Orders) -> Result<Self, Error> {
        let key = match orders.key {
            Some(key) => {
                let tag = tag(KEY_TAG, derive_id(&[scope, &key]))?;
                Some((key, tag))
            }
            None => None,
        };
        let mut prepared = Self {
            scope: scope.to_owned(),
            metadata: orders.metadata,
            key,
            retry: orders.retry,
        };
        let command = match &prepared.key {
            Some((key, _)) => derive_id(&[scope, key, "command"]),
            None => prepared.env(repository).new_id(),
        };
        let metadata = &mut prepared.metadata;
        metadata
            .causation_id
            .get_or_insert_with(|| command.to_string());
        metadata
            .correlation_id
            .get_or_insert_with(|| command.to_string());
        Ok(prepared)
    }

    pub(crate) fn env(&self, repository: &Repository) -> Env {
        let world = &repository.world;
        match &self.key {
            Some((key, _)) => Env::fixed(world.now(), &format!("{} {key}", self.scope)),
            None => Env::random(world.now(), Arc::clone(&world.random)),
        }
    }

    /// The events as they are stored.
    pub(crate) fn seal<E: Event>(
        &self,
        events: &[E],
        env: &mut Env,
    ) -> Result<Vec<NewEvent>, Error> {
        let mut sealed = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let kind = event.kind();
            let id = match &self.key {
                Some((key, _)) => derive_id(&[&self.scope, key, "event", &index.to_string()]),
                None => env.new_id(),
            };
            let mut tags = event.tags()?;
            tags.extend(self.key.iter().map(|(_, tag)| tag.clone()));
            let mut new = NewEvent::json(id, EventType::new(kind.name)?, event.encode()?)
                .with_tags(tags)
                .with_metadata(self.metadata.clone());
            new.schema_version = kind.version;
            sealed.push(new);
        }
        Ok(sealed)
    }
}

impl Repository {
    /// What an earlier command with the same key did.
    pub(crate) async fn done_before<E: Event>(
        &self,
        prepared: &Prepared,
        attempts: u32,
    ) -> Result<Option<Committed<E>>, Error> {
        let Some((_, tag)) = &prepared.key else {
            return Ok(None);
        };
        let stored = self
            .store
            .read(ReadRequest::tag(tag.clone()))
            .collect()
            .await?;
        let Some(last) = stored.last() else {
            return Ok(None);
        };
        let mut events = Vec::new();
        for recorded in &stored {
            events.extend_from_slice(event::read(recorded)?.as_slice());
        }
        Ok(Some(Committed {
            token: Token(Some(last.position)),
            events,
            attempts,
            replayed: true,
        }))
    }

    /// Appends; the same again, as long as it is not known whether it was written or the store is busy.
    pub(crate) async fn append_surely(
        &self,
        batch: AppendBatch,
        retry: Retry,
    ) -> Result<Receipt, StoreError> {
        let mut tries = 1;
        let mut uncertain = false;
        loop {
            let error = match self.store.append(batch.clone()).await {
                Ok(mut receipt) => {
                    // What this very call wrote before its answer was lost is no repetition.
                    receipt.replayed &= !uncertain;
                    return Ok(receipt);
                }
                Err(error) => error,
            };
            let kind = error.kind();
            let unknown = kind == factum_store::Kind::Unknown;
            let again = unknown || kind == factum_store::Kind::Unavailable;
            if !again || tries >= retry.attempts {
                return Err(error);
            }
            uncertain |= unknown;
            self.pause(retry, tries).await;
            tries += 1;
        }
    }

    pub(crate) async fn pause(&self, retry: Retry, attempts: u32) {
        let delay = retry.delay(attempts, self.world.random.next_u64());
        if !delay.is_zero() {
            self.world.timer.wait(delay).await;
        }
    }
}

/// A command that is being put together; await it.
#[must_use = "a command does nothing unless awaited"]
#[derive(Debug)]
pub struct Run<'a, D: Decider> {
    repository: &'a Repository,
    stream: Result<StreamName, Error>,
    command: D::Command,
    dial: Dial,
    version: Option<u64>,
    orders: Orders,
}

impl<'a, D: Decider> Run<'a, D> {
    pub(crate) fn new(
        repository: &'a Repository,
        stream: Result<StreamName, Error>,
        command: D::Command,
    ) -> Self {
        Self {
            repository,
            stream,
            command,
            dial: Dial::Fresh,
            version: None,
            orders: Orders::new(),
        }
    }

    /// Who, why, in which conversation. What is not said about cause and conversation becomes the id of the command.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.orders.metadata = metadata;
        self
    }

    /// On behalf of this user.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.orders.metadata.user_id = Some(user.into());
        self
    }

    /// Because of this event: it is the cause, and its conversation and user go on.
    pub fn caused_by(mut self, event: &RecordedEvent) -> Self {
        self.orders.caused_by(event);
        self
    }

    /// The same key again for the same stream does nothing, and is answered with what was done the first time. A command that made
    /// nothing happen leaves no trace, and is decided again.
    pub fn idempotency(mut self, key: impl Into<String>) -> Self {
        self.orders.key = Some(key.into());
        self
    }

    /// How often to try, and how long to wait between.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.orders.retry = retry;
        self
    }

    /// Which state is good enough to decide on. A refusal is decided on what is stored now, whatever is said here.
    pub fn dial(mut self, dial: Dial) -> Self {
        self.dial = dial;
        self
    }

    /// Only if the stream is at this version, which the user has seen; a conflict otherwise, without another attempt.
    pub fn at_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    async fn run(self) -> Result<Committed<D::Event>, RunError<D::Error>> {
        let stream = self.stream.clone()?;
        let repository = self.repository;
        let mut dial = self.dial;
        if self.version.is_some() {
            dial = Dial::Fresh;
        }
        let prepared = Prepared::new(repository, stream.as_str(), self.orders.clone())?;
        let mut attempts = 1;
        let mut loaded = self.begin(&stream).await?;
        loop {
            // Asked after loading: what was done before is found here, what is done later is a conflict.
            if let Some(done) = repository.done_before(&prepared, attempts).await? {
                return Ok(done);
            }
            let mut env = prepared.env(repository);
            let emit = loaded.state.decide(self.command.clone(), &mut env);
            let nothing = emit.as_ref().map_or(true, |emit| emit.events().is_empty());
            if nothing && dial != Dial::Fresh {
                dial = Dial::Fresh;
                loaded = repository.present(&stream, dial).await?;
                continue;
            }
            let events = emit.map_err(RunError::Rejected)?.into_events();
            if events.is_empty() {
                return Ok(Committed::new(
                    Token(loaded.position),
                    events,
                    attempts,
                    false,
                ));
            }
            let batch = batch(&loaded, prepared.seal(&events, &mut env)?);
            let error = match repository.append_surely(batch, prepared.retry).await {
                Ok(receipt) => {
                    self.committed(&loaded, &events).await;
                    let token = Token(Some(receipt.last));
                    return Ok(Committed::new(token, events, attempts, receipt.replayed));
                }
                Err(error) => error,
            };
            let conflict = error.kind() == factum_store::Kind::Conflict;
            if conflict
                && self.version.is_some()
                && let Some(done) = repository.done_before(&prepared, attempts).await?
            {
                return Ok(done);
            }
            if !conflict || self.version.is_some() || attempts >= prepared.retry.attempts {
                return Err(error.into());
            }
            repository.pause(prepared.retry, attempts).await;
            attempts += 1;
            loaded = self.caught_up(loaded, &error).await?;
        }
    }

    /// The state that the first attempt is decided on: that which the user has seen, if it is said which.
    async fn begin(&self, stream: &StreamName) -> Result<Arc<Loaded<D>>, Error> {
        let Some(version) = self.version else {
            return self.repository.present(stream, self.dial).await;
        };
        let seen: Loaded<D> = self.repository.past(stream.clone(), version.into()).await?;
        if seen.version == version {
            return Ok(Arc::new(seen));
        }
        let what = format!(
            "stream {stream} is at version {}, and has no {version} yet",
            seen.version
        );
        Err(Error::new(crate::error::Kind::Conflict, what))
    }

    /// The state with what was in the way: folded, if the conflict brought all of it, otherwise loaded again.
    async fn caught_up(
        &self,
        loaded: Arc<Loaded<D>>,
        error: &StoreError,
    ) -> Result<Arc<Loaded<D>>, Error> {
        let follows = error.as_conflict().filter(|conflict| {
            let next = match &conflict.reason {
                ConflictReason::Revision { stream, actual, .. } if *stream == loaded.stream => {
                    actual.map(|actual| actual.number() + 1)
                }
                _ => None,
            };
            let numbers = conflict.events.iter().map(|event| event.revision.number());
            next.is_some_and(|next| next > loaded.version && numbers.eq(loaded.version..next))
        });
        let Some(conflict) = follows else {
            return self.repository.present(&loaded.stream, Dial::Fresh).await;
        };
        let mut loaded = Arc::unwrap_or_clone(loaded);
        for event in &conflict.events {
            loaded.fold(event)?;
        }
        let loaded = Arc::new(loaded);
        let now_ns = self.repository.world.clock.monotonic_ns();
        self.repository.cache.keep(&loaded, now_ns);
        Ok(loaded)
    }

    /// Whoever decides on cached states will want to find there what it just did.
    async fn committed(&self, loaded: &Arc<Loaded<D>>, events: &[D::Event]) {
        self.repository.snapshot_if_wanted(loaded, events);
        if self.dial != Dial::Fresh {
            // What is not there now is read then.
            drop(
                self.repository
                    .present::<D>(&loaded.stream, Dial::Fresh)
                    .await,
            );
        }
    }
}

fn batch<D: Decider>(loaded: &Loaded<D>, events: Vec<NewEvent>) -> AppendBatch {
    let expected = loaded.expected();
    let batch = AppendBatch::events(loaded.stream.clone(), expected, events);
    if expected == ExpectedRevision::NoStream {
        return batch;
    }
    // A deleted stream keeps its last revision, but the state that was decided on is gone.
    batch.on(Condition::Stream {
        stream: loaded.stream.clone(),
        expected: ExpectedRevision::StreamExists,
    })
}

impl<'a, D: Decider> IntoFuture for Run<'a, D> {
    type Output = Result<Committed<D::Event>, RunError<D::Error>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
