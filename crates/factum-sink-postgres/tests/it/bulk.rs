//! What goes wrong in a bulk, and that it goes on: rows that are there twice, steps that take too long, an end that has to be repeated.

use std::time::Duration;

use factum_projection::{
    Advance, Claim, Error, Kind, Lease, Manage, ReadBack, Rows, Sink, Table, Which, kit,
};
use factum_sink_postgres::{Late, PostgresSink};
use factum_store::{EventStore, MemoryStore, ReadRequest};
use factum_types::{Position, RecordedEvent};
use pollster::block_on;

use super::orders::append;
use super::own_server::pause;
use super::support::{Server, fresh, servers};

const CLAIM: Claim<'static> = Claim {
    projection: "things",
    which: Which::New,
    version: "1",
    bulk: true,
};

fn table() -> Table {
    Table::new("things")
        .text("id")
        .integer("changes")
        .key(["id"])
}

fn event() -> RecordedEvent {
    let store = MemoryStore::new();
    append(&store, "thing-1", "Made", "{}");
    let event = block_on(store.read(ReadRequest::all()).next());
    event.unwrap().unwrap()
}

/// What a batch writes.
type Writes<'a> = &'a dyn Fn(&mut dyn Rows) -> Result<(), Error>;

/// Commits a batch up to a position, from where the advance before it ended.
fn commit(
    sink: &mut PostgresSink,
    lease: &Lease,
    advance: &mut Advance,
    to: u64,
    writes: Writes<'_>,
) -> Result<(), Error> {
    block_on(sink.begin(lease)).unwrap();
    let next = Advance {
        from: advance.to,
        to: Some(Position::from_raw(to)),
        ..advance.clone()
    };
    let done = writes(sink.writer(&event())).and_then(|()| block_on(sink.commit(lease, &next)));
    match &done {
        Ok(()) => *advance = next,
        Err(_) => block_on(sink.roll_back()),
    }
    done
}

/// New rows with these numbers.
fn insert(to: &mut dyn Rows, numbers: std::ops::Range<u64>) -> Result<(), Error> {
    for number in numbers {
        to.insert("things", &[("id", format!("thing-{number}").into())])?;
    }
    Ok(())
}

fn look(sink: &mut PostgresSink, lease: &Lease) -> Advance {
    Advance {
        to: block_on(sink.look(lease)).unwrap().checkpoint,
        ..Advance::default()
    }
}

/// As [`look`], where the server may be busy for a while.
fn patient_look(sink: &mut PostgresSink, lease: &Lease) -> Advance {
    const TRIES: usize = 200;
    let state = (0..TRIES).find_map(|_| match block_on(sink.look(lease)) {
        Ok(state) => Some(state),
        Err(error) => {
            assert_eq!(error.kind(), Kind::Unavailable, "{error}");
            pause(50);
            None
        }
    });
    Advance {
        to: state.unwrap().checkpoint,
        ..Advance::default()
    }
}

fn on_each(test: &str, check: impl Fn(&Server, &str)) {
    for server in servers(test) {
        let schema = fresh("bulk");
        check(&server, &schema);
        server.client().drop_schema(&schema);
    }
}

/// A row has to be found by its key, and the key cannot be made: the generation is emptied, and filled again to where one is refused.
#[test]
fn rows_that_are_there_twice_are_found_when_a_key_is_needed() {
    let test = "bulk::rows_that_are_there_twice_are_found_when_a_key_is_needed";
    on_each(test, |server, schema| {
        let mut sink = server.open(schema, &[table()]);
        let lease = block_on(sink.claim(CLAIM)).unwrap();
        let mut advance = Advance::default();
        for to in 1..3 {
            // Copied, and sent now: not put together.
            commit(&mut sink, &lease, &mut advance, to, &|it| {
                insert(it, 0..100)
            })
            .unwrap();
            assert_eq!(look(&mut sink, &lease).to, advance.to);
        }
        let update: Writes<'_> =
            &|to| to.increment("things", &[("id", "thing-1".into())], "changes", 1);
        commit(&mut sink, &lease, &mut advance, 3, update).unwrap();
        // Sent, and what becomes of it said at the next call.
        block_on(sink.roll_back());
        let said = commit(&mut sink, &lease, &mut advance, 4, update).unwrap_err();
        assert_eq!(said.kind(), Kind::Unavailable, "{said}");
        assert!(said.to_string().contains("is filled again"), "{said}");
        let mut advance = look(&mut sink, &lease);
        assert_eq!(advance.to, None);
        assert_eq!(block_on(sink.count("things", 1, "things")).unwrap(), 0);
        // Again, to where it is refused.
        commit(&mut sink, &lease, &mut advance, 1, &|it| insert(it, 0..100)).unwrap();
        assert_eq!(look(&mut sink, &lease).to, advance.to);
        commit(&mut sink, &lease, &mut advance, 2, &|it| insert(it, 0..100)).unwrap();
        block_on(sink.roll_back());
        let mut advance = look(&mut sink, &lease);
        assert_eq!(advance.to, Some(Position::from_raw(1)));
        let said = commit(&mut sink, &lease, &mut advance, 2, &|it| insert(it, 0..100));
        assert_eq!(said.unwrap_err().kind(), Kind::Refused);
        commit(&mut sink, &lease, &mut advance, 3, update).unwrap();
        block_on(sink.finish_bulk(&lease)).unwrap();
        let rows = block_on(kit::all(&mut sink, "things", 1, "things"));
        assert_eq!(rows.len(), 100);
        assert_eq!(rows[1]["changes"], 1_i64.into(), "{:?}", rows[1]);
        let keys = format!(
            "SELECT count(*) FROM pg_indexes WHERE schemaname = '{schema}' AND indexname = 'things__g1_pkey'"
        );
        assert_eq!(server.client().rows(&keys), ["1"]);
    });
}

/// Rows take the server long. What is put together takes longer than may be; in small steps it does not.
#[test]
fn what_takes_too_long_at_once_is_done_in_steps() {
    let test = "bulk::what_takes_too_long_at_once_is_done_in_steps";
    on_each(test, |server, schema| {
        let options = server.options(schema).answer_within(Duration::from_secs(1));
        let mut sink = PostgresSink::open(options, [table()]).unwrap();
        let lease = block_on(sink.claim(CLAIM)).unwrap();
        server.client().run(&format!(
            "CREATE FUNCTION \"{schema}\".slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.0005); RETURN NEW; END';
             CREATE TRIGGER slow BEFORE INSERT ON \"{schema}\".things__g1 FOR EACH ROW EXECUTE FUNCTION \"{schema}\".slow()"
        ));
        // Each of them too long by itself, too.
        let (batches, rows) = (3, 1_500);
        let mut late = 0;
        for looks in 0.. {
            assert!(looks < 20, "it does not get on");
            // The server is at it still, and has the lock, for a moment after it was given up.
            let mut advance = patient_look(&mut sink, &lease);
            let begin = advance.to.map_or(0, Position::raw);
            if begin == batches {
                break;
            }
            let failed = (begin..batches).find_map(|batch| {
                let writes: Writes<'_> = &|to| insert(to, batch * rows..(batch + 1) * rows);
                commit(&mut sink, &lease, &mut advance, batch + 1, writes).err()
            });
            block_on(sink.roll_back());
            let next = Advance {
                from: advance.to,
                ..advance
            };
            block_on(sink.begin(&lease)).unwrap();
            let failed = failed.or_else(|| block_on(sink.commit(&lease, &next)).err());
            if let Some(error) = failed {
                assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                assert!(error.cause::<Late>().is_some(), "{error:?}");
                late += 1;
            }
        }
        // Else nothing was tested.
        assert!(late > 0);
        block_on(sink.finish_bulk(&lease)).unwrap();
        let count = block_on(sink.count("things", 1, "things")).unwrap();
        assert_eq!(count, batches * rows);
    });
}

/// The end of a bulk fails, for another has a lock. Until it is repeated, batches go into tables without keys as before.
#[test]
fn a_bulk_whose_end_failed_is_still_one() {
    let test = "bulk::a_bulk_whose_end_failed_is_still_one";
    on_each(test, |server, schema| {
        let mut sink = server.open(schema, &[table()]);
        let lease = block_on(sink.claim(CLAIM)).unwrap();
        let mut advance = Advance::default();
        let writes: Writes<'_> = &|to| insert(to, 0..100);
        commit(&mut sink, &lease, &mut advance, 1, writes).unwrap();
        assert_eq!(look(&mut sink, &lease).to, advance.to);
        let other = server.client();
        // As one who writes there has: a key cannot be made meanwhile.
        other.run(&format!(
            "BEGIN; LOCK TABLE \"{schema}\".things__g1 IN ROW EXCLUSIVE MODE"
        ));
        let said = block_on(sink.finish_bulk(&lease)).unwrap_err();
        assert_eq!(said.kind(), Kind::Unavailable, "{said}");
        other.run("COMMIT");
        assert_eq!(look(&mut sink, &lease).to, advance.to);
        let all = block_on(sink.generations("things")).unwrap();
        assert!(all[0].bulk, "{all:?}");
        let change: Writes<'_> =
            &|to| to.increment("things", &[("id", "thing-1".into())], "changes", 1);
        commit(&mut sink, &lease, &mut advance, 2, change).unwrap();
        block_on(sink.finish_bulk(&lease)).unwrap();
        assert_eq!(look(&mut sink, &lease).to, advance.to);
        let rows = block_on(kit::all(&mut sink, "things", 1, "things"));
        assert_eq!(rows[1]["changes"], 1_i64.into(), "{:?}", rows[1]);
    });
}
