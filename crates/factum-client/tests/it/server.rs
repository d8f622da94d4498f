//! What the server does with the calls of the protocol, whoever makes them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use factum_proto::v1::append_response::Result as Outcome;
use factum_proto::v1::store_client::StoreClient;
use factum_proto::v1::{AppendRequest, AppendResponse};
use factum_server::Options;
use factum_server::auth::Mode;
use factum_store::{
    AppendBatch, EventStore, Kind, MemoryStore, ReadRequest, Receipt, Source, StoreError,
    SubscribeRequest,
};
use factum_types::ExpectedRevision::Any;
use futures_util::{StreamExt, stream as streams};
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::bent::{Answer, Bend, Bent};
use crate::flow::Held;
use crate::support::{PATIENCE, RUNTIME, Running, batch, block_on, stream, within};

/// The request of this number, with so many events.
fn request(number: u64, count: u64) -> AppendRequest {
    let mut request = AppendRequest::try_from(batch(&stream("order-1"), Any, 0, count)).unwrap();
    request.request = number;
    request
}

/// The calls of a server, without the client.
async fn calls(server: &Running) -> StoreClient<Channel> {
    let endpoint = Endpoint::from_shared(server.url()).unwrap();
    StoreClient::new(endpoint.connect().await.unwrap())
}

#[test]
fn why_no_more_requests_are_read_is_told_though_others_still_run() {
    let may_answer = Arc::new(watch::Sender::new(false));
    let mut options = Options::default();
    options.address.set_port(0);
    options.auth.mode = Mode::Insecure;
    options.limits.message_bytes = 16 << 10;
    let store = Bent(MemoryStore::new(), Held(Arc::clone(&may_answer)));
    let server = Running::with(Arc::new(store), options);
    within(async {
        let mut stub = calls(&server).await;
        let requests = streams::iter([request(1, 1), request(2, 1_000)]).chain(streams::pending());
        let mut answers = stub.append(requests).await.unwrap().into_inner();
        // Long enough that the second has come while the first runs.
        let early = tokio::time::timeout(Duration::from_millis(100), answers.message()).await;
        assert!(early.is_err(), "the first is held");
        may_answer.send_replace(true);
        let first = answers.message().await.unwrap().unwrap();
        assert_eq!(first.request, 1);
        assert!(matches!(first.result, Some(Outcome::Receipt(_))));
        let end = answers.message().await.unwrap_err();
        assert_eq!(end.code(), Code::OutOfRange, "{end:?}");
    });
}

/// Answers at once, so that a client can always have one more.
struct Refusing;

impl Bend for Refusing {
    fn append<'a>(&'a self, _: &'a MemoryStore, _: AppendBatch) -> Answer<'a, Receipt> {
        Box::pin(std::future::ready(Err(StoreError::new(
            Kind::Full,
            "there is no room",
        ))))
    }
}

/// How a call ended, and whether an append was refused by name because the server stops.
async fn to_the_end(
    mut answers: tonic::Streaming<AppendResponse>,
    begun: watch::Sender<bool>,
) -> (bool, Result<(), Status>) {
    let mut named = false;
    loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                begun.send_replace(true);
                named |= matches!(answer.result, Some(Outcome::Error(error)) if error.message.contains("is stopping"));
            }
            Ok(None) => return (named, Ok(())),
            Err(status) => return (named, Err(status)),
        }
    }
}

/// How a call ends that never ceases to append to a server that stops.
fn flooded() -> (bool, Status) {
    let server = Running::new(Arc::new(Bent(MemoryStore::new(), Refusing)));
    let (begun, mut has_begun) = watch::channel(false);
    let answers = within(async {
        let mut stub = calls(&server).await;
        let requests = streams::iter(0..).map(|number| request(number, 1));
        stub.append(requests).await.unwrap().into_inner()
    });
    let ended = RUNTIME.spawn(to_the_end(answers, begun));
    within(has_begun.wait_for(|begun| *begun)).unwrap();
    server.stop();
    let (named, end) = within(ended).unwrap();
    (named, end.unwrap_err())
}

#[test]
fn who_never_ceases_to_append_is_told_that_the_server_stops() {
    const TRIES: usize = 10;
    // What is on its way when the connection closes may take the server's last word with it.
    let told = (0..TRIES).map(|_| flooded()).find(|(_, end)| {
        let lost = end.code() == Code::Unknown && std::error::Error::source(end).is_some();
        !lost
    });
    let (named, end) = told.unwrap();
    assert!(named, "{end:?}");
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    assert!(end.message().contains("the server is stopping"), "{end:?}");
}

/// The number that the server tells under this name.
fn metric(server: &Running, name: &str) -> u64 {
    let mut connection = TcpStream::connect(server.address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in {text}"))
        .parse()
        .unwrap()
}

#[test]
fn what_is_read_and_followed_is_counted() {
    let server = Running::new(Arc::new(MemoryStore::new()));
    let client = server.client();
    let read = || metric(&server, "factum_read_events_total");
    let open = || metric(&server, "factum_subscriptions");
    assert_eq!((read(), open()), (0, 0));
    block_on(client.append(batch(&stream("order-1"), Any, 0, 7))).unwrap();
    block_on(client.read(ReadRequest::all()).collect()).unwrap();
    assert_eq!((read(), open()), (7, 0));
    let mut following = client.subscribe(SubscribeRequest::new(Source::All));
    for _ in 0..7 {
        block_on(following.next_event()).unwrap().unwrap();
    }
    assert_eq!((read(), open()), (14, 1));
    drop(following);
    // The server learns of it a moment later.
    within(async {
        while open() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}
