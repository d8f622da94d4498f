//! One step of a process: given what it noted, when this reaches it, then that follows.
//!
//! Relies on: the decider that a runner asks too, so that a test sees what a runner would. Never: needs a store or a runner.

use std::fmt::Debug;

use factum_types::{RecordedEvent, Timestamp};

use super::record::{record, recorded};
use super::{NOW, fold};
use crate::book::Noted;
use crate::decider::Decider;
use crate::emit::Emit;
use crate::env::Env;
use crate::error::Error;
use crate::event::Event;
use crate::inputs::{Inputs, received};
use crate::note::Note;
use crate::process::{Given, Instance, Process, Route, What};
use crate::receiver::Rejected;

/// An instance of a process in which this happened.
#[must_use = "say what reaches it: when, when_timer or when_rejected"]
#[derive(Debug)]
pub struct ProcessGiven<P> {
    instance: Instance<P>,
    now: Timestamp,
}

/// What follows.
#[must_use = "say what is expected: then or is_ignored"]
#[derive(Debug)]
pub struct Follows<P: Process> {
    /// The route of the input, if it was one.
    route: Option<Route>,
    /// Nothing, if the process does not take it.
    emit: Option<Emit<P::Event>>,
}

/// An instance of a process that noted this, in this order; one that noted nothing has not begun.
///
/// What it noted is written and read on the way, and so is every input, as a store would. All that follows is compared: its notes,
/// messages, timers, and whether it is over.
///
/// ```
/// use std::time::Duration;
///
/// use factum_framework::kit::{self, NOW};
/// use factum_framework::{Emit, Env, Event, Process, Route};
/// use factum_types::{RecordedEvent, Timestamp};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # enum OrderEvent {
/// #     #[event(name = "OrderPlaced")]
/// #     Placed { order: String },
/// #     #[event(name = "OrderPaid")]
/// #     Paid { order: String },
/// # }
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # enum ReminderEvent {
/// #     #[event(name = "ReminderBegun")]
/// #     Begun,
/// #     #[event(name = "CustomerReminded")]
/// #     Reminded,
/// # }
///
/// /// Reminds who has not paid after a week.
/// #[derive(Default, Clone)]
/// struct Reminder;
///
/// const WEEK: Duration = Duration::from_secs(604_800);
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
///     fn evolve(&mut self, _: &ReminderEvent, _: &RecordedEvent) {}
///     fn on(&self, input: &OrderEvent, env: &mut Env) -> Emit<ReminderEvent> {
///         match input {
///             OrderEvent::Placed { .. } => Emit::from(ReminderEvent::Begun).wake("week", env.after(WEEK)),
///             OrderEvent::Paid { .. } => Emit::none(),
///         }
///     }
///     fn on_timer(&self, _: &str, _: &mut Env) -> Emit<ReminderEvent> { ReminderEvent::Reminded.into() }
/// }
///
/// let placed = OrderEvent::Placed { order: "7".into() };
/// let paid = OrderEvent::Paid { order: "7".into() };
/// let in_a_week = Timestamp::from_micros(NOW.as_micros() + 604_800_000_000);
///
/// kit::process::<Reminder>([])
///     .when(placed)
///     .routed(&Route::Start("7".into()))
///     .then(Emit::from(ReminderEvent::Begun).wake("week", in_a_week));
/// kit::process::<Reminder>([ReminderEvent::Begun]).when_timer("week").then(ReminderEvent::Reminded.into());
/// kit::process::<Reminder>([ReminderEvent::Begun]).when(paid.clone()).then(Emit::none().end());
/// kit::process::<Reminder>([]).when(paid).is_ignored();
/// ```
pub fn process<P: Process>(noted: impl IntoIterator<Item = P::Event>) -> ProcessGiven<P> {
    let noted: Vec<_> = noted.into_iter().collect();
    let instance = recorded(&noted).and_then(|recorded| fold::<Instance<P>>(&recorded));
    match instance {
        Ok(mut instance) => {
            instance.book.started = !noted.is_empty();
            ProcessGiven { instance, now: NOW }
        }
        Err(error) => panic!("what is given cannot be stored and read: {error}"),
    }
}

/// The framework's own note as a store would give it back.
fn stored(note: &Note) -> Result<RecordedEvent, Error> {
    let kind = note.kind();
    record(kind.name, kind.version, note.encode()?, 0)
}

impl<P: Process> ProcessGiven<P> {
    /// The same at this moment.
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// The same, begun and over: as after [`Emit::end`] or an input that is routed to its [`Route::End`].
    pub fn ended(mut self) -> Self {
        (self.instance.book.started, self.instance.book.ended) = (true, true);
        self
    }

    /// What follows from this event, wherever it happened. It is routed as a runner would, and only for this instance.
    ///
    /// # Panics
    /// It cannot be stored, or the process does not read it as exactly one input.
    #[track_caller]
    pub fn when<E: Event>(self, event: E) -> Follows<P> {
        let name = event.kind().name;
        let heard = recorded(&[event]).and_then(|stored| self.heard(stored));
        let (input, event) = match heard.map(<[(P::Input, RecordedEvent); 1]>::try_from) {
            Ok(Ok([heard])) => heard,
            Ok(Err(heard)) => panic!(
                "{name} is read as {} inputs of process {}, not as one",
                heard.len(),
                P::NAME
            ),
            Err(error) => panic!("the event cannot be stored and read: {error}"),
        };
        let route = P::route(&input, &event);
        let given = Given {
            note: received(&event, 0),
            what: What::Input(input, route.clone()),
        };
        Follows {
            route: Some(route),
            ..self.given(given)
        }
    }

    /// What follows when this timer is due, which is taken to be pending.
    #[track_caller]
    pub fn when_timer(mut self, timer: &str) -> Follows<P> {
        let set = Note::TimerSet {
            timer: timer.to_owned(),
            at_us: self.now.as_micros(),
        };
        let stored = match stored(&set) {
            Ok(stored) => stored,
            Err(error) => panic!("a timer {timer:?} cannot be set: {error}"),
        };
        self.instance.book.take(&set, &stored);
        let given = Given {
            note: Note::fired(timer.to_owned(), &stored),
            what: What::Timer(timer.to_owned()),
        };
        self.given(given)
    }

    /// What follows when something that it sent was refused; see [`Rejected::new`].
    #[track_caller]
    pub fn when_rejected(self, rejected: Rejected) -> Follows<P> {
        let note = Note::MessageRejected {
            message: rejected.message.to_string(),
            to: rejected.stream.clone(),
            command: rejected.command.clone(),
            reason: rejected.reason.clone(),
        };
        match stored(&note) {
            Ok(stored) => {
                let note = received(&stored, 0);
                let what = What::Rejected(rejected);
                self.given(Given { note, what })
            }
            Err(error) => panic!("the refusal cannot be stored: {error}"),
        }
    }

    /// What it reads these events as, each input with its event.
    fn heard(&self, stored: Vec<RecordedEvent>) -> Result<Vec<(P::Input, RecordedEvent)>, Error> {
        let names = P::Input::names();
        let mut heard = Vec::new();
        for mut event in stored {
            event.time = self.now;
            if names.contains(&event.event_type.as_str()) {
                let inputs = P::Input::read(&event)?;
                heard.extend(inputs.into_iter().map(|input| (input, event.clone())));
            }
        }
        Ok(heard)
    }

    #[track_caller]
    fn given(self, given: Given<P::Input>) -> Follows<P> {
        let mut env = Env::fixed(self.now, "a test");
        let Ok(mut emit) = self.instance.decide(given, &mut env);
        // Whatever it takes is noted; without a note it was not asked.
        let taken = emit.take_note().is_some();
        let emit = emit.map(|event| match event {
            Noted::Event(event) => event,
            Noted::Note(note) => panic!("the process emits {note:?}, which is the framework's"),
        });
        Follows {
            route: None,
            emit: taken.then_some(emit),
        }
    }
}

impl<P: Process<Event: Debug + PartialEq>> Follows<P> {
    /// The input is for this instance, and in this way.
    ///
    /// # Panics
    /// It is routed otherwise, or was no input.
    #[track_caller]
    pub fn routed(self, expected: &Route) -> Self {
        assert_eq!(
            self.route.as_ref(),
            Some(expected),
            "another route was expected"
        );
        self
    }

    /// Exactly this follows: notes, messages, timers, in this order, and whether it is over. An input that is routed to its
    /// [`Route::End`] ends it: that is expected as [`Emit::end`]. With [`Emit::none`], it is taken and nothing follows.
    ///
    /// # Panics
    /// Something else follows, or the instance does not take it.
    #[track_caller]
    pub fn then(self, expected: Emit<P::Event>) {
        match self.emit {
            Some(_) => assert_eq!(self.emit, Some(expected), "this was expected to follow"),
            None => panic!("expected {expected:?}, but the process does not take it"),
        }
    }

    /// The instance does not take it: it is for none, or this one has not begun or is over.
    ///
    /// # Panics
    /// It is taken.
    #[track_caller]
    pub fn is_ignored(self) {
        if let Some(emit) = self.emit {
            panic!("expected to be ignored, but it was taken, and this follows: {emit:?}");
        }
    }
}
