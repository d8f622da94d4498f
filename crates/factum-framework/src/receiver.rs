//! Who takes messages: a decider whose commands can be stored.
//!
//! What lives here: [`Receiver`], [`Rejected`], and how a message is run. Relies on: idempotency keys, so that a message that is run twice
//! has its effect once. Never: loses a refusal; it is noted in the sender's stream.

use std::fmt;
use std::marker::PhantomData;

use factum_store::Condition;
use factum_types::{EventId, Position, Query, QueryItem, RecordedEvent, Tag};
use futures_core::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::book::{Book, Noted};
use crate::decider::Decider;
use crate::emit::Emit;
use crate::env::Env;
use crate::error::{Error, Kind};
use crate::inputs::{item, received};
use crate::note::{MESSAGE_REJECTED, MESSAGE_SENT, Note, OWNER, TO};
use crate::orders::key_tag;
use crate::run::{RunError, is_match};
use crate::runner::desk::{self, Desk, Handled, Hosted, Trouble};

/// A decider that messages can be sent to, and that can be woken by timers.
///
/// Nothing but the category has to be said, if the commands have serde's traits.
///
/// ```
/// use factum_framework::{Decider, Emit, Env, Event, Receiver};
/// use factum_types::RecordedEvent;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// enum OrderEvent {
///     #[event(name = "OrderPlaced")]
///     Placed,
///     #[event(name = "OrderExpired")]
///     Expired,
/// }
///
/// #[derive(Serialize, Deserialize, Clone, Debug)]
/// enum OrderCommand { Place, Expire }
///
/// #[derive(Default, Clone)]
/// struct Order;
///
/// impl Decider for Order {
///     type Command = OrderCommand;
///     type Event = OrderEvent;
///     type Error = String;
///     fn evolve(&mut self, _: &OrderEvent, _: &RecordedEvent) {}
///     fn decide(&self, command: OrderCommand, env: &mut Env) -> Result<Emit<OrderEvent>, String> {
///         Ok(match command {
///             OrderCommand::Place => Emit::from(OrderEvent::Placed)
///                 .wake("payment is late", env.after(std::time::Duration::from_secs(3_600))),
///             OrderCommand::Expire => OrderEvent::Expired.into(),
///         })
///     }
/// }
///
/// impl Receiver for Order {
///     const CATEGORY: &'static str = "order";
///     fn on_timer(timer: &str) -> Option<OrderCommand> {
///         (timer == "payment is late").then_some(OrderCommand::Expire)
///     }
/// }
/// ```
pub trait Receiver: Decider<Command: Serialize + DeserializeOwned, Error: fmt::Display> {
    /// What the names of its streams have in common: `order` for `order-1`. Stored, so it stays for ever.
    const CATEGORY: &'static str;

    /// The command that a timer of one of its streams stands for, if any. If it is refused, that is noted with the timer.
    #[must_use]
    fn on_timer(timer: &str) -> Option<Self::Command> {
        let _: &str = timer;
        None
    }

    /// The command that is run when something that one of its streams sent was refused. If it is refused too, that is noted with it.
    #[must_use]
    fn on_rejected(rejected: &Rejected) -> Option<Self::Command> {
        let _: &Rejected = rejected;
        None
    }
}

/// A message that was refused.
///
/// ```
/// use factum_framework::Rejected;
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
/// # impl factum_framework::Receiver for Counter { const CATEGORY: &'static str = "counter"; }
///
/// // What a process or a receiver is told, as a test makes it.
/// let rejected = Rejected::new::<Counter>("counter-1", &7, "too much");
/// assert_eq!(rejected.command::<Counter>(), Some(7));
/// assert_eq!(rejected.reason, "too much");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// The id of the message.
    pub message: EventId,
    /// The stream it was sent to.
    pub stream: String,
    /// The command, as it was stored.
    pub command: Value,
    /// Why it was refused, in the words of the receiver's error.
    pub reason: String,
}

impl Rejected {
    /// A refusal, for tests of what follows from it.
    #[must_use]
    pub fn new<D: Receiver>(
        stream: impl Into<String>,
        command: &D::Command,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            message: crate::env::derive_id(&["a test"]),
            stream: stream.into(),
            command: serde_json::to_value(command).unwrap_or(Value::Null),
            reason: reason.into(),
        }
    }

    /// The command, if it was one for this receiver.
    #[must_use]
    pub fn command<D: Receiver>(&self) -> Option<D::Command> {
        let ours = self.stream.strip_prefix(D::CATEGORY)?;
        if !ours.is_empty() && !ours.starts_with('-') {
            return None;
        }
        D::Command::deserialize(&self.command).ok()
    }

    pub(crate) fn of(
        message: &str,
        to: String,
        command: Value,
        reason: String,
    ) -> Result<Self, Error> {
        let message = message
            .parse()
            .map_err(|error| Error::decode(format!("{error}")).because(error))?;
        Ok(Self {
            message,
            stream: to,
            command,
            reason,
        })
    }
}

/// A receiver's state with its timers: how it is woken, and told of refusals.
#[derive(Clone)]
struct Attended<D> {
    state: D,
    book: Book,
}

impl<D: Default> Default for Attended<D> {
    fn default() -> Self {
        Self {
            state: D::default(),
            book: Book::default(),
        }
    }
}

/// What a receiver is attended to for.
#[derive(Clone)]
struct Attend<C> {
    note: Note,
    command: Option<C>,
}

impl<D: Receiver> Decider for Attended<D> {
    type Command = Attend<D::Command>;
    type Event = Noted<D::Event>;
    type Error = std::convert::Infallible;

    fn evolve(&mut self, event: &Self::Event, recorded: &RecordedEvent) {
        match event {
            Noted::Note(note) => self.book.take(note, recorded),
            Noted::Event(event) => self.state.evolve(event, recorded),
        }
    }

    fn decide(
        &self,
        Attend { mut note, command }: Self::Command,
        env: &mut Env,
    ) -> Result<Emit<Self::Event>, Self::Error> {
        if !self.book.wants(&note) {
            return Ok(Emit::none());
        }
        let decided = command.map(|command| self.state.decide(command, env));
        let emit = match decided {
            None => Emit::none(),
            Some(Ok(emit)) => emit,
            Some(Err(why)) => {
                note.reject(why.to_string());
                Emit::none()
            }
        };
        Ok(emit.map(Noted::Event).noted(note))
    }
}

/// How often a message is looked at again when others settle it at the same time.
const ATTEMPTS: u32 = 16;

/// A message on its way: it is done or refused, and never both.
struct Message<'a> {
    event: &'a RecordedEvent,
    to: String,
    command: Value,
    /// What has this tag was done because of it.
    done: Tag,
    /// What has this tag is the note that it was refused.
    refused: Tag,
}

impl Message<'_> {
    /// Says whether it is settled; if not, others were at it, and what they did can be read.
    async fn settle<D: Receiver>(&self, desk: &Desk, command: D::Command) -> Result<bool, Trouble> {
        // Looked up before anything else is read: what comes after it breaks the condition of whoever comes second.
        let after = desk.repository.store().head().await.map_err(Error::from)?;
        if desk.is_stored(&self.refused).await? {
            return Ok(true);
        }
        let run = desk
            .repository
            .run::<D>(&self.to, command)
            .idempotency(desk::key(self.event, 0))
            .caused_by(self.event)
            .only_if(none_with(&self.refused, after));
        match run.await {
            Ok(_) => Ok(true),
            Err(RunError::Failed(error)) if error.store_error().is_some_and(is_match) => Ok(false),
            Err(RunError::Failed(error)) => Err(error.into()),
            Err(RunError::Rejected(why)) => {
                let note = Note::MessageRejected {
                    message: self.event.id.to_string(),
                    to: self.to.clone(),
                    command: self.command.clone(),
                    reason: why.to_string(),
                };
                let conditions = [&self.refused, &self.done].map(|tag| none_with(tag, after));
                let refused = self.refused.clone();
                let noted = desk.note_if(self.event, &note, refused, conditions.into());
                Ok(noted.await?)
            }
        }
    }
}

fn none_with(tag: &Tag, after: Option<Position>) -> Condition {
    let query = Query::tag(tag.clone());
    Condition::NoMatch { query, after }
}

/// A receiver in a runner.
pub(crate) struct Inbox<D>(PhantomData<fn() -> D>);

impl<D: Receiver> Inbox<D> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }

    /// Runs a message, or has its refusal noted in the sender's stream: one of the two, however often and by however many it is tried.
    async fn deliver(
        desk: &Desk,
        event: &RecordedEvent,
        to: String,
        command: Value,
    ) -> Result<Handled, Trouble> {
        let parsed = D::Command::deserialize(&command).map_err(|error| {
            Trouble::Park(format!("the command for {to} has another shape: {error}"))
        })?;
        let key = desk::key(event, 0);
        let message = Message {
            event,
            done: key_tag(&[&to, &key])?,
            refused: key_tag(&[event.stream.as_str(), &key, "note"])?,
            to,
            command,
        };
        for _ in 0..ATTEMPTS {
            if message.settle::<D>(desk, parsed.clone()).await? {
                return Ok(Handled::Done);
            }
        }
        let what = format!("others keep settling the message to {}", message.to);
        Err(Error::new(Kind::Conflict, what).into())
    }

    /// Wakes a stream, or tells it of a refusal.
    async fn attend(
        desk: &Desk,
        event: &RecordedEvent,
        note: Note,
        command: Option<D::Command>,
    ) -> Result<Handled, Trouble> {
        let attend = Attend { note, command };
        desk.deliver::<Attended<D>>(&event.stream, attend, event, 0)
            .await?;
        Ok(Handled::Done)
    }
}

impl<D: Receiver> Hosted for Inbox<D> {
    fn name(&self) -> String {
        format!("receiver.{}", D::CATEGORY)
    }

    fn owner(&self) -> Option<&str> {
        Some(D::CATEGORY)
    }

    fn items(&self) -> Result<Vec<QueryItem>, Error> {
        Ok(vec![
            item([MESSAGE_SENT], Some((TO, D::CATEGORY)))?,
            item([MESSAGE_REJECTED], Some((OWNER, D::CATEGORY)))?,
        ])
    }

    fn partitions(&self, event: &RecordedEvent) -> Result<Vec<String>, Error> {
        Ok(vec![event.stream.to_string()])
    }

    fn handle<'a>(
        &'a self,
        desk: &'a Desk,
        event: &'a RecordedEvent,
    ) -> BoxFuture<'a, Result<Handled, Trouble>> {
        Box::pin(async move {
            match Note::read(event)? {
                Some(Note::MessageSent { to, command }) => {
                    Self::deliver(desk, event, to, command).await
                }
                Some(Note::MessageRejected {
                    message,
                    to,
                    command,
                    reason,
                }) => {
                    let rejected = Rejected::of(&message, to, command, reason)?;
                    let command = D::on_rejected(&rejected);
                    Self::attend(desk, event, received(event, 0), command).await
                }
                Some(Note::TimerSet { timer, .. }) => {
                    let command = D::on_timer(&timer);
                    Self::attend(desk, event, Note::fired(timer, event), command).await
                }
                _ => Ok(Handled::Done),
            }
        })
    }
}
