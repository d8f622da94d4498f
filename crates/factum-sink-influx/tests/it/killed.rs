//! Runners that are killed, stopped and started twice, and a server that is killed: every event is one point, every time.
//!
//! A runner is a process of its own: this program again, with one test that is told by the environment what to do. Its log is made from
//! the seed, so that every process has the same one.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use factum_framework::Retry;
use factum_projection::{Error, Kind, Manage, Points, Projector, Runner, Sink, Value};
use factum_sink_influx::{InfluxSink, Options};
use factum_store::{AppendBatch, EventStore, MemoryStore, Source};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName};
use pollster::block_on;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::support::{Place, address, service};

const TOLD: &str = "FACTUM_TEST_RUNNER";
/// The command of a server, a word a line.
const SERVER: &str = "FACTUM_TEST_SERVER";
/// How long a runner may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(240);
/// What is said to be slow.
const SLOW: Duration = Duration::from_secs(20);
const EVENTS: u64 = 400;
const RUNS: u64 = 50;

#[derive(Debug, Clone, Copy)]
struct Events;

impl<W: Points> Projector<W> for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn source(&self) -> Source {
        Source::All
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let kind = event.event_type.as_str();
        let tags = [("type", kind), ("stream", event.stream.as_str())];
        let position = event.position.raw().cast_signed();
        let amount: Value = match kind {
            "Broken" => return Err(Error::refused("broken")),
            // The server would take none of the two.
            "Odd" if position % 2 == 0 => f64::NAN.into(),
            "Odd" => "much".into(),
            _ => (position as f64 / 4.0).into(),
        };
        to.point(
            "events",
            &tags,
            &[("position", position.into()), ("amount", amount)],
            None,
        )
    }
}

fn log(seed: u64) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let mut random = fastrand::Rng::with_seed(seed);
    for number in 0..EVENTS {
        let kind = match random.u32(..200) {
            0 => "Broken",
            // Not the first one: it would say what the field holds.
            1 if number > 0 => "Odd",
            2..60 => "Paid",
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

fn runner<S: Sink<Writer: Points>>(seed: u64, sink: S, batch: usize) -> Runner<S, Events> {
    let mut patience = Retry::jittered(u32::MAX);
    patience.delay_first = Duration::from_millis(10);
    patience.delay_max = Duration::from_millis(300);
    let runner = Runner::new(log(seed), sink, Events).backoff(patience);
    runner.batch_events(batch)
}

/// Which events have a point: all but those that wait, each once. The fold is made here by hand: whoever comes behind one that does not fit
/// waits too.
fn check(place: &Place, seed: u64) {
    let mut waits = std::collections::BTreeSet::new();
    let mut expected: Vec<i64> = Vec::new();
    let mut parked: Vec<u64> = Vec::new();
    block_on(async {
        let mut events = log(seed).read(factum_store::ReadRequest::all());
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            let odd = ["Broken", "Odd"].contains(&event.event_type.as_str());
            if waits.contains(&event.stream) || odd {
                parked.push(event.position.raw());
                waits.insert(event.stream);
            } else {
                expected.push(event.position.raw().cast_signed());
            }
        }
    });
    let rows = place.rows(1, "SELECT position, amount FROM events");
    let mut found: Vec<i64> = rows
        .iter()
        .map(|row| row["position"].as_i64().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, expected, "seed {seed}");
    for row in rows {
        let position = row["position"].as_f64().unwrap();
        assert_eq!(row["amount"].as_f64(), Some(position / 4.0), "seed {seed}");
    }
    let waiting = block_on(place.open().parked("events", 1, 1_000)).unwrap();
    let waiting: Vec<u64> = waiting.iter().map(|it| it.position.raw()).collect();
    assert_eq!(waiting, parked, "seed {seed}");
}

fn open(address: &str, name: &str) -> InfluxSink {
    let options = Options::new(address, name)
        .unwrap()
        .meta(format!("{name}-meta"));
    InfluxSink::new(options).unwrap()
}

/// What a runner in a process of its own does.
#[test]
fn a_runner() {
    let told = std::env::var_os(TOLD).and_then(|told| told.into_string().ok());
    let Some(told) = told else {
        return;
    };
    end_with_parent();
    let [address, name, seed, batch] = told.split('|').collect::<Vec<_>>()[..] else {
        panic!("{told}");
    };
    let mut runner = runner(
        seed.parse().unwrap(),
        open(address, name),
        batch.parse().unwrap(),
    );
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
    fn start(place: &Place, seed: u64, batch: usize) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["killed::a_runner", "--exact", "--nocapture"])
            .env(
                TOLD,
                format!("{}|{}|{seed}|{batch}", place.address, place.name),
            )
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
    let place = Place::new(address);
    let mut random = fastrand::Rng::with_seed(seed);
    let start = |random: &mut fastrand::Rng| Runs::start(&place, seed, random.usize(3..40));
    match seed % 3 {
        // Killed, again and again.
        0 => {
            for _ in 0..3 {
                let killed = start(&mut random);
                pass(random.u64(10..300));
                killed.signal("-KILL");
            }
            start(&mut random).ends_well(seed);
        }
        // Stopped, replaced, and woken when the other is under way or has ended.
        1 => {
            let zombie = start(&mut random);
            pass(random.u64(10..300));
            zombie.signal("-STOP");
            let other = start(&mut random);
            pass(random.u64(0..300));
            zombie.signal("-CONT");
            other.ends_well(seed);
            zombie.ends_well(seed);
        }
        // Two at once, and one of them killed.
        _ => {
            let (one, other) = (start(&mut random), start(&mut random));
            pass(random.u64(10..300));
            one.signal("-KILL");
            other.ends_well(seed);
            start(&mut random).ends_well(seed);
        }
    }
    check(&place, seed);
}

#[test]
fn runners_that_are_killed_or_replaced_leave_each_event_one_point() {
    let Some(address) = address() else { return };
    for seed in 1..=RUNS {
        println!("seed {seed}");
        run(&address, seed);
    }
}

/// A server of the test's own.
pub(crate) struct Server {
    child: Option<Child>,
    program: String,
    configuration: PathBuf,
    port: u16,
}

impl Server {
    /// With authentication, and with these further lines for HTTP.
    pub(crate) fn new(directory: &Path, http: &str) -> Option<Self> {
        let program = service("program")?;
        let free = || {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
            listener.local_addr().unwrap().port()
        };
        let (port, backup, data) = (free(), free(), directory.display());
        let configuration = directory.join("influxdb.conf");
        let text = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{backup}\"\n[meta]\n  dir = \"{data}/meta\"\n\
             [data]\n  dir = \"{data}/data\"\n  wal-dir = \"{data}/wal\"\n[http]\n  bind-address = \"127.0.0.1:{port}\"\n{http}\
             [monitor]\n  store-enabled = false\n"
        );
        std::fs::write(&configuration, text).unwrap();
        let mut server = Self {
            child: None,
            program,
            configuration,
            port,
        };
        server.start();
        Some(server)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    fn start(&mut self) {
        let configuration = self.configuration.display().to_string();
        let words = [self.program.as_str(), "run", "-config", &configuration];
        self.child = Some(serve(&words.map(str::to_owned)));
    }

    /// Waits until it can be connected to.
    pub(crate) fn wait(&self) {
        for _ in 0..600 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            pass(50);
        }
        panic!("the server does not come up");
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
    let Some(mut server) = Server::new(directory.path(), "") else {
        return;
    };
    server.wait();
    let address = format!("http://127.0.0.1:{}", server.port());
    for seed in 101..=120 {
        println!("seed {seed}");
        let place = Place::new(&address);
        let mut random = fastrand::Rng::with_seed(seed);
        let runner = Runs::start(&place, seed, 4);
        for _ in 0..2 {
            pass(random.u64(50..400));
            server.kill();
            // Nothing is there for a while.
            pass(random.u64(0..500));
            server.start();
            server.wait();
        }
        runner.ends_well(seed);
        check(&place, seed);
    }
}
