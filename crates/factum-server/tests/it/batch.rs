//! `BatchAppend`: many appends in one call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use factum_engine::Engine;
use factum_io::Env;
use factum_proto::kurrent::Empty;
use factum_proto::kurrent::streams::batch_append_req::options::ExpectedStreamPosition;
use factum_proto::kurrent::streams::batch_append_req::{Options as BatchOptions, ProposedMessage};
use factum_proto::kurrent::streams::batch_append_resp::Result as Outcome;
use factum_proto::kurrent::streams::read_req::options::CountOption;
use factum_proto::kurrent::streams::read_req::options::stream_options::RevisionOption;
use factum_proto::kurrent::streams::{BatchAppendReq, BatchAppendResp};
use factum_server::{Options, Store};
use factum_store::MemoryStore;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Streaming};

use crate::support::{Running, events, id, identifier, of_stream, properties, read};

const PATIENCE: Duration = Duration::from_secs(60);
/// More than may be under way at once.
const APPENDS: u64 = 300;

/// A part of an append: the first says to which stream.
fn part(correlation: u64, stream: Option<&str>, event: u64, is_final: bool) -> BatchAppendReq {
    BatchAppendReq {
        correlation_id: id(correlation),
        options: stream.map(|stream| BatchOptions {
            stream_identifier: identifier(stream),
            expected_stream_position: Some(ExpectedStreamPosition::Any(())),
            deadline_option: None,
        }),
        proposed_messages: vec![ProposedMessage {
            id: id(event),
            metadata: properties("Happened").into_iter().collect(),
            custom_metadata: Vec::new(),
            data: format!("{event}").into(),
        }],
        is_final,
    }
}

/// A call, and the answers to it.
struct Call {
    requests: mpsc::UnboundedSender<BatchAppendReq>,
    answers: Streaming<BatchAppendResp>,
}

impl Call {
    async fn begin(server: &Running) -> Self {
        let (requests, sent) = mpsc::unbounded_channel();
        let mut client = server.streams().await;
        let answers = client.batch_append(UnboundedReceiverStream::new(sent));
        Self {
            requests,
            answers: answers.await.unwrap().into_inner(),
        }
    }

    async fn answer(&mut self) -> BatchAppendResp {
        let answer = timeout(PATIENCE, self.answers.message()).await.unwrap();
        answer.unwrap().unwrap()
    }
}

/// Why an append is refused.
fn refusal(answer: BatchAppendResp) -> String {
    match answer.result.unwrap() {
        Outcome::Error(error) => error.message,
        Outcome::Success(success) => format!("{success:?}"),
    }
}

async fn data(server: &Running, stream: &str) -> Vec<u64> {
    let mut client = server.streams().await;
    let start = RevisionOption::Start(Empty {});
    let read = read(
        &mut client,
        of_stream(stream, start, CountOption::Count(10_000)),
    );
    let read = timeout(PATIENCE, read).await.unwrap().unwrap();
    let number = |data: &[u8]| std::str::from_utf8(data).unwrap().parse().unwrap();
    let events = events(read);
    let recorded = events.iter().map(|event| event.event.as_ref().unwrap());
    recorded.map(|event| number(&event.data)).collect()
}

async fn in_order(store: Arc<dyn Store>, stream: &str) {
    let server = Running::over(store, Options::default()).await;
    let mut call = Call::begin(&server).await;
    for number in 0..APPENDS {
        let append = part(number, Some(stream), APPENDS + number, true);
        call.requests.send(append).unwrap();
    }
    let mut answered = BTreeSet::new();
    for _ in 0..APPENDS {
        let answer = call.answer().await;
        let stored = matches!(answer.result, Some(Outcome::Success(_)));
        assert!(stored, "{answer:?}");
        answered.insert(format!("{:?}", answer.correlation_id));
    }
    assert_eq!(answered.len() as u64, APPENDS);
    drop(call);
    let expected: Vec<_> = (APPENDS..2 * APPENDS).collect();
    assert_eq!(data(&server, stream).await, expected);
    server.stop().await;
}

#[tokio::test]
async fn appends_to_one_stream_land_in_the_order_in_which_they_were_sent() {
    for stream in ["orders", "$mine"] {
        in_order(Arc::new(MemoryStore::new()), stream).await;
        let directory = tempfile::tempdir().unwrap();
        let options = factum_engine::Options::new(directory.path().join("data"));
        in_order(
            Arc::new(Engine::open(options, Env::real()).unwrap()),
            stream,
        )
        .await;
    }
}

#[tokio::test]
async fn the_parts_of_an_append_land_together() {
    let server = Running::start().await;
    let mut call = Call::begin(&server).await;
    let send = |request| call.requests.send(request).unwrap();
    send(part(1, Some("a"), 10, false));
    send(part(2, Some("b"), 20, false));
    send(part(1, None, 11, false));
    // What was begun goes on as it began.
    send(part(2, Some("c"), 21, true));
    send(part(1, None, 12, true));
    for _ in 0..2 {
        let answer = call.answer().await;
        assert!(
            matches!(answer.result, Some(Outcome::Success(_))),
            "{answer:?}"
        );
    }
    assert_eq!(data(&server, "a").await, [10, 11, 12]);
    assert_eq!(data(&server, "b").await, [20, 21]);
    assert_eq!(data(&server, "c").await, Vec::<u64>::new());
    server.stop().await;
}

#[tokio::test]
async fn an_append_whose_end_never_comes_is_given_up_alone() {
    let mut options = Options::default();
    options.limits.upload = Duration::from_millis(300);
    let server = Running::over(Arc::new(MemoryStore::new()), options).await;
    let mut call = Call::begin(&server).await;
    call.requests.send(part(1, Some("a"), 10, false)).unwrap();
    let answer = call.answer().await;
    assert_eq!(answer.correlation_id, id(1));
    assert_eq!(answer.stream_identifier, identifier("a"));
    assert_eq!(refusal(answer), "Timeout");
    // What comes of it later belongs to nothing, and the call goes on.
    call.requests.send(part(1, None, 11, true)).unwrap();
    call.requests.send(part(2, Some("b"), 20, true)).unwrap();
    let answer = call.answer().await;
    assert_eq!(answer.correlation_id, id(2));
    assert_eq!(data(&server, "a").await, Vec::<u64>::new());
    assert_eq!(data(&server, "b").await, [20]);
    server.stop().await;
}

/// That what comes of append 1 after its refusal is no append of its own, also when it says to which stream; and that its id is free afterwards.
async fn rest_is_passed_over(server: Running, mut call: Call) {
    let send = |request| call.requests.send(request).unwrap();
    send(part(1, Some("a"), 11, false));
    send(part(1, Some("a"), 12, true));
    send(part(2, Some("b"), 20, true));
    send(part(1, Some("c"), 30, true));
    let mut answered = BTreeSet::new();
    for _ in 0..2 {
        let answer = call.answer().await;
        let stored = matches!(answer.result, Some(Outcome::Success(_)));
        assert!(stored, "{answer:?}");
        answered.insert(format!("{:?}", answer.correlation_id));
    }
    let expected = [1, 2].map(|number| format!("{:?}", id(number)));
    assert_eq!(answered, BTreeSet::from(expected));
    assert_eq!(data(&server, "a").await, Vec::<u64>::new());
    assert_eq!(data(&server, "b").await, [20]);
    assert_eq!(data(&server, "c").await, [30]);
    server.stop().await;
}

#[tokio::test]
async fn the_rest_of_an_append_whose_time_was_up_is_not_stored() {
    let mut options = Options::default();
    options.limits.upload = Duration::from_millis(300);
    let server = Running::over(Arc::new(MemoryStore::new()), options).await;
    let mut call = Call::begin(&server).await;
    call.requests.send(part(1, Some("a"), 10, false)).unwrap();
    assert_eq!(refusal(call.answer().await), "Timeout");
    rest_is_passed_over(server, call).await;
}

#[tokio::test]
async fn the_rest_of_an_append_that_was_too_large_is_not_stored() {
    let mut options = Options::default();
    options.limits.message_bytes = 8 << 10;
    let server = Running::over(Arc::new(MemoryStore::new()), options).await;
    let mut call = Call::begin(&server).await;
    for number in 0..2 {
        let mut large = part(1, Some("a"), number, false);
        large.proposed_messages[0].data = vec![b'1'; 5 << 10];
        call.requests.send(large).unwrap();
    }
    assert_eq!(refusal(call.answer().await), "MaximumAppendSizeExceeded");
    rest_is_passed_over(server, call).await;
}

#[tokio::test]
async fn an_append_that_does_not_say_where_is_refused() {
    let server = Running::start().await;
    let mut call = Call::begin(&server).await;
    let expected = "the first message of an append says to which stream";
    call.requests.send(part(2, None, 20, true)).unwrap();
    let answer = call.answer().await;
    assert_eq!(answer.correlation_id, id(2));
    assert_eq!(refusal(answer), expected);
    call.requests.send(part(1, None, 10, false)).unwrap();
    let answer = call.answer().await;
    assert_eq!(answer.correlation_id, id(1));
    assert_eq!(refusal(answer), expected);
    rest_is_passed_over(server, call).await;
}

/// What is remembered of refused appends has the limit of those that are begun.
#[tokio::test]
async fn refused_appends_that_are_never_ended_end_the_call() {
    let mut options = Options::default();
    options.limits.batches_in_flight = 2;
    let server = Running::over(Arc::new(MemoryStore::new()), options).await;
    let mut call = Call::begin(&server).await;
    for number in 0..3 {
        call.requests.send(part(number, None, 10, false)).unwrap();
    }
    for _ in 0..2 {
        refusal(call.answer().await);
    }
    let ended = timeout(PATIENCE, call.answers.message()).await.unwrap();
    assert_eq!(ended.unwrap_err().code(), Code::ResourceExhausted);
    server.stop().await;
}
