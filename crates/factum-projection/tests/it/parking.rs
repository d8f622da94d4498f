//! Events that fail: their partition waits, the others go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use factum_projection::{Kind, MemorySink, Runner};
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
