//! Catching up, following, failing and being fenced.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use factum_framework::kit::FakeWorld;
use factum_framework::{Stop, Token, World};
use factum_projection::kit::{Fault, Faulty, Plan, check_exactly_once};
use factum_projection::manage::reached;
use factum_projection::memory::MemoryWriter;
use factum_projection::{Edit, Error, Kind, Manage, MemorySink, Projector, Runner, Which};
use factum_store::{EventStore, MemoryStore, Source};
use factum_types::RecordedEvent;
use pollster::block_on;

use super::support::{Orders, append, sink, status};

fn log() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    for order in 0..5 {
        append(&store, &format!("order-{order}"), &["Placed"]);
        append(&store, "other-1", &["Placed"]);
        append(&store, &format!("order-{order}"), &["Confirmed", "Looked"]);
    }
    append(&store, "order-2", &["Broken", "Looked"]);
    store
}

#[test]
fn a_failure_at_any_call_changes_nothing() {
    let store = log();
    let sinks = std::cell::RefCell::new(std::collections::BTreeMap::new());
    let runs = block_on(check_exactly_once(
        store,
        Orders::default(),
        3,
        async |run| sinks.borrow_mut().entry(run).or_insert_with(sink).clone(),
        async |run| {
            let sinks = sinks.borrow();
            (sinks[&run].rows("orders"), sinks[&run].rows("counts"))
        },
    ));
    assert!(runs > 100, "{runs}");
}

#[test]
fn a_zombie_is_refused() {
    let (store, sink) = (log(), sink());
    let mut zombie =
        Runner::new(Arc::clone(&store) as _, sink.clone(), Orders::default()).batch_events(2);
    block_on(zombie.run_until_caught_up()).unwrap();
    let mut second = Runner::new(Arc::clone(&store) as _, sink.clone(), Orders::default());
    block_on(second.run_until_caught_up()).unwrap();
    append(&store, "order-9", &["Placed"]);
    for _ in 0..2 {
        let refused = block_on(zombie.run_until_caught_up()).unwrap_err();
        assert_eq!(refused.kind(), Kind::Fenced, "{refused}");
    }
    assert_eq!(status(&sink, "order-9"), None);
    block_on(second.run_until_caught_up()).unwrap();
    assert_eq!(status(&sink, "order-9").as_deref(), Some("placed"));
}

#[test]
fn it_follows_until_it_is_stopped_and_knows_how_far_behind_it_is() {
    let (store, sink) = (log(), sink());
    let mut runner = Runner::new(Arc::clone(&store) as _, sink.clone(), Orders::default());
    let monitor = runner.monitor();
    assert_eq!(block_on(monitor.lag()).unwrap().events, 22);
    let stop = Stop::new();
    thread::scope(|scope| {
        let running = scope.spawn(|| block_on(runner.run(&stop)));
        append(&store, "order-7", &["Placed"]);
        while status(&sink, "order-7").is_none() {
            thread::yield_now();
        }
        append(&store, "order-8", &["Placed"]);
        while status(&sink, "order-8").is_none() {
            thread::yield_now();
        }
        stop.stop();
        running.join().unwrap().unwrap();
    });
    assert_eq!(block_on(monitor.lag()).unwrap().events, 0);
    append(&store, "order-8", &["Confirmed"]);
    assert_eq!(block_on(monitor.lag()).unwrap().events, 1);
}

#[test]
fn waiting_has_an_end_where_one_is_set() {
    let mut backoff = factum_framework::Retry::jittered(3);
    backoff.delay_max = Duration::ZERO;
    // Every call from the first on fails: one plan for each call that is made.
    let plan = Plan::new(0, Fault::DownBefore);
    let once = Faulty::new(Faulty::new(sink(), plan), Plan::new(1, Fault::DownBefore));
    let thrice = Faulty::new(once, Plan::new(2, Fault::DownBefore));
    let mut runner = Runner::new(log(), thrice, Orders::default())
        .with_world(FakeWorld::new(1).world())
        .backoff(backoff);
    let monitor = runner.monitor();
    let error = block_on(runner.run_until_caught_up()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(monitor.status().trouble, Some(("down".to_owned(), 3)));
    block_on(runner.run_until_caught_up()).unwrap();
    assert_eq!(monitor.status().trouble, None);
}

#[test]
fn a_new_generation_is_not_seen() {
    let (store, sink) = (log(), sink());
    let mut live = Runner::new(Arc::clone(&store) as _, sink.clone(), Orders::default());
    block_on(live.run_until_caught_up()).unwrap();
    let seen = sink.rows("counts");
    let mut new = Runner::new(Arc::clone(&store) as _, sink.clone(), Orders::default())
        .generation(Which::New);
    let caught_up = block_on(new.run_until_caught_up()).unwrap();
    assert_eq!(new.lease().unwrap().generation, 2);
    assert_eq!(caught_up.applied, 17);
    assert_eq!(sink.rows("counts"), seen);
}

/// Someone pauses, skips or retries past a runner that goes on; it is not fenced, and waits.
#[test]
fn a_pause_is_waited_for_and_seen() {
    let (store, sink) = (log(), sink());
    let mut runner = Runner::new(Arc::clone(&store) as _, sink.clone(), Orders::default());
    block_on(runner.run_until_caught_up()).unwrap();
    let (monitor, mut desk) = (runner.monitor(), sink.clone());
    block_on(desk.edit("orders", 1, Edit::Pause)).unwrap();
    append(&store, "order-7", &["Placed"]);
    let mut runner = runner.with_world(FakeWorld::new(1).world());
    let monitors = [monitor, runner.monitor()];
    let stop = Stop::new();
    thread::scope(|scope| {
        let running = scope.spawn(|| block_on(runner.run(&stop)));
        while !monitors[1].status().paused {
            thread::yield_now();
        }
        assert_eq!(status(&sink, "order-7"), None);
        // What is parked can be skipped meanwhile; it is done afterwards.
        let parked = block_on(desk.parked("orders", 1, 9)).unwrap();
        let position = parked[0].position;
        block_on(desk.edit("orders", 1, Edit::Skip { position })).unwrap();
        block_on(desk.edit("orders", 1, Edit::Resume)).unwrap();
        while status(&sink, "order-7").is_none() {
            thread::yield_now();
        }
        stop.stop();
        running.join().unwrap().unwrap();
    });
    assert_eq!(block_on(desk.parked("orders", 1, 9)).unwrap(), []);
    assert!(!monitors[1].status().paused);
    assert_eq!(runner.lease().unwrap().epoch, 1);
}

/// A projector that skips its own event by hand while it is tried: the runner sees it and does not bring it back.
#[test]
fn a_skip_while_the_event_is_tried_stays() {
    let (store, sink) = (log(), sink());
    let mut runner = Runner::new(Arc::clone(&store) as _, sink.clone(), Orders::default());
    block_on(runner.run_until_caught_up()).unwrap();
    let skipping = Skipping {
        orders: Orders::default(),
        desk: Mutex::new(sink.clone()),
        armed: AtomicBool::new(true),
    };
    let mut runner = Runner::new(Arc::clone(&store) as _, sink.clone(), skipping);
    block_on(runner.retry_parked("order-2")).unwrap();
    assert_eq!(block_on(runner.run_until_caught_up()).unwrap().parked, 0);
}

struct Skipping {
    orders: Orders,
    desk: Mutex<MemorySink>,
    armed: AtomicBool,
}

impl Projector<MemoryWriter> for Skipping {
    fn name(&self) -> &'static str {
        "orders"
    }

    fn source(&self) -> Source {
        Source::All
    }

    fn project(&self, event: &RecordedEvent, to: &mut MemoryWriter) -> Result<(), Error> {
        if event.event_type.as_str() == "Broken" && self.armed.swap(false, Ordering::SeqCst) {
            let position = event.position;
            let edit = Edit::Skip { position };
            let mut desk = self.desk.lock().expect("one thread");
            block_on(desk.edit("orders", 1, edit))?;
        }
        self.orders.project(event, to)
    }
}

#[test]
fn another_version_is_another_generation() {
    let (store, sink) = (log(), sink());
    let run = |version, which| {
        let projector = Versioned(Orders::default(), version);
        let mut runner = Runner::new(Arc::clone(&store) as _, sink.clone(), projector);
        runner = runner.generation(which);
        block_on(runner.run_until_caught_up())
    };
    run("1", Which::Live).unwrap();
    let error = run("2", Which::Live).unwrap_err();
    assert_eq!(error.kind(), Kind::Outdated);
    assert!(
        error.to_string().contains("build a new generation"),
        "{error}"
    );
    run("2", Which::New).unwrap();
}

struct Versioned(Orders, &'static str);

impl Projector<MemoryWriter> for Versioned {
    fn name(&self) -> &'static str {
        "orders"
    }

    fn version(&self) -> &'static str {
        self.1
    }

    fn source(&self) -> Source {
        Source::All
    }

    fn project(&self, event: &RecordedEvent, to: &mut MemoryWriter) -> Result<(), Error> {
        match event.stream.as_str() {
            "other-1" => Ok(()),
            _ => self.0.project(event, to),
        }
    }
}

struct Ended<'a>(&'a Stop);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Who wrote reads what was written, in the runner's process and in another.
#[test]
fn a_token_is_waited_for() {
    let (store, mut sink) = (log(), sink());
    let world = World::real();
    let mut runner = Runner::new(Arc::clone(&store) as _, sink.clone(), Orders::default());
    let monitor = runner.monitor();
    let soon = Duration::from_millis(20);
    let nothing = block_on(reached(&mut sink, "orders", Token(None), &world, soon)).unwrap_err();
    assert_eq!(nothing.kind(), Kind::Invalid);
    block_on(runner.run_until_caught_up()).unwrap();
    let stop = Stop::new();
    thread::scope(|scope| {
        // Also when this fails.
        let _ended = Ended(&stop);
        let running = scope.spawn(|| block_on(runner.run(&stop)));
        for order in 10..40 {
            let order = format!("order-{order}");
            append(&store, &order, &["Placed"]);
            let written = Token(block_on(store.head()).unwrap());
            let long = Duration::from_secs(20);
            if order.ends_with('0') {
                let waited = reached(&mut sink, "orders", written, &world, long);
                assert!(block_on(waited).unwrap());
            } else {
                assert!(block_on(monitor.reached(written, long)));
            }
            assert_eq!(status(&sink, &order).as_deref(), Some("placed"));
        }
        stop.stop();
        running.join().unwrap().unwrap();
    });
    append(&store, "order-50", &["Placed"]);
    let written = Token(block_on(store.head()).unwrap());
    assert!(!block_on(monitor.reached(written, soon)));
    assert!(!block_on(reached(&mut sink, "orders", written, &world, soon)).unwrap());
}
