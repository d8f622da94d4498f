//! What is handled a second time, after a crash or by a second runner, comes out as it did the first time.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use factum_framework::kit::FakeWorld;
use factum_framework::{
    Decider, Emit, Env, Event, Inputs, Process, Receiver, RecordedEvent, Repository, Route, Runner,
    StartFrom,
};
use factum_store::{AppendBatch, EventStore, Kind, MemoryStore, ReadRequest};
use factum_types::StreamName;
use pollster::block_on;
use serde::{Deserialize, Serialize};

use crate::hooked::{Hooked, busy, writes};

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) enum DoorEvent {
    #[event(name = "DoorOpened")]
    Opened,
    #[event(name = "DoorEntered")]
    Entered,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) enum Do {
    Open,
    /// Refused while the door is shut.
    Enter,
    /// Has somebody enter by another door.
    Send(String),
}

/// A door that is shut until it is opened.
#[derive(Default, Clone, Debug)]
pub(crate) struct Door {
    open: bool,
}

impl Decider for Door {
    type Command = Do;
    type Event = DoorEvent;
    type Error = &'static str;

    fn evolve(&mut self, event: &DoorEvent, _: &RecordedEvent) {
        self.open |= *event == DoorEvent::Opened;
    }

    fn decide(&self, command: Do, _: &mut Env) -> Result<Emit<DoorEvent>, &'static str> {
        match command {
            Do::Open => Ok(DoorEvent::Opened.into()),
            Do::Enter if !self.open => Err("the door is shut"),
            Do::Enter => Ok(DoorEvent::Entered.into()),
            Do::Send(to) => Ok(Emit::none().send::<Self>(to, &Do::Enter)),
        }
    }
}

impl Receiver for Door {
    const CATEGORY: &'static str = "door";
}

struct House {
    store: MemoryStore,
    repository: Repository,
}

impl House {
    fn new() -> Self {
        let store = MemoryStore::new();
        let repository = over(Arc::new(store.clone()), 7);
        Self { store, repository }
    }

    fn ask(&self, door: &str, command: Do) {
        let run = self.repository.run::<Door>(door, command);
        block_on(run.into_future()).unwrap();
    }

    fn types(&self, stream: &str) -> Vec<String> {
        let stream = StreamName::new(stream).unwrap();
        match block_on(self.store.read(ReadRequest::stream(stream)).collect()) {
            Err(error) if error.kind() == Kind::NotFound => Vec::new(),
            events => {
                let events = events.unwrap();
                let types = events.iter().map(|event| event.event_type.to_string());
                types.collect()
            }
        }
    }

    fn count(&self, stream: &str, name: &str) -> usize {
        let types = self.types(stream);
        types.iter().filter(|it| it.as_str() == name).count()
    }

    /// How often it was refused, and how often somebody entered.
    fn outcome(&self) -> (usize, usize) {
        (
            self.count("door-a", "factum.MessageRejected"),
            self.count("door-b", "DoorEntered"),
        )
    }

    /// Another runner, from the beginning.
    fn run(&self) {
        let mut runner = doors(&self.repository);
        block_on(runner.run_until_idle()).unwrap();
    }
}

fn over(store: Arc<dyn EventStore>, seed: u64) -> Repository {
    Repository::new(store).with_world(FakeWorld::new(seed).world())
}

fn doors(repository: &Repository) -> Runner {
    Runner::new(repository).receiver::<Door>()
}

#[test]
fn what_was_refused_is_not_done_after_a_crash() {
    let house = House::new();
    house.ask("door-a", Do::Send("door-b".into()));
    let dying = over(Hooked::without_checkpoints(house.store.clone()), 8);
    block_on(doors(&dying).run_until_idle()).unwrap_err();
    assert_eq!(house.outcome(), (1, 0));
    house.ask("door-b", Do::Open);
    house.run();
    assert_eq!(house.outcome(), (1, 0), "it was refused, and stays so");
}

/// One runner has decided to refuse; before it notes that, the door is opened and another runner lets in.
#[test]
fn a_refusal_that_comes_second_is_not_noted() {
    let house = Arc::new(House::new());
    house.ask("door-a", Do::Send("door-b".into()));
    let (other, once) = (Arc::clone(&house), AtomicBool::new(false));
    let hooked = Hooked::new(house.store.clone(), move |batch| {
        if writes(batch, "factum.MessageRejected") && !once.swap(true, Ordering::SeqCst) {
            other.ask("door-b", Do::Open);
            other.run();
        }
        None
    });
    block_on(doors(&over(hooked, 8)).run_until_idle()).unwrap();
    assert_eq!(house.outcome(), (0, 1));
}

/// One runner has refused, but its note is on the way; the door is opened, and the note arrives before another runner lets in.
#[test]
fn what_is_refused_meanwhile_is_not_done() {
    let house = House::new();
    house.ask("door-a", Do::Send("door-b".into()));
    let note: Arc<Mutex<Option<AppendBatch>>> = Arc::default();
    let late = Arc::clone(&note);
    let first = Hooked::new(house.store.clone(), move |batch| {
        let refused = writes(batch, "factum.MessageRejected");
        refused.then(|| {
            *late.lock().unwrap() = Some(batch.clone());
            busy()
        })
    });
    block_on(doors(&over(first, 8)).run_until_idle()).unwrap_err();
    assert_eq!(house.outcome(), (0, 0));

    house.ask("door-b", Do::Open);
    let behind = house.store.clone();
    let second = Hooked::new(house.store.clone(), move |batch| {
        if writes(batch, "DoorEntered")
            && let Some(note) = note.lock().unwrap().take()
        {
            block_on(behind.append(note)).unwrap();
        }
        None
    });
    let mut runner = doors(&over(second, 9)).retry(factum_framework::Retry::never());
    let idle = block_on(runner.run_until_idle()).unwrap();
    assert_eq!((house.outcome(), idle.parked), ((1, 0), 0));
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "TripSaw")]
struct Saw {
    what: String,
}

/// What a trip hears of a stop; `stops` are read as one input each.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "BusPassed")]
struct Passed {
    stops: Vec<String>,
}

#[derive(Clone, Debug)]
struct Passing(String);

impl Inputs for Passing {
    fn names() -> Vec<&'static str> {
        <Passed as Inputs>::names()
    }

    fn read(event: &RecordedEvent) -> Result<Vec<Self>, factum_framework::Error> {
        let passed = <Passed as Inputs>::read(event)?;
        let stops = passed.into_iter().flat_map(|passed| passed.stops);
        Ok(stops.map(Self).collect())
    }
}

/// Goes from the stop `begin` to the stop `end`, and notes what lies between.
#[derive(Default, Clone)]
struct Trip {
    seen: Vec<String>,
}

impl Process for Trip {
    const NAME: &'static str = "trip";
    type Input = Passing;
    type Event = Saw;

    fn route(Passing(stop): &Passing, _: &RecordedEvent) -> Route {
        match stop.as_str() {
            "begin" => Route::Start("1".into()),
            "end" => Route::End("1".into()),
            _ => Route::Continue("1".into()),
        }
    }

    fn evolve(&mut self, event: &Saw, _: &RecordedEvent) {
        self.seen.push(event.what.clone());
    }

    fn on(&self, Passing(stop): &Passing, _: &mut Env) -> Emit<Saw> {
        Saw { what: stop.clone() }.into()
    }
}

/// Somewhere for buses to pass.
#[derive(Default, Clone)]
struct Street;

impl Decider for Street {
    type Command = &'static [&'static str];
    type Event = Passed;
    type Error = String;
    fn evolve(&mut self, _: &Passed, _: &RecordedEvent) {}
    fn decide(&self, stops: Self::Command, _: &mut Env) -> Result<Emit<Passed>, String> {
        let stops = stops.iter().map(|stop| (*stop).to_owned()).collect();
        Ok(Passed { stops }.into())
    }
}

/// The trip after one pass of a runner that dies before it saves, and after another.
fn travelled(events: &[&'static [&'static str]]) -> [(Vec<String>, bool); 2] {
    let house = House::new();
    for stops in events {
        let run = house.repository.run::<Street>("street-1", *stops);
        block_on(run.into_future()).unwrap();
    }
    let trip = || {
        let trip = block_on(house.repository.process::<Trip>("1")).unwrap();
        trip.map(|trip| (trip.state.seen, trip.ended)).unwrap()
    };
    let trips = |repository| Runner::new(repository).process::<Trip>(StartFrom::Beginning);
    let dying = over(Hooked::without_checkpoints(house.store.clone()), 8);
    block_on(trips(&dying).run_until_idle()).unwrap_err();
    let first = trip();
    block_on(trips(&house.repository).run_until_idle()).unwrap();
    [first, trip()]
}

fn all_see(events: &[&'static [&'static str]], seen: &[&str], ended: bool) {
    let seen: Vec<_> = seen.iter().map(|it| (*it).to_owned()).collect();
    let expected = (seen, ended);
    assert_eq!(
        travelled(events),
        [expected.clone(), expected],
        "{events:?}"
    );
}

#[test]
fn what_came_before_a_process_began_does_not_reach_it_later() {
    all_see(
        &[&["early"], &["begin"], &["late"]],
        &["begin", "late"],
        false,
    );
    all_see(
        &[&["end"], &["begin"], &["late"]],
        &["begin", "late"],
        false,
    );
    // Several inputs of one event come one after another.
    all_see(&[&["early", "begin", "late"]], &["begin", "late"], false);
    all_see(&[&["end", "begin"], &["late"]], &["begin", "late"], false);
}

#[test]
fn what_comes_after_a_process_is_over_does_not_begin_it_again() {
    let events: &[&[_]] = &[&["begin"], &["end"], &["late"], &["begin"], &["later"]];
    all_see(events, &["begin", "end"], true);
    all_see(
        &[&["begin", "end", "begin", "late"]],
        &["begin", "end"],
        true,
    );
}
