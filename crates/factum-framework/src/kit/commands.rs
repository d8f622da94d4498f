//! Commands at random: what the samples do not show.
//!
//! Relies on: a generator of the application's own. Never: makes a test that cannot be seen again; whatever fails, the seed is printed.

use std::collections::BTreeMap;
use std::fmt::Debug;

use factum_types::{RecordedEvent, Timestamp};

use super::NOW;
use super::chance::{Chance, Told, random_seed};
use super::record::{one, stream};
use crate::codec;
use crate::decider::Decider;
use crate::env::Env;
use crate::event::{Event, names, read};
use crate::load::{Loaded, Origin};
use crate::snapshot::{Snapshots, differs_from_replay};

/// How many streams are lived through, unless said otherwise.
const RUNS: u32 = 100;
/// How many commands each gets, unless said otherwise.
const STEPS: u32 = 30;

/// A domain under commands at random, from a generator.
///
/// ```
/// use factum_framework::{Decider, Emit, Env, Event, Snapshots, kit};
/// # use factum_types::RecordedEvent;
/// # use serde::{Deserialize, Serialize};
/// #
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "Counted")]
/// # struct Counted { by: u64 }
/// # #[derive(Default, Clone, Serialize, Deserialize)]
/// # struct Counter { total: u64 }
/// # impl Decider for Counter {
/// #     type Command = u64;
/// #     type Event = Counted;
/// #     type Error = &'static str;
/// #     fn evolve(&mut self, event: &Counted, _: &RecordedEvent) { self.total += event.by; }
/// #     fn decide(&self, by: u64, _: &mut Env) -> Result<Emit<Counted>, &'static str> {
/// #         if self.total + by > 10 { Err("too much") } else { Ok(Counted { by }.into()) }
/// #     }
/// # }
/// # impl Snapshots for Counter {
/// #     fn samples() -> Vec<Counted> { vec![Counted { by: 2 }] }
/// # }
///
/// let tally = kit::commands::<Counter>(|chance| chance.below(5))
///     .always("never more than ten", |counter| counter.total <= 10)
///     .check();
/// assert!(tally.refused > 0, "the rule was tried");
/// assert!(tally.never_happened().is_empty());
/// ```
#[must_use = "say what is done with them: check"]
pub struct Commands<'a, D: Decider> {
    pub(super) draw: Draw<'a, D>,
    pub(super) rules: Vec<Rule<'a, D>>,
    pub(super) seed: u64,
    pub(super) runs: Option<u32>,
    pub(super) steps: u32,
}

type Draw<'a, D> = Box<dyn FnMut(&mut Chance) -> <D as Decider>::Command + 'a>;
/// What holds, and whether it does.
type Rule<'a, D> = (&'static str, Box<dyn Fn(&D) -> bool + 'a>);

/// What came of commands at random: whether a test tried what it is there for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// The seed that gives the same again.
    pub seed: u64,
    /// Commands on which something happened.
    pub accepted: u64,
    /// Commands on which nothing happened.
    pub nothing: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// How often each event happened, by its name; 0 for those that never did.
    pub events: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) fn new<E: Event>(seed: u64) -> Self {
        Self {
            seed,
            accepted: 0,
            nothing: 0,
            refused: 0,
            events: names(E::KINDS).into_iter().map(|name| (name, 0)).collect(),
        }
    }

    /// Takes note of what happened on a command.
    pub(super) fn count<E: Event>(&mut self, events: &[E]) {
        if events.is_empty() {
            self.nothing += 1;
        } else {
            self.accepted += 1;
        }
        for event in events {
            *self.events.entry(event.kind().name).or_default() += 1;
        }
    }

    /// The names of events that never happened: the generator does not come so far, or the rules are too strict.
    #[must_use]
    pub fn never_happened(&self) -> Vec<&'static str> {
        let never = self.events.iter().filter(|(_, times)| **times == 0);
        never.map(|(name, _)| *name).collect()
    }
}

/// A domain under commands that `draw` makes; see [`Commands`].
///
/// See [`Commands`] for an example.
pub fn commands<'a, D: Decider>(
    draw: impl FnMut(&mut Chance) -> D::Command + 'a,
) -> Commands<'a, D> {
    Commands {
        draw: Box::new(draw),
        rules: Vec::new(),
        seed: random_seed(),
        runs: None,
        steps: STEPS,
    }
}

impl<'a, D: Decider> Commands<'a, D> {
    /// With this seed, which a test that failed has printed; without it, another one in every run.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// So many streams are lived through, each from its beginning.
    pub const fn runs(mut self, runs: u32) -> Self {
        self.runs = Some(runs);
        self
    }

    /// So many commands are asked of each.
    pub const fn steps(mut self, steps: u32) -> Self {
        self.steps = steps;
        self
    }

    /// Something that holds for every state that is ever reached.
    pub fn always(mut self, what: &'static str, holds: impl Fn(&D) -> bool + 'a) -> Self {
        self.rules.push((what, Box::new(holds)));
        self
    }

    #[track_caller]
    pub(super) fn check_rules(&self, state: &D) {
        for (what, holds) in &self.rules {
            assert!(holds(state), "this does not hold any more: {what}");
        }
    }
}

impl<D> Commands<'_, D>
where
    D: Snapshots<Event: Debug + PartialEq, Error: Debug>,
{
    /// Lives through it all without a store, and says what came of it.
    ///
    /// After every command: the same command on the same state is decided the same, what happens is read as it was written, and what
    /// [`always`](Self::always) holds does. After every stream: a snapshot at every cut, and the rest, give what a replay gives.
    ///
    /// # Panics
    /// What does not hold; the seed is printed.
    #[expect(
        clippy::must_use_candidate,
        reason = "that it does not panic may be all that is wanted"
    )]
    pub fn check(mut self) -> Tally {
        let _told = Told::of_commands("commands at random", self.seed);
        let mut chance = Chance::new(self.seed);
        let mut tally = Tally::new::<D::Event>(self.seed);
        for _ in 0..self.runs.unwrap_or(RUNS) {
            self.live(&mut chance, &mut tally);
        }
        tally
    }

    #[track_caller]
    fn live(&mut self, chance: &mut Chance, tally: &mut Tally) {
        let mut loaded = Loaded::<D>::new(stream(), Origin::Replay);
        let mut history = Vec::new();
        self.check_rules(&loaded.state);
        for step in 0..self.steps {
            let command = (self.draw)(chance);
            let now = Timestamp::from_micros(NOW.as_micros() + i64::from(step) * 1_000_000);
            let events = decided(&loaded.state, &command, now);
            let Some(events) = events else {
                tally.refused += 1;
                continue;
            };
            tally.count(&events);
            for event in events {
                let recorded = written(&event, history.len());
                if let Err(error) = loaded.fold(&recorded) {
                    panic!("{event:?} cannot be folded: {error}");
                }
                history.push(recorded);
            }
            self.check_rules(&loaded.state);
        }
        match differs_from_replay::<D>(&history) {
            Ok(None) => (),
            Ok(Some(cut)) => panic!(
                "a snapshot after {cut} events, and the rest, differ from a replay of {history:#?}"
            ),
            Err(error) => panic!("a snapshot cannot be taken: {error}"),
        }
    }
}

/// What happens on a command, which is asked twice; `None` when it is refused.
#[track_caller]
fn decided<D>(state: &D, command: &D::Command, now: Timestamp) -> Option<Vec<D::Event>>
where
    D: Decider<Event: Debug + PartialEq, Error: Debug>,
{
    let ask = || {
        let mut env = Env::fixed(now, "a command at random");
        state.decide(command.clone(), &mut env)
    };
    match (ask(), ask()) {
        (Ok(first), Ok(second)) => {
            assert_eq!(
                first, second,
                "the same command on the same state is decided in two ways"
            );
            Some(first.into_events())
        }
        // An error need not be comparable, but it can be shown.
        (Err(first), Err(second)) if format!("{first:?}") == format!("{second:?}") => None,
        (first, second) => panic!(
            "the same command on the same state is decided in two ways: {first:?}, then {second:?}"
        ),
    }
}

/// The event as a store has it, after making sure that it is read as it was written.
#[track_caller]
fn written<E: Event + Debug + PartialEq>(event: &E, number: usize) -> RecordedEvent {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let recorded = match one(event, number) {
        Ok(recorded) => recorded,
        Err(error) => panic!("{event:?} cannot be written: {error}"),
    };
    match read::<E>(&recorded) {
        Ok(read) => assert_eq!(
            read.as_slice(),
            std::slice::from_ref(event),
            "an event is read as another"
        ),
        Err(error) => panic!("{event:?} cannot be read: {error}"),
    }
    recorded
}

/// The JSON of a state, to compare it by.
#[track_caller]
pub(super) fn json<D: Snapshots>(state: &D) -> Vec<u8> {
    match codec::encode(state) {
        Ok(json) => json,
        Err(error) => panic!("the state has no form in JSON: {error}"),
    }
}

impl<D: Decider> Debug for Commands<'_, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commands")
            .field("seed", &self.seed)
            .field("runs", &self.runs)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}
