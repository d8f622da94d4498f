//! How fast a read model in PostgreSQL is rebuilt and followed, and what the server itself can do in the same run.
//!
//! `cargo run --release -p factum-sink-postgres --example measure -- URL LOG`: the log of loan applications, gzipped CloudEvents by line.

#![expect(clippy::print_stdout, reason = "it tells figures")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails is none")]
#![expect(
    clippy::disallowed_methods,
    reason = "it measures time, and nothing is simulated"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use factum_engine::{Engine, Options as EngineOptions};
use factum_framework::Stop;
use factum_projection::rebuild::Verify;
use factum_projection::{Error, Projector, Rebuild, Rows, Runner, Table, Value};
use factum_sink_postgres::{Options, PostgresSink, limit};
use factum_store::{AppendBatch, EventStore, ReadRequest, Source, StreamWrite};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName};
use loan_applications::log;
use pollster::block_on;

/// As in the binary `factum`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many times each is measured; the best counts, of both.
const ROUNDS: u32 = 3;
/// How many events come in a second while the lag is measured, and for how long.
const LIVE_RATE: u64 = 5_000;
const LIVE_SECONDS: u64 = 10;

/// One row for each event.
#[derive(Debug, Clone)]
struct Events;

impl<W: Rows> Projector<W> for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn source(&self) -> Source {
        Source::All
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let row = [
            ("position", event.position.raw().cast_signed().into()),
            ("stream", event.stream.as_str().into()),
            ("type", event.event_type.as_str().into()),
            ("at", event.time.into()),
        ];
        to.insert("events", &row)
    }
}

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

fn events_table() -> Table {
    Table::new("events")
        .integer("position")
        .text("stream")
        .text("type")
        .time("at")
        .key(["position"])
}

fn loans_table() -> Table {
    Table::new("loans")
        .text("id")
        .text("last")
        .integer("events")
        .key(["id"])
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, log] = arguments.as_slice() else {
        println!("measure URL LOG");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(EngineOptions::new(folder.path()), factum_io::Env::real()).unwrap();
    let engine = Arc::new(engine);
    let store: Arc<dyn EventStore> = Arc::clone(&engine) as _;
    let log = std::fs::read(log).unwrap();
    let count = block_on(log::import(&log, &*store)).unwrap();
    let count = u64::try_from(count).unwrap();
    println!("{count} events");
    against(url, &store, &events_table(), event_rows, &Events, count);
    against(url, &store, &loans_table(), loan_rows, &Loans, count);
    live(url, &store);
    drop(store);
    drop_schema(url);
}

/// Leaves nothing behind in the database.
fn drop_schema(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let schema = options(url).schema_name().to_owned();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
            .await
            .unwrap();
        let driver = tokio::spawn(connection);
        let sql = format!("DROP SCHEMA \"{schema}\" CASCADE");
        client.batch_execute(&sql).await.unwrap();
        driver.abort();
    });
}

fn options(url: &str) -> Options {
    let schema = format!("factum_measure_{}", std::process::id());
    Options::from_url(url).unwrap().schema(&schema).unwrap()
}

/// The rows, as a program would make them that was written for it.
fn event_rows(store: &dyn EventStore) -> Vec<Vec<Value>> {
    let (mut rows, mut events) = (Vec::new(), store.read(ReadRequest::all()));
    while let Some(event) = block_on(events.next()) {
        let event = event.unwrap();
        rows.push(vec![
            event.position.raw().cast_signed().into(),
            event.stream.as_str().into(),
            event.event_type.as_str().into(),
            event.time.into(),
        ]);
    }
    rows
}

fn loan_rows(store: &dyn EventStore) -> Vec<Vec<Value>> {
    let mut loans = BTreeMap::<String, (String, i64)>::new();
    let mut events = store.read(ReadRequest::all());
    while let Some(event) = block_on(events.next()) {
        let event = event.unwrap();
        let entry = loans.entry(event.stream.to_string()).or_default();
        *entry = (event.event_type.to_string(), entry.1 + 1);
    }
    let rows = loans
        .into_iter()
        .map(|(id, (last, events))| vec![id.into(), last.into(), events.into()]);
    rows.collect()
}

/// A rebuild against a load by hand of the same rows, in turns.
fn against<P>(
    url: &str,
    store: &Arc<dyn EventStore>,
    table: &Table,
    rows: fn(&dyn EventStore) -> Vec<Vec<Value>>,
    projector: &P,
    count: u64,
) where
    P: Projector<factum_sink_postgres::PostgresRows>
        + Projector<factum_projection::memory::MemoryWriter>
        + Clone,
{
    let (mut hand, mut whole) = (Duration::MAX, Duration::MAX);
    let (mut ours, mut verified, mut loaded) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..ROUNDS {
        let read = Instant::now();
        let rows = rows(&**store);
        let begun = Instant::now();
        let by_hand = Table {
            name: format!("{}_by_hand", table.name),
            ..table.clone()
        };
        loaded = block_on(limit::load(options(url), &by_hand, &rows)).unwrap();
        assert_eq!(loaded, rows.len() as u64);
        hand = hand.min(begun.elapsed());
        whole = whole.min(read.elapsed());
        for (verify, best) in [
            (Verify::Nothing, &mut ours),
            (Verify::Everything, &mut verified),
        ] {
            let begun = Instant::now();
            let sink = PostgresSink::open(options(url), [table.clone()]).unwrap();
            let rebuild = Rebuild::new(Arc::clone(store), sink, projector.clone());
            let mut rebuild = rebuild.verify(verify).afresh();
            block_on(rebuild.run(&Stop::new())).unwrap().unwrap();
            *best = (*best).min(begun.elapsed());
        }
    }
    let rate = |took: Duration| f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64();
    println!(
        "{}: {loaded} rows; loaded by hand in {hand:.0?}, {whole:.0?} with reading the log; rebuilt in {ours:.0?}, {:.0} events/s: {:.2} and {:.2} of that; verified too {verified:.0?}",
        table.name,
        rate(ours),
        hand.as_secs_f64() / ours.as_secs_f64(),
        whole.as_secs_f64() / ours.as_secs_f64(),
    );
}

/// The lag while events keep coming.
fn live(url: &str, store: &Arc<dyn EventStore>) {
    let sink = PostgresSink::open(options(url), [loans_table()]).unwrap();
    let mut runner = Runner::new(Arc::clone(store), sink, Loans);
    block_on(runner.run_until_caught_up()).unwrap();
    let (monitor, stop) = (runner.monitor(), Stop::new());
    let (mut worst, mut events) = (Duration::ZERO, 0);
    thread::scope(|scope| {
        let run = scope.spawn(|| block_on(runner.run(&stop)));
        let begun = Instant::now();
        let mut sent = 0;
        while begun.elapsed() < Duration::from_secs(LIVE_SECONDS) {
            let due = u64::try_from(begun.elapsed().as_micros()).unwrap() * LIVE_RATE / 1_000_000;
            let mut batch = Vec::new();
            while sent < due && batch.len() < 500 {
                sent += 1;
                batch.push(write(
                    sent + 10_000_000,
                    &format!("live-{}", sent % 997),
                    "Live",
                    "{}",
                ));
            }
            append(&**store, &mut batch);
            let lag = block_on(monitor.lag()).unwrap();
            worst = worst.max(lag.age);
            events = events.max(lag.events);
            thread::sleep(Duration::from_millis(2));
        }
        println!(
            "live: {sent} events in {LIVE_SECONDS} s, lag at most {worst:.0?} or {events} events"
        );
        stop.stop();
        run.join().unwrap().unwrap();
    });
}

fn write(number: u64, stream: &str, kind: &str, data: &str) -> StreamWrite {
    let id = EventId::from_bytes((u128::from(number) << 64).to_be_bytes());
    let event = NewEvent::json(id, EventType::new(kind).unwrap(), data.to_owned());
    let stream = StreamName::new(stream).unwrap();
    StreamWrite::events(stream, ExpectedRevision::Any, vec![event])
}

fn append(store: &dyn EventStore, writes: &mut Vec<StreamWrite>) {
    let mut writes = std::mem::take(writes).into_iter();
    let Some(StreamWrite {
        stream,
        expected,
        change,
    }) = writes.next()
    else {
        return;
    };
    let first = AppendBatch::change(stream, expected, change);
    let batch = writes.fold(first, AppendBatch::and);
    block_on(store.append(batch)).unwrap();
}
