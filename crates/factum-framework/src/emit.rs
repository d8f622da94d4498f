//! What a decision gives: events, messages to send, and timers to wake by; all in one append.
//!
//! Relies on: serde for commands. Never: sends or wakes anything; that is done after the append, by a
//! [`Runner`](crate::runner::Runner).

use factum_types::Timestamp;
use serde_json::Value;

use crate::error::Error;
use crate::note::Note;
use crate::receiver::Receiver;

/// What a decision gives: the events to append, together or not at all, with what is to be done about them.
///
/// ```
/// use factum_framework::Emit;
///
/// let both = Emit::from("opened").and("greeted");
/// assert_eq!(both.events(), ["opened", "greeted"]);
/// assert!(Emit::<&str>::none().events().is_empty());
/// ```
///
/// Messages and timers are stored with the events, so that a crash loses none and sends none that were not committed.
///
/// ```
/// # use factum_framework::{Decider, Emit, Env, Event, Receiver};
/// # use factum_types::{RecordedEvent, Timestamp};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "LampLit")]
/// # struct Lit {}
/// # #[derive(Default, Clone)]
/// # struct Lamp;
/// # impl Decider for Lamp {
/// #     type Command = LampCommand;
/// #     type Event = Lit;
/// #     type Error = String;
/// #     fn evolve(&mut self, _: &Lit, _: &RecordedEvent) {}
/// #     fn decide(&self, _: LampCommand, _: &mut Env) -> Result<Emit<Lit>, String> { Ok(Lit {}.into()) }
/// # }
/// # impl Receiver for Lamp { const CATEGORY: &'static str = "lamp"; }
/// # #[derive(Serialize, Deserialize, Clone)]
/// # enum LampCommand { Light }
/// let emit = Emit::from("it grew dark")
///     .send::<Lamp>("lamp-1", &LampCommand::Light)
///     .wake("dawn", Timestamp::from_micros(7))
///     .cancel("dusk");
/// assert_eq!(emit.messages()[0].stream(), "lamp-1");
/// assert_eq!(emit.timers().len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Emit<E> {
    events: Vec<E>,
    messages: Vec<Message>,
    timers: Vec<TimerChange>,
    ended: bool,
    /// Why there is something to decide at all.
    note: Option<Note>,
}

/// A command for another stream.
///
/// ```
/// use factum_framework::Message;
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
/// let message = Message::to::<Counter>("counter-1", &7);
/// assert_eq!((message.stream(), message.command()), ("counter-1", Some(&serde_json::json!(7))));
/// // As a decision sends it:
/// assert_eq!(Emit::from("it grew").send::<Counter>("counter-1", &7).messages(), [message]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    stream: String,
    category: &'static str,
    command: Result<Value, String>,
}

/// What happens to a timer. A name is the stream's own; to set it again is to set it anew.
///
/// ```
/// use factum_framework::{Emit, TimerChange};
/// use factum_types::Timestamp;
///
/// let at = Timestamp::from_micros(7);
/// let emit = Emit::from("placed").wake("not paid", at).cancel("not confirmed");
/// let (set, cancel) = ("not paid".to_owned(), "not confirmed".to_owned());
/// assert_eq!(emit.timers(), [TimerChange::Set { timer: set, at }, TimerChange::Cancel { timer: cancel }]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerChange {
    /// It will be due.
    Set {
        /// Its name.
        timer: String,
        /// When.
        at: Timestamp,
    },
    /// It will not be due.
    Cancel {
        /// Its name.
        timer: String,
    },
}

impl Message {
    /// A command for a stream of a receiver's category.
    #[must_use]
    pub fn to<D: Receiver>(stream: impl Into<String>, command: &D::Command) -> Self {
        Self {
            stream: stream.into(),
            category: D::CATEGORY,
            command: serde_json::to_value(command).map_err(|error| error.to_string()),
        }
    }

    /// The stream whose decider is asked.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The command as it is stored; `None` when it has no form in JSON, which the append will be refused for.
    #[must_use]
    pub fn command(&self) -> Option<&Value> {
        self.command.as_ref().ok()
    }

    fn note(self) -> Result<Note, Error> {
        let Self {
            stream,
            category,
            command,
        } = self;
        let rest = stream.strip_prefix(category);
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) {
            return Err(Error::invalid(format!(
                "the message to {stream} is for a receiver of the category {category}: the stream's name begins with {category}-"
            )));
        }
        let command = command.map_err(|error| {
            Error::invalid(format!(
                "the command for {stream} has no form in JSON: {error}"
            ))
        })?;
        Ok(Note::MessageSent {
            to: stream,
            command,
        })
    }
}

impl<E> Emit<E> {
    /// Nothing happens, and that is fine.
    pub const fn none() -> Self {
        Self {
            events: Vec::new(),
            messages: Vec::new(),
            timers: Vec::new(),
            ended: false,
            note: None,
        }
    }

    /// The same, and then this.
    pub fn and(mut self, event: E) -> Self {
        self.events.push(event);
        self
    }

    /// The same, and this command is run on that stream afterwards: at least once, and with effect once.
    ///
    /// The stream belongs to the receiver's category. What one stream sends to one category is run in the order it was sent.
    pub fn send<D: Receiver>(mut self, stream: impl Into<String>, command: &D::Command) -> Self {
        self.messages.push(Message::to::<D>(stream, command));
        self
    }

    /// The same, and the owner of this stream is woken at that time, or as soon afterwards as a runner runs.
    ///
    /// A timer of the same name that is pending is replaced.
    pub fn wake(mut self, timer: impl Into<String>, at: Timestamp) -> Self {
        self.timers.push(TimerChange::Set {
            timer: timer.into(),
            at,
        });
        self
    }

    /// The same, and the timer of this name is not due any more; no matter if there is none.
    pub fn cancel(mut self, timer: impl Into<String>) -> Self {
        self.timers.push(TimerChange::Cancel {
            timer: timer.into(),
        });
        self
    }

    /// The same, and the process is over: its timers are cancelled, and it takes no more inputs. Rejections of what it sent still reach it.
    ///
    /// In a stream that belongs to no process it cancels the timers.
    pub const fn end(mut self) -> Self {
        self.ended = true;
        self
    }

    /// The events, in order.
    #[must_use]
    pub fn events(&self) -> &[E] {
        &self.events
    }

    /// The events, in order.
    #[must_use]
    pub fn into_events(self) -> Vec<E> {
        self.events
    }

    /// The messages, in order.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// What happens to timers, in order.
    #[must_use]
    pub fn timers(&self) -> &[TimerChange] {
        &self.timers
    }

    /// Whether the process is over.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        self.ended
    }

    /// Whether there is nothing to append.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.events.is_empty()
            && self.messages.is_empty()
            && self.timers.is_empty()
            && !self.ended
            && self.note.is_none()
    }

    pub(crate) fn noted(mut self, note: Note) -> Self {
        self.note = Some(note);
        self
    }

    /// Why there is something to decide, which is not an application's business.
    pub(crate) const fn take_note(&mut self) -> Option<Note> {
        self.note.take()
    }

    pub(crate) fn map<F>(self, change: impl FnMut(E) -> F) -> Emit<F> {
        Emit {
            events: self.events.into_iter().map(change).collect(),
            messages: self.messages,
            timers: self.timers,
            ended: self.ended,
            note: self.note,
        }
    }

    /// What is stored of it.
    pub(crate) fn into_parts(self) -> Result<Parts<E>, Error> {
        let mut after = Vec::new();
        for message in self.messages {
            after.push(message.note()?);
        }
        after.extend(self.timers.into_iter().map(|change| match change {
            TimerChange::Set { timer, at } => Note::TimerSet {
                timer,
                at_us: at.as_micros(),
            },
            TimerChange::Cancel { timer } => Note::TimerCancelled { timer },
        }));
        after.extend(self.ended.then_some(Note::ProcessEnded));
        Ok(Parts {
            before: self.note,
            events: self.events,
            after,
        })
    }
}

/// What is stored of a decision, in this order.
pub(crate) struct Parts<E> {
    pub(crate) before: Option<Note>,
    pub(crate) events: Vec<E>,
    pub(crate) after: Vec<Note>,
}

impl<E> From<E> for Emit<E> {
    fn from(event: E) -> Self {
        Self::none().and(event)
    }
}

impl<E> FromIterator<E> for Emit<E> {
    fn from_iter<I: IntoIterator<Item = E>>(events: I) -> Self {
        Self {
            events: events.into_iter().collect(),
            ..Self::none()
        }
    }
}

impl<E> From<Vec<E>> for Emit<E> {
    fn from(events: Vec<E>) -> Self {
        events.into_iter().collect()
    }
}

impl<E, const N: usize> From<[E; N]> for Emit<E> {
    fn from(events: [E; N]) -> Self {
        events.into_iter().collect()
    }
}
