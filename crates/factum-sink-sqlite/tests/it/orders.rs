//! The order example: exactly once, fenced, parked, locked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use factum_framework::kit::FakeWorld;
use factum_projection::kit::check_exactly_once;
use factum_projection::{Kind, Runner, Table, Which};
use factum_sink_sqlite::SqliteSink;
use pollster::block_on;
use rusqlite::Connection;

use super::support::{OrderDetails, append, details, open, orders, rows, runner};

#[test]
fn orders_become_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let mut runner = runner(&orders(2), &path, &OrderDetails::default());
    assert_eq!(block_on(runner.run_until_caught_up()).unwrap().applied, 6);
    let sql =
        "SELECT id, customer, status, tracking, confirmed_at > 0 FROM order_details ORDER BY id";
    assert_eq!(
        rows(&path, sql),
        [
            r#"[Text("order-0"), Text("customer-0"), Text("shipped"), Text("it's 1"), Integer(1)]"#,
            r#"[Text("order-1"), Text("customer-1"), Text("shipped"), Text("it's 1"), Integer(1)]"#,
        ]
    );
}

#[test]
fn a_failure_at_any_call_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = orders(5);
    append(&store, "order-9", "OrderPlaced", "{}");
    append(&store, "order-9", "OrderConfirmed", "{}");
    append(&store, "order-0", "OrderForgotten", "{}");
    let path = |run: u64| folder.path().join(format!("{run}.db"));
    let runs = block_on(check_exactly_once(
        store,
        OrderDetails::default(),
        4,
        async |run| open(&path(run)),
        async |run| {
            let mut seen = details(&path(run));
            let parked = "SELECT partition, position, reason, attempts FROM factum_parked";
            seen.extend(rows(&path(run), parked));
            seen
        },
    ));
    assert!(runs > 100, "{runs}");
}

#[test]
fn a_zombie_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let (store, projector) = (orders(3), OrderDetails::default());
    let mut zombie = runner(&store, &path, &projector);
    block_on(zombie.run_until_caught_up()).unwrap();
    let mut second = runner(&store, &path, &projector);
    block_on(second.run_until_caught_up()).unwrap();
    append(&store, "order-0", "OrderForgotten", "{}");
    let before = details(&path);
    for _ in 0..2 {
        let refused = block_on(zombie.run_until_caught_up()).unwrap_err();
        assert_eq!(refused.kind(), Kind::Fenced, "{refused}");
    }
    assert_eq!(details(&path), before);
    block_on(second.run_until_caught_up()).unwrap();
    assert_ne!(details(&path), before);
}

#[test]
fn only_the_partition_of_a_bad_event_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let (store, projector) = (orders(1), OrderDetails::default());
    append(&store, "order-5", "OrderPlaced", "{}");
    append(&store, "order-5", "OrderConfirmed", "{}");
    // Placed twice: SQLite refuses the second row.
    append(&store, "order-6", "OrderPlaced", r#"{"customerId":"a"}"#);
    append(&store, "order-6", "OrderPlaced", r#"{"customerId":"b"}"#);
    append(&store, "order-7", "OrderPlaced", r#"{"customerId":"a"}"#);
    let mut first = runner(&store, &path, &projector);
    assert_eq!(block_on(first.run_until_caught_up()).unwrap().parked, 3);
    let ids = "SELECT id FROM order_details ORDER BY id";
    let seen = rows(&path, ids).join(" ");
    assert_eq!(
        seen,
        r#"[Text("order-0")] [Text("order-6")] [Text("order-7")]"#
    );
    let reasons: Vec<String> = block_on(first.parked())
        .unwrap()
        .into_iter()
        .map(|entry| entry.reason)
        .collect();
    assert_eq!(reasons[0], "no customerId");
    assert_eq!(reasons[1], "waits behind an event that failed");
    assert!(
        reasons[2].contains("UNIQUE constraint failed"),
        "{reasons:?}"
    );
    // Nothing of the refused event is left: what it counted neither.
    let counted = "SELECT count(*) FROM customers WHERE id = 'b'";
    assert_eq!(rows(&path, counted), ["[Integer(0)]"]);

    // Another runner, after a fix.
    projector.fixed.store(true, Ordering::SeqCst);
    let mut second = runner(&store, &path, &projector);
    block_on(second.retry_parked("order-5")).unwrap();
    assert_eq!(block_on(second.run_until_caught_up()).unwrap().parked, 1);
    let bad = block_on(second.parked()).unwrap()[0].position;
    block_on(second.skip_parked(bad)).unwrap();
    assert_eq!(block_on(second.run_until_caught_up()).unwrap().parked, 0);
    let confirmed = "SELECT status FROM order_details WHERE id = 'order-5'";
    assert_eq!(rows(&path, confirmed), [r#"[Text("confirmed")]"#]);
}

#[test]
fn a_lock_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let mut runner =
        runner(&orders(2), &path, &OrderDetails::default()).with_world(FakeWorld::new(1).world());
    let monitor = runner.monitor();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        let running = scope.spawn(|| block_on(runner.run_until_caught_up()));
        let trouble = loop {
            // Held until the runner has failed twice.
            if let Some((trouble, 2..)) = monitor.status().trouble {
                break trouble;
            }
            thread::yield_now();
        };
        assert!(trouble.contains("locked"), "{trouble}");
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(running.join().unwrap().unwrap().applied, 6);
    });
    assert_eq!(details(&path).len(), 4);
}

#[test]
fn what_is_not_ours_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE customers (mine TEXT)")
        .unwrap();
    let store = orders(1);
    let projector = OrderDetails::default();
    let error = block_on(runner(&store, &path, &projector).run_until_caught_up()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    let said = error.to_string();
    assert!(
        said.contains("has a table customers that no projection made"),
        "{said}"
    );
    other.execute_batch("DROP TABLE customers").unwrap();
    block_on(runner(&store, &path, &projector).run_until_caught_up()).unwrap();

    // Other columns are another generation.
    let changed = [Table::new("customers")
        .text("id")
        .text("orders")
        .key(["id"])];
    let sink = SqliteSink::open(&path, changed.clone()).unwrap();
    let mut changed_runner = Runner::new(Arc::clone(&store) as _, sink, projector.clone());
    let error = block_on(changed_runner.run_until_caught_up()).unwrap_err();
    assert!(
        error.to_string().contains("build a new generation"),
        "{error}"
    );
    let sink = SqliteSink::open(&path, changed).unwrap();
    let mut new = Runner::new(store, sink, projector).generation(Which::Number(3));
    let error = block_on(new.run_until_caught_up()).unwrap_err();
    assert!(error.to_string().contains("has no generation 3"), "{error}");
}
