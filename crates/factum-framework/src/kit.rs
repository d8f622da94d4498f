//! The test kit for an application's own domain: given what happened, when this is asked, then that happens.
//!
//! What lives here: [`given`], [`check`], golden samples. Relies on: nothing stored and no clock. Never: is needed outside of tests.
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

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use factum_io::sim::{SimClock, SimRandom};
use factum_io::{Clock, Random};
use factum_types::{
    ContentType, EventId, EventType, Metadata, Position, RecordKind, RecordedEvent, Revision,
    StreamName, Timestamp,
};

use futures_core::future::BoxFuture;

use crate::decider::{Decider, Emit};
use crate::env::{Env, derive_id};
use crate::error::Error;
use crate::event::Event;
use crate::load::{Loaded, Origin};
use crate::lock::has_line;
use crate::snapshot::{Snapshots, differs_from_replay};
use crate::versions::Raw;
use crate::world::{Background, Timer, World};

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

/// Checks a domain by its samples: they survive writing and reading, every kind of event has one, and a snapshot at every cut gives what
/// a replay gives.
///
/// # Panics
/// What is wrong, and with which event.
#[track_caller]
pub fn check<D: Snapshots<Event: Debug + PartialEq>>() {
    let samples = D::samples();
    for kind in D::Event::KINDS {
        assert!(
            samples.iter().any(|sample| sample.kind() == kind),
            "{} has no sample",
            kind.name
        );
    }
    let recorded = match recorded(&samples) {
        Ok(recorded) => recorded,
        Err(error) => panic!("a sample cannot be written: {error}"),
    };
    for (sample, recorded) in samples.iter().zip(&recorded) {
        match crate::event::read::<D::Event>(recorded) {
            Ok(read) => assert_eq!(
                read.as_slice(),
                std::slice::from_ref(sample),
                "a sample is read as another"
            ),
            Err(error) => panic!("{sample:?} cannot be read: {error}"),
        }
    }
    match differs_from_replay::<D>(&recorded) {
        Ok(None) => (),
        Ok(Some(cut)) => {
            panic!("a snapshot after {cut} of the samples, and the rest, differ from a replay")
        }
        Err(error) => panic!("a snapshot cannot be taken: {error}"),
    }
}

/// Checks that stored samples of every version can still be read.
///
/// `samples` has one JSON object a line, `{"type": …, "version": …, "data": …}`; `lock` is the lock file, each of whose lines wants a sample.
///
/// # Errors
/// [`Kind::Decode`](crate::Kind::Decode): a sample cannot be read. [`Kind::Invalid`](crate::Kind::Invalid): a version has no sample, or
/// a line is no sample.
pub fn check_golden<E: Event>(samples: &str, lock: &str) -> Result<(), Error> {
    let mut seen = String::new();
    for line in samples.lines().filter(|line| !line.trim().is_empty()) {
        let raw = golden(line).ok_or_else(|| Error::invalid(format!("no sample: {line}")))?;
        let event = record(&raw.name, raw.version, crate::codec::encode(&raw.data)?, 0)?;
        crate::event::read::<E>(&event)?;
        seen.push_str(&format!("{} v{} \n", raw.name, raw.version));
    }
    for line in lock
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        let start: Vec<_> = line.splitn(3, ' ').take(2).collect();
        let start = format!("{} ", start.join(" "));
        if !has_line(&seen, &start, false) {
            return Err(Error::invalid(format!(
                "no golden sample of {}",
                start.trim_end()
            )));
        }
    }
    Ok(())
}

fn golden(line: &str) -> Option<Raw> {
    let mut value: serde_json::Value = serde_json::from_str(line).ok()?;
    let data = value.get_mut("data")?.take();
    let version = u32::try_from(value.get("version")?.as_u64()?).ok()?;
    Some(Raw::new(value.get("type")?.as_str()?, version, data))
}

/// The events as a store would give them back: one stream, one second apart.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid): an event cannot be written.
pub fn recorded<E: Event>(events: &[E]) -> Result<Vec<RecordedEvent>, Error> {
    let numbered = (0..).zip(events);
    numbered
        .map(|(number, event)| {
            let kind = event.kind();
            let mut recorded = record(kind.name, kind.version, event.encode()?, number)?;
            recorded.tags = event.tags()?;
            Ok(recorded)
        })
        .collect()
}

fn record(name: &str, version: u32, data: Vec<u8>, number: u32) -> Result<RecordedEvent, Error> {
    Ok(RecordedEvent {
        id: sample_id(number),
        stream: stream(),
        revision: Revision::new(number.into()),
        position: Position::from_raw(number.into()),
        time: Timestamp::from_micros(NOW.as_micros() + i64::from(number) * 1_000_000),
        event_type: EventType::new(name)?,
        data: data.into(),
        content_type: ContentType::Json,
        schema_version: version,
        tags: Vec::new(),
        metadata: Metadata::default(),
        personal: factum_types::Bytes::new(),
        kind: RecordKind::Event,
    })
}

fn sample_id(number: u32) -> EventId {
    derive_id(&["sample", &number.to_string()])
}

#[expect(clippy::expect_used, reason = "the name is written here")]
pub(crate) fn stream() -> StreamName {
    StreamName::new("sample-1").expect("a plain name is valid")
}

/// A world for tests of a repository: a clock that is moved by hand, ids that are the same in every run, waits that are over at once, and
/// a background that works when it is told to.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use factum_framework::{Repository, kit::FakeWorld};
/// use factum_store::MemoryStore;
///
/// let fake = FakeWorld::new(7);
/// let repository = Repository::new(Arc::new(MemoryStore::new())).with_world(fake.world());
/// fake.clock.advance(Duration::from_secs(3_600));
/// # drop(repository);
/// ```
#[derive(Debug, Clone)]
pub struct FakeWorld {
    /// The clock, to be moved.
    pub clock: Arc<SimClock>,
    random: Arc<dyn Random>,
    tasks: Arc<Tasks>,
}

impl FakeWorld {
    /// A world that is the same for the same seed, at [`NOW`].
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            clock: Arc::new(SimClock::new(NOW.as_micros())),
            random: Arc::new(SimRandom::new(seed)),
            tasks: Arc::new(Tasks::default()),
        }
    }

    /// The world, for a repository.
    #[must_use]
    pub fn world(&self) -> World {
        World {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            random: Arc::clone(&self.random),
            timer: Arc::clone(&self.tasks) as Arc<dyn Timer>,
            background: Arc::clone(&self.tasks) as Arc<dyn Background>,
        }
    }

    /// Does all that waits in the background, and says how much that was.
    pub async fn run_background(&self) -> usize {
        let mut done = 0;
        while let Some(task) = self.tasks.next() {
            task.await;
            done += 1;
        }
        done
    }
}

/// Work that waits until it is told to go on.
#[derive(Default)]
struct Tasks(Mutex<VecDeque<BoxFuture<'static, ()>>>);

impl Tasks {
    fn next(&self) -> Option<BoxFuture<'static, ()>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

impl Timer for Tasks {
    fn wait(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl Background for Tasks {
    fn start(&self, task: BoxFuture<'static, ()>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(task);
    }
}

impl Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tasks")
    }
}
