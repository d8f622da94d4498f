//! Reads that are shared: what the store underneath is asked for, and what each reader is given.

mod conformance;
mod random;
mod watched;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use factum_framework::kit::FakeWorld;
use factum_projection::{Error, MemorySink, Projector, Rows, Runner, SharedReads, Table};
use factum_store::{EventStore, EventStream, Kind, ReadFrom, ReadRequest, Source, StoreError};
use factum_types::{Category, EventType, Position, Query, RecordedEvent};
use pollster::block_on;

use watched::Watched;

/// Counts what it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// How many events there are of each type, of these types only.
#[derive(Debug, Clone)]
struct Counts(Source);

impl<W: Rows> Projector<W> for Counts {
    fn name(&self) -> &'static str {
        "counts"
    }

    fn source(&self) -> Source {
        self.0.clone()
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let key = [("type", event.event_type.as_str().into())];
        to.increment("counts", &key, "events", 1)
    }
}

fn sink() -> MemorySink {
    let table = Table::new("counts")
        .text("type")
        .integer("events")
        .key(["type"]);
    MemorySink::new([table]).unwrap()
}

fn types(names: &[&str]) -> Source {
    let names = names.iter().map(|name| EventType::new(name).unwrap());
    Source::Query(Query::of(names, []))
}

fn category(name: &str) -> Source {
    Source::Category(Category::new(name).unwrap())
}

/// 3,000 events: a third of type A, half of the rest B, half of it C; every other one an order's.
fn log() -> Arc<Watched> {
    let store = Arc::new(Watched::default());
    for index in 0..3_000 {
        let name = ["A", "B", "A", "C", "B", "C"][index % 6];
        store.append_one(if index % 2 == 0 { "order-1" } else { "item-1" }, name);
    }
    store
}

/// Over this store, with a clock that stands still.
fn shared(store: &Arc<Watched>, sources: &[Source]) -> (Arc<SharedReads>, FakeWorld) {
    let fake = FakeWorld::new(1);
    let shared = SharedReads::over(Arc::clone(store) as _, sources.to_vec());
    (Arc::new(shared.with_world(fake.world())), fake)
}

/// Runs a runner over each of these at the same time, and says how many events the store gave.
fn run(store: &Arc<Watched>, shared: &Arc<SharedReads>, sources: &[Source]) -> usize {
    let before = store.given();
    thread::scope(|scope| {
        for source in sources {
            let shared = Arc::clone(shared);
            scope.spawn(move || {
                let projector = Counts(source.clone());
                let mut runner = Runner::new(shared, sink(), projector).batch_events(100);
                let applied = block_on(runner.run_until_caught_up()).unwrap().applied;
                let all = block_on(
                    store
                        .behind()
                        .read(ReadRequest::forward(source.clone()))
                        .collect(),
                );
                assert_eq!(applied, all.unwrap().len() as u64);
            });
        }
    });
    store.given() - before
}

#[test]
fn runners_over_one_source_cause_one_read() {
    let store = log();
    let (reads, _) = shared(&store, &[]);
    let sources = vec![category("order"); 5];
    assert_eq!(run(&store, &reads, &sources), 1_500);
    store.append_one("order-1", "A");
    let (reads, _) = shared(&store, &[]);
    assert_eq!(run(&store, &reads, &sources), 1_501);
    let apart: usize = sources
        .iter()
        .map(|source| run(&store, &shared(&store, &[]).0, std::slice::from_ref(source)))
        .sum();
    assert_eq!(apart, 5 * 1_501);
}

#[test]
fn runners_over_several_sources_cause_one_read_where_they_can() {
    let store = log();
    let queries = [types(&["A"]), types(&["B", "A"]), types(&["B"])];
    assert_eq!(run(&store, &shared(&store, &queries).0, &queries), 2_000);
    assert_eq!(run(&store, &shared(&store, &[]).0, &queries), 4_000);
    let all = [Source::All, category("item"), types(&["C"])];
    assert_eq!(run(&store, &shared(&store, &all).0, &all), 3_000);
    let categories = [category("item"), category("order")];
    assert_eq!(
        run(&store, &shared(&store, &categories).0, &categories),
        3_000
    );
}

#[test]
fn one_that_is_alone_reads_what_it_wants_and_no_more() {
    let store = log();
    let sources = [types(&["A"]), types(&["B"])];
    let (reads, fake) = shared(&store, &sources);
    // The other one may still come.
    assert_eq!(run(&store, &reads, &sources[..1]), 2_000);
    fake.clock.advance(Duration::from_secs(6));
    assert_eq!(run(&store, &reads, &sources[..1]), 1_000);
    // The other one comes, and this one has gone.
    fake.clock.advance(Duration::from_secs(6));
    assert_eq!(run(&store, &reads, &sources[1..]), 1_000);
}

#[test]
fn what_was_read_is_read_again_after_a_while_or_when_there_is_no_room() {
    let store = log();
    let all = [Source::All];
    let (reads, fake) = shared(&store, &[]);
    assert_eq!(run(&store, &reads, &all), 3_000);
    assert_eq!(run(&store, &reads, &all), 0);
    fake.clock.advance(Duration::from_secs(6));
    assert_eq!(run(&store, &reads, &all), 3_000);
    let small = SharedReads::new(Arc::clone(&store) as _).cache_bytes(1);
    let small = Arc::new(small.with_world(fake.world()));
    assert_eq!(run(&store, &small, &all), 3_000);
    assert_eq!(run(&store, &small, &all), 3_000);
}

fn from(position: u64) -> ReadRequest {
    ReadRequest::all().from(ReadFrom::Position(Position::from_raw(position)))
}

/// Takes what is ready; the last item is `None` at the end, and missing when more is waited for.
fn take(stream: &mut EventStream, woken: &Arc<Woken>) -> Vec<Option<Result<u64, (Kind, String)>>> {
    let waker = Waker::from(Arc::clone(woken));
    let mut taken = Vec::new();
    loop {
        let before = woken.0.load(Ordering::SeqCst);
        match pin!(stream.next()).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(item) => {
                let item = item.map(|item| {
                    item.map(|event| event.position.raw())
                        .map_err(|error| (error.kind(), error.to_string()))
                });
                let last = item.is_none();
                taken.push(item);
                if last {
                    return taken;
                }
            }
            Poll::Pending if woken.0.load(Ordering::SeqCst) > before => (),
            Poll::Pending => return taken,
        }
    }
}

fn events(range: std::ops::Range<u64>) -> Vec<Option<Result<u64, (Kind, String)>>> {
    range.map(|position| Some(Ok(position))).collect()
}

fn ended(range: std::ops::Range<u64>) -> Vec<Option<Result<u64, (Kind, String)>>> {
    let mut all = events(range);
    all.push(None);
    all
}

#[test]
fn readers_at_different_places_do_not_wait_for_each_other() {
    let store = log();
    let (reads, _) = shared(&store, &[]);
    let woken = Arc::new(Woken::default());
    store.hold(10..20);
    let mut behind = reads.read(from(0));
    assert_eq!(take(&mut behind, &woken), events(0..10));
    let mut ahead = reads.read(from(600));
    assert_eq!(take(&mut ahead, &woken), ended(600..3_000));
    // Nor does one in front hold up those behind.
    store.hold(2_000..2_001);
    let (reads, _) = shared(&store, &[]);
    let mut ahead = reads.read(from(2_000));
    assert_eq!(take(&mut ahead, &woken), vec![]);
    let mut behind = reads.read(from(0));
    assert_eq!(take(&mut behind, &woken), events(0..2_000));
    store.hold(0..0);
    assert_eq!(take(&mut behind, &woken), ended(2_000..3_000));
}

#[test]
fn one_that_is_dropped_or_looks_away_leaves_nobody_hanging() {
    for dropped in [true, false] {
        let store = log();
        let (reads, _) = shared(&store, &[]);
        let woken = [0; 3].map(|_| Arc::new(Woken::default()));
        store.hold(1_000..1_001);
        let mut first = reads.read(from(0));
        let mut second = reads.read(from(0));
        let mut third = reads.read(from(990));
        assert_eq!(take(&mut first, &woken[0]), events(0..1_000));
        assert_eq!(take(&mut second, &woken[1]), events(0..1_000));
        assert_eq!(take(&mut third, &woken[2]), events(990..1_000));
        assert_eq!(store.given(), 1_000, "one read for all");
        if dropped {
            drop(first);
        }
        let before = woken[1].0.load(Ordering::SeqCst);
        store.hold(0..0);
        assert!(woken[1].0.load(Ordering::SeqCst) > before, "woken");
        assert_eq!(take(&mut second, &woken[1]), ended(1_000..3_000));
        assert_eq!(take(&mut third, &woken[2]), ended(1_000..3_000));
        // The second and the third were asked for before that read was begun, or ask once more.
        assert_eq!(store.given(), 3_000);
    }
}

#[test]
fn who_takes_what_came_wakes_the_others() {
    let store = log();
    let (reads, _) = shared(&store, &[]);
    let woken = [0; 2].map(|_| Arc::new(Woken::default()));
    store.hold(10..20);
    let mut readers = [0, 0].map(|start| reads.read(from(start)));
    take(&mut readers[0], &woken[0]);
    take(&mut readers[1], &woken[1]);
    store.release_quietly();
    let before = woken[1].0.load(Ordering::SeqCst);
    assert_eq!(take(&mut readers[0], &woken[0]), ended(10..3_000));
    assert!(woken[1].0.load(Ordering::SeqCst) > before);
}

#[test]
fn an_error_reaches_who_waits_and_is_not_kept() {
    let store = log();
    let (reads, _) = shared(&store, &[]);
    let woken = Arc::new(Woken::default());
    store.hold(1_000..1_001);
    let mut readers = [0, 0, 995].map(|start| reads.read(from(start)));
    for reader in &mut readers {
        take(reader, &woken);
    }
    store.fail(1_000, StoreError::new(Kind::Unavailable, "the line is cut"));
    store.hold(0..0);
    let error = (Kind::Unavailable, "the line is cut".to_owned());
    for reader in &mut readers {
        assert_eq!(take(reader, &woken), [Some(Err(error.clone())), None]);
    }
    assert_eq!(take(&mut reads.read(from(995)), &woken), ended(995..3_000));
    // One that is met before anybody waits for it is not kept either.
    let (reads, _) = shared(&store, &[]);
    store.fail(100, StoreError::new(Kind::Unavailable, "cut again"));
    let (mut one, mut other) = (reads.read(from(0)), reads.read(from(0)));
    assert_eq!(take(&mut one, &woken), ended(0..3_000));
    assert_eq!(take(&mut other, &woken), ended(0..3_000));
}

#[test]
fn a_damaged_event_is_an_error_in_its_place_for_each() {
    let store = log();
    store.damage(700);
    store.damage(701);
    let (reads, _) = shared(&store, &[]);
    let woken = Arc::new(Woken::default());
    let expected = {
        let damaged = Some(Err((Kind::Corrupt, "event damaged".to_owned())));
        let mut all = events(0..700);
        all.extend([damaged.clone(), damaged]);
        all.extend(ended(702..3_000));
        all
    };
    let mut readers = [0, 0].map(|start| reads.read(from(start)));
    for reader in &mut readers {
        assert_eq!(take(reader, &woken), expected);
    }
}

#[test]
fn the_end_is_never_an_old_one() {
    let store = log();
    let (reads, _) = shared(&store, &[]);
    let woken = Arc::new(Woken::default());
    let mut early = reads.read(from(2_990));
    assert_eq!(take(&mut early, &woken), ended(2_990..3_000));
    store.append_one("order-1", "A");
    assert_eq!(
        take(&mut reads.read(from(2_990)), &woken),
        ended(2_990..3_001)
    );
    // Between a read that has begun and its end, there is more, and another reader.
    store.hold(2_999..3_000);
    let (reads, _) = shared(&store, &[]);
    let mut early = reads.read(from(2_990));
    assert_eq!(take(&mut early, &woken), events(2_990..2_999));
    store.append_one("order-1", "A");
    let mut late = reads.read(from(2_995));
    let mut empty = reads.read(from(3_001));
    assert_eq!(take(&mut late, &woken), events(2_995..2_999));
    assert_eq!(take(&mut empty, &woken), vec![]);
    store.hold(0..0);
    assert_eq!(take(&mut early, &woken), ended(2_999..3_001));
    assert_eq!(take(&mut late, &woken), ended(2_999..3_002));
    assert_eq!(take(&mut empty, &woken), ended(3_001..3_002));
}

#[test]
fn what_cannot_be_shared_is_passed_on() {
    let store = log();
    let (reads, _) = shared(&store, &[]);
    let woken = Arc::new(Woken::default());
    let ask = |request: ReadRequest| {
        let before = store.reads();
        take(&mut reads.read(request.clone()), &woken);
        take(&mut reads.read(request), &woken);
        store.reads() - before
    };
    let stream = factum_types::StreamName::new("order-1").unwrap();
    assert_eq!(ask(ReadRequest::stream(stream)), 2);
    assert_eq!(ask(ReadRequest::all().limit(2)), 2);
    assert_eq!(ask(ReadRequest::all().with_control()), 2);
    assert_eq!(ask(ReadRequest::backward(Source::All)), 2);
    assert_eq!(ask(ReadRequest::all().from(ReadFrom::End)), 2);
    // All of it, and the end once more.
    assert_eq!(ask(ReadRequest::all()), 2);
    assert_eq!(ask(from(3_000)), 2);
    let given = store.given();
    assert_eq!(ask(ReadRequest::all()), 2, "only the end, for each");
    assert_eq!(store.given(), given);
}
