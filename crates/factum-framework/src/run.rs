//! Running a command: load, decide, append; and again when others were faster.
//!
//! What lives here: [`Run`], what it gives, and what it does about conflicts and repetitions. Relies on: the store's rule that the same
//! ids again give the first receipt. Never: gives a refusal that was decided on an old state, and never appends without an expectation.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use factum_store::{AppendBatch, Condition, ConflictReason, StoreError};
use factum_types::{ExpectedRevision, NewEvent, StreamName};
use futures_core::future::BoxFuture;

use crate::decider::Decider;
use crate::emit::Emit;
use crate::error::Error;
use crate::load::{Dial, Loaded, Token};
use crate::orders::{Orders, Prepared, Sealed};
use crate::repository::Repository;

/// What a command did.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::Repository;
/// use factum_store::MemoryStore;
/// # use factum_framework::{Decider, Emit, Env, Event};
/// # use factum_types::RecordedEvent;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "Counted")]
/// # struct Counted { by: u32 }
/// # #[derive(Default, Clone, Debug, Serialize)]
/// # struct Counter { total: u32 }
/// # impl Decider for Counter {
/// #     type Command = u32;
/// #     type Event = Counted;
/// #     type Error = &'static str;
/// #     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
/// #     fn decide(&self, by: u32, _: &mut Env) -> Result<Emit<Counted>, &'static str> {
/// #         if self.total + by > 10 { Err("too much") } else { Ok(Counted { by }.into()) }
/// #     }
/// # }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// let done = repository.run::<Counter>("counter-1", 7).idempotency("click-1").await?;
/// assert_eq!((done.events, done.replayed), (vec![Counted { by: 7 }], false));
///
/// // The same key again: nothing more is done, and the answer is the same.
/// let again = repository.run::<Counter>("counter-1", 7).idempotency("click-1").await?;
/// assert_eq!((again.events, again.replayed), (vec![Counted { by: 7 }], true));
/// assert_eq!(repository.load::<Counter>("counter-1").await?.state.total, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
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
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{Kind, Repository, RunError};
/// use factum_store::MemoryStore;
/// # use factum_framework::{Decider, Emit, Env, Event};
/// # use factum_types::RecordedEvent;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "Counted")]
/// # struct Counted { by: u32 }
/// # #[derive(Default, Clone, Debug, Serialize)]
/// # struct Counter { total: u32 }
/// # impl Decider for Counter {
/// #     type Command = u32;
/// #     type Event = Counted;
/// #     type Error = &'static str;
/// #     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
/// #     fn decide(&self, by: u32, _: &mut Env) -> Result<Emit<Counted>, &'static str> {
/// #         if self.total + by > 10 { Err("too much") } else { Ok(Counted { by }.into()) }
/// #     }
/// # }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// // A rule refuses it: tell the user.
/// let refused = repository.run::<Counter>("counter-1", 11).await;
/// assert!(matches!(refused, Err(RunError::Rejected("too much"))));
///
/// // It could not be carried out: the kind says what to do.
/// let failed = repository.run::<Counter>("no stream has such a name\n", 1).await.unwrap_err();
/// assert_eq!(failed.failure().map(|error| error.kind()), Some(Kind::Invalid));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
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

/// A command that is being put together; await it.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{Kind, Repository, Retry};
/// use factum_store::MemoryStore;
/// # use factum_framework::{Decider, Emit, Env, Event};
/// # use factum_types::RecordedEvent;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "Counted")]
/// # struct Counted { by: u32 }
/// # #[derive(Default, Clone, Debug, Serialize)]
/// # struct Counter { total: u32 }
/// # impl Decider for Counter {
/// #     type Command = u32;
/// #     type Event = Counted;
/// #     type Error = &'static str;
/// #     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
/// #     fn decide(&self, by: u32, _: &mut Env) -> Result<Emit<Counted>, &'static str> {
/// #         if self.total + by > 10 { Err("too much") } else { Ok(Counted { by }.into()) }
/// #     }
/// # }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// repository.run::<Counter>("counter-1", 7).user("ann").await?;
///
/// // The user saw version 1; whoever was faster must not be overwritten.
/// let seen = repository.run::<Counter>("counter-1", 1).at_version(1).retry(Retry::never()).await?;
/// assert_eq!(seen.attempts, 1);
/// let stale = repository.run::<Counter>("counter-1", 1).at_version(1).await.unwrap_err();
/// assert_eq!(stale.failure().map(|error| error.kind()), Some(Kind::Conflict));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a command does nothing unless awaited"]
#[derive(Debug)]
pub struct Run<'a, D: Decider> {
    repository: &'a Repository,
    stream: Result<StreamName, Error>,
    command: D::Command,
    dial: Dial,
    version: Option<u64>,
    only_if: Option<Condition>,
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
            only_if: None,
            orders: Orders::new(),
        }
    }

    crate::orders::builder!();

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

    /// Only if this holds too; a conflict otherwise, without another attempt.
    pub(crate) fn only_if(mut self, condition: Condition) -> Self {
        self.only_if = Some(condition);
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
            let nothing = emit.as_ref().map_or(true, Emit::is_nothing);
            if nothing && dial != Dial::Fresh {
                dial = Dial::Fresh;
                loaded = repository.present(&stream, dial).await?;
                continue;
            }
            let emit = emit.map_err(RunError::Rejected)?;
            if emit.is_nothing() {
                let token = Token(loaded.position);
                return Ok(Committed::new(token, Vec::new(), attempts, false));
            }
            let Sealed { events, sealed } = prepared.seal(emit, &stream, &mut env)?;
            let next_version = loaded.version + sealed.len() as u64;
            let mut batch = batch(&loaded, sealed);
            batch.conditions.extend(self.only_if.clone());
            let error = match repository.append_surely(batch, prepared.retry).await {
                Ok(receipt) => {
                    self.committed(&loaded, &events, next_version).await;
                    let token = Token(Some(receipt.last));
                    return Ok(Committed::new(token, events, attempts, receipt.replayed));
                }
                Err(error) => error,
            };
            let conflict = error.kind() == factum_store::Kind::Conflict;
            // The same command at the same time has the same ids, with another content when it was decided at another moment.
            let ids_taken = error.kind() == factum_store::Kind::Invalid;
            if (ids_taken || conflict && self.version.is_some())
                && let Some(done) = repository.done_before(&prepared, attempts).await?
            {
                return Ok(done);
            }
            let again = conflict && self.version.is_none() && !is_match(&error);
            if !again || attempts >= prepared.retry.attempts {
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
    async fn committed(&self, loaded: &Arc<Loaded<D>>, events: &[D::Event], version: u64) {
        self.repository.snapshot_if_wanted(loaded, events, version);
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

/// Whether a query is matched that none should match. Of the conditions of a run only one that it was given is of that kind, and no other
/// attempt meets it.
pub(crate) fn is_match(error: &StoreError) -> bool {
    let reason = error.as_conflict().map(|conflict| &conflict.reason);
    matches!(reason, Some(ConflictReason::Match { .. }))
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
