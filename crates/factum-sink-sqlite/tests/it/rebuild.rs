//! Rebuilding beside the live generation, and switching under a reader.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use factum_framework::Stop;
use factum_projection::{Error, Kind, Manage, Phase, Rebuild, Runner, Table, Which};
use factum_sink_sqlite::SqliteSink;
use factum_store::{EventStore, MemoryStore};
use pollster::block_on;
use rusqlite::Connection;

use super::loans::{Loans, table};
use super::support::{append, long_log, rows};

/// Ends the watching, also when the test fails.
struct Over<'a>(&'a AtomicBool, &'a Stop);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
        self.1.stop();
    }
}

fn loans(store: &Arc<MemoryStore>, path: &Path, which: Which) -> Runner<SqliteSink, Loans> {
    let sink = SqliteSink::open(path, [table()]).unwrap();
    Runner::new(Arc::clone(store) as _, sink, Loans).generation(which)
}

/// Polls every millisecond as long as it is told to; says how often.
fn watch(path: &Path, over: &AtomicBool) -> u64 {
    let clock = factum_io::Env::real().clock;
    let connection = Connection::open(path).unwrap();
    let mut direct = connection
        .prepare("SELECT count(*), sum(events) FROM loans")
        .unwrap();
    let mut through = connection
        .prepare("SELECT rows, events FROM totals")
        .unwrap();
    let (mut most, mut polls) = ((0, 0), 0);
    while !over.load(Ordering::SeqCst) {
        for statement in [&mut direct, &mut through] {
            let seen: (i64, i64) = statement
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap();
            assert!(seen >= most, "{seen:?} after {most:?}");
            most = seen;
        }
        polls += 1;
        clock.sleep(Duration::from_millis(1));
    }
    polls
}

/// Waits until all generations are at the end of the log.
fn caught_up(store: &MemoryStore, desk: &mut SqliteSink) {
    let head = block_on(store.head()).unwrap();
    let behind = |desk: &mut SqliteSink| {
        let all = block_on(desk.generations("loans")).unwrap();
        all.iter().any(|it| it.checkpoint != head)
    };
    while behind(desk) {
        factum_io::Env::real().clock.sleep(Duration::from_millis(5));
    }
}

/// The whole log is rebuilt, switched to and gone back from, while events come, both generations are kept, and a reader reads.
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

    let (over, stop) = (&AtomicBool::new(false), &Stop::new());
    thread::scope(|scope| {
        let ended = Over(over, stop);
        let watching = scope.spawn(|| watch(&path, over));
        let keeping = scope.spawn(|| block_on(live.run(stop)));
        let sink = SqliteSink::open(&path, [table()]).unwrap();
        let mut rebuild = Rebuild::new(Arc::clone(&store) as _, sink, Loans);
        let progress = rebuild.watch();
        let rebuilding = scope.spawn(move || (block_on(rebuild.run(&Stop::new())), rebuild));
        let mut more = 0;
        while !rebuilding.is_finished() {
            append(&store, "loanApplication-1", "Late", "{}");
            more += 1;
            factum_io::Env::real()
                .clock
                .sleep(Duration::from_millis(10));
        }
        let (rebuilt, rebuild) = rebuilding.join().unwrap();
        let rebuilt = rebuilt.unwrap().unwrap();
        assert_eq!((rebuilt.generation, rebuilt.before), (2, Some(1)));
        assert!(rebuilt.verified.unwrap().rows > 10_000, "{rebuilt:?}");
        assert_eq!(progress.now().phase, Phase::Done);
        assert!(more > 3, "{more}");

        let mut new = rebuild.into_runner();
        let following = scope.spawn(move || block_on(new.run(stop)));
        append(&store, "loanApplication-1", "Late", "{}");
        let mut desk = SqliteSink::open(&path, []).unwrap();
        caught_up(&store, &mut desk);
        assert_eq!(rows(&path, totals), counted(more + 1));

        // Back; then the new one is dropped, and its runner fenced.
        assert_eq!(block_on(desk.switch_back("loans")).unwrap(), 1);
        append(&store, "loanApplication-1", "Late", "{}");
        caught_up(&store, &mut desk);
        assert_eq!(rows(&path, totals), counted(more + 2));
        assert!(block_on(desk.drop_generation("loans", 1)).is_err());
        block_on(desk.drop_generation("loans", 2)).unwrap();
        let fenced = following.join().unwrap().unwrap_err();
        assert_eq!(fenced.kind(), Kind::Fenced);
        let left = block_on(desk.generations("loans")).unwrap();
        let left: Vec<_> = left.iter().map(|it| (it.number, it.live)).collect();
        assert_eq!(left, [(1, true)]);
        drop(ended);
        let polls = watching.join().unwrap();
        assert!(polls > 10, "{polls}");
        keeping.join().unwrap().unwrap();
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
    assert_eq!(error.kind(), Kind::Outdated);
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
