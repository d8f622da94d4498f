//! The test kit for an application's own domain: given what happened, when this is asked, then that happens.
//!
//! What lives here:
//!
//! | to test | there is |
//! |---|---|
//! | one decision | [`given`], `when`, `then` |
//! | one step of a process | [`process`], `when`, `when_timer`, `when_rejected`, `then` |
//! | a domain by its samples | [`check`] |
//! | a domain by commands at random | [`commands`], and the same on a store: [`Commands::check_on`] |
//! | stored samples of every version | [`check_golden`], [`check_rest`] |
//! | a view | [`projection`] |
//! | what happens when many act at once | [`race`] |
//! | a store that answers badly | [`Chaos`], [`check_exactly_once`] |
//! | time, chance and the background | [`FakeWorld`] |
//!
//! Relies on: no clock and nothing stored, but where a store is given. Never: is needed outside of tests.
//!
//! ```
//! use factum_framework::kit::given;
//! # use factum_framework::{Decider, Emit, Env, Event};
//! # use factum_types::RecordedEvent;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
//! # #[event(name = "Counted")]
//! # struct Counted { by: u32 }
//! # #[derive(Default, Clone)]
//! # struct Counter { total: u32 }
//! # impl Decider for Counter {
//! #     type Command = u32;
//! #     type Event = Counted;
//! #     type Error = &'static str;
//! #     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
//! #     fn decide(&self, by: u32, _: &mut Env) -> Result<Emit<Counted>, &'static str> {
//! #         match by {
//! #             0 => Ok(Emit::none()),
//! #             by if self.total + by > 10 => Err("too much"),
//! #             by => Ok(Counted { by }.into()),
//! #         }
//! #     }
//! # }
//! given::<Counter>([Counted { by: 7 }]).when(2).then([Counted { by: 2 }]);
//! given::<Counter>([Counted { by: 7 }]).when(4).rejects(&"too much");
//! given::<Counter>([]).when(0).nothing_happens();
//! ```

#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a failed expectation of a test is a panic"
)]

mod chance;
mod chaos;
mod check;
mod commands;
mod golden;
mod once;
mod process;
mod projection;
mod race;
mod record;
mod strategies;
mod world;

use std::fmt::Debug;

use factum_types::{RecordedEvent, Timestamp};

pub use chance::{Chance, random_seed};
pub use chaos::{Chaos, Trouble, Troubles};
pub use check::check;
pub use commands::{Commands, Tally, commands};
pub use golden::{check_golden, check_rest, golden_lines};
pub use once::check_exactly_once;
pub use process::{Follows, ProcessGiven, process};
pub use projection::{Projection, project, projection};
pub use race::race;
pub use record::recorded;
pub(crate) use record::stream;
pub use world::FakeWorld;

use crate::decider::{Decider, Emit};
use crate::env::Env;
use crate::error::Error;
use crate::load::{Loaded, Origin};

/// When everything in a test happens, unless it says otherwise: 2024-01-01T00:00:00Z.
pub const NOW: Timestamp = Timestamp::from_micros(1_704_067_200_000_000);

/// A domain in which this happened.
#[must_use = "say what is asked: when"]
#[derive(Debug)]
pub struct Given<D> {
    state: D,
    now: Timestamp,
}

/// What came of it.
#[must_use = "say what is expected: then, rejects or nothing_happens"]
#[derive(Debug)]
pub struct When<D: Decider> {
    outcome: Result<Emit<D::Event>, D::Error>,
}

/// A domain in which these events happened, in this order. They are written and read on the way, as a store would.
///
/// ```
/// use factum_framework::kit;
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
/// kit::given::<Counter>([Counted { by: 7 }]).when(2).then([Counted { by: 2 }]);
/// kit::given::<Counter>([Counted { by: 7 }]).when(4).rejects(&"too much");
/// ```
pub fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    let events: Vec<_> = events.into_iter().collect();
    let state = recorded(&events).and_then(|recorded| fold::<D>(&recorded));
    match state {
        Ok(state) => Given { state, now: NOW },
        Err(error) => panic!("what is given cannot be stored and read: {error}"),
    }
}

fn fold<D: Decider>(events: &[RecordedEvent]) -> Result<D, Error> {
    let mut loaded = Loaded::<D>::new(stream(), Origin::Replay);
    for event in events {
        loaded.fold(event)?;
    }
    Ok(loaded.state)
}

impl<D: Decider> Given<D> {
    /// The same at this moment.
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// What comes of this command.
    pub fn when(self, command: D::Command) -> When<D> {
        let mut env = Env::fixed(self.now, "a test");
        When {
            outcome: self.state.decide(command, &mut env),
        }
    }
}

impl<D: Decider<Event: Debug + PartialEq, Error: Debug + PartialEq>> When<D> {
    /// Exactly these events happen.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = D::Event>) {
        let expected: Vec<_> = expected.into_iter().collect();
        match self.outcome {
            Ok(emit) => assert_eq!(emit.events(), expected, "these events were expected"),
            Err(error) => panic!("expected {expected:?}, but it was rejected: {error:?}"),
        }
    }

    /// It is refused, for this reason.
    #[track_caller]
    pub fn rejects(self, expected: &D::Error) {
        match self.outcome {
            Ok(emit) => panic!(
                "expected a refusal, {expected:?}, but these happened: {:?}",
                emit.events()
            ),
            Err(error) => assert_eq!(error, *expected, "another reason was expected"),
        }
    }

    /// It is accepted, and nothing happens.
    #[track_caller]
    pub fn nothing_happens(self) {
        self.then([]);
    }
}
