//! Catching up, following, failing and being fenced.

use std::sync::Arc;
use std::thread;

use factum_framework::Stop;
use factum_framework::kit::FakeWorld;
use factum_projection::kit::{Fault, Faulty, Plan, check_exactly_once};
use factum_projection::{Kind, Runner, Which};
use factum_store::MemoryStore;
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
    let mut sinks = std::collections::BTreeMap::new();
    let cell = std::cell::RefCell::new(&mut sinks);
    let runs = block_on(check_exactly_once(
        store,
        Orders::default(),
        3,
        |run| cell.borrow_mut().entry(run).or_insert_with(sink).clone(),
        |run| {
            let sinks = cell.borrow();
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
    backoff.delay_max = std::time::Duration::ZERO;
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
