//! Load on a server that is killed: 1,024 appenders that wait for each answer and 64 with many appends under way, over both protocols.
//!
//! The server is a process over the engine. It is killed twice and started again on its directory and port while they go on. What an appender
//! was not answered it appends again with the same id. At the end everything is read: each event that was acknowledged is there, at the revision
//! that was told, once, in its order; and nothing else is.
//!
//! `cargo xtask campaign load --seconds 60` runs it for a minute. When the server is killed depends on a seed, which is printed.

mod event;
mod notes;
mod server;
mod streaming;
mod unary;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::support::Place;
use notes::Notes;
use server::{Server, free_port};

/// Appenders that wait for each answer, and how many of them share a connection.
const UNARY: u16 = 1_024;
const SHARE: u16 = 8;
/// Appenders with a call and a connection each, in which so many appends are under way.
const STREAMING: u16 = 64;
const IN_FLIGHT: usize = 16;
/// How long they append, unless a variable says otherwise.
const SECONDS: u64 = 20;
/// For one answer. The server tells an outcome as unknown after ten seconds.
const ANSWER: Duration = Duration::from_secs(20);
/// For what is under way to be answered when the time is over.
const LAST: Duration = Duration::from_secs(60);
/// What the server may have had in memory at most, in bytes: twice what it had in a minute with 277,434 events (137, 151 and 173 MiB). The
/// engine plans for about 150 MiB that do not depend on how much is stored; what is under way here is a few MiB.
const MEMORY_BYTES_MAX: u64 = 346 << 20;

/// What all appenders share.
struct Load {
    address: String,
    until: Instant,
    /// Events that were acknowledged, and appends whose outcome was not known.
    acknowledged: AtomicU64,
    unknown: AtomicU64,
}

type Appender = Pin<Box<dyn Future<Output = Notes> + Send>>;

impl Load {
    /// A connection that is made when it is needed, and again when it broke.
    fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(5))
            .connect_lazy()
    }

    fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// After an append of which it is not known what came of it: a while, so that a server that is down is not asked all the time.
    async fn pause(&self, status: &Status) {
        // What the client says itself has a source or these words.
        let broken = std::error::Error::source(status).is_some()
            || status.message().starts_with("Service was not ready");
        let told = matches!(
            status.code(),
            tonic::Code::Unavailable
                | tonic::Code::DeadlineExceeded
                | tonic::Code::Aborted
                | tonic::Code::Cancelled
        );
        assert!(broken || told, "an append is refused: {status:?}");
        assert!(
            Instant::now() < self.until + LAST,
            "an append is not answered when the time is long over: {status:?}"
        );
        self.unknown.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(fastrand::u64(20..120))).await;
    }

    /// All appenders, each with the number that its events have.
    fn appenders(self: &Arc<Self>) -> Vec<Appender> {
        let mut appenders = Vec::<Appender>::new();
        let mut channel = self.channel();
        for number in 0..UNARY {
            if number % SHARE == 0 {
                channel = self.channel();
            }
            appenders.push(unary::appender(Arc::clone(self), number, channel.clone()));
        }
        for number in UNARY..UNARY + STREAMING {
            appenders.push(streaming::appender(Arc::clone(self), number));
        }
        appenders
    }
}

/// An answer that does not come is an outcome that is not known.
async fn in_time<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| Status::deadline_exceeded("no answer in time");
    timeout(ANSWER, answer).await.map_err(late)?
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?.into_string().unwrap();
    Some(text.parse().expect(name))
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed_under_load() {
    let seconds = setting("FACTUM_LOAD_SECONDS").unwrap_or(SECONDS).max(5);
    let seed = setting("FACTUM_LOAD_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("FACTUM_LOAD_SEED={seed} FACTUM_LOAD_SECONDS={seconds}");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(Duration::from_secs(seconds), &mut Rng::with_seed(seed)));
}

async fn run(time: Duration, rng: &mut Rng) {
    let place = Place::new();
    let port = free_port(rng);
    let mut server = Server::start(&place, port);
    let began = Instant::now();
    let load = Arc::new(Load {
        address: format!("127.0.0.1:{port}"),
        until: began + time,
        acknowledged: AtomicU64::new(0),
        unknown: AtomicU64::new(0),
    });
    let tasks: Vec<_> = load.appenders().into_iter().map(tokio::spawn).collect();
    let mut highest = Vec::new();
    for of_time in [0.25..0.40, 0.60..0.75] {
        let share = of_time.start + rng.f64() * (of_time.end - of_time.start);
        tokio::time::sleep_until(began + time.mul_f64(share)).await;
        let before = load.acknowledged.load(Ordering::Relaxed);
        assert!(before > 0, "nothing was acknowledged before the kill");
        highest.push(server.highest_memory());
        server.kill();
        let killed = Instant::now();
        server = Server::start(&place, port);
        let ready = killed.elapsed();
        until_acknowledged(&load).await;
        println!(
            "killed at {:.1} s with {before} events acknowledged; ready after {ready:.2?}, the next one acknowledged after {:.2?}",
            (killed - began).as_secs_f64(),
            killed.elapsed()
        );
    }
    let mut notes = Vec::new();
    for task in tasks {
        notes.push(timeout(time + 2 * LAST, task).await.unwrap().unwrap());
    }
    let appended = began.elapsed();
    let read = notes::check(&notes, notes::read_all(load.channel()).await).unwrap();
    highest.push(server.highest_memory());
    let acknowledged = load.acknowledged.load(Ordering::Relaxed);
    println!(
        "{acknowledged} events acknowledged in {appended:.1?}, {read} read; {} outcomes unknown; {} appenders; VmHWM {:?} MiB",
        load.unknown.load(Ordering::Relaxed),
        notes.len(),
        highest.iter().map(|bytes| bytes >> 20).collect::<Vec<_>>()
    );
    assert_eq!(read, acknowledged);
    assert!(
        notes.iter().all(|notes| !notes.is_empty()),
        "an appender had nothing acknowledged"
    );
    server.end();
    place.ok(&["verify", "--data", server::DATA]);
    for bytes in highest {
        assert!(bytes <= MEMORY_BYTES_MAX, "{bytes} bytes were in memory");
    }
}

/// Waits for the next acknowledgement.
async fn until_acknowledged(load: &Load) {
    let before = load.acknowledged.load(Ordering::Relaxed);
    let began = Instant::now();
    while load.acknowledged.load(Ordering::Relaxed) == before {
        assert!(
            began.elapsed() < LAST,
            "nothing is acknowledged after a restart"
        );
        sleep(Duration::from_millis(1)).await;
    }
}
