//! What honest clients notice of hostile ones: p50 and p99 of their appends alone and under attack.
//!
//! Attackers have machines of their own. Here they have only an address of their own, and share the processors with server and honest clients. So
//! they are a process of the lowest priority, which takes what nobody else wants: what honest clients notice is then what the server does for
//! attackers, and what the kernel does. `ratio` is the p99 under attack to the best of those alone; `control` is the same with the attack on the
//! bare service beside the one that is measured; `attacks/s` says how hard it was tried.

use std::future::Future;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use factum_proto::kurrent::Empty;
use factum_proto::kurrent::streams::AppendReq;
use factum_proto::kurrent::streams::append_req::options::ExpectedStreamRevision;
use factum_proto::kurrent::streams::append_req::{
    Content, Options as AppendOptions, ProposedMessage,
};
use factum_proto::kurrent::streams::read_req::options::{CountOption, SubscriptionOptions};
use factum_proto::kurrent::streams::streams_client::StreamsClient;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::load::{append_one, channels, endpoint, id, identifier, properties, read_request};
use crate::raw::{DATA, HEADERS, PREFACE, RST_STREAM, Raw, frame, request_headers};
use crate::{CONNECTIONS, Clock, EVENT_BYTES};

/// Where attackers come from: not from where honest clients do.
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Honest clients, each of which waits for its answer before it appends again.
const HONEST: usize = 8;
/// How long an attack goes on before it is measured what it does.
const BEGIN: Duration = Duration::from_millis(500);
/// Subscribers that never read on each connection, and these connections.
const SUBSCRIBERS_EACH: u32 = 100;
const SUBSCRIBER_CONNECTIONS: usize = 10;
/// Connections that reset every request at once.
const RESETTERS: usize = 4;
/// Appends whose body comes byte by byte, and how long a byte takes.
const SLOW: usize = 200;
const SLOW_BYTE: Duration = Duration::from_millis(100);
/// Connections that stop in the middle of saying hello, and how long before each is given up for another.
const HALF_OPEN: usize = 1_000;
const HALF_OPEN_TIME: Duration = Duration::from_secs(1);
/// Clients that append events over every limit, and their size.
const OVERSIZED: usize = 4;
const OVERSIZED_BYTES: usize = 18 << 20;

const READ: &str = "/event_store.client.streams.Streams/Read";
const APPEND: &str = "/event_store.client.streams.Streams/Append";
const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc"), ("te", "trailers")];

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Attack = fn(SocketAddr) -> Vec<Task>;

const ATTACKS: [(&str, Attack); 5] = [
    ("1,000 subscribers that never read", subscribers),
    ("rapid reset", resets),
    ("slow writers", slow_writers),
    ("half-open connections", half_open),
    ("oversized messages", oversized),
];

/// How often this process has attacked.
static ATTACKED: AtomicU64 = AtomicU64::new(0);

fn attacked() {
    ATTACKED.fetch_add(1, Ordering::Relaxed);
}

/// Attacks an address until the input ends, and prints how often that was.
pub(crate) async fn attack(number: usize, address: SocketAddr) {
    let (_, attack) = ATTACKS[number];
    let mut attackers: JoinSet<()> = attack(address).into_iter().collect();
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await.unwrap().unwrap();
    attackers.shutdown().await;
    println!("{}", ATTACKED.load(Ordering::Relaxed));
}

/// Begins an attack by a process of the lowest priority.
fn begin(number: usize, address: SocketAddr) -> Child {
    Command::new("nice")
        .args(["-n", "19"])
        .arg(std::env::current_exe().unwrap())
        .args(["attack", &number.to_string(), &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Latencies in microseconds.
#[derive(Clone, Copy)]
struct Latency {
    p50: f64,
    p99: f64,
}

pub(crate) async fn run(clock: &Clock, bare: SocketAddr, served: SocketAddr, time: Duration) {
    println!(
        "{:36} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7} {:>10}",
        "p50 and p99 in µs, 8 honest clients",
        "p50",
        "p99",
        "p50 then",
        "p99 then",
        "ratio",
        "control",
        "attacks/s"
    );
    for (number, (name, _)) in ATTACKS.into_iter().enumerate() {
        let before = honest(clock, served, time).await;
        let (control, _) = under(clock, served, begin(number, bare), time).await;
        let between = honest(clock, served, time).await;
        let (then, attacks) = under(clock, served, begin(number, served), time).await;
        let after = honest(clock, served, time).await;
        let alone = [before, between, after]
            .into_iter()
            .min_by(|one, other| one.p99.total_cmp(&other.p99))
            .unwrap();
        let ratio = then.p99 / alone.p99;
        let verdict = if ratio > 2.0 { "OVER" } else { "" };
        println!(
            "{name:36} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {ratio:>7.2} {:>7.2} {attacks:>10.0} {verdict}",
            alone.p50,
            alone.p99,
            then.p50,
            then.p99,
            control.p99 / alone.p99
        );
    }
}

/// How honest clients fare while an attack goes on, and how often in a second it is tried.
async fn under(
    clock: &Clock,
    served: SocketAddr,
    mut attackers: Child,
    time: Duration,
) -> (Latency, f64) {
    let began = clock.now();
    sleep(BEGIN).await;
    let latency = honest(clock, served, time).await;
    drop(attackers.stdin.take());
    let seconds = clock.since(began);
    let ended = tokio::task::spawn_blocking(|| attackers.wait_with_output());
    let told = ended.await.unwrap().unwrap();
    assert!(told.status.success(), "the attackers failed");
    let attacks: u64 = String::from_utf8(told.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    // What they left is done away with before something else is measured.
    sleep(BEGIN).await;
    (latency, attacks as f64 / seconds)
}

async fn honest(clock: &Clock, served: SocketAddr, time: Duration) -> Latency {
    let channels = channels(served).await;
    let data = Bytes::from(vec![7; EVENT_BYTES]);
    let until = tokio::time::Instant::now() + time;
    let mut callers = JoinSet::new();
    for caller in 0..HONEST {
        let mut client = StreamsClient::new(channels[caller % CONNECTIONS].clone());
        let (data, clock) = (data.clone(), clock.clone());
        callers.spawn(async move {
            let mut took = Vec::new();
            while tokio::time::Instant::now() < until {
                let began = clock.now();
                append_one(&mut client, caller, &data).await;
                took.push(clock.since(began) * 1e6);
            }
            took
        });
    }
    let mut took = callers.join_all().await.concat();
    took.sort_by(f64::total_cmp);
    Latency {
        p50: took[took.len() / 2],
        p99: took[took.len() * 99 / 100],
    }
}

/// A message of gRPC.
fn message(message: &impl prost::Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &bytes].concat()
}

/// So many of one kind.
fn many<T>(count: usize, one: impl Fn(usize) -> T) -> Vec<Task>
where
    T: Future<Output = ()> + Send + 'static,
{
    (0..count)
        .map(|number| Box::pin(one(number)) as Task)
        .collect()
}

fn subscribers(address: SocketAddr) -> Vec<Task> {
    many(SUBSCRIBER_CONNECTIONS, |_| silent(address))
}

async fn silent(address: SocketAddr) {
    let mut raw = Raw::connect_from(SOURCE, address).await.greeting().await;
    let request = read_request(CountOption::Subscription(SubscriptionOptions {}));
    for number in 0..SUBSCRIBERS_EACH {
        let stream = 2 * number + 1;
        let mut both = frame(HEADERS, 4, stream, &request_headers(READ, GRPC));
        both.extend(frame(DATA, 1, stream, &message(&request)));
        assert!(raw.send(&both).await, "the server hangs up");
        attacked();
    }
    std::future::pending::<()>().await;
}

fn resets(address: SocketAddr) -> Vec<Task> {
    many(RESETTERS, |_| reset(address))
}

async fn reset(address: SocketAddr) {
    let headers = request_headers(READ, GRPC);
    loop {
        let mut raw = Raw::connect_from(SOURCE, address).await.greeting().await;
        for number in 0..1_000_000_u32 {
            let stream = 2 * number + 1;
            let mut both = frame(HEADERS, 4, stream, &headers);
            both.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            if !raw.send(&both).await {
                break;
            }
            attacked();
        }
    }
}

fn slow_writers(address: SocketAddr) -> Vec<Task> {
    many(SLOW, |_| slow(address))
}

/// What an append to a stream begins with.
fn append_options() -> AppendReq {
    AppendReq {
        content: Some(Content::Options(AppendOptions {
            stream_identifier: identifier(0),
            expected_stream_revision: Some(ExpectedStreamRevision::Any(Empty {})),
        })),
    }
}

async fn slow(address: SocketAddr) {
    let body = message(&append_options());
    loop {
        let mut raw = Raw::connect_from(SOURCE, address).await.greeting().await;
        raw.send(&frame(HEADERS, 4, 1, &request_headers(APPEND, GRPC)))
            .await;
        attacked();
        for byte in &body {
            sleep(SLOW_BYTE).await;
            if !raw.send(&frame(DATA, 0, 1, &[*byte])).await {
                break;
            }
        }
    }
}

fn half_open(address: SocketAddr) -> Vec<Task> {
    many(HALF_OPEN, |number| half(address, number))
}

async fn half(address: SocketAddr, number: usize) {
    // Not all in one moment.
    sleep(HALF_OPEN_TIME.mul_f64(number as f64 / HALF_OPEN as f64)).await;
    loop {
        let mut raw = Raw::connect_from(SOURCE, address).await;
        raw.send(&PREFACE[..10]).await;
        attacked();
        sleep(HALF_OPEN_TIME).await;
    }
}

fn oversized(address: SocketAddr) -> Vec<Task> {
    many(OVERSIZED, |_| large(address))
}

async fn large(address: SocketAddr) {
    let data = Bytes::from(vec![b' '; OVERSIZED_BYTES]);
    let channel = endpoint(address).local_address(Some(SOURCE)).connect_lazy();
    let mut client = StreamsClient::new(channel);
    loop {
        let event = AppendReq {
            content: Some(Content::ProposedMessage(ProposedMessage {
                id: id(),
                metadata: properties(),
                custom_metadata: Vec::new(),
                data: data.to_vec(),
            })),
        };
        let messages = futures_util::stream::iter([append_options(), event]);
        let refused = client.append(messages).await;
        assert!(refused.is_err(), "it is stored");
        attacked();
    }
}
