//! What hostile clients make a server take in memory: a process of its own is served, and the system says how much it had.
//!
//! Each client sends many times what a server may take. All speak HTTP/2 as it should be, within the server's windows.

use std::time::Duration;

use bytes::Bytes;
use factum_proto::kurrent::streams::append_req::options::ExpectedStreamRevision;
use factum_proto::kurrent::streams::append_req::{
    Content, Options as AppendOptions, ProposedMessage as AppendMessage,
};
use factum_proto::kurrent::streams::batch_append_req::{
    Options as BatchOptions, ProposedMessage as BatchMessage, options::ExpectedStreamPosition,
};
use factum_proto::kurrent::streams::read_req;
use factum_proto::kurrent::streams::read_req::options::all_options::AllOption;
use factum_proto::kurrent::streams::read_req::options::stream_options::RevisionOption;
use factum_proto::kurrent::streams::read_req::options::{
    AllOptions, CountOption, FilterOption, StreamOption, StreamOptions, SubscriptionOptions,
    UuidOption, uuid_option,
};
use factum_proto::kurrent::streams::streams_client::StreamsClient;
use factum_proto::kurrent::streams::{AppendReq, BatchAppendReq, ReadReq};
use factum_proto::kurrent::{Empty, StreamIdentifier, Uuid, uuid};
use h2::SendStream;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use prost::Message;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tonic::transport::Endpoint;

use crate::serve::Serving;
use crate::support::Place;

/// By how much a server's memory may grow, whatever clients do, in bytes.
const GROWTH_BYTES_MAX: u64 = 256 << 20;
/// For whatever should come to pass.
const PATIENCE: Duration = Duration::from_secs(60);
/// Nearly as large as a message may be, in bytes.
const LARGE: usize = 16 << 20;
/// A field that no message of ours has, of bytes: its number is 1,000.
const UNKNOWN_FIELD: u32 = 1_000 << 3 | 2;

const APPEND: &str = "Append";
const BATCH_APPEND: &str = "BatchAppend";
const READ: &str = "Read";

/// A call that goes on.
struct Call {
    body: SendStream<Bytes>,
    answer: h2::client::ResponseFuture,
}

impl Call {
    async fn begin(connection: &SendRequest<Bytes>, method: &str) -> Self {
        let request = Request::post(format!(
            "http://localhost/event_store.client.streams.Streams/{method}"
        ))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
        let mut connection = connection.clone().ready().await.unwrap();
        let (answer, body) = connection.send_request(request, false).unwrap();
        Self { body, answer }
    }

    /// Sends as the server takes it; less, if it refuses more.
    async fn send(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            self.body.reserve_capacity(bytes.len());
            let room = std::future::poll_fn(|context| self.body.poll_capacity(context)).await;
            let Some(Ok(room)) = room else {
                return;
            };
            let now = bytes.split_to(room.min(bytes.len()));
            if self.body.send_data(now, false).is_err() {
                return;
            }
        }
    }

    /// The status with which it is answered.
    async fn status(self) -> String {
        let Self { answer, mut body } = self;
        let _ended = body.send_data(Bytes::new(), true);
        let answered = async {
            let answer: Response<h2::RecvStream> = answer.await.unwrap();
            let (head, mut body) = answer.into_parts();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            let trailers: HeaderMap = body.trailers().await.unwrap().unwrap_or(head.headers);
            trailers["grpc-status"].to_str().unwrap().to_owned()
        };
        timeout(PATIENCE, answered)
            .await
            .expect("it is not answered")
    }
}

async fn connect(server: &Serving) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    send
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat().into()
}

/// A message, and so many bytes in it that nobody knows.
fn with_unknown(message: &impl Message, bytes: usize) -> Bytes {
    let mut encoded = message.encode_to_vec();
    prost::encoding::encode_varint(UNKNOWN_FIELD.into(), &mut encoded);
    prost::encoding::encode_varint(bytes as u64, &mut encoded);
    encoded.resize(encoded.len() + bytes, 7);
    framed(&encoded)
}

fn identifier(stream: &str) -> Option<StreamIdentifier> {
    Some(StreamIdentifier {
        stream_name: stream.into(),
    })
}

fn id(number: usize) -> Option<Uuid> {
    let text = format!("00000000-0000-4000-8000-{number:012x}");
    Some(Uuid {
        value: Some(uuid::Value::String(text)),
    })
}

fn properties() -> std::collections::BTreeMap<String, String> {
    let properties = [("type", "Happened"), ("content-type", "application/json")];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    properties.map(owned).into()
}

fn append_options(stream: &str) -> AppendReq {
    AppendReq {
        content: Some(Content::Options(AppendOptions {
            stream_identifier: identifier(stream),
            expected_stream_revision: Some(ExpectedStreamRevision::Any(Empty {})),
        })),
    }
}

fn append_event(number: usize, data: Vec<u8>) -> AppendReq {
    AppendReq {
        content: Some(Content::ProposedMessage(AppendMessage {
            id: id(number),
            metadata: properties(),
            custom_metadata: Vec::new(),
            data,
        })),
    }
}

/// A part of an append of many, with one event; the first says to which stream.
fn batch_part(number: usize, event: usize, is_final: bool) -> BatchAppendReq {
    BatchAppendReq {
        correlation_id: id(number),
        options: Some(BatchOptions {
            stream_identifier: identifier("batched"),
            expected_stream_position: Some(ExpectedStreamPosition::Any(())),
            deadline_option: None,
        }),
        proposed_messages: vec![BatchMessage {
            id: id(event),
            metadata: properties(),
            custom_metadata: Vec::new(),
            data: b"{}".to_vec(),
        }],
        is_final,
    }
}

/// An honest client appends this many bytes.
async fn append(server: &Serving, number: usize, bytes: usize) -> Result<(), tonic::Status> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let messages = [
        append_options("honest"),
        append_event(number, vec![b' '; bytes]),
    ];
    let mut client = StreamsClient::new(channel);
    let answer = client.append(futures_util::stream::iter(messages));
    let answer = timeout(PATIENCE, answer).await;
    answer.expect("an honest client waits too long").map(drop)
}

/// Many messages that never end, all but their last MiB.
async fn half_messages(server: &Serving) -> Vec<Call> {
    let mut calls = Vec::new();
    for _ in 0..4 {
        let connection = connect(server).await;
        for _ in 0..16 {
            let mut call = Call::begin(&connection, APPEND).await;
            call.send(framed(&append_options("half").encode_to_vec()))
                .await;
            let mut most = framed(&vec![7; LARGE]);
            most.truncate(LARGE - (1 << 20));
            call.send(most).await;
            calls.push(call);
        }
    }
    calls
}

/// Appends that go on, each of whose events comes with much that nobody knows.
async fn unknown_fields(server: &Serving) -> Vec<Call> {
    let connection = connect(server).await;
    let mut append = Call::begin(&connection, APPEND).await;
    append
        .send(framed(&append_options("unknown").encode_to_vec()))
        .await;
    let mut batch = Call::begin(&connection, BATCH_APPEND).await;
    for number in 0..32 {
        let event = append_event(1_000 + number, b"{}".to_vec());
        append.send(with_unknown(&event, LARGE)).await;
        let part = batch_part(number, 2_000 + number, false);
        batch.send(with_unknown(&part, LARGE)).await;
    }
    vec![append, batch]
}

/// Calls that go on, each with one large message behind it, and nothing more to say.
async fn idle_calls(server: &Serving) -> Vec<Call> {
    let connection = connect(server).await;
    let mut calls = Vec::new();
    for number in 0..40 {
        let mut batch = Call::begin(&connection, BATCH_APPEND).await;
        let part = batch_part(3_000 + number, 3_000 + number, true);
        batch.send(with_unknown(&part, LARGE)).await;
        let mut append = Call::begin(&connection, APPEND).await;
        let options = framed(&append_options("idle").encode_to_vec());
        append.send(options).await;
        let event = append_event(4_000 + number, b"{}".to_vec());
        append.send(with_unknown(&event, LARGE)).await;
        calls.extend([batch, append]);
    }
    calls
}

/// Appends of one message each, of as many events as there are two bytes in it.
async fn empty_events(server: &Serving) -> Vec<Call> {
    let connection = connect(server).await;
    let mut calls = Vec::new();
    // Field 3 is an event, and has no bytes.
    let message = framed(&[0x1a, 0].repeat(LARGE / 2));
    for _ in 0..4 {
        let mut call = Call::begin(&connection, BATCH_APPEND).await;
        call.send(message.clone()).await;
        calls.push(call);
    }
    calls
}

/// A thousand readers, a hundred on each connection, of everything, of a stream, and to follow everything; none of them reads.
async fn silent_readers(server: &Serving) -> Vec<Call> {
    let mut calls = Vec::new();
    for _ in 0..10 {
        let connection = connect(server).await;
        for number in 0..100 {
            let request = match number % 3 {
                0 => read_all(CountOption::Count(u64::MAX)),
                1 => read_all(CountOption::Subscription(SubscriptionOptions {})),
                _ => read_stream(),
            };
            let mut call = Call::begin(&connection, READ).await;
            call.send(framed(&request.encode_to_vec())).await;
            call.body.send_data(Bytes::new(), true).unwrap();
            calls.push(call);
        }
    }
    calls
}

/// What asked for pages and events and takes no more of them than a few bytes.
struct Narrow {
    _calls: Vec<Call>,
    _pages: Vec<h2::client::ResponseFuture>,
    _sockets: Vec<TcpStream>,
}

/// Pages and reads over HTTP/2 whose windows are 60 bytes, so that each answer is begun; and pages over HTTP/1.1.
async fn narrow_readers(server: &Serving) -> Narrow {
    let (mut calls, mut pages, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..4 {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let mut settings = h2::client::Builder::new();
        let handshake = settings.initial_window_size(60).handshake(stream);
        let (connection, running) = handshake.await.unwrap();
        tokio::spawn(running);
        for _ in 0..100 {
            let page = Request::get("http://localhost/streams/s-1?limit=1");
            let mut ready = connection.clone().ready().await.unwrap();
            let (answer, _) = ready.send_request(page.body(()).unwrap(), true).unwrap();
            pages.push(answer);
            let mut call = Call::begin(&connection, READ).await;
            call.send(framed(&read_stream().encode_to_vec())).await;
            call.body.send_data(Bytes::new(), true).unwrap();
            calls.push(call);
        }
    }
    for _ in 0..200 {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        let page = b"GET /streams/s-1?limit=1 HTTP/1.1\r\nhost: localhost\r\n\r\n";
        socket.write_all(page).await.unwrap();
        sockets.push(socket);
    }
    Narrow {
        _calls: calls,
        _pages: pages,
        _sockets: sockets,
    }
}

fn read_all(count: CountOption) -> ReadReq {
    let all = StreamOption::All(AllOptions {
        all_option: Some(AllOption::Start(Empty {})),
    });
    read(all, count)
}

/// All of the stream that `lines` fills.
fn read_stream() -> ReadReq {
    let stream = StreamOption::Stream(StreamOptions {
        stream_identifier: identifier("s-1"),
        revision_option: Some(RevisionOption::Start(Empty {})),
    });
    read(stream, CountOption::Count(u64::MAX))
}

fn read(of: StreamOption, count: CountOption) -> ReadReq {
    ReadReq {
        options: Some(read_req::Options {
            stream_option: Some(of),
            count_option: Some(count),
            filter_option: Some(FilterOption::NoFilter(Empty {})),
            uuid_option: Some(UuidOption {
                content: Some(uuid_option::Content::String(Empty {})),
            }),
            ..read_req::Options::default()
        }),
    }
}

/// Events of so many bytes each, as lines to import.
fn lines(first: usize, count: usize, bytes: usize) -> String {
    let data = "y".repeat(bytes);
    let line = |number: usize| {
        let id = format!("{number:032x}");
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"Happened","subject":"s-1","data":"{data}"}}"#
        ) + "\n"
    };
    (first..first + count).map(line).collect()
}

/// What is read is many small events, then few large ones: each would be more than a thousand readers may have together.
#[test]
fn readers_that_never_read_make_a_server_take_little_memory() {
    let place = Place::new();
    place.write("small.ndjson", lines(0, 20_000, 4_000));
    place.write("large.ndjson", lines(0, 40, 2_000_000));
    for data in ["small", "large"] {
        place.ok(&["import", &format!("{data}.ndjson"), "--data", data]);
    }
    for data in ["small", "large"] {
        let server = Serving::of(&place, &["--insecure", "--data", data]);
        runtime().block_on(silence(&server));
        assert_eq!(server.end(), Some(0));
    }
}

async fn silence(server: &Serving) {
    append(server, 1, 100).await.unwrap();
    let before = server.memory("VmRSS:");
    let silent = silent_readers(server).await;
    // An honest reader comes to what it asked for, and honest writers do not wait.
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
    let mut honest = StreamsClient::new(endpoint.connect().await.unwrap());
    let reading = async {
        let request = read_all(CountOption::Count(10));
        let mut events = honest.read(request).await.unwrap().into_inner();
        for _ in 0..10 {
            events.message().await.unwrap().unwrap();
        }
    };
    timeout(PATIENCE, reading)
        .await
        .expect("an honest reader waits too long");
    append(server, 2, 100).await.unwrap();
    let grown = server.memory("VmHWM:").saturating_sub(before);
    println!("{} MiB more at most", grown >> 20);
    assert!(grown <= GROWTH_BYTES_MAX, "{grown} bytes more");
    drop(silent);
}

/// A piece that is begun is as much in memory as one that is not: it counts until all of it is gone.
#[test]
fn readers_that_take_a_few_bytes_make_a_server_take_little_memory() {
    let place = Place::new();
    place.write("large.ndjson", lines(0, 4, 2_000_000));
    place.ok(&["import", "large.ndjson"]);
    let server = Serving::of(&place, &["--insecure"]);
    runtime().block_on(narrowness(&server));
    assert_eq!(server.end(), Some(0));
}

async fn narrowness(server: &Serving) {
    append(server, 1, 100).await.unwrap();
    let before = server.memory("VmRSS:");
    let narrow = narrow_readers(server).await;
    // Until those who have no room have ended those who do not give it back.
    for number in 2..8 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        append(server, number, 100).await.unwrap();
    }
    let grown = server.memory("VmHWM:").saturating_sub(before);
    println!("{} MiB more at most", grown >> 20);
    assert!(grown <= GROWTH_BYTES_MAX, "{grown} bytes more");
    assert!(grown >= 32 << 20, "nothing was read: {grown} bytes more");
    drop(narrow);
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn no_client_makes_a_server_take_much_memory() {
    runtime().block_on(attack());
}

async fn attack() {
    let place = Place::new();
    let server = Serving::of(&place, &["--insecure"]);
    append(&server, 1, 1 << 20).await.unwrap();
    let before = server.memory("VmRSS:");
    let grown = |attack: &str| {
        let grown = server.memory("VmHWM:").saturating_sub(before);
        println!("{attack}: {} MiB more at most", grown >> 20);
        assert!(grown <= GROWTH_BYTES_MAX, "{attack}: {grown} bytes more");
    };

    let half = half_messages(&server).await;
    append(&server, 2, 100).await.unwrap();
    drop(half);
    grown("messages that never end");

    let unknown = unknown_fields(&server).await;
    append(&server, 3, 100).await.unwrap();
    grown("what nobody knows");
    for call in unknown {
        assert_eq!(call.status().await, "0");
    }

    let idle = idle_calls(&server).await;
    append(&server, 5, 100).await.unwrap();
    grown("idle calls");
    drop(idle);

    for call in empty_events(&server).await {
        assert_eq!(call.status().await, "11");
    }
    grown("empty events");

    // All that was taken is there for others.
    append(&server, 4, 1 << 20).await.unwrap();
    assert_eq!(server.end(), Some(0));
    let read = place.ok(&["read", "--all", "-o", "ndjson"]);
    // Five honest ones; of the hostile ones, an append that was ended, and those of batches that were.
    let of_idle = read.lines().filter(|line| line.contains("batched")).count();
    assert!((1..=40).contains(&of_idle), "{of_idle}");
    assert_eq!(read.lines().count(), 5 + 32 + of_idle, "{read}");
}
