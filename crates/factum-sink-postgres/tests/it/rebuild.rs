//! A long log, 262,200 events, rebuilt beside the live generation under a reader who looks every millisecond.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use factum_framework::Stop;
use factum_projection::{
    Advance, Claim, Error, Manage, Projector, ReadBack, Rebuild, Rows, Runner, Sink, Table, Which,
};
use factum_store::{EventStore, MemoryStore, ReadRequest, Source};
use factum_types::{Position, RecordedEvent};
use loan_applications::log;
use pollster::block_on;

use super::orders::append;
use super::own_server::pause;
use super::support::{Server, fresh, servers};

/// One row for each application: its last event, and how many it had.
#[derive(Debug, Clone)]
struct Loans;

impl<W: Rows> Projector<W> for Loans {
    fn name(&self) -> &'static str {
        "loans"
    }

    fn source(&self) -> Source {
        Source::All
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let id = ("id", event.stream.as_str().into());
        let last = ("last", event.event_type.as_str().into());
        to.upsert("loans", &[id.clone(), last])?;
        to.increment("loans", &[id], "events", 1)
    }
}

fn table() -> Table {
    Table::new("loans")
        .text("id")
        .text("last")
        .integer("events")
        .key(["id"])
        .index(["last"])
}

/// Ends the watching, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls as long as it is told to; says how often.
fn watch(server: &Server, schema: &str, over: &AtomicBool) -> u64 {
    let reader = server.client();
    let (mut most, mut polls) = ((0, 0), 0);
    while !over.load(Ordering::SeqCst) {
        let seen = reader.rows(&format!("SELECT n, events FROM \"{schema}\".totals"));
        let (rows, events) = seen[0].split_once('|').unwrap();
        let seen: (u64, u64) = (rows.parse().unwrap(), events.parse().unwrap());
        assert!(seen >= most, "{seen:?} after {most:?}");
        (most, polls) = (seen, polls + 1);
        pause(1);
    }
    polls
}

#[test]
fn readers_see_no_rebuild() {
    let servers = servers("rebuild::readers_see_no_rebuild");
    if servers.is_empty() {
        return;
    }
    let store = Arc::new(MemoryStore::new());
    let imported = block_on(log::import_long(&*store)).unwrap();
    let mut count = u64::try_from(imported).unwrap();
    assert_eq!(count, 262_200);
    for server in servers {
        let schema = fresh("rebuild");
        let mut live = Runner::new(
            Arc::clone(&store) as _,
            server.open(&schema, &[table()]),
            Loans,
        )
        .batch_events(10_000);
        block_on(live.run_until_caught_up()).unwrap();
        let other = server.client();
        // A view that someone else made over ours.
        other.run(&format!(
            "CREATE VIEW \"{schema}\".totals AS SELECT count(*) AS n, sum(events) AS events FROM \"{schema}\".loans"
        ));
        let check = |expected: u64, what: &str| {
            let seen = other.rows(&format!("SELECT events FROM \"{schema}\".totals"));
            assert_eq!(seen, [expected.to_string()], "{what}");
        };
        check(count, "live");
        let mut late = || {
            count += 1;
            append(&*store, "loanApplication-1", "Late", "{}");
            count
        };
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let ended = Over(&over);
            let watching = scope.spawn(|| watch(&server, &schema, &over));
            let mut rebuild = Rebuild::new(
                Arc::clone(&store) as _,
                server.open(&schema, &[table()]),
                Loans,
            );
            let rebuilt = block_on(rebuild.run(&Stop::new())).unwrap().unwrap();
            assert_eq!((rebuilt.generation, rebuilt.before), (2, Some(1)));
            assert!(rebuilt.verified.is_some(), "{rebuilt:?}");
            let mut new = rebuild.into_runner();
            let expected = late();
            block_on(new.run_until_caught_up()).unwrap();
            check(expected, "switched");
            // Back, when that has caught up.
            block_on(live.run_until_caught_up()).unwrap();
            let mut desk = server.open(&schema, &[]);
            assert_eq!(block_on(desk.switch_back("loans")).unwrap(), 1);
            let expected = late();
            block_on(live.run_until_caught_up()).unwrap();
            check(expected, "switched back");
            block_on(desk.drop_generation("loans", 2)).unwrap();
            drop(ended);
            let polls = watching.join().unwrap();
            assert!(polls > 50, "{polls}");
        });
        let indexes = other.rows(&format!(
            "SELECT count(*) FROM pg_indexes WHERE schemaname = '{schema}' AND indexname LIKE 'loans%'"
        ));
        assert_eq!(indexes, ["2"]);
        other.drop_schema(&schema);
    }
}

/// Rows of one key that were copied before there was a key: the generation is filled again, and its keys are there.
#[test]
fn rows_that_are_there_twice_are_found() {
    for server in servers("rebuild::rows_that_are_there_twice_are_found") {
        let schema = fresh("twice");
        let mut sink = server.open(&schema, &[table()]);
        let claim = Claim {
            projection: "loans",
            which: Which::New,
            version: "1",
            bulk: true,
        };
        let lease = block_on(sink.claim(claim)).unwrap();
        let store = MemoryStore::new();
        append(&store, "loan-1", "Late", "{}");
        let event = block_on(store.read(ReadRequest::all()).next());
        let event = event.unwrap().unwrap();
        let mut advance = Advance::default();
        for at in 1..3 {
            block_on(sink.begin(&lease)).unwrap();
            for row in 0..100 {
                let id = ("id", format!("loan-{row}").into());
                sink.writer(&event).insert("loans", &[id]).unwrap();
            }
            advance.from = advance.to.replace(Position::from_raw(at));
            block_on(sink.commit(&lease, &advance)).unwrap();
            // Sent now, so that they are not put together.
            assert_eq!(block_on(sink.look(&lease)).unwrap().checkpoint, advance.to);
        }
        assert_eq!(block_on(sink.count("loans", 1, "loans")).unwrap(), 200);
        block_on(sink.finish_bulk(&lease)).unwrap();
        assert_eq!(block_on(sink.look(&lease)).unwrap().checkpoint, None);
        assert_eq!(block_on(sink.count("loans", 1, "loans")).unwrap(), 0);
        let other = server.client();
        let indexes = format!(
            "SELECT indexname FROM pg_indexes WHERE schemaname = '{schema}' AND tablename = 'loans__g1' ORDER BY 1"
        );
        assert_eq!(other.rows(&indexes), ["loans__g1_i0", "loans__g1_pkey"]);
        other.drop_schema(&schema);
    }
}
