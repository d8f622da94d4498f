//! How much of what the wire can carry a served store gives: `cargo bench -p factum-server`.
//!
//! Client and server are in one process and share its processors. The limit of each row is the *bare* service: the same calls with the same
//! messages over the same number of connections, answered at once by a service that stores nothing. The store is the engine on a directory
//! of its own, with default settings. An answer means durable. Appends have one event of 256 bytes; limit, figure and limit are measured one
//! after the other, and the better limit counts.
//!
//! `-- --seconds 1 --dir DIRECTORY` says how long each is measured, and where the store is. `-- hostile` measures what honest clients notice of
//! hostile ones instead.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a program that prints figures, and stops where it cannot"
)]

mod bare;
mod hostile;
mod load;
mod own;
#[path = "../../tests/it/hostile/raw.rs"]
#[expect(dead_code, reason = "tests say more with it")]
mod raw;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use factum_engine::Engine;
use factum_io::Env;
use factum_server::auth::Mode;
use factum_server::{Options, Server};

use load::{read_all, streamed, unary};

/// As in the binary `factum`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections that all callers share.
const CONNECTIONS: usize = 4;
/// Bytes of an event.
const EVENT_BYTES: usize = 256;
/// Calls of `BatchAppend`, and appends under way in each.
const STREAMS: usize = 16;
const IN_FLIGHT: usize = 64;
/// Events that are read in one go.
const READ_EVENTS: u64 = 400_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let seconds: f64 = after("--seconds").map_or(1.0, |text| text.parse().unwrap());
    let parent = after("--dir").unwrap_or_else(|| "target".to_owned());
    let is_hostile = arguments.iter().any(|argument| argument == "hostile");
    let directory = Path::new(&parent).join(format!("factum-wire-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Some(number) = after("attack") {
        let address = arguments.last().unwrap().parse().unwrap();
        return runtime.block_on(hostile::attack(number.parse().unwrap(), address));
    }
    runtime.block_on(run(
        &directory,
        Duration::from_secs_f64(seconds),
        is_hostile,
    ));
    drop(runtime);
    std::fs::remove_dir_all(&directory).unwrap();
}

async fn run(directory: &Path, time: Duration, is_hostile: bool) {
    let env = Env::real();
    let store = Engine::open(
        factum_engine::Options::new(directory).create(true),
        env.clone(),
    )
    .unwrap();
    let mut options = Options::default();
    options.address = SocketAddr::from(([127, 0, 0, 1], 0));
    options.auth.mode = Mode::Insecure;
    let server = Server::bind(Arc::new(store.clone()), options, env.clone())
        .await
        .unwrap();
    let served = server.address();
    let stop = Arc::new(tokio::sync::Notify::new());
    let stopped = Arc::clone(&stop);
    let serving = tokio::spawn(server.run(async move { stopped.notified().await }));
    let bare = bare::begin().await;
    let clock = Clock(env);
    if is_hostile {
        hostile::run(&clock, bare, served, time).await;
    } else {
        rates(&clock, bare, served, time).await;
    }
    stop.notify_one();
    serving.await.unwrap();
    store.close().unwrap();
}

/// How many appends and reads there are in a second, and how many there could be.
async fn rates(clock: &Clock, bare: SocketAddr, served: SocketAddr, time: Duration) {
    println!(
        "{:34} {:>12} {:>12} {:>7} {:>7}",
        "measured", "figure", "limit", "ratio", "floor"
    );
    for (callers, floor) in [(1, 0.22), (8, 0.44), (64, 0.61), (256, 0.55), (1_024, 0.56)] {
        let name = format!("unary append, {callers} callers");
        let mut rates = Vec::new();
        for address in [bare, served, bare] {
            rates.push(unary(clock, address, callers, time).await);
        }
        show(&name, &rates, "events/s", floor);
    }
    let name = format!("streamed append, {STREAMS} calls x {IN_FLIGHT}");
    let mut rates = Vec::new();
    for address in [bare, served, bare] {
        rates.push(streamed(clock, address, time).await);
    }
    show(&name, &rates, "events/s", 0.21);
    let name = format!("factum.v1 append, {STREAMS} calls x {IN_FLIGHT}");
    let mut rates = Vec::new();
    for address in [bare, served, bare] {
        rates.push(own::streamed(clock, address, time).await);
    }
    show(&name, &rates, "events/s", 0.21);
    let mut rates = Vec::new();
    for address in [bare, served, bare] {
        rates.push(read_all(clock, address).await);
    }
    show("read all", &rates, "events/s", 0.31);
}

fn show(name: &str, rates: &[f64], unit: &str, floor: f64) {
    let [before, figure, after] = rates else {
        panic!("three are measured");
    };
    let limit = before.max(*after);
    let ratio = figure / limit;
    let verdict = if ratio < floor { "UNDER" } else { "" };
    println!("{name:34} {figure:>12.0} {limit:>12.0} {ratio:>7.2} {floor:>7.2} {unit} {verdict}");
}

/// Seconds, by the clock of the machine.
#[derive(Clone)]
struct Clock(Env);

impl Clock {
    fn now(&self) -> u64 {
        self.0.clock.monotonic_ns()
    }

    fn since(&self, ns: u64) -> f64 {
        (self.now() - ns) as f64 / 1e9
    }
}
