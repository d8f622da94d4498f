//! Process managers: what goes on across streams, remembered in a stream of its own.
//!
//! What lives here: [`Process`], [`Route`] and [`ProcessState`]. Relies on: the repository; a process is run as a decider whose commands
//! are its inputs. Never: does anything itself; it emits messages and timers, and a [`Runner`](crate::runner::Runner) sees to them.

mod hosting;
mod instance;

use factum_types::RecordedEvent;

use crate::emit::Emit;
use crate::env::Env;
use crate::error::Error;
use crate::event::Event;
use crate::inputs::Inputs;
use crate::receiver::Rejected;
use crate::repository::Repository;

pub(crate) use hosting::Hosting;
pub(crate) use instance::{Given, Instance, What};

/// What goes on over several streams and some time: it hears events, and answers with messages, timers and events of its own.
///
/// Each instance has a stream, `NAME-key`, with what it was given, what it noted and what it asked for, each step in one append. Its
/// state is folded from its own events. All functions are pure; nothing that happens is lost or taken twice, whenever a runner is stopped.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use factum_framework::{Emit, Env, Event, Process, Repository, Route, Runner, StartFrom};
/// use factum_store::MemoryStore;
/// use factum_types::RecordedEvent;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// enum OrderEvent {
///     #[event(name = "OrderPlaced")]
///     Placed { order: String },
///     #[event(name = "OrderPaid")]
///     Paid { order: String },
/// }
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// enum ReminderEvent {
///     #[event(name = "CustomerReminded")]
///     Reminded,
/// }
///
/// /// Reminds who has not paid after a week.
/// #[derive(Default, Clone)]
/// struct Reminder { times: u32 }
///
/// impl Process for Reminder {
///     const NAME: &'static str = "reminder";
///     type Input = OrderEvent;
///     type Event = ReminderEvent;
///
///     fn route(input: &OrderEvent, _: &RecordedEvent) -> Route {
///         match input {
///             OrderEvent::Placed { order } => Route::Start(order.clone()),
///             OrderEvent::Paid { order } => Route::End(order.clone()),
///         }
///     }
///     fn evolve(&mut self, _: &ReminderEvent, _: &RecordedEvent) { self.times += 1; }
///     fn on(&self, input: &OrderEvent, env: &mut Env) -> Emit<ReminderEvent> {
///         match input {
///             OrderEvent::Placed { .. } => Emit::none().wake("week", env.after(Duration::from_secs(604_800))),
///             OrderEvent::Paid { .. } => Emit::none(),
///         }
///     }
///     fn on_timer(&self, _: &str, _: &mut Env) -> Emit<ReminderEvent> { ReminderEvent::Reminded.into() }
/// }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// let mut runner = Runner::new(&repository).process::<Reminder>(StartFrom::Beginning);
/// runner.run_until_idle().await?;
/// assert!(repository.process::<Reminder>("order-1").await?.is_none());
/// # Ok::<(), factum_framework::Error>(())
/// # }).unwrap();
/// ```
pub trait Process: Default + Clone + Send + Sync + 'static {
    /// What the names of its streams begin with. Stored, so it stays for ever.
    const NAME: &'static str;

    /// What it hears; several types of events are put together by [`inputs!`](crate::inputs!).
    type Input: Inputs;

    /// What it notes for itself, and remembers.
    type Event: Event;

    /// Which instance an event is for.
    fn route(input: &Self::Input, recorded: &RecordedEvent) -> Route;

    /// Takes up what it noted. Total: a fact cannot be refused.
    fn evolve(&mut self, event: &Self::Event, recorded: &RecordedEvent);

    /// What follows from an input.
    fn on(&self, input: &Self::Input, env: &mut Env) -> Emit<Self::Event>;

    /// What follows when a timer that it set is due.
    fn on_timer(&self, timer: &str, env: &mut Env) -> Emit<Self::Event> {
        let _: (&str, &mut Env) = (timer, env);
        Emit::none()
    }

    /// What follows when something that it sent was refused. Asked even when the process is over, so that no refusal is lost.
    fn on_rejected(&self, rejected: &Rejected, env: &mut Env) -> Emit<Self::Event> {
        let _: (&Rejected, &mut Env) = (rejected, env);
        Emit::none()
    }
}

/// Which instance of a process an event is for, by its key.
///
/// ```
/// use factum_framework::Route;
///
/// enum Heard { Placed { order: String }, Shipped { order: String }, PageViewed }
///
/// /// One instance for each order.
/// fn route(heard: &Heard) -> Route {
///     match heard {
///         Heard::Placed { order } => Route::Start(order.clone()),
///         Heard::Shipped { order } => Route::End(order.clone()),
///         Heard::PageViewed => Route::Ignore,
///     }
/// }
///
/// assert_eq!(route(&Heard::Placed { order: "1".into() }).key(), Some("1"));
/// assert_eq!(route(&Heard::Shipped { order: "1".into() }), Route::End("1".into()));
/// assert_eq!(route(&Heard::PageViewed).key(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// It begins the instance; one that runs already goes on with it, and one that is over ignores it.
    Start(String),
    /// It is for the instance, if that began with an earlier input and is not over; otherwise nothing is done, whenever it is looked at.
    Continue(String),
    /// The same, and then the instance is over.
    End(String),
    /// It is for none.
    Ignore,
}

impl Route {
    /// The key of the instance, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Start(key) | Self::Continue(key) | Self::End(key) => Some(key),
            Self::Ignore => None,
        }
    }
}

/// An instance of a process, as it is now.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{Repository, Runner, StartFrom};
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
/// # impl factum_framework::Receiver for Counter { const CATEGORY: &'static str = "counter"; }
/// # /// Wakes an hour after something was counted.
/// # #[derive(Default, Clone)]
/// # struct Watch;
/// # impl factum_framework::Process for Watch {
/// #     const NAME: &'static str = "watch";
/// #     type Input = Counted;
/// #     type Event = Counted;
/// #     fn route(_: &Counted, recorded: &RecordedEvent) -> factum_framework::Route {
/// #         factum_framework::Route::Start(recorded.stream.to_string())
/// #     }
/// #     fn evolve(&mut self, _: &Counted, _: &RecordedEvent) {}
/// #     fn on(&self, _: &Counted, env: &mut Env) -> Emit<Counted> {
/// #         Emit::none().wake("an hour later", env.after(std::time::Duration::from_secs(3_600)))
/// #     }
/// # }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// repository.run::<Counter>("counter-1", 7).await?;
/// Runner::new(&repository).process::<Watch>(StartFrom::Beginning).run_until_idle().await?;
///
/// let watch = repository.process::<Watch>("counter-1").await?.ok_or("it never began")?;
/// assert!(!watch.ended);
/// assert_eq!(watch.timers, ["an hour later"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessState<P> {
    /// What it remembers.
    pub state: P,
    /// The number of its stream's next event.
    pub version: u64,
    /// Whether it is over.
    pub ended: bool,
    /// The names of its timers that are pending, in order of names.
    pub timers: Vec<String>,
}

impl Repository {
    /// An instance of a process; `None` when it never began.
    ///
    /// # Errors
    /// As for a load.
    ///
    /// # Cancel safety
    /// Dropping the future ends the read and changes nothing.
    pub async fn process<P: Process>(
        &self,
        key: impl AsRef<str>,
    ) -> Result<Option<ProcessState<P>>, Error> {
        let loaded = self
            .load::<Instance<P>>(instance::stream_of::<P>(key.as_ref()))
            .await?;
        let started = loaded.exists();
        Ok(started.then(|| ProcessState {
            version: loaded.version,
            ended: loaded.state.book.ended,
            timers: loaded.state.book.timers().map(str::to_owned).collect(),
            state: loaded.state.state,
        }))
    }
}
