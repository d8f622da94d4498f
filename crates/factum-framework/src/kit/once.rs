//! Commands behind chaos: each acts exactly once, by its idempotency key.
//!
//! Relies on: a small domain of its own, written by hand. Never: lets a request go before it is answered surely.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::sync::Arc;

use factum_store::{EventStore, ReadRequest};
use factum_types::{RecordedEvent, StreamName, Tag};

use super::chance::Told;
use super::{Chaos, FakeWorld, Troubles, race};
use crate::codec;
use crate::decider::{Decider, Emit};
use crate::decision::{Decision, Scope, View};
use crate::env::Env;
use crate::error::Error;
use crate::event::{Event, EventKind};
use crate::repository::Repository;
use crate::retry::Retry;
use crate::run::RunError;
use crate::world::run_here;

/// How many writers send requests at once.
const WRITERS: usize = 8;
/// How many requests each writer sends; every request is sent by two writers.
const REQUESTS: usize = 12;
/// How many seats there are: fewer than requests that want one.
const SEATS: usize = 20;
/// How often a request is sent before the store counts as never answering.
const SENDS_MAX: usize = 1_000;

/// Checks that commands with idempotency keys act exactly once over a store that is put behind [`Chaos`].
///
/// Eight writers send requests, each request by two of them and again until it is answered, to a decider and to a decision over tags. Answers are
/// lost, requests are lost or arrive twice, the store is busy, reads break. In the end every request has acted once, in the order that
/// the store has, and no seat was given twice. The store must be empty.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::kit;
/// use factum_store::MemoryStore;
///
/// kit::check_exactly_once(&Arc::new(MemoryStore::new()), kit::random_seed());
/// ```
///
/// # Panics
/// A request acted twice or not at all, or is never answered; the seed is printed.
pub fn check_exactly_once<S: EventStore + 'static>(store: &Arc<S>, seed: u64) {
    let _told = told(seed);
    let chaos = Arc::new(Chaos::new(Arc::clone(store), seed, Troubles::all()));
    let world = FakeWorld::new(seed).world();
    let repository = Repository::new(chaos).with_world(world);
    race(WRITERS, |writer| send_all(&repository, writer / 2));
    race(WRITERS, |writer| take_seats(&repository, writer / 2));
    if let Err(error) = run_here(check_counted(&**store)) {
        panic!("what was written cannot be read: {error}");
    }
}

fn told(seed: u64) -> Told {
    Told {
        what: "exactly once behind chaos",
        seed,
        again: format!("kit::check_exactly_once(&store, {seed})"),
    }
}

async fn send_all(repository: &Repository, pair: usize) {
    for number in 0..REQUESTS {
        let request = format!("request {pair}.{number}");
        sent(&request, || {
            let run = repository.run::<Counter>("counter-1", request.clone());
            run.idempotency(&request).retry(Retry::jittered(20))
        })
        .await;
    }
}

async fn take_seats(repository: &Repository, pair: usize) {
    for number in 0..REQUESTS {
        let request = format!("seat {pair}.{number}");
        sent(&request, || {
            let take = Take {
                who: request.clone(),
            };
            let decide = repository.decide(take);
            decide.idempotency(&request).retry(Retry::jittered(20))
        })
        .await;
    }
}

/// Sends a request until it is answered surely: done, or refused.
async fn sent<F, T, R>(request: &str, send: impl Fn() -> F)
where
    F: IntoFuture<Output = Result<T, RunError<R>>>,
{
    let mut last = None;
    for _ in 0..SENDS_MAX {
        match send().into_future().await {
            Ok(_) | Err(RunError::Rejected(_)) => return,
            Err(RunError::Failed(error)) => last = Some(error),
        }
    }
    panic!("{request} was sent {SENDS_MAX} times and never answered surely; at last: {last:?}");
}

async fn check_counted(store: &dyn EventStore) -> Result<(), Error> {
    let stream = StreamName::new("counter-1")?;
    let counted = store.read(ReadRequest::stream(stream)).collect().await?;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for event in &counted {
        *times.entry(Done::read(event)?).or_default() += 1;
    }
    let requests = WRITERS / 2 * REQUESTS;
    assert_eq!(times.len(), requests, "not every request acted: {times:?}");
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "acted more than once: {twice:?}");
    let tag = Tag::new(SEAT)?;
    let seats = store.read(ReadRequest::tag(tag)).collect().await?;
    let mut who: Vec<_> = seats.iter().map(Done::read).collect::<Result<_, Error>>()?;
    who.sort();
    who.dedup();
    assert_eq!(
        (seats.len(), who.len()),
        (SEATS, SEATS),
        "seats given, and to how many: there are {SEATS}"
    );
    Ok(())
}

const SEAT: &str = "hall:1";

/// A request was done.
#[derive(Debug, Clone)]
struct Done {
    request: String,
    seat: bool,
}

impl Done {
    fn read(event: &RecordedEvent) -> Result<String, Error> {
        codec::decode(event.event_type.as_str(), event.schema_version, &event.data)
    }
}

impl Event for Done {
    const KINDS: &'static [EventKind] = &[EventKind::new("RequestDone", 1, "(String)")];

    fn kind(&self) -> &'static EventKind {
        &Self::KINDS[0]
    }

    fn tags(&self) -> Result<Vec<Tag>, Error> {
        Ok(if self.seat {
            vec![Tag::new(SEAT)?]
        } else {
            Vec::new()
        })
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        codec::encode(&self.request)
    }

    fn decode(name: &str, version: u32, data: &[u8]) -> Result<Self, Error> {
        let request = codec::decode(name, version, data)?;
        let seat = false;
        Ok(Self { request, seat })
    }
}

#[derive(Debug, Default, Clone)]
struct Counter;

impl Decider for Counter {
    type Command = String;
    type Event = Done;
    type Error = String;

    fn evolve(&mut self, _: &Done, _: &RecordedEvent) {}

    fn decide(&self, request: String, _: &mut Env) -> Result<Emit<Done>, String> {
        let seat = false;
        Ok(Done { request, seat }.into())
    }
}

#[derive(Debug, Default)]
struct Taken(usize);

impl View for Taken {
    type Event = Done;

    fn scope(&self) -> Scope {
        Scope::of::<Done>().tag("hall", 1)
    }

    fn evolve(&mut self, _: &Done, _: &RecordedEvent) {
        self.0 += 1;
    }
}

struct Take {
    who: String,
}

impl Decision for Take {
    type Views = Taken;
    type Event = Done;
    type Error = &'static str;

    fn stream(&self) -> String {
        format!("visitor-{}", self.who.len() % 2)
    }

    fn views(&self) -> Taken {
        Taken::default()
    }

    fn decide(&self, taken: &Taken, _: &mut Env) -> Result<Emit<Done>, &'static str> {
        if taken.0 >= SEATS {
            return Err("all seats are taken");
        }
        let (request, seat) = (self.who.clone(), true);
        Ok(Done { request, seat }.into())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_failure_tells_how_to_see_it_again() {
        assert_eq!(
            super::told(7).text(),
            "exactly once behind chaos failed with seed 7: see it again with kit::check_exactly_once(&store, 7)"
        );
    }
}
