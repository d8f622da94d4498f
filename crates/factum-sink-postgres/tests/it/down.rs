//! Servers that are down for a whole minute while events keep coming: each read model is caught up without a hand.
//!
//! PostgreSQL, OpenSearch and InfluxDB at the same time, so that it takes that minute once; here because a server of a test's own is here. The
//! runners are as they come, with the patience that they have by themselves.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use factum_framework::Stop;
use factum_projection::{
    Error, MemorySink, Monitor, Points, Projector, ReadBack, Runner, Sink, Value, kit,
};
use factum_sink_elastic::ElasticSink;
use factum_sink_influx::InfluxSink;
use factum_sink_postgres::{Options, PostgresSink};
use factum_store::{EventStore, MemoryStore, ReadRequest, Source};
use factum_types::RecordedEvent;
use pollster::block_on;

use super::orders::{Orders, step, tables};
use super::own_server::{Deadline, OwnServer, free_port, mortal, pause};
use super::support::{server, told};

/// How long they are down, in milliseconds, and how often something is appended meanwhile.
const DOWN: u64 = 60_000;
const EACH: u64 = 200;
/// How long a server may take to come up, and a runner to catch up. A runner tries again each 10 seconds at the latest.
const PATIENCE: Duration = Duration::from_secs(180);
/// For a server to answer while it is waited for.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two looks, in milliseconds.
const LOOK_EACH: u64 = 20;

/// Every event as a point.
#[derive(Debug, Clone, Copy)]
struct Seen;

impl<W: Points> Projector<W> for Seen {
    fn name(&self) -> &'static str {
        "seen"
    }

    fn source(&self) -> Source {
        Source::All
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let tags = [("stream", event.stream.as_str())];
        let position = event.position.raw().cast_signed();
        to.point("events", &tags, &[("position", position.into())], None)
    }
}

/// A server over HTTP, from the command that starts it. It ends with this.
struct Web {
    command: Vec<String>,
    url: String,
    child: Child,
}

impl Web {
    fn start(command: Vec<String>, url: String) -> Self {
        let child = Self::spawn(&command);
        Self {
            command,
            url,
            child,
        }
    }

    fn spawn(command: &[String]) -> Child {
        let mut server = mortal("KILL", None);
        let quiet = server.args(command).stdout(Stdio::null());
        quiet.stderr(Stdio::null()).spawn().unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = Self::spawn(&self.command);
    }

    /// Waits until it answers this well.
    fn wait(&self, path: &str) {
        let is_up = || get(&self.url, path).is_some_and(|answer| answer.is_fine());
        wait("a server does not come up", is_up, || self.url.clone());
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until it is so, or says what is there instead.
fn wait(what: &str, is_so: impl Fn() -> bool, instead: impl Fn() -> String) {
    let deadline = Deadline::after(PATIENCE);
    while !deadline.is_over() {
        if is_so() {
            return;
        }
        pause(LOOK_EACH);
    }
    panic!("{what}: {}", instead());
}

fn get(url: &str, path: &str) -> Option<factum_http_client::Answer> {
    let options = factum_http_client::Options::new(url)
        .unwrap()
        .timeout(ANSWER);
    let client = factum_http_client::Client::new(&options).unwrap();
    let request = factum_http_client::Request::new(factum_http_client::Method::Get, path);
    block_on(client.send(request)).ok()
}

/// OpenSearch with its data in this directory, if `services` has it.
fn opensearch(test: &str, directory: &Path) -> Option<Web> {
    let command = told("opensearch", "command", test)?;
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    // From the middle, where neither `services` nor the tests of its sink look first.
    let port = (9_221..9_240_u16).rev().find(free).unwrap();
    let mut command: Vec<String> = command.lines().map(str::to_owned).collect();
    let base = (port - 1).to_string();
    command.extend(["-baseHttpPort", &base, "-basePath"].map(str::to_owned));
    command.push(directory.display().to_string());
    Some(Web::start(command, format!("http://127.0.0.1:{port}")))
}

/// InfluxDB with its data in this directory, if `services` has it.
fn influx(test: &str, directory: &Path) -> Option<Web> {
    let program = told("influxdb", "program", test)?;
    let (port, backup, data) = (free_port(), free_port(), directory.display());
    let file = directory.join("influxdb.conf");
    let text = format!(
        "reporting-disabled = true\nbind-address = \"127.0.0.1:{backup}\"\n[meta]\n  dir = \"{data}/meta\"\n\
         [data]\n  dir = \"{data}/data\"\n  wal-dir = \"{data}/wal\"\n[http]\n  bind-address = \"127.0.0.1:{port}\"\n\
         [monitor]\n  store-enabled = false\n"
    );
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let command = [&program, "run", "-config", &file].map(str::to_owned);
    Some(Web::start(
        command.to_vec(),
        format!("http://127.0.0.1:{port}"),
    ))
}

fn elastic_sink(web: &Web) -> ElasticSink {
    let options = factum_sink_elastic::Options::new(&web.url).unwrap();
    ElasticSink::new(options.shards(1).replicas(0), tables()).unwrap()
}

fn influx_sink(web: &Web) -> InfluxSink {
    let options = factum_sink_influx::Options::new(&web.url, "down").unwrap();
    InfluxSink::new(options.meta("down_meta")).unwrap()
}

fn postgres_sink(own: &OwnServer) -> PostgresSink {
    PostgresSink::open(Options::from_url(&own.url()).unwrap(), tables()).unwrap()
}

/// What a runner does until it is told to stop, and how it is seen.
type Work<'a> = Box<dyn FnOnce() -> Result<(), Error> + Send + 'a>;

fn work<'a, S, P>(
    store: &Arc<MemoryStore>,
    sink: S,
    projector: P,
    stop: &'a Stop,
) -> (Monitor, Work<'a>)
where
    S: Sink + 'a,
    P: Projector<S::Writer> + 'a,
{
    let mut runner = Runner::new(Arc::clone(store) as _, sink, projector);
    let monitor = runner.monitor();
    (monitor, Box::new(move || block_on(runner.run(stop))))
}

/// Stops the runners, also when the test fails.
struct Ending<'a>(&'a Stop);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Appends what comes next: each order step by step, as far as its number says, ten orders side by side.
fn append(store: &MemoryStore, number: u64) {
    let (group, at) = (number / 40, number % 40);
    let order = group * 10 + at % 10;
    let far = at / 10;
    if order % 5 >= far {
        step(store, order, far);
    } else {
        step(store, 1_000_000 + number, 0);
    }
}

/// The rows of all tables, however the sink writes JSON.
fn rows<S: ReadBack>(sink: &mut S) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in tables() {
        for row in block_on(kit::all(sink, "orders", 1, &table.name)) {
            let cells = row.into_iter().map(|(name, value)| match value {
                Value::Json(text) => {
                    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                    format!("{name}={json}")
                }
                value => format!("{name}={value:?}"),
            });
            found.insert(format!("{} {:?}", table.name, cells.collect::<Vec<_>>()));
        }
    }
    found
}

/// The positions that InfluxDB has a point of, each as often as it has.
fn points(web: &Web) -> Vec<u64> {
    let answer = get(&web.url, "/query?db=down_g1&q=SELECT+position+FROM+events").unwrap();
    let answer = answer.json().unwrap();
    let values = answer.pointer("/results/0/series/0/values").unwrap();
    let values = values.as_array().unwrap().iter();
    let mut positions: Vec<u64> = values.map(|row| row[1].as_u64().unwrap()).collect();
    positions.sort_unstable();
    positions
}

/// The three servers, each of the test's own.
struct Servers {
    postgres: OwnServer,
    opensearch: Web,
    influx: Web,
}

impl Servers {
    /// All three, when they answer.
    fn start(test: &str, searched: &Path, measured: &Path) -> Option<Self> {
        let like = server("postgres15", test)?;
        let opensearch = opensearch(test, searched)?;
        let influx = influx(test, measured)?;
        let postgres = OwnServer::start(&like);
        opensearch.wait("/_cluster/health?wait_for_status=yellow&timeout=1s");
        influx.wait("/ping");
        Some(Self {
            postgres,
            opensearch,
            influx,
        })
    }

    fn kill(&mut self) {
        self.postgres.stop_at_once();
        self.opensearch.kill();
        self.influx.kill();
    }

    fn restart(&mut self) {
        self.postgres.restart();
        self.opensearch.restart();
        self.influx.restart();
    }
}

fn lags(monitors: &[Monitor]) -> Vec<u64> {
    let lags = monitors.iter().map(|it| block_on(it.lag()).unwrap());
    lags.map(|lag| lag.events).collect()
}

fn catch_up(monitors: &[Monitor]) {
    let is_over = || lags(monitors).iter().all(|events| *events == 0);
    wait("it is not caught up with", is_over, || {
        format!(
            "{:#?}",
            monitors.iter().map(Monitor::status).collect::<Vec<_>>()
        )
    });
}

/// Every read model is what the log says.
fn check(store: &Arc<MemoryStore>, servers: &Servers) {
    let mut memory = MemorySink::new(tables()).unwrap();
    let mut fold = Runner::new(Arc::clone(store) as _, memory.clone(), Orders);
    block_on(fold.run_until_caught_up()).unwrap();
    let expected = rows(&mut memory);
    assert!(expected.len() > 200, "{}", expected.len());
    let found = rows(&mut postgres_sink(&servers.postgres));
    assert_eq!(found, expected, "PostgreSQL");
    let found = rows(&mut elastic_sink(&servers.opensearch));
    assert_eq!(found, expected, "OpenSearch");
    let all = block_on(store.read(ReadRequest::all()).collect()).unwrap();
    let all: Vec<u64> = all.iter().map(|event| event.position.raw()).collect();
    assert_eq!(all.len() as u64, 300 + DOWN / EACH * 3);
    assert_eq!(points(&servers.influx), all, "InfluxDB");
}

#[test]
fn servers_that_were_down_for_a_minute_are_caught_up_with() {
    let test = "down::servers_that_were_down_for_a_minute_are_caught_up_with";
    let (searched, measured) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(mut servers) = Servers::start(test, searched.path(), measured.path()) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let stop = Stop::new();
    let (monitors, works): (Vec<_>, Vec<_>) = [
        work(&store, postgres_sink(&servers.postgres), Orders, &stop),
        work(&store, elastic_sink(&servers.opensearch), Orders, &stop),
        work(&store, influx_sink(&servers.influx), Seen, &stop),
    ]
    .into_iter()
    .unzip();
    let mut number = 0;
    let mut more = |count: u64| {
        for _ in 0..count {
            append(&store, number);
            number += 1;
        }
    };
    thread::scope(|scope| {
        let ended = Ending(&stop);
        let runs: Vec<_> = works.into_iter().map(|work| scope.spawn(work)).collect();
        more(200);
        catch_up(&monitors);
        servers.kill();
        for _ in 0..DOWN / EACH {
            more(3);
            pause(EACH);
        }
        for (monitor, events) in monitors.iter().zip(lags(&monitors)) {
            let status = monitor.status();
            // Visibly, and again and again.
            let tries = status.trouble.as_ref().map_or(0, |(_, tries)| *tries);
            assert!(tries > 5, "{status:?}");
            assert_eq!(events, DOWN / EACH * 3, "{status:?}");
        }
        servers.restart();
        more(100);
        catch_up(&monitors);
        for (monitor, run) in monitors.iter().zip(&runs) {
            assert!(!run.is_finished(), "{:?}", monitor.status());
        }
        drop(ended);
        for run in runs {
            run.join().unwrap().unwrap();
        }
    });
    check(&store, &servers);
}
