//! The runner: it gives events to processes and reactors, runs messages and wakes by timers, until nothing is left to do.
//!
//! What lives here: [`Runner`] and how it is put together; consumers, parking, timers and checkpoints are below. Relies on: nothing in
//! memory; a runner may be dropped at any point, and another goes on. Never: needs an async runtime.

mod consumer;
pub(crate) mod desk;
mod live;
pub(crate) mod lot;
mod progress;
mod timers;

use std::time::Duration;

use factum_types::Timestamp;

use crate::error::{Error, Kind};
use crate::process::{Hosting, Process};
use crate::reactor::{Acting, Reactor};
use crate::receiver::{Inbox, Receiver};
use crate::repository::Repository;
use crate::retry::Retry;
use consumer::{Consumer, PARKED_MAX, Rules};
use desk::{Desk, Hosted};

pub use live::Stop;
pub use progress::StartFrom;

/// How many events [`Runner::run_until_idle`] handles unless told otherwise, before it says that this goes round in a circle.
const STEPS_MAX: u64 = 100_000;
/// How long an effect that was begun is left to whoever began it, unless told otherwise.
const TAKEOVER: Duration = Duration::from_secs(60);

/// Runs processes, receivers and reactors over a store.
///
/// What is registered is known by name, and its progress is stored: a runner may be dropped at any moment, and the next one goes on.
/// Several may run at once; then processes and messages still have their effect once. Effects of reactors are claimed before they are
/// done, so that two runners do not do the same, unless one takes longer than [`takeover`](Self::takeover) says.
///
/// A transfer in which a debit is followed by a credit is in `examples/bank-account`. Without processes, an outbox alone:
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{Decider, Emit, Env, Event, Receiver, Repository, Runner};
/// use factum_store::MemoryStore;
/// use factum_types::RecordedEvent;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// #[event(name = "Counted")]
/// struct Counted { by: u32 }
///
/// #[derive(Default, Clone)]
/// struct Counter { total: u32 }
///
/// impl Decider for Counter {
///     type Command = u32;
///     type Event = Counted;
///     type Error = String;
///     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
///     /// Everything beyond ten is another counter's.
///     fn decide(&self, by: u32, _: &mut Env) -> Result<Emit<Counted>, String> {
///         let room = 10u32.saturating_sub(self.total).min(by);
///         let emit = Emit::from(Counted { by: room });
///         Ok(if by > room { emit.send::<Self>("counter-next", &(by - room)) } else { emit })
///     }
/// }
///
/// impl Receiver for Counter {
///     const CATEGORY: &'static str = "counter";
/// }
///
/// # pollster::block_on(async {
/// let repository = Repository::new(Arc::new(MemoryStore::new()));
/// repository.run::<Counter>("counter-first", 17).await?;
/// let idle = Runner::new(&repository).receiver::<Counter>().run_until_idle().await?;
/// assert_eq!((idle.handled, idle.parked), (1, 0));
/// assert_eq!(repository.load::<Counter>("counter-next").await?.state.total, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Runner {
    desk: Desk,
    rules: Rules,
    steps_max: u64,
    consumers: Vec<Consumer>,
}

/// What a runner came to rest with.
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
/// let mut runner = Runner::new(&repository).process::<Watch>(StartFrom::Beginning);
/// let idle = runner.run_until_idle().await?;
/// assert_eq!((idle.handled, idle.parked), (1, 0));
/// // There is nothing to do for an hour.
/// assert!(idle.next_timer.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Idle {
    /// How many events were handled or parked, and how many timers were fired.
    pub handled: u64,
    /// How many events are parked, of all that is registered; see [`Repository::parked`].
    pub parked: usize,
    /// When the next timer is due.
    pub next_timer: Option<Timestamp>,
    /// Until when, at most, another runner is at something that this one waits for.
    pub elsewhere: Option<Timestamp>,
}

impl Runner {
    /// A runner with nothing to do yet.
    #[must_use]
    pub fn new(repository: &Repository) -> Self {
        let random = repository.world.random.next_u64();
        Self {
            desk: Desk {
                repository: repository.clone(),
                runner: format!("runner-{random:016x}"),
                takeover: TAKEOVER,
                stop: Stop::new(),
            },
            rules: Rules {
                retry: Retry {
                    attempts: 5,
                    delay_first: Duration::from_millis(20),
                    delay_max: Duration::from_secs(1),
                },
                parked_max: PARKED_MAX,
            },
            steps_max: STEPS_MAX,
            consumers: Vec::new(),
        }
    }

    /// Who does the effects; by default a name of chance.
    ///
    /// A runner takes up at once what one of the same name began and did not end, and waits for what others began. So give it a name
    /// that survives a restart, and never the same to two that run at once.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.desk.runner = name.into();
        self
    }

    /// How often an event is tried before it is parked, and how long to wait between. The runner does nothing else meanwhile.
    #[must_use]
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.rules.retry = retry;
        self
    }

    /// How long an effect that another runner began is left to it: longer than the longest effect takes. Default: a minute.
    #[must_use]
    pub const fn takeover(mut self, takeover: Duration) -> Self {
        self.desk.takeover = takeover;
        self
    }

    /// How many events of one consumer may be parked, those that wait behind others included; then it stops. Default: 10,000.
    #[must_use]
    pub const fn parked_max(mut self, events: usize) -> Self {
        self.rules.parked_max = events;
        self
    }

    /// How many events [`run_until_idle`](Self::run_until_idle) handles at most. Default: 100,000.
    #[must_use]
    pub const fn steps_max(mut self, steps: u64) -> Self {
        self.steps_max = steps;
        self
    }

    /// Runs a process. Where it begins counts only when it is new to the store.
    #[must_use]
    pub fn process<P: Process>(self, start: StartFrom) -> Self {
        self.host(Box::new(Hosting::<P>::new()), start)
    }

    /// Runs the messages to a receiver, wakes its streams, and tells them of refusals. From the first message on: none may be lost.
    #[must_use]
    pub fn receiver<D: Receiver>(self) -> Self {
        self.host(Box::new(Inbox::<D>::new()), StartFrom::Beginning)
    }

    /// Runs a reactor. Where it begins counts only when it is new to the store; [`StartFrom::Beginning`] does the effects of all that ever
    /// happened.
    #[must_use]
    pub fn reactor<R: Reactor>(self, reactor: R, start: StartFrom) -> Self {
        self.host(Box::new(Acting::new(reactor)), start)
    }

    fn host(mut self, hosted: Box<dyn Hosted>, start: StartFrom) -> Self {
        self.consumers.push(Consumer::new(hosted, start));
        self
    }

    /// Handles everything until nothing is left: events, messages, timers that are due, and parked events that are to be tried again.
    ///
    /// What fails is parked, and what is due later waits; see [`Idle`]. The runner can be used again.
    ///
    /// # Errors
    /// - [`Kind::NeverIdle`]: more than [`steps_max`](Self::steps_max) events were handled; something reacts to itself.
    /// - [`Kind::Invalid`]: two things of one name are registered, or too many events of one are parked. The others went on.
    /// - [`Kind::Store`]: the store does not do what it should; nothing is lost, and the next call goes on from here.
    ///
    /// # Cancel safety
    /// It may be dropped at any point.
    pub async fn run_until_idle(&mut self) -> Result<Idle, Error> {
        self.check()?;
        self.desk.stop = Stop::new();
        self.drive(self.steps_max).await
    }

    fn check(&self) -> Result<(), Error> {
        for (index, consumer) in self.consumers.iter().enumerate() {
            let name = consumer.name();
            let mut before = self.consumers.iter().take(index);
            if before.any(|other| other.name() == name || both_own(other, consumer)) {
                return Err(Error::invalid(format!("{name} is registered twice")));
            }
        }
        Ok(())
    }

    /// Goes on until nothing is left, or until it is told to stop.
    async fn drive(&mut self, steps_max: u64) -> Result<Idle, Error> {
        let Self {
            desk,
            rules,
            consumers,
            ..
        } = self;
        let mut trouble: Vec<Option<Error>> = consumers.iter().map(|_| None).collect();
        let mut handled = 0;
        while !desk.stop.is_asked() {
            let mut moved = 0;
            for (consumer, trouble) in consumers.iter_mut().zip(&mut trouble) {
                if desk.stop.is_asked() || trouble.is_some() {
                    continue;
                }
                match consumer.step(desk, rules).await {
                    Ok(steps) => moved += steps,
                    Err(error) => *trouble = Some(error),
                }
            }
            if moved == 0 {
                moved = fire_first(desk, rules, consumers, &mut trouble).await;
            }
            if moved == 0 {
                break;
            }
            handled += moved;
            if handled > steps_max {
                return Err(never_idle(steps_max));
            }
        }
        for (consumer, trouble) in consumers.iter_mut().zip(&mut trouble) {
            if trouble.is_none() {
                *trouble = consumer.save(desk).await.err();
            }
        }
        match trouble.into_iter().flatten().next() {
            Some(error) => Err(error),
            None => Ok(self.idle(handled)),
        }
    }

    fn idle(&self, handled: u64) -> Idle {
        let consumers = &self.consumers;
        Idle {
            handled,
            parked: consumers.iter().map(Consumer::parked).sum(),
            next_timer: consumers.iter().filter_map(Consumer::next_timer).min(),
            elsewhere: consumers.iter().filter_map(|it| it.elsewhere).min(),
        }
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.consumers.iter().map(Consumer::name).collect();
        f.debug_struct("Runner")
            .field("name", &self.desk.runner)
            .field("consumers", &names)
            .finish_non_exhaustive()
    }
}

/// Whether both would fire the same timers.
fn both_own(one: &Consumer, other: &Consumer) -> bool {
    one.owner().is_some() && one.owner() == other.owner()
}

fn never_idle(steps: u64) -> Error {
    Error::new(
        Kind::NeverIdle,
        format!("still not idle after {steps} events: something reacts to what it causes itself"),
    )
}

/// Fires the timer that is due first, of all consumers.
async fn fire_first(
    desk: &Desk,
    rules: &Rules,
    consumers: &mut [Consumer],
    trouble: &mut [Option<Error>],
) -> u64 {
    let working = consumers.iter_mut().zip(trouble);
    let first = working
        .filter(|(consumer, trouble)| trouble.is_none() && consumer.next_timer().is_some())
        .min_by_key(|(consumer, _)| consumer.next_timer());
    let Some((consumer, trouble)) = first else {
        return 0;
    };
    match consumer.fire(desk, rules).await {
        Ok(fired) => fired.into(),
        Err(error) => {
            *trouble = Some(error);
            // The others go on.
            1
        }
    }
}
