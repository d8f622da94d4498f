//! The kit of factum-projection: what every sink with tables passes.

use factum_projection::{Claim, Obstacle, Sink, Table, Which, kit};
use factum_sink_sqlite::SqliteSink;
use pollster::block_on;

#[test]
fn it_passes() {
    let folder = tempfile::tempdir().unwrap();
    block_on(kit::check_sink(async |place, tables: &[Table]| {
        let path = folder.path().join(format!("{place}.db"));
        SqliteSink::open(path, tables.to_vec()).unwrap()
    }));
}

#[test]
fn writes_at_random_are_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 2..8 {
        block_on(kit::check_random(
            async |place, tables: &[Table]| {
                let path = folder.path().join(format!("{seed}-{place}.db"));
                SqliteSink::open(path, tables.to_vec()).unwrap()
            },
            seed,
        ));
        block_on(kit::check_random_bulk(
            async |place, tables: &[Table]| {
                let path = folder.path().join(format!("bulk-{seed}-{place}.db"));
                SqliteSink::open(path, tables.to_vec()).unwrap()
            },
            seed,
        ));
    }
}

#[test]
fn a_name_that_was_given_away_is_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let tables = kit::orders_tables();
    let claim = Claim {
        projection: "kit_orders",
        which: Which::New,
        version: "1",
        bulk: true,
    };
    // No reader has seen it, so its names are no views yet.
    let mut sink = SqliteSink::open(&path, tables.clone()).unwrap();
    block_on(sink.claim(claim)).unwrap();
    let look = |projection| factum_sink_sqlite::inspect(&path, projection, &tables).unwrap();
    assert_eq!(look("kit_orders"), []);
    let other = rusqlite::Connection::open(&path).unwrap();
    for (kind, definition) in [("table", "(n)"), ("view", "AS SELECT 1 AS n")] {
        let made = format!("CREATE {kind} kit_counts {definition}");
        other.execute_batch(&made).unwrap();
        let found = look("kit_orders");
        let [Obstacle::Owned { what }] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(
            what.contains(&format!("a {kind} kit_counts that no projection made")),
            "{what}"
        );
        let refused = block_on(sink.claim(claim)).unwrap_err();
        assert_eq!(refused.to_string(), *what);
        other
            .execute_batch(&format!("DROP {kind} kit_counts"))
            .unwrap();
    }
    let found = look("others");
    assert!(
        format!("{found:?}").contains("kit_counts belongs to projection kit_orders"),
        "{found:?}"
    );
}
