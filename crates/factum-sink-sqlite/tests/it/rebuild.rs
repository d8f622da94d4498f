//! Rebuilding beside the live generation, and switching under a reader.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use factum_projection::{Behind, Error, Kind, Manage, Runner, Table, Which};
use factum_sink_sqlite::SqliteSink;
use factum_store::MemoryStore;
use pollster::block_on;
use rusqlite::Connection;

use super::loans::{Loans, table};
use super::support::{append, long_log, rows};

/// Ends the watching, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn loans(store: &Arc<MemoryStore>, path: &Path, which: Which) -> Runner<SqliteSink, Loans> {
    let sink = SqliteSink::open(path, [table()]).unwrap();
    Runner::new(Arc::clone(store) as _, sink, Loans).generation(which)
}

/// Polls as long as it is told to; says how often.
fn watch(path: &Path, over: &AtomicBool) -> u64 {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection
        .prepare("SELECT rows, events FROM totals")
        .unwrap();
    let (mut most, mut polls) = ((0, 0), 0);
    while !over.load(Ordering::SeqCst) {
        let seen: (i64, i64) = statement
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert!(seen >= most, "{seen:?} after {most:?}");
        (most, polls) = (seen, polls + 1);
    }
    polls
}

#[test]
fn readers_see_no_rebuild() {
    let (store, count) = long_log();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let mut live = loans(&store, &path, Which::Live);
    block_on(live.run_until_caught_up()).unwrap();
    // A view that someone else made over ours.
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "CREATE VIEW totals AS SELECT count(*) AS rows, sum(events) AS events FROM loans",
        )
        .unwrap();
    let totals = "SELECT events FROM totals";
    let counted = |more: usize| [format!("[Integer({})]", count + more)];
    assert_eq!(rows(&path, totals), counted(0));

    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let ended = Over(&over);
        let watching = scope.spawn(|| watch(&path, &over));
        let mut new = loans(&store, &path, Which::New);
        block_on(new.run_until_caught_up()).unwrap();
        let lease = new.lease().unwrap().clone();
        let mut desk = SqliteSink::open(&path, []).unwrap();

        // The live one is further: its readers would see the past.
        append(&store, "loanApplication-1", "Late", "{}");
        block_on(live.run_until_caught_up()).unwrap();
        let number = lease.generation;
        let switch = |desk: &mut SqliteSink| block_on(desk.switch("loans", number, Behind::Refuse));
        let behind = switch(&mut desk).unwrap_err();
        assert_eq!(behind.kind(), Kind::Invalid);
        assert!(
            behind.to_string().contains("is behind generation 1"),
            "{behind}"
        );

        block_on(new.run_until_caught_up()).unwrap();
        switch(&mut desk).unwrap();
        append(&store, "loanApplication-1", "Late", "{}");
        block_on(new.run_until_caught_up()).unwrap();
        assert_eq!(rows(&path, totals), counted(2));

        // Back, when that has caught up; then the new one is dropped, and its runner fenced.
        block_on(live.run_until_caught_up()).unwrap();
        assert_eq!(block_on(desk.switch_back("loans")).unwrap(), 1);
        append(&store, "loanApplication-1", "Late", "{}");
        block_on(live.run_until_caught_up()).unwrap();
        assert_eq!(rows(&path, totals), counted(3));
        assert!(block_on(desk.drop_generation("loans", 1)).is_err());
        block_on(desk.drop_generation("loans", 2)).unwrap();
        let fenced = block_on(new.run_until_caught_up()).unwrap_err();
        assert_eq!(fenced.kind(), Kind::Fenced);
        let left = block_on(desk.generations("loans")).unwrap();
        assert_eq!(
            left.iter()
                .map(|it| (it.number, it.live))
                .collect::<Vec<_>>(),
            [(1, true)]
        );
        drop(ended);
        let polls = watching.join().unwrap();
        assert!(polls > 10, "{polls}");
    });
}

/// A number that was given once stays taken: with it the epochs would begin again, and the lease of a dropped generation would hold for
/// another one.
#[test]
fn a_dropped_generation_never_comes_back() {
    let store = Arc::new(MemoryStore::new());
    append(&store, "loanApplication-1", "Asked", "{}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let mut desk = SqliteSink::open(&path, []).unwrap();
    let claimed = |which| {
        let mut runner = loans(&store, &path, which);
        block_on(runner.run_until_caught_up()).unwrap();
        let lease = runner.lease().unwrap().clone();
        (runner, lease)
    };
    claimed(Which::Live);
    let (mut zombie, dropped) = claimed(Which::New);
    assert_eq!((dropped.generation, dropped.epoch), (2, 1));
    block_on(desk.drop_generation("loans", 2)).unwrap();

    let (_, new) = claimed(Which::New);
    assert_eq!((new.generation, new.epoch), (3, 1));
    append(&store, "loanApplication-1", "Late", "{}");
    let fenced = block_on(zombie.run_until_caught_up()).unwrap_err();
    assert_eq!(fenced.kind(), Kind::Fenced, "{fenced}");
    for table in ["loans__g2", "loans__g3"] {
        let late = format!("SELECT count(*) FROM {table} WHERE last = 'Late'");
        let read = Connection::open(&path).unwrap();
        let found: Option<i64> = read.query_row(&late, [], |row| row.get(0)).ok();
        assert_eq!(found, (table == "loans__g3").then_some(0), "{table}");
    }

    // Nor by its number, also when a newer one is left.
    let mut by_number = loans(&store, &path, Which::Number(2));
    let error = block_on(by_number.run_until_caught_up()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("has no generation 2"), "{error}");
    block_on(desk.drop_generation("loans", 3)).unwrap();
    assert_eq!(claimed(Which::New).1.generation, 4);
}

/// A table that came later would be given only what comes after the checkpoint, and no view: it needs a generation that begins at the start.
#[test]
fn a_table_more_needs_a_new_generation() {
    let store = Arc::new(MemoryStore::new());
    append(&store, "loanApplication-1", "Asked", "{}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let run = |which, tables: &[Table]| -> Result<(), Error> {
        let sink = SqliteSink::open(&path, tables.to_vec()).unwrap();
        let mut runner = Runner::new(Arc::clone(&store) as _, sink, Loans).generation(which);
        block_on(runner.run_until_caught_up()).map(|_| ())
    };
    run(Which::Live, &[table()]).unwrap();
    let more = [table(), Table::new("officers").text("id").key(["id"])];
    let error = run(Which::Live, &more).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    let said = error.to_string();
    assert!(
        said.contains("generation 1 of projection loans has no table officers"),
        "{said}"
    );
    assert!(said.contains("build a new generation"), "{said}");
    let made = "SELECT name FROM sqlite_schema WHERE name LIKE 'officers%'";
    assert_eq!(rows(&path, made), [""; 0]);
    run(Which::Live, &[table()]).unwrap();

    run(Which::New, &more).unwrap();
    assert_eq!(rows(&path, made), [r#"[Text("officers__g2")]"#]);
    // What stands where a table of a new generation would is someone else's.
    let other = Connection::open(&path).unwrap();
    let same = "CREATE TABLE \"officers__g3\" (\"id\" TEXT NOT NULL, PRIMARY KEY (\"id\")) STRICT";
    other.execute_batch(same).unwrap();
    let error = run(Which::New, &more).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    let said = error.to_string();
    assert!(said.contains("has a table officers__g3 that no"), "{said}");
}
