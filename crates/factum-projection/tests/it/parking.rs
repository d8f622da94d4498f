//! Events that fail: their partition waits, the others go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use factum_framework::Stop;
use factum_projection::{Edit, Kind, Manage, MemorySink, Runner};
use factum_store::MemoryStore;
use pollster::block_on;

use super::support::{Orders, append, sink, status};

fn broken() -> (
    Arc<MemoryStore>,
    MemorySink,
    Orders,
    Runner<MemorySink, Orders>,
) {
    let store = Arc::new(MemoryStore::new());
    append(&store, "order-1", &["Placed", "Broken", "Confirmed"]);
    append(&store, "order-2", &["Placed", "Confirmed"]);
    append(&store, "order-1", &["Looked"]);
    let (sink, orders) = (sink(), Orders::default());
    let runner = Runner::new(Arc::clone(&store) as _, sink.clone(), orders.clone());
    (store, sink, orders, runner)
}

#[test]
fn only_its_partition_waits_and_it_is_retried_after_a_fix() {
    let (_, sink, orders, mut runner) = broken();
    let caught_up = block_on(runner.run_until_caught_up()).unwrap();
    assert_eq!(caught_up.parked, 3);
    assert_eq!(status(&sink, "order-1").as_deref(), Some("placed"));
    assert_eq!(status(&sink, "order-2").as_deref(), Some("confirmed"));
    let parked = block_on(runner.parked()).unwrap();
    let said: Vec<_> = parked
        .iter()
        .map(|entry| {
            (
                entry.partition.as_str(),
                entry.reason.as_str(),
                entry.attempts,
            )
        })
        .collect();
    let behind = ("order-1", "waits behind an event that failed", 0);
    assert_eq!(
        said,
        [("order-1", "broken is not understood", 1), behind, behind]
    );

    block_on(runner.retry_parked("order-1")).unwrap();
    assert_eq!(block_on(runner.run_until_caught_up()).unwrap().parked, 3);
    assert_eq!(block_on(runner.parked()).unwrap()[0].attempts, 2);

    orders.fixed.store(true, Ordering::SeqCst);
    block_on(runner.retry_parked("order-1")).unwrap();
    assert_eq!(block_on(runner.run_until_caught_up()).unwrap().parked, 0);
    assert_eq!(status(&sink, "order-1").as_deref(), Some("confirmed"));
    let nothing = block_on(runner.retry_parked("order-1")).unwrap_err();
    assert_eq!(nothing.kind(), Kind::Invalid);
}

#[test]
fn what_waits_behind_a_skipped_event_is_applied() {
    let (_, sink, _, mut runner) = broken();
    block_on(runner.run_until_caught_up()).unwrap();
    let first = block_on(runner.parked()).unwrap()[0].position;
    block_on(runner.skip_parked(first)).unwrap();
    assert_eq!(block_on(runner.run_until_caught_up()).unwrap().parked, 0);
    assert_eq!(status(&sink, "order-1").as_deref(), Some("confirmed"));
    assert!(block_on(runner.skip_parked(first)).is_err());
}

#[test]
fn what_the_sink_refuses_at_commit_is_found_in_its_batch() {
    let (store, sink, _, mut runner) = broken();
    append(&store, "order-3", &["Placed", "Placed", "Confirmed"]);
    append(&store, "order-4", &["Placed"]);
    block_on(runner.run_until_caught_up()).unwrap();
    assert_eq!(status(&sink, "order-3").as_deref(), Some("placed"));
    assert_eq!(status(&sink, "order-4").as_deref(), Some("placed"));
    let parked = block_on(runner.parked()).unwrap();
    let there = parked
        .iter()
        .find(|entry| entry.stream.as_str() == "order-3");
    let there = there.unwrap();
    assert_eq!(there.revision.number(), 1);
    assert!(there.reason.contains("has a row with key"), "{there:?}");
}

#[test]
fn parking_has_a_limit() {
    let (_, sink, _, runner) = broken();
    let mut runner = runner.parked_max(2).batch_events(1);
    let error = block_on(runner.run_until_caught_up()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("the limit is 2"), "{error}");
    assert_eq!(status(&sink, "order-2").as_deref(), Some("confirmed"));
}

/// In one batch as in many: what stands before the event that there is no room for is applied.
#[test]
fn the_limit_stops_exactly_before_the_event() {
    for batch_events in 1..8 {
        let (_, sink, _, runner) = broken();
        let mut runner = runner.parked_max(2).batch_events(batch_events);
        let error = block_on(runner.run_until_caught_up()).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        let said = error.to_string();
        assert!(said.contains("before event 3 of stream order-1"), "{said}");
        assert_eq!(status(&sink, "order-2").as_deref(), Some("confirmed"));
        assert_eq!(block_on(runner.parked()).unwrap().len(), 2);
        let checkpoint = runner.monitor().status().checkpoint.unwrap();
        assert_eq!(checkpoint.number(), 4, "batches of {batch_events}");
    }
}

/// An event that is parked already takes no room when it is parked again.
#[test]
fn at_the_limit_a_retry_may_fail_and_help() {
    for batch_events in [1, 1_000] {
        let (store, sink, orders, runner) = broken();
        let mut runner = runner.parked_max(3).batch_events(batch_events);
        assert_eq!(block_on(runner.run_until_caught_up()).unwrap().parked, 3);
        append(&store, "order-3", &["Placed"]);
        block_on(runner.retry_parked("order-1")).unwrap();
        assert_eq!(block_on(runner.run_until_caught_up()).unwrap().parked, 3);
        assert_eq!(block_on(runner.parked()).unwrap()[0].attempts, 2);
        assert_eq!(status(&sink, "order-3").as_deref(), Some("placed"));

        // No more than that, in a lower limit neither.
        append(&store, "order-1", &["Looked"]);
        let mut runner = runner.parked_max(1);
        block_on(runner.retry_parked("order-1")).unwrap();
        let error = block_on(runner.run_until_caught_up()).unwrap_err();
        assert!(error.to_string().contains("before event 4"), "{error}");
        assert_eq!(block_on(runner.parked()).unwrap()[0].attempts, 3);

        orders.fixed.store(true, Ordering::SeqCst);
        block_on(runner.retry_parked("order-1")).unwrap();
        assert_eq!(block_on(runner.run_until_caught_up()).unwrap().parked, 0);
        assert_eq!(status(&sink, "order-1").as_deref(), Some("confirmed"));
    }
}

/// What waits may be much; who stops waits for one event of it.
#[test]
fn stop_is_heard_between_parked_events() {
    let (store, sink, orders, mut runner) = broken();
    block_on(runner.run_until_caught_up()).unwrap();
    block_on(runner.retry_parked("order-1")).unwrap();
    orders.fixed.store(true, Ordering::SeqCst);
    let stop = Stop::new();
    let stopping = Orders {
        stop: Some(stop.clone()),
        ..orders
    };
    let mut runner = Runner::new(store, sink, stopping);
    block_on(runner.run(&stop)).unwrap();
    assert_eq!(block_on(runner.parked()).unwrap().len(), 2);
}

/// Each in a partition of its own. Looked for among all of them, at every step, this took fourteen times as long.
#[test]
fn many_partitions_may_wait() {
    let store = Arc::new(MemoryStore::new());
    for order in 0..3_000 {
        append(&store, &format!("order-{order}"), &["Broken", "Looked"]);
    }
    let (mut sink, orders) = (sink(), Orders::default());
    let mut runner = Runner::new(store, sink.clone(), orders.clone());
    let parked = block_on(runner.run_until_caught_up()).unwrap().parked;
    assert_eq!(parked, 6_000);
    orders.fixed.store(true, Ordering::SeqCst);
    for order in 0..3_000 {
        let partition = format!("order-{order}");
        block_on(sink.edit("orders", 1, Edit::Retry { partition })).unwrap();
    }
    assert_eq!(block_on(runner.run_until_caught_up()).unwrap().parked, 0);
}
