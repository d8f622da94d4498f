//! The writer's threads under a schedule explorer (shuttle): queue, committers, ordered publishing, answers, closing.
//!
//! Every lock and condition of the engine is the explorer's here, and it decides who runs. A failure prints the schedule that
//! replays it. The disk and the clock are simulated, so nothing else varies.

use std::sync::Arc;
use std::thread;

use factum_engine::{Engine, Options};
use factum_io::Env;
use factum_io::sim::SimEnv;
use factum_io::spawn::{JoinHandle, Spawner};
use factum_store::{AppendBatch, EventStore, Kind, ReadRequest, SubscribeRequest};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, Revision, StreamName};

const SCHEDULES: usize = 20_000;

/// Threads of the explorer.
#[derive(Debug)]
struct Explored;

#[derive(Debug)]
struct Handle(shuttle::thread::JoinHandle<()>);

impl JoinHandle for Handle {
    fn join(self: Box<Self>) -> thread::Result<()> {
        self.0.join()
    }

    fn is_finished(&self) -> bool {
        false
    }
}

impl Spawner for Explored {
    fn spawn(
        &self,
        _: &str,
        run: Box<dyn FnOnce() + Send>,
    ) -> std::io::Result<Box<dyn JoinHandle>> {
        Ok(Box::new(Handle(shuttle::thread::spawn(run))))
    }
}

fn env(seed: u64) -> Env {
    Env {
        spawner: Arc::new(Explored),
        ..SimEnv::new(seed).env()
    }
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

fn event(number: u64) -> NewEvent {
    let id = EventId::from_bytes(u128::from(number).to_be_bytes());
    NewEvent::json(id, EventType::new("Counted").unwrap(), number.to_string())
}

/// Writers that each count in a stream of their own, and all in one they share.
fn count(store: &Engine, writer: u64, rounds: u64) {
    for round in 0..rounds {
        let own = stream(&format!("own-{writer}"));
        let expected = match round.checked_sub(1) {
            None => ExpectedRevision::NoStream,
            Some(last) => ExpectedRevision::Exactly(Revision::new(last)),
        };
        let number = writer * 100 + round;
        let batch = AppendBatch::events(own, expected, vec![event(number)]);
        let receipt = shuttle::future::block_on(store.append(batch)).unwrap();
        let head = shuttle::future::block_on(store.head()).unwrap();
        assert!(
            head >= Some(receipt.last),
            "acknowledged at {:?}, published to {head:?}",
            receipt.last
        );
        let batch =
            AppendBatch::events(stream("shared"), ExpectedRevision::Any, vec![event(number)]);
        shuttle::future::block_on(store.append(batch)).unwrap();
    }
}

/// The same, with all that a writer appends handed over together.
fn count_together(store: &Engine, writer: u64, rounds: u64) {
    let own = stream(&format!("own-{writer}"));
    let batches = (0..rounds).flat_map(|round| {
        let expected = match round.checked_sub(1) {
            None => ExpectedRevision::NoStream,
            Some(last) => ExpectedRevision::Exactly(Revision::new(last)),
        };
        let event = event(writer * 100 + round);
        [
            AppendBatch::events(own.clone(), expected, vec![event.clone()]),
            AppendBatch::events(stream("shared"), ExpectedRevision::Any, vec![event]),
        ]
    });
    let answers = shuttle::future::block_on(store.append_each(batches.collect()));
    assert_eq!(answers.len() as u64, 2 * rounds);
    let head = shuttle::future::block_on(store.head()).unwrap();
    for answer in answers {
        let last = answer.unwrap().last;
        assert!(
            head >= Some(last),
            "acknowledged at {last:?}, published to {head:?}"
        );
    }
}

fn check(store: &Engine, writers: u64, rounds: u64) {
    let all = shuttle::future::block_on(store.read(ReadRequest::all()).collect()).unwrap();
    assert_eq!(all.len() as u64, 2 * writers * rounds);
    let shared =
        shuttle::future::block_on(store.read(ReadRequest::stream(stream("shared"))).collect());
    for (index, event) in shared.unwrap().iter().enumerate() {
        assert_eq!(event.revision, Revision::new(index as u64));
    }
}

/// How a writer appends.
type Writer = fn(&Engine, u64, u64);

fn race(store: Engine, writers: [Writer; 2], rounds: u64) {
    let threads: Vec<_> = (0..)
        .zip(writers)
        .map(|(number, writer)| {
            let store = store.clone();
            shuttle::thread::spawn(move || writer(&store, number, rounds))
        })
        .collect();
    let writers = threads.len() as u64;
    let follower = {
        let store = store.clone();
        shuttle::thread::spawn(move || {
            let mut subscription =
                store.subscribe(SubscribeRequest::new(factum_store::Source::All));
            let mut seen = Vec::new();
            while (seen.len() as u64) < 2 * writers * rounds {
                let event = shuttle::future::block_on(subscription.next_event()).unwrap();
                seen.push(event.unwrap().position);
            }
            assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
        })
    };
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    follower.join().unwrap();
    check(&store, writers, rounds);
    store.close().unwrap();
    let refused = shuttle::future::block_on(store.append(AppendBatch::events(
        stream("late"),
        ExpectedRevision::Any,
        vec![event(1)],
    )));
    assert_eq!(refused.unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn writers_on_segments() {
    let options = || Options::new("data").segment_bytes(Options::SEGMENT_BYTES_MIN);
    shuttle::check_random(
        move || {
            let store = Engine::open(options(), env(1)).unwrap();
            race(store, [count, count], 2);
        },
        SCHEDULES,
    );
}

#[test]
fn writers_behind_a_log_that_makes_trouble() {
    let open = || Engine::troubled(env(2), 7, [60, 40, 40]).unwrap();
    shuttle::check_random(move || race(open(), [count, count], 2), SCHEDULES);
}

#[test]
fn writers_of_many_together() {
    let options = || Options::new("data").segment_bytes(Options::SEGMENT_BYTES_MIN);
    let run = move || {
        let store = Engine::open(options(), env(4)).unwrap();
        race(store, [count_together, count], 2);
    };
    shuttle::check_random(run, SCHEDULES);
    let open = || Engine::troubled(env(5), 7, [60, 40, 40]).unwrap();
    let run = move || race(open(), [count_together, count_together], 2);
    shuttle::check_random(run, SCHEDULES);
}

#[test]
fn conflicts_are_answered_behind_what_they_judged() {
    let options = || Options::new("data").segment_bytes(Options::SEGMENT_BYTES_MIN);
    let run = move || {
        let store = Engine::open(options(), env(3)).unwrap();
        let rivals: Vec<_> = (0..3)
            .map(|rival| {
                let store = store.clone();
                shuttle::thread::spawn(move || {
                    let batch = AppendBatch::events(
                        stream("prize"),
                        ExpectedRevision::NoStream,
                        vec![event(rival)],
                    );
                    match shuttle::future::block_on(store.append(batch)) {
                        Ok(_) => true,
                        Err(error) => {
                            let conflict = error.as_conflict().unwrap();
                            assert_eq!(conflict.events.len(), 1, "the winner's event is shown");
                            false
                        }
                    }
                })
            })
            .collect();
        let wins = rivals
            .into_iter()
            .map(|r| r.join().unwrap())
            .filter(|won| *won);
        assert_eq!(wins.count(), 1);
        store.close().unwrap();
    };
    shuttle::check_random(run, SCHEDULES);
}
