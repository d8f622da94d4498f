//! Runners that are killed, stopped and started twice, and a server that is killed: what is there is a fold of the log, every time.
//!
//! A runner is a process of its own: this program again, with one test that is told by the environment what to do. Its log is made from
//! the seed, so that every process has the same one.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use factum_framework::Retry;
use factum_projection::{
    Error, Kind, Manage, MemorySink, Projector, Rows, Runner, Sink, Table, kit,
};
use factum_sink_elastic::ElasticSink;
use factum_store::{AppendBatch, EventStore, MemoryStore, Source};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName};
use pollster::block_on;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::support::{Swept, address, fresh_prefix, open, service};

const TOLD: &str = "FACTUM_TEST_RUNNER";
/// The command of a server, a word a line.
const SERVER: &str = "FACTUM_TEST_SERVER";
/// How long a runner may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(240);
/// What is said to be slow.
const SLOW: Duration = Duration::from_secs(20);
const EVENTS: u64 = 240;
/// Runs in which runners are killed or replaced, and runs in which the server is killed under one runner, and under two.
const RUNS: u64 = 38;
const SERVER_RUNS: u64 = 12;

fn tables() -> [Table; 2] {
    [
        Table::new("orders")
            .text("id")
            .text("status")
            .integer("events")
            .key(["id"]),
        Table::new("counts")
            .text("type")
            .integer("events")
            .key(["type"]),
    ]
}

#[derive(Debug, Clone, Copy)]
struct Orders;

impl<W: Rows> Projector<W> for Orders {
    fn name(&self) -> &'static str {
        "orders"
    }

    fn source(&self) -> Source {
        Source::All
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let id = ("id", event.stream.as_str().into());
        let kind = event.event_type.as_str();
        match kind {
            "Placed" => to.insert("orders", &[id.clone(), ("status", "placed".into())])?,
            "Gone" => to.delete("orders", slice::from_ref(&id))?,
            "Broken" => return Err(Error::refused("broken")),
            _ => to.increment("orders", slice::from_ref(&id), "events", 1)?,
        }
        to.update("orders", &[id], &[("status", kind.into())])?;
        to.increment("counts", &[("type", kind.into())], "events", 1)
    }
}

fn log(seed: u64) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let mut random = fastrand::Rng::with_seed(seed);
    for number in 0..EVENTS {
        let kind = match random.u32(..100) {
            0 => "Broken",
            1..4 => "Placed",
            4..20 => "Gone",
            20..60 => "Paid",
            _ => "Looked",
        };
        let id = EventId::from_bytes(u128::from(number + 1).to_be_bytes());
        let event = NewEvent::json(id, EventType::new(kind).unwrap(), "{}");
        let stream = StreamName::new(format!("order-{}", random.u32(..20))).unwrap();
        let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
        block_on(store.append(batch)).unwrap();
    }
    store
}

fn runner<S: Sink<Writer: Rows>>(seed: u64, sink: S, batch: usize) -> Runner<S, Orders> {
    let mut patience = Retry::jittered(u32::MAX);
    patience.delay_first = Duration::from_millis(10);
    patience.delay_max = Duration::from_millis(300);
    let runner = Runner::new(log(seed), sink, Orders).backoff(patience);
    runner.batch_events(batch)
}

/// Rows and what is parked, in memory as in the server.
fn check(address: &str, prefix: &str, seed: u64) {
    let read = |sink: &mut dyn Read| {
        let parked = sink.parked();
        (sink.rows("orders"), sink.rows("counts"), parked)
    };
    let mut memory = MemorySink::new(tables()).unwrap();
    block_on(runner(seed, memory.clone(), 1_000).run_until_caught_up()).unwrap();
    let mut server = open(address, prefix, &tables());
    assert_eq!(read(&mut server), read(&mut memory), "seed {seed}");
}

trait Read {
    fn rows(&mut self, table: &str) -> Vec<factum_projection::Row>;
    fn parked(&mut self) -> Vec<(u64, String)>;
}

impl<S: Manage + factum_projection::ReadBack> Read for S {
    fn rows(&mut self, table: &str) -> Vec<factum_projection::Row> {
        let mut rows = block_on(kit::all(self, "orders", 1, table));
        rows.sort_by_key(|row| format!("{row:?}"));
        rows
    }

    fn parked(&mut self) -> Vec<(u64, String)> {
        let parked = block_on(Manage::parked(self, "orders", 1, 1_000)).unwrap();
        parked
            .iter()
            .map(|it| (it.position.raw(), it.partition.clone()))
            .collect()
    }
}

/// What a runner in a process of its own does.
#[test]
fn a_runner() {
    let told = std::env::var_os(TOLD).and_then(|told| told.into_string().ok());
    let Some(told) = told else {
        return;
    };
    end_with_parent();
    let [address, prefix, seed, batch] = told.split('|').collect::<Vec<_>>()[..] else {
        panic!("{told}");
    };
    let sink: ElasticSink = open(address, prefix, &tables());
    let mut runner = runner(seed.parse().unwrap(), sink, batch.parse().unwrap());
    let done = block_on(runner.run_until_caught_up());
    assert!(
        done.is_ok() || done.as_ref().is_err_and(|it| it.kind() == Kind::Fenced),
        "{done:?}"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process is timed; nothing is simulated"
)]
fn now() -> Instant {
    Instant::now()
}

/// Leaves nothing running where the test is killed itself.
fn end_with_parent() {
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
}

/// A server in a process of its own, which this one becomes.
#[test]
fn a_server() {
    let told = std::env::var_os(SERVER).and_then(|told| told.into_string().ok());
    let Some(told) = told else {
        return;
    };
    end_with_parent();
    let words: Vec<&str> = told.lines().collect();
    let error = Command::new(words[0])
        .args(&words[1..])
        .env_remove(SERVER)
        .exec();
    panic!("{}: {error}", words[0]);
}

/// Starts a server that ends with this process.
fn serve(words: &[String]) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["killed::a_server", "--exact", "--nocapture"])
        .env(SERVER, words.join("\n"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.unwrap()
}

/// A runner; killed at the end whatever happens.
struct Runs(Child);

impl Runs {
    fn start(address: &str, prefix: &str, seed: u64, batch: usize) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["killed::a_runner", "--exact", "--nocapture"])
            .env(TOLD, format!("{address}|{prefix}|{seed}|{batch}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        Command::new("kill").args([signal, &id]).status().unwrap();
    }

    fn ends_well(mut self, seed: u64) {
        let begun = now();
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "seed {seed}: a runner does not end"
            );
            pass(10);
        };
        assert!(status.success(), "seed {seed}: a runner failed");
        if begun.elapsed() > SLOW {
            println!("seed {seed}: slow, a runner took {:?}", begun.elapsed());
        }
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Waits for another process to get somewhere; how far is left to chance.
#[expect(
    clippy::disallowed_methods,
    reason = "another process is given time; nothing is simulated"
)]
fn pass(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

fn run(address: &str, seed: u64) {
    let swept = Swept {
        address,
        prefix: fresh_prefix(),
    };
    let mut random = fastrand::Rng::with_seed(seed);
    let batch = |random: &mut fastrand::Rng| random.usize(3..40);
    let start =
        |random: &mut fastrand::Rng| Runs::start(address, &swept.prefix, seed, batch(random));
    match seed % 3 {
        // Killed, again and again.
        0 => {
            for _ in 0..3 {
                let killed = start(&mut random);
                pass(random.u64(50..700));
                killed.signal("-KILL");
            }
            start(&mut random).ends_well(seed);
        }
        // Stopped, replaced, and woken when the other is under way or has ended.
        1 => {
            let zombie = start(&mut random);
            pass(random.u64(50..700));
            zombie.signal("-STOP");
            let other = start(&mut random);
            pass(random.u64(0..700));
            zombie.signal("-CONT");
            other.ends_well(seed);
            zombie.ends_well(seed);
        }
        // Two at once, and one of them killed.
        _ => {
            let (one, other) = (start(&mut random), start(&mut random));
            pass(random.u64(100..700));
            one.signal("-KILL");
            other.ends_well(seed);
            start(&mut random).ends_well(seed);
        }
    }
    check(address, &swept.prefix, seed);
}

#[test]
fn runners_that_are_killed_or_replaced_leave_a_fold_of_the_log() {
    let Some(address) = address() else { return };
    for seed in 1..=RUNS {
        println!("seed {seed}");
        run(&address, seed);
    }
}

/// A server of the test's own.
struct Server {
    child: Option<Child>,
    command: Vec<String>,
    address: String,
}

impl Server {
    fn new(directory: &Path) -> Option<Self> {
        let command = service("command")?;
        let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        // From above, where `services` does not look first.
        let port = (9_240..9_299_u16).rev().find(free).unwrap();
        let mut command: Vec<String> = command.lines().map(str::to_owned).collect();
        command.extend([
            "-baseHttpPort".to_owned(),
            (port - 1).to_string(),
            "-basePath".to_owned(),
        ]);
        command.push(directory.display().to_string());
        let mut server = Self {
            child: None,
            command,
            address: format!("http://127.0.0.1:{port}"),
        };
        server.start();
        Some(server)
    }

    fn start(&mut self) {
        self.child = Some(serve(&self.command));
    }

    fn wait(&self) {
        let begun = now();
        let client = factum_http_client::Options::new(&self.address).unwrap();
        let client = factum_http_client::Client::new(&client).unwrap();
        let path = "/_cluster/health?wait_for_status=yellow&timeout=1s";
        loop {
            let request = factum_http_client::Request::new(factum_http_client::Method::Get, path);
            if block_on(client.send(request)).is_ok_and(|answer| answer.status == 200) {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(180),
                "the server does not come up"
            );
            pass(100);
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn a_server_that_is_killed_is_waited_for_and_nothing_is_lost_or_doubled() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mut server) = Server::new(directory.path()) else {
        return;
    };
    server.wait();
    for seed in 101..=100 + SERVER_RUNS {
        let begun = now();
        let swept = fresh_prefix();
        let mut random = fastrand::Rng::with_seed(seed);
        let start = || Runs::start(&server.address, &swept, seed, 4);
        let mut runners = vec![start()];
        pass(random.u64(400..1_500));
        if seed % 3 == 0 {
            // It is replaced, and woken when there is no server.
            runners[0].signal("-STOP");
            runners.push(start());
            pass(random.u64(0..700));
        }
        server.kill();
        runners[0].signal("-CONT");
        // Nothing is there for a while.
        pass(random.u64(0..1_000));
        server.start();
        runners
            .into_iter()
            .for_each(|runner| runner.ends_well(seed));
        // Runners that were done before it was killed have not waited for it.
        server.wait();
        check(&server.address, &swept, seed);
        println!("seed {seed}: {:.1?}", begun.elapsed());
    }
}
