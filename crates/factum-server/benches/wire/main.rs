//! How much of what the wire can carry a served store gives: `cargo bench -p factum-server`.
//!
//! Clients and service are two processes, as for users, and share the processors. The limit of each row is the *bare* service: the same calls
//! with the same messages over the same number of connections, answered at once by a service that stores nothing. Appends that wait for one
//! another have a second limit, the *durable* service: the bare one that answers when the data of the event are durable in a file. The store
//! is the engine on a directory of its own, with default settings. An answer means durable. Appends have one event of 256 bytes; limits,
//! figure and limits are measured one after the other, and the better limits count.
//!
//! `-- --seconds 1 --dir DIRECTORY` says how long each is measured, and where the store is; `-- --only 64,streamed` which of the rows `1`, `8`,
//! `64`, `256`, `1024`, `streamed`, `own` and `read`. `-- hostile` measures what honest clients notice of hostile ones instead.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a program that prints figures, and stops where it cannot"
)]

mod bare;
mod durable;
mod hostile;
mod load;
mod own;
mod process;
#[path = "../../tests/it/hostile/raw.rs"]
#[expect(dead_code, reason = "tests say more with it")]
mod raw;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use factum_io::Env;

use load::{read_all, streamed, unary};
use process::Service;

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

/// All that is measured. A read needs what was appended before it.
const ROWS: &str = "1,8,64,256,1024,streamed,own,read";

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
    if let Some(service) = after("serve") {
        let path = after(&service);
        return runtime.block_on(process::serve(&service, path.as_deref().map(Path::new)));
    }
    let what = if is_hostile {
        What::Hostile
    } else {
        What::Rates(after("--only").unwrap_or_else(|| ROWS.to_owned()))
    };
    runtime.block_on(run(&directory, Duration::from_secs_f64(seconds), &what));
    drop(runtime);
    std::fs::remove_dir_all(&directory).unwrap();
}

/// What is measured.
enum What {
    Hostile,
    /// These rows.
    Rates(String),
}

async fn run(directory: &Path, time: Duration, what: &What) {
    let (store, bare) = (Service::store(directory), Service::bare());
    let clock = Clock(Env::real());
    match what {
        What::Hostile => hostile::run(&clock, bare.address, store.address, time).await,
        What::Rates(rows) => {
            let durable = Service::durable(&directory.join("durable"));
            let addresses = [bare.address, durable.address, store.address];
            rates(&clock, addresses, time, rows).await;
            durable.end();
        }
    }
    store.end();
    bare.end();
}

/// How many appends and reads there are in a second, and how many there could be.
async fn rates(clock: &Clock, [bare, durable, store]: [SocketAddr; 3], time: Duration, rows: &str) {
    println!(
        "{:34} {:>12} {:>12} {:>7} {:>7}   durable ratio floor",
        "measured", "figure", "limit", "ratio", "floor"
    );
    for row in rows.split(',') {
        let callers: Option<f64> = row.parse().ok();
        let name = match row {
            "streamed" => format!("streamed append, {STREAMS} calls x {IN_FLIGHT}"),
            "own" => format!("factum.v1 append, {STREAMS} calls x {IN_FLIGHT}"),
            "read" => "read all".to_owned(),
            callers => format!("unary append, {callers} callers"),
        };
        let services: &[SocketAddr] = match callers {
            Some(_) => &[bare, durable, store, durable, bare],
            None => &[bare, store, bare],
        };
        let mut rates = Vec::new();
        for service in services {
            // Once for what is done only once: memory that a new store or client takes from the system, above all.
            rate(clock, *service, time, row).await;
            rates.push(rate(clock, *service, time, row).await);
        }
        show(&name, &rates, floor(row), callers);
    }
}

/// How many a second of what a row asks for.
async fn rate(clock: &Clock, address: SocketAddr, time: Duration, row: &str) -> f64 {
    match row {
        "streamed" => streamed(clock, address, time).await,
        "own" => own::streamed(clock, address, time).await,
        "read" => read_all(clock, address).await,
        callers => unary(clock, address, callers.parse().unwrap(), time).await,
    }
}

/// What was to be reached in a row, and the limit where that was set: the first is to be the same part of the limit here.
fn floor(row: &str) -> (f64, f64) {
    match row {
        "1" => (4e3, 18e3),
        "8" => (14e3, 32e3),
        "64" => (28e3, 46e3),
        "256" => (36e3, 66e3),
        "1024" => (40e3, 72e3),
        "streamed" | "own" => (350e3, 1_660e3),
        "read" => (1e6, 3.2e6),
        _ => (0.0, 1.0),
    }
}

/// Rates are given as they were measured: of the limits, of the store, and of the limits again, the other way round.
fn show(name: &str, rates: &[f64], floor: (f64, f64), callers: Option<f64>) {
    let middle = rates.len() / 2;
    let figure = rates[middle];
    let part = |limit: f64, floor: f64| {
        let verdict = if figure / limit < floor { "UNDER" } else { "" };
        (figure / limit, verdict)
    };
    let limit = rates[0].max(rates[rates.len() - 1]);
    let (ratio, verdict) = part(limit, floor.0 / floor.1);
    print!(
        "{name:34} {figure:>12.0} {limit:>12.0} {ratio:>7.2} {:>7.2} {verdict:5}",
        floor.0 / floor.1
    );
    if let Some(callers) = callers {
        let limit = rates[middle - 1].max(rates[middle + 1]);
        let floor = floor.0 / durable_limit(floor.1, callers);
        let (ratio, verdict) = part(limit, floor);
        print!(" {limit:>7.0} {ratio:>7.2} {floor:>5.2} {verdict}");
    }
    println!();
}

/// The limit with a durable write where the floors were set: callers wait for what the bare service takes, and for a write of 100 µs.
fn durable_limit(bare: f64, callers: f64) -> f64 {
    const WRITE_SECONDS: f64 = 100e-6;
    callers / (callers / bare + WRITE_SECONDS)
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
