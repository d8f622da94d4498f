//! Reactors: what is done in the world because something happened.
//!
//! What lives here: [`Reactor`], [`Failure`] and how a reaction is claimed and noted as done. Relies on: the ledger, a stream with a note
//! for each effect. Never: is asked for what the ledger says is done.

mod effects;
mod ledger;

use std::fmt;

use factum_types::{QueryItem, RecordedEvent};
use futures_core::future::BoxFuture;

use crate::error::Error;
use crate::inputs::{Inputs, items};
use crate::runner::desk::{Desk, Handled, Hosted, Trouble};

pub use effects::Effects;
use ledger::{Claim, Ledger};

/// Does something in the world because of events: sends mail, calls a service, writes a file.
///
/// For each event it is asked at least once, and not again once the ledger has its `Ok`. When a runner dies between the effect and the note
/// of it, it is asked again: give [`Effects::key`] to whatever you call, if that knows how to recognise a repetition.
///
/// It is the only thing that is given [`Effects`]. Deciders and folds are pure, and are not; nothing that reads history anew reaches it. What
/// it reacts to begins where its registration says, and never goes back.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use factum_framework::{Effects, Event, Failure, Reactor, Repository, Runner, StartFrom};
/// use factum_store::MemoryStore;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// #[event(name = "UserRegistered")]
/// struct Registered { mail: String }
///
/// struct Welcome { sent: Arc<Mutex<Vec<String>>> }
///
/// impl Reactor for Welcome {
///     const NAME: &'static str = "welcome";
///     type Input = Registered;
///     async fn react(&self, input: &Registered, _: &Effects<'_>) -> Result<(), Failure> {
///         self.sent.lock().map_err(|_| Failure::again("the mail program hangs"))?.push(input.mail.clone());
///         Ok(())
///     }
/// }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// let welcome = Welcome { sent: Arc::default() };
/// let mut runner = Runner::new(&repository).reactor(welcome, StartFrom::Now);
/// let idle = runner.run_until_idle().await?;
/// assert_eq!(idle.handled, 0);
/// # Ok::<(), factum_framework::Error>(())
/// # }).unwrap();
/// ```
pub trait Reactor: Send + Sync + 'static {
    /// The name of its ledger and of its progress. Stored, so it stays for ever.
    const NAME: &'static str;

    /// What it reacts to; several types of events are put together by [`inputs!`](crate::inputs!).
    type Input: Inputs;

    /// What waits when a reaction fails: the later events with the same answer. By default, those of the same stream.
    ///
    /// `None` when there is nothing to do about the event: nothing is done or noted then. An event that is read as several inputs waits in
    /// all their partitions, and later events of each of these wait behind it.
    fn partition(&self, input: &Self::Input, recorded: &RecordedEvent) -> Option<String> {
        let _: &Self::Input = input;
        Some(recorded.stream.to_string())
    }

    /// Does it.
    ///
    /// # Errors
    /// Why it could not be done; it is tried again, and then the partition is parked.
    fn react(
        &self,
        input: &Self::Input,
        effects: &Effects<'_>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Why an effect could not be done. Every error is one that may pass; say [`Failure::park`] for others.
///
/// ```
/// use factum_framework::Failure;
///
/// fn send(to: &str) -> Result<(), Failure> {
///     if to.is_empty() { return Err(Failure::park("there is no address")); }
///     let port: u16 = "25".parse()?;
///     assert_eq!(port, 25);
///     Ok(())
/// }
/// assert!(send("").unwrap_err().to_string().contains("no address"));
/// ```
pub struct Failure(Trouble);

impl Failure {
    /// It may go better next time.
    #[must_use]
    pub fn again(reason: impl Into<String>) -> Self {
        Self(Trouble::Again(reason.into()))
    }

    /// It will not go better by itself: someone has to look.
    #[must_use]
    pub fn park(reason: impl Into<String>) -> Self {
        Self(Trouble::Park(reason.into()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Trouble::Again(reason) | Trouble::Park(reason) => f.write_str(reason),
            Trouble::Stop(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::again(error.to_string())
    }
}

/// A reactor in a runner.
pub(crate) struct Acting<R>(R);

impl<R: Reactor> Acting<R> {
    pub(crate) const fn new(reactor: R) -> Self {
        Self(reactor)
    }

    async fn react(&self, desk: &Desk, event: &RecordedEvent) -> Result<Handled, Trouble> {
        let ledger = Ledger::new(desk, R::NAME, event)?;
        match ledger.claim().await? {
            Claim::Done => return Ok(Handled::Done),
            Claim::Elsewhere(until) => return Ok(Handled::Elsewhere(until)),
            Claim::Ours => (),
        }
        match self.react_to_all(&ledger, event).await {
            Ok(()) => {
                ledger.done("").await?;
                Ok(Handled::Done)
            }
            Err(Failure(Trouble::Stop(error))) => Err(Trouble::Stop(error)),
            Err(failure) => {
                ledger.failed(failure.to_string()).await?;
                Err(failure.0)
            }
        }
    }

    async fn react_to_all(
        &self,
        ledger: &Ledger<'_>,
        event: &RecordedEvent,
    ) -> Result<(), Failure> {
        let inputs = R::Input::read(event).map_err(|error| Failure(error.into()))?;
        for (index, input) in inputs.iter().enumerate() {
            if self.0.partition(input, event).is_none() {
                continue;
            }
            self.0.react(input, &Effects::new(ledger, index)).await?;
        }
        Ok(())
    }
}

impl<R: Reactor> Hosted for Acting<R> {
    fn name(&self) -> String {
        format!("reactor.{}", R::NAME)
    }

    fn owner(&self) -> Option<&str> {
        None
    }

    fn items(&self) -> Result<Vec<QueryItem>, Error> {
        items::<R::Input>()
    }

    fn partitions(&self, event: &RecordedEvent) -> Result<Vec<String>, Error> {
        let inputs = R::Input::read(event)?;
        let partitions = inputs
            .iter()
            .filter_map(|input| self.0.partition(input, event));
        Ok(partitions.collect())
    }

    fn handle<'a>(
        &'a self,
        desk: &'a Desk,
        event: &'a RecordedEvent,
    ) -> BoxFuture<'a, Result<Handled, Trouble>> {
        Box::pin(self.react(desk, event))
    }
}
