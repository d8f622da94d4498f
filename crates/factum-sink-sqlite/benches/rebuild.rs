//! How fast a read model is rebuilt, beside a load of the same rows that was written by hand for it: `cargo bench -p factum-sink-sqlite`.
//!
//! The log is the one of loan applications where it lies beside the project, or one as long that is made; it is in an engine's store. The two
//! loads take turns, each into a new file, and the medians are printed. Relies on: an otherwise idle machine. Never: compares loads that
//! leave different rows.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints figures, and stops where it cannot"
)]

use std::path::Path;
use std::sync::Arc;

use factum_engine::{Engine, Options};
use factum_framework::{Stop, World};
use factum_io::Env;
use factum_projection::{
    ColumnType, Error, Projector, ReadBack, Rebuild, Row, Rows, Runner, Table, Value, Verify,
};
use factum_sink_sqlite::SqliteSink;
use factum_store::{EventStore, ReadRequest, Source};
use factum_types::RecordedEvent;
use loan_applications::log;
use pollster::block_on;
use rusqlite::Connection;

/// As in the binary `factum`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;

/// What a read model looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One row for each application, changed by each of its events.
    Application,
    /// One row for each event, with its data.
    Event,
}

impl Shape {
    const fn name(self) -> &'static str {
        match self {
            Self::Application => "applications",
            Self::Event => "events",
        }
    }

    fn table(self) -> Table {
        match self {
            Self::Application => Table::new("applications")
                .text("id")
                .text("last")
                .integer("steps")
                .time("at")
                .key(["id"])
                .index(["last"]),
            Self::Event => Table::new("events")
                .text("stream")
                .integer("revision")
                .text("type")
                .time("at")
                .column("data", ColumnType::Json)
                .key(["stream", "revision"])
                .index(["type"]),
        }
    }

    const fn by_hand(self) -> [&'static str; 3] {
        match self {
            Self::Application => [
                "CREATE TABLE applications (id TEXT NOT NULL, last TEXT, steps INTEGER, at INTEGER, PRIMARY KEY (id)) STRICT",
                "INSERT INTO applications VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (id) DO UPDATE SET last = excluded.last, steps = excluded.steps, at = excluded.at",
                "CREATE INDEX last ON applications (last)",
            ],
            Self::Event => [
                "CREATE TABLE events (stream TEXT NOT NULL, revision INTEGER NOT NULL, type TEXT, at INTEGER, data TEXT, PRIMARY KEY (stream, revision)) STRICT",
                "INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5)",
                "CREATE INDEX type ON events (type)",
            ],
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Model(Shape);

impl<W: Rows> Projector<W> for Model {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn source(&self) -> Source {
        Source::All
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let stream = event.stream.as_str().into();
        let revision = event.revision.number().cast_signed();
        let (kind, at) = (event.event_type.as_str().into(), event.time.into());
        match self.0 {
            Shape::Application => {
                let row = [
                    ("id", stream),
                    ("last", kind),
                    ("steps", (revision + 1).into()),
                    ("at", at),
                ];
                to.upsert("applications", &row)
            }
            Shape::Event => {
                let data = String::from_utf8_lossy(&event.data).into_owned();
                let row = [
                    ("stream", stream),
                    ("revision", revision.into()),
                    ("type", kind),
                    ("at", at),
                    ("data", Value::Json(data)),
                ];
                to.insert("events", &row)
            }
        }
    }
}

/// The log in a store.
fn store(folder: &Path) -> Arc<dyn EventStore> {
    let engine = Engine::open(Options::new(folder.join("store")), Env::real()).unwrap();
    let count = block_on(log::import_long(&engine)).unwrap();
    println!("{count} events");
    Arc::new(engine)
}

fn events(store: &dyn EventStore, mut each: impl FnMut(RecordedEvent)) {
    let mut events = store.read(ReadRequest::all());
    while let Some(event) = block_on(events.next()) {
        each(event.unwrap());
    }
}

/// One prepared statement, one transaction, the index at the end; from the store, or from memory.
fn by_hand(path: &Path, shape: Shape, each: impl FnOnce(&mut dyn FnMut(&RecordedEvent))) {
    let connection = Connection::open(path).unwrap();
    let [table, write, index] = shape.by_hand();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
        .unwrap();
    connection.execute_batch(table).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut statement = connection.prepare(write).unwrap();
    each(&mut |event| {
        let (stream, kind) = (event.stream.as_str(), event.event_type.as_str());
        let (revision, at) = (
            event.revision.number().cast_signed(),
            event.time.as_micros(),
        );
        let written = match shape {
            Shape::Application => statement.execute((stream, kind, revision + 1, at)),
            Shape::Event => {
                let data = std::str::from_utf8(&event.data).unwrap();
                statement.execute((stream, revision, kind, at, data))
            }
        };
        written.unwrap();
    });
    connection.execute_batch(index).unwrap();
    connection.execute_batch("COMMIT").unwrap();
}

fn rebuild(store: &Arc<dyn EventStore>, path: &Path, shape: Shape, verify: Verify) -> SqliteSink {
    let sink = SqliteSink::open(path, [shape.table()]).unwrap();
    let mut rebuild = Rebuild::new(Arc::clone(store), sink, Model(shape)).verify(verify);
    block_on(rebuild.run(&Stop::new())).unwrap();
    rebuild.into_runner().into_sink()
}

/// Without a bulk: small batches into the live generation, as an application would first catch up.
fn catch_up(store: &Arc<dyn EventStore>, path: &Path, shape: Shape) {
    let sink = SqliteSink::open(path, [shape.table()]).unwrap();
    let mut runner = Runner::new(Arc::clone(store), sink, Model(shape));
    block_on(runner.run_until_caught_up()).unwrap();
}

fn seconds(world: &World, work: impl FnOnce()) -> f64 {
    let start = world.clock.monotonic_ns();
    work();
    std::time::Duration::from_nanos(world.clock.monotonic_ns() - start).as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Both files have the same rows.
fn check(path: &Path, hand: &Path, shape: Shape) {
    let digest = |path: &Path| -> (i64, String) {
        let columns = match shape {
            Shape::Application => "id || last || steps || at",
            Shape::Event => "stream || revision || type || at || data",
        };
        let name = shape.name();
        let connection = Connection::open(path).unwrap();
        let sql = format!("SELECT count(*), max({columns}) FROM {name}");
        connection
            .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    assert_eq!(digest(path), digest(hand));
}

fn measure(world: &World, store: &Arc<dyn EventStore>, all: &[RecordedEvent], shape: Shape) {
    let folder = tempfile::tempdir().unwrap();
    let mut times: [Vec<f64>; 5] = Default::default();
    for round in 0..ROUNDS {
        let path = |name: &str| folder.path().join(format!("{name}{round}.db"));
        let memory = path("memory");
        times[0].push(seconds(world, || {
            by_hand(&memory, shape, |each| all.iter().for_each(each));
        }));
        times[1].push(seconds(world, || {
            by_hand(&path("store"), shape, |each| {
                events(&**store, |event| each(&event));
            });
        }));
        let rebuilt = path("rebuilt");
        times[2].push(seconds(world, || {
            rebuild(store, &rebuilt, shape, Verify::Nothing);
        }));
        check(&rebuilt, &memory, shape);
        times[3].push(seconds(world, || {
            rebuild(store, &path("verified"), shape, Verify::Everything);
        }));
        times[4].push(seconds(world, || catch_up(store, &path("live"), shape)));
    }
    let [memory, from_store, rebuilt, verified, live] = times.map(median);
    let mut sink = SqliteSink::open(folder.path().join("rebuilt0.db"), [shape.table()]).unwrap();
    let first: Vec<Row> = block_on(sink.page(shape.name(), 1, shape.name(), None, 1)).unwrap();
    assert_eq!(first.len(), 1);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = |time: f64| all.len() as f64 / time;
    for (what, time) in [
        ("by hand, rows in memory", memory),
        ("by hand, from the store", from_store),
        ("rebuild", rebuilt),
        ("rebuild, verified", verified),
        ("caught up in place", live),
    ] {
        println!(
            "| one row per {}, {what} | {:.0} events/s | {:.2} | {:.2} |",
            shape.name().trim_end_matches('s'),
            rate(time),
            memory / time,
            from_store / time,
        );
    }
}

fn main() {
    let world = World::real();
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut all = Vec::new();
    events(&*store, |event| all.push(event));
    println!("| measured | figure | of in memory | of from the store |");
    println!("|---|---:|---:|---:|");
    for shape in [Shape::Application, Shape::Event] {
        measure(&world, &store, &all, shape);
    }
}
