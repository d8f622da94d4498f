//! Reactors: once, in order, parked with a reason, tried again by hand, and not by two at once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use factum_framework::kit::FakeWorld;
use factum_framework::{
    Effects, Event, Failure, Idle, Kind, Parked, Reactor, RecordedEvent, Repository, Retry, Runner,
    StartFrom,
};
use factum_store::{AppendBatch, EventStore, MemoryStore, ReadRequest};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
use pollster::block_on;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "JobAsked")]
struct Asked {
    what: String,
}

/// Does jobs, but for those that it was told to fail.
#[derive(Clone, Default)]
struct Worker {
    done: Arc<Mutex<Vec<String>>>,
    fails: Arc<Mutex<BTreeSet<String>>>,
    tries: Arc<Mutex<u32>>,
}

impl Worker {
    fn fail(&self, what: &str) {
        self.fails.lock().unwrap().insert(what.into());
    }

    fn mend(&self) {
        self.fails.lock().unwrap().clear();
    }

    fn done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }
}

impl Reactor for Worker {
    const NAME: &'static str = "worker";
    type Input = Asked;

    fn partition(&self, input: &Asked, recorded: &RecordedEvent) -> Option<String> {
        (input.what != "nothing").then(|| recorded.stream.to_string())
    }

    async fn react(&self, input: &Asked, effects: &Effects<'_>) -> Result<(), Failure> {
        *self.tries.lock().unwrap() += 1;
        let prepare = async {
            self.done
                .lock()
                .unwrap()
                .push(format!("prepare {}", input.what));
            Ok(())
        };
        if input.what.starts_with("big") {
            effects.once("prepare", prepare).await?;
        }
        if self.fails.lock().unwrap().contains(&input.what) {
            return Err(Failure::again(format!("{} is too hard", input.what)));
        }
        self.done.lock().unwrap().push(input.what.clone());
        Ok(())
    }
}

struct Shop {
    store: MemoryStore,
    world: FakeWorld,
    repository: Repository,
    worker: Worker,
}

impl Shop {
    fn new() -> Self {
        let (store, world) = (MemoryStore::new(), FakeWorld::new(7));
        let repository = Repository::new(Arc::new(store.clone())).with_world(world.world());
        Self {
            store,
            world,
            repository,
            worker: Worker::default(),
        }
    }

    fn ask(&self, stream: &str, what: &str) {
        self.append(
            stream,
            &serde_json::to_vec(&Asked { what: what.into() }).unwrap(),
        );
    }

    fn append(&self, stream: &str, data: &[u8]) {
        let number = block_on(self.store.head())
            .unwrap()
            .map_or(0, |head| head.raw() + 1);
        let id = EventId::from_bytes(u128::from(number).to_be_bytes());
        let event = NewEvent::json(id, EventType::new("JobAsked").unwrap(), data.to_vec());
        let stream = StreamName::new(stream).unwrap();
        let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
        block_on(self.store.append(batch)).unwrap();
    }

    fn runner(&self, start: StartFrom) -> Runner {
        Runner::new(&self.repository).reactor(self.worker.clone(), start)
    }

    fn run(&self) -> Idle {
        block_on(
            self.runner(StartFrom::Beginning)
                .named("the only")
                .run_until_idle(),
        )
        .unwrap()
    }

    fn parked(&self) -> Vec<Parked> {
        block_on(self.repository.parked()).unwrap()
    }

    fn count(&self, name: &str) -> usize {
        let event_type = EventType::new(name).unwrap();
        let read = self.store.read(ReadRequest::event_type(event_type));
        block_on(read.collect()).unwrap().len()
    }
}

#[test]
fn an_effect_is_done_once_whoever_runs() {
    let shop = Shop::new();
    shop.ask("job-1", "sweep");
    shop.ask("job-1", "nothing");
    shop.ask("job-2", "mop");
    assert_eq!(shop.run().handled, 3);
    assert_eq!(shop.run().handled, 0);
    shop.ask("job-1", "dust");
    assert_eq!(shop.run().handled, 1);
    assert_eq!(shop.worker.done(), ["sweep", "mop", "dust"]);
    assert_eq!(shop.count("factum.EffectDone"), 3, "none for nothing");
}

#[test]
fn the_ledger_counts_when_the_checkpoint_is_lost() {
    let shop = Shop::new();
    shop.ask("job-1", "sweep");
    shop.run();
    let checkpoint = StreamName::new("factum.checkpoint-reactor.worker").unwrap();
    let delete = AppendBatch::change(
        checkpoint,
        ExpectedRevision::Any,
        factum_store::Change::Delete,
    );
    block_on(shop.store.append(delete)).unwrap();
    assert_eq!(shop.run().handled, 1, "it is looked at again");
    assert_eq!(shop.worker.done(), ["sweep"], "and not done again");
}

#[test]
fn history_is_left_alone_by_who_starts_now() {
    let shop = Shop::new();
    shop.ask("job-1", "old");
    let mut runner = shop.runner(StartFrom::Now);
    assert_eq!(block_on(runner.run_until_idle()).unwrap().handled, 0);
    drop(runner);
    shop.ask("job-1", "new");
    // Where it starts was settled the first time.
    block_on(shop.runner(StartFrom::Beginning).run_until_idle()).unwrap();
    assert_eq!(shop.worker.done(), ["new"]);
}

#[test]
fn a_failing_event_parks_its_partition_and_no_other() {
    let shop = Shop::new();
    shop.worker.fail("sweep");
    for (stream, what) in [
        ("job-1", "dust"),
        ("job-1", "sweep"),
        ("job-2", "mop"),
        ("job-1", "wash"),
        ("job-2", "dry"),
    ] {
        shop.ask(stream, what);
    }
    let idle = shop.run();
    assert_eq!((idle.handled, idle.parked), (5, 2));
    assert_eq!(shop.worker.done(), ["dust", "mop", "dry"]);
    let parked = shop.parked();
    let of = |parked: &Parked| {
        (
            parked.revision.number(),
            parked.attempts,
            parked.reason.clone(),
        )
    };
    assert_eq!(of(&parked[0]), (1, 5, "sweep is too hard".to_owned()));
    assert_eq!(
        of(&parked[1]),
        (2, 0, "waits behind an event that failed".to_owned())
    );
    assert_eq!(
        (parked[0].consumer.as_str(), parked[0].partition.as_str()),
        ("reactor.worker", "job-1")
    );
    assert_eq!(
        shop.run().handled,
        0,
        "parked events are not tried by themselves"
    );

    // Asked too early: it fails again, and goes on waiting.
    block_on(shop.repository.retry_parked("reactor.worker", "job-1")).unwrap();
    assert_eq!(shop.run().parked, 2);
    assert_eq!(
        of(&shop.parked()[0]),
        (1, 10, "sweep is too hard".to_owned())
    );

    shop.worker.mend();
    shop.ask("job-1", "iron");
    assert_eq!(shop.run().parked, 3, "what comes later waits too");
    block_on(shop.repository.retry_parked("reactor.worker", "job-1")).unwrap();
    assert_eq!(shop.run().parked, 0);
    assert_eq!(
        shop.worker.done(),
        ["dust", "mop", "dry", "sweep", "wash", "iron"]
    );
    assert_eq!(shop.parked(), []);
    assert_eq!(shop.count("factum.EffectDone"), 6);
}

#[test]
fn only_a_hand_skips() {
    let shop = Shop::new();
    shop.worker.fail("sweep");
    shop.ask("job-1", "sweep");
    shop.ask("job-1", "mop");
    shop.run();
    let parked = shop.parked();
    block_on(shop.repository.skip_parked(&parked[0], "swept by hand")).unwrap();
    shop.run();
    assert_eq!(shop.worker.done(), ["mop"]);
    assert_eq!(shop.parked(), []);
    // A checkpoint that was lost does not bring it back.
    let checkpoint = StreamName::new("factum.checkpoint-reactor.worker").unwrap();
    let delete = AppendBatch::change(
        checkpoint,
        ExpectedRevision::Any,
        factum_store::Change::Delete,
    );
    block_on(shop.store.append(delete)).unwrap();
    shop.worker.mend();
    shop.run();
    assert_eq!(shop.worker.done(), ["mop"]);
    let again = block_on(shop.repository.skip_parked(&parked[0], "again")).unwrap_err();
    assert_eq!(again.kind(), Kind::Invalid);
    let nothing = block_on(shop.repository.retry_parked("reactor.worker", "job-1")).unwrap_err();
    assert_eq!(nothing.kind(), Kind::Invalid);
}

#[test]
fn what_cannot_be_read_waits_with_its_stream() {
    let shop = Shop::new();
    shop.append("job-1", b"{\"who\":1}");
    shop.ask("job-1", "mop");
    shop.ask("job-2", "dry");
    assert_eq!(shop.run().parked, 2);
    assert_eq!(shop.worker.done(), ["dry"]);
    let parked = shop.parked();
    assert!(
        parked[0].reason.contains("another shape"),
        "{}",
        parked[0].reason
    );
}

#[test]
fn there_is_a_limit_to_what_is_parked() {
    let shop = Shop::new();
    shop.worker.fail("sweep");
    for what in ["sweep", "mop", "dry"] {
        shop.ask("job-1", what);
    }
    shop.ask("job-2", "iron");
    let mut runner = shop.runner(StartFrom::Beginning).parked_max(2);
    let error = block_on(runner.run_until_idle()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    let says = "reactor.worker stops before event 2 of stream job-1: 2 events are parked";
    assert!(error.to_string().starts_with(says), "{error}");
    assert_eq!(shop.parked().len(), 2);
    shop.worker.mend();
    block_on(shop.repository.retry_parked("reactor.worker", "job-1")).unwrap();
    block_on(runner.run_until_idle()).unwrap();
    assert_eq!(
        shop.worker.done(),
        ["sweep", "mop", "dry", "iron"],
        "nothing was left out"
    );
}

#[test]
fn of_several_effects_only_what_failed_is_tried_again() {
    let shop = Shop::new();
    shop.worker.fail("big wash");
    shop.ask("job-1", "big wash");
    shop.run();
    assert_eq!(shop.worker.done(), ["prepare big wash"]);
    shop.worker.mend();
    block_on(shop.repository.retry_parked("reactor.worker", "job-1")).unwrap();
    shop.run();
    assert_eq!(shop.worker.done(), ["prepare big wash", "big wash"]);
    assert_eq!(*shop.worker.tries.lock().unwrap(), 6);
}

/// A reaction that never ends: whoever runs it is dropped in the middle of it.
struct Endless;

impl Reactor for Endless {
    const NAME: &'static str = "worker";
    type Input = Asked;
    async fn react(&self, _: &Asked, _: &Effects<'_>) -> Result<(), Failure> {
        std::future::pending().await
    }
}

/// Runs until the runner waits for ever, and drops it.
fn dropped_within(mut runner: Runner) {
    let mut run = Box::pin(runner.run_until_idle());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let poll = run.as_mut().poll(&mut context);
    assert!(poll.is_pending(), "it came to an end: {poll:?}");
}

#[test]
fn what_another_runner_began_is_left_to_it_until_its_time_is_over() {
    let shop = Shop::new();
    shop.ask("job-1", "sweep");
    shop.ask("job-2", "mop");
    let endless = Runner::new(&shop.repository)
        .named("first")
        .takeover(Duration::from_secs(60))
        .reactor(Endless, StartFrom::Beginning);
    dropped_within(endless);

    let mut second = shop.runner(StartFrom::Beginning).named("second");
    let idle = block_on(second.run_until_idle()).unwrap();
    let until = shop.world.world().now().as_micros() + 60_000_000;
    assert_eq!(idle.elsewhere.map(|at| at.as_micros()), Some(until));
    assert_eq!(shop.worker.done(), [""; 0], "it may still be at it");
    shop.world.clock.advance(Duration::from_secs(60));
    let idle = block_on(second.run_until_idle()).unwrap();
    assert_eq!((idle.handled, idle.elsewhere), (2, None));
    assert_eq!(shop.worker.done(), ["sweep", "mop"]);
}

#[test]
fn a_runner_of_the_same_name_goes_on_at_once() {
    let shop = Shop::new();
    shop.ask("job-1", "sweep");
    let endless = Runner::new(&shop.repository)
        .named("first")
        .reactor(Endless, StartFrom::Beginning);
    dropped_within(endless);
    block_on(
        shop.runner(StartFrom::Beginning)
            .named("first")
            .run_until_idle(),
    )
    .unwrap();
    assert_eq!(shop.worker.done(), ["sweep"]);
}

#[test]
fn two_runners_share_the_work_and_do_nothing_twice() {
    let shop = Shop::new();
    let mut expected = Vec::new();
    for number in 0..100 {
        let what = format!("job {number}");
        shop.ask(&format!("job-{}", number % 7), &what);
        expected.push(what);
    }
    // In real time: the effects are short, and what the other is at is soon done.
    let repository = Repository::new(Arc::new(shop.store.clone()));
    std::thread::scope(|scope| {
        for name in ["one", "two"] {
            let worker = shop.worker.clone();
            let mut runner = Runner::new(&repository)
                .named(name)
                .retry(Retry::never())
                .reactor(worker, StartFrom::Beginning);
            scope.spawn(move || {
                while block_on(runner.run_until_idle())
                    .unwrap()
                    .elsewhere
                    .is_some()
                {
                    std::thread::yield_now();
                }
            });
        }
    });
    assert_eq!(shop.worker.done(), expected, "in order, each once");
    assert_eq!(shop.count("factum.EffectDone"), 100);
    assert_eq!(shop.parked(), []);
}

#[test]
fn two_of_one_name_are_refused() {
    let shop = Shop::new();
    let mut twice = shop
        .runner(StartFrom::Now)
        .reactor(shop.worker.clone(), StartFrom::Now);
    let error = block_on(twice.run_until_idle()).unwrap_err();
    assert_eq!(error.to_string(), "reactor.worker is registered twice");
}
