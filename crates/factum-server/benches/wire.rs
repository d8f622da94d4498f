//! How much of what the wire can carry a served store gives: `cargo bench -p factum-server`.
//!
//! Client and server are in one process and share its processors. The limit of each row is the *bare* service: the same calls with the same
//! messages over the same number of connections, answered at once by a service that stores nothing. The store is the engine on a directory
//! of its own, with default settings. An answer means durable. Appends have one event of 256 bytes; limit, figure and limit are measured one
//! after the other, and the better limit counts.
//!
//! `-- --seconds 1 --dir DIRECTORY` says how long each is measured, and where the store is.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a program that prints figures, and stops where it cannot"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use factum_engine::Engine;
use factum_io::Env;
use factum_proto::kurrent::streams::append_req::options::ExpectedStreamRevision;
use factum_proto::kurrent::streams::append_req::{
    Content, Options as AppendOptions, ProposedMessage,
};
use factum_proto::kurrent::streams::append_resp::success::CurrentRevisionOption;
use factum_proto::kurrent::streams::append_resp::{Result as Outcome, Success};
use factum_proto::kurrent::streams::batch_append_req::{
    Options as BatchOptions, ProposedMessage as BatchMessage,
};
use factum_proto::kurrent::streams::read_req::Options as ReadOptions;
use factum_proto::kurrent::streams::read_req::options::all_options::AllOption;
use factum_proto::kurrent::streams::read_req::options::{
    AllOptions, CountOption, FilterOption, StreamOption, UuidOption, uuid_option,
};
use factum_proto::kurrent::streams::streams_client::StreamsClient;
use factum_proto::kurrent::streams::streams_server::{Streams, StreamsServer};
use factum_proto::kurrent::streams::{
    AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, DeleteReq, DeleteResp, ReadReq,
    ReadResp, TombstoneReq, TombstoneResp, batch_append_resp,
};
use factum_proto::kurrent::{Empty, StreamIdentifier, Uuid, uuid};
use factum_server::auth::Mode;
use factum_server::{Options, Server};
use futures_core::Stream;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

/// Connections that all callers share.
const CONNECTIONS: usize = 4;
/// Bytes of an event.
const EVENT_BYTES: usize = 256;
/// Calls of `BatchAppend`, and appends under way in each.
const STREAMS: usize = 16;
const IN_FLIGHT: usize = 64;
/// Events that are read in one go.
const READ_EVENTS: u64 = 400_000;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let seconds: f64 = after("--seconds").map_or(1.0, |text| text.parse().unwrap());
    let parent = after("--dir").unwrap_or_else(|| "target".to_owned());
    let directory =
        std::path::Path::new(&parent).join(format!("factum-wire-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(&directory, Duration::from_secs_f64(seconds)));
    drop(runtime);
    std::fs::remove_dir_all(&directory).unwrap();
}

async fn run(directory: &std::path::Path, time: Duration) {
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
    let bare = begin_bare().await;
    println!(
        "{:34} {:>12} {:>12} {:>7} {:>7}",
        "measured", "figure", "limit", "ratio", "floor"
    );
    let clock = Clock(env);
    for (callers, floor) in [(1, 0.22), (8, 0.44), (64, 0.61), (256, 0.55), (1_024, 0.56)] {
        let name = format!("unary append, {callers} callers");
        let mut rates = Vec::new();
        for address in [bare, served, bare] {
            rates.push(unary(&clock, address, callers, time).await);
        }
        show(&name, &rates, "events/s", floor);
    }
    let name = format!("streamed append, {STREAMS} calls x {IN_FLIGHT}");
    let mut rates = Vec::new();
    for address in [bare, served, bare] {
        rates.push(streamed(&clock, address, time).await);
    }
    show(&name, &rates, "events/s", 0.21);
    let mut rates = Vec::new();
    for address in [bare, served, bare] {
        rates.push(read_all(&clock, address).await);
    }
    show("read all", &rates, "events/s", 0.31);
    stop.notify_one();
    serving.await.unwrap();
    store.close().unwrap();
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
struct Clock(Env);

impl Clock {
    fn now(&self) -> u64 {
        self.0.clock.monotonic_ns()
    }

    fn since(&self, ns: u64) -> f64 {
        (self.now() - ns) as f64 / 1e9
    }
}

async fn channels(address: SocketAddr) -> Vec<Channel> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .tcp_nodelay(true);
        channels.push(endpoint.connect().await.unwrap());
    }
    channels
}

fn id() -> Option<Uuid> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Some(Uuid {
        value: Some(uuid::Value::Structured(uuid::Structured {
            most_significant_bits: 0x0190_0000_0000_7000,
            least_significant_bits: number.cast_signed(),
        })),
    })
}

fn properties() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("type".to_owned(), "Measured".to_owned()),
        (
            "content-type".to_owned(),
            "application/octet-stream".to_owned(),
        ),
    ])
}

fn identifier(number: usize) -> Option<StreamIdentifier> {
    Some(StreamIdentifier {
        stream_name: format!("measured-{number}").into(),
    })
}

/// Callers that wait for each answer before they append again.
async fn unary(clock: &Clock, address: SocketAddr, callers: usize, time: Duration) -> f64 {
    let channels = channels(address).await;
    let data = Bytes::from(vec![7; EVENT_BYTES]);
    let began = clock.now();
    let until = tokio::time::Instant::now() + time;
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let mut client = StreamsClient::new(channels[caller % CONNECTIONS].clone());
            let data = data.clone();
            tokio::spawn(async move {
                let mut done = 0_u64;
                while tokio::time::Instant::now() < until {
                    let options = Content::Options(AppendOptions {
                        stream_identifier: identifier(caller),
                        expected_stream_revision: Some(ExpectedStreamRevision::Any(Empty {})),
                    });
                    let event = Content::ProposedMessage(ProposedMessage {
                        id: id(),
                        metadata: properties(),
                        custom_metadata: Bytes::new(),
                        data: data.clone(),
                    });
                    let messages = [options, event].map(|content| AppendReq {
                        content: Some(content),
                    });
                    let answer = client
                        .append(futures_util::stream::iter(messages))
                        .await
                        .unwrap();
                    assert!(matches!(
                        answer.into_inner().result,
                        Some(Outcome::Success(_))
                    ));
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    done as f64 / clock.since(began)
}

/// Calls with many appends under way in each.
async fn streamed(clock: &Clock, address: SocketAddr, time: Duration) -> f64 {
    let channels = channels(address).await;
    let data = Bytes::from(vec![7; EVENT_BYTES]);
    let began = clock.now();
    let until = tokio::time::Instant::now() + time;
    let tasks: Vec<_> = (0..STREAMS)
        .map(|call| {
            let mut client = StreamsClient::new(channels[call % CONNECTIONS].clone());
            let data = data.clone();
            tokio::spawn(async move {
                let (send, requests) = mpsc::channel(IN_FLIGHT);
                let request = move || BatchAppendReq {
                    correlation_id: id(),
                    options: Some(BatchOptions {
                        stream_identifier: identifier(call),
                        ..BatchOptions::default()
                    }),
                    proposed_messages: vec![BatchMessage {
                        id: id(),
                        metadata: properties(),
                        custom_metadata: Bytes::new(),
                        data: data.clone(),
                    }],
                    is_final: true,
                };
                for _ in 0..IN_FLIGHT {
                    send.send(request()).await.unwrap();
                }
                let mut answers = client
                    .batch_append(ReceiverStream::new(requests))
                    .await
                    .unwrap()
                    .into_inner();
                let mut send = Some(send);
                let mut done = 0_u64;
                while let Some(answer) = answers.message().await.unwrap() {
                    assert!(matches!(
                        answer.result,
                        Some(batch_append_resp::Result::Success(_))
                    ));
                    done += 1;
                    if tokio::time::Instant::now() >= until {
                        send = None;
                    } else if let Some(send) = &send {
                        send.send(request()).await.unwrap();
                    }
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    done as f64 / clock.since(began)
}

/// One reader of `$all`, from the start.
async fn read_all(clock: &Clock, address: SocketAddr) -> f64 {
    let channels = channels(address).await;
    let mut client = StreamsClient::new(channels[0].clone());
    let options = ReadOptions {
        stream_option: Some(StreamOption::All(AllOptions {
            all_option: Some(AllOption::Start(Empty {})),
        })),
        count_option: Some(CountOption::Count(READ_EVENTS)),
        filter_option: Some(FilterOption::NoFilter(Empty {})),
        uuid_option: Some(UuidOption {
            content: Some(uuid_option::Content::Structured(Empty {})),
        }),
        ..ReadOptions::default()
    };
    let request = ReadReq {
        options: Some(options),
    };
    let began = clock.now();
    let mut answers = client.read(request).await.unwrap().into_inner();
    let mut read = 0_u64;
    while answers.message().await.unwrap().is_some() {
        read += 1;
    }
    read as f64 / clock.since(began)
}

/// Answers every call at once, and keeps nothing.
struct Bare;

async fn begin_bare() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = futures_util::stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| {
            stream.set_nodelay(true).unwrap();
            stream
        });
        Some((accepted, listener))
    });
    let server = tonic::transport::Server::builder()
        .add_service(StreamsServer::new(Bare))
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    address
}

#[tonic::async_trait]
impl Streams for Bare {
    type ReadStream = Answers<ReadResp>;
    type BatchAppendStream = Answers<BatchAppendResp>;

    async fn read(&self, _: Request<ReadReq>) -> Result<Response<Self::ReadStream>, Status> {
        use factum_proto::kurrent::streams::read_resp::read_event::{Position, RecordedEvent};
        use factum_proto::kurrent::streams::read_resp::{Content, ReadEvent};
        let event = RecordedEvent {
            id: id(),
            stream_identifier: identifier(1),
            stream_revision: 7,
            prepare_position: 1 << 20,
            commit_position: 1 << 20,
            metadata: BTreeMap::from([
                ("type".to_owned(), "Measured".to_owned()),
                (
                    "content-type".to_owned(),
                    "application/octet-stream".to_owned(),
                ),
                ("created".to_owned(), "17641152000000000".to_owned()),
            ]),
            custom_metadata: Bytes::new(),
            data: Bytes::from(vec![7; EVENT_BYTES]),
        };
        let answer = ReadResp {
            content: Some(Content::Event(ReadEvent {
                event: Some(event),
                link: None,
                position: Some(Position::CommitPosition(1 << 20)),
            })),
        };
        let answers = futures_util::stream::iter(0..READ_EVENTS).map(move |_| Ok(answer.clone()));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn append(
        &self,
        request: Request<Streaming<AppendReq>>,
    ) -> Result<Response<AppendResp>, Status> {
        let mut messages = request.into_inner();
        while messages.message().await?.is_some() {}
        Ok(Response::new(AppendResp {
            result: Some(Outcome::Success(Success {
                current_revision_option: Some(CurrentRevisionOption::CurrentRevision(7)),
                position_option: None,
            })),
        }))
    }

    async fn delete(&self, _: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn tombstone(&self, _: Request<TombstoneReq>) -> Result<Response<TombstoneResp>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn batch_append(
        &self,
        request: Request<Streaming<BatchAppendReq>>,
    ) -> Result<Response<Self::BatchAppendStream>, Status> {
        let answers = request.into_inner().map(|request| {
            request.map(|request| BatchAppendResp {
                correlation_id: request.correlation_id,
                result: Some(batch_append_resp::Result::Success(
                    batch_append_resp::Success::default(),
                )),
                stream_identifier: request
                    .options
                    .and_then(|options| options.stream_identifier),
                expected_stream_position: None,
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
