//! Time, as it passes while a call is not looked at, or while it is never silent.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use factum_io::Env;
use factum_proto::kurrent::streams::batch_append_req::options::ExpectedStreamPosition;
use factum_proto::kurrent::streams::batch_append_req::{Options as BatchOptions, ProposedMessage};
use factum_proto::kurrent::streams::batch_append_resp::Result as Outcome;
use factum_proto::kurrent::streams::{BatchAppendReq, BatchAppendResp};
use factum_store::MemoryStore;
use factum_types::EventId;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;

use super::answers;
use crate::auth::{Caller, Mode};
use crate::call::HEADER_BYTES;
use crate::listen::STREAM_WINDOW_BYTES;
use crate::node::Node;
use crate::options::Options;
use crate::wire::id::{self, IdKind};
use crate::wire::identifier;

/// Longer than anything takes that is to happen.
const ENOUGH: Duration = Duration::from_secs(600);

async fn node(upload: Duration) -> Arc<Node> {
    let mut options = Options::default();
    options.auth.mode = Mode::Insecure;
    options.limits.upload = upload;
    let store = Arc::new(MemoryStore::new());
    Node::start(store, options, Env::real()).await.unwrap()
}

/// A part of an append with one event: the first says to which stream.
fn part(correlation: u8, stream: Option<&str>, event: u8, is_final: bool) -> BatchAppendReq {
    let id = |number| Some(id::write(EventId::from_bytes([number; 16]), IdKind::Text));
    let properties = [("type", "Happened"), ("content-type", "application/json")];
    BatchAppendReq {
        correlation_id: id(correlation),
        options: stream.map(|stream| BatchOptions {
            stream_identifier: Some(identifier(&stream.parse().unwrap())),
            expected_stream_position: Some(ExpectedStreamPosition::Any(())),
            deadline_option: None,
        }),
        proposed_messages: vec![ProposedMessage {
            id: id(event),
            metadata: properties
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            custom_metadata: Vec::new(),
            data: "{}".into(),
        }],
        is_final,
    }
}

/// Which append is answered, and how: empty when it is stored.
fn shown(answer: Option<Result<BatchAppendResp, Status>>) -> (u8, String) {
    let answer = answer.unwrap().unwrap();
    let correlation = id::read(answer.correlation_id).unwrap();
    let how = match answer.result.unwrap() {
        Outcome::Success(_) => String::new(),
        Outcome::Error(error) => error.message,
    };
    (correlation.to_bytes()[0], how)
}

fn call(
    node: Arc<Node>,
    requests: impl Stream<Item = Result<BatchAppendReq, Status>> + Send + 'static,
) -> impl Stream<Item = Result<BatchAppendResp, Status>> {
    call_of(Caller::system(), node, requests)
}

fn call_of(
    caller: Caller,
    node: Arc<Node>,
    requests: impl Stream<Item = Result<BatchAppendReq, Status>> + Send + 'static,
) -> impl Stream<Item = Result<BatchAppendResp, Status>> {
    let brought = node.room.brought();
    answers(node, caller, requests, brought)
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_in_time_is_stored_however_late_it_is_looked_at() {
    let upload = Duration::from_secs(60);
    let (sender, sent) = mpsc::unbounded_channel();
    let requests = UnboundedReceiverStream::new(sent).map(Ok);
    let mut answers = pin!(call(node(upload).await, requests));
    let send = |request| sender.send(request).unwrap();
    send(part(1, Some("a"), 10, false));
    let none = timeout(Duration::from_millis(1), answers.next()).await;
    assert!(none.is_err());
    send(part(2, Some("b"), 20, false));
    send(part(1, None, 11, false));
    send(part(1, None, 12, true));
    tokio::time::advance(2 * upload).await;
    assert_eq!(shown(answers.next().await), (1, String::new()));
    // One that was begun when it was looked at has its time from then on, and no longer.
    let answer = timeout(ENOUGH, answers.next()).await.unwrap();
    assert_eq!(shown(answer), (2, "Timeout".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_never_silent_has_no_more_time() {
    let looked_at = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looked_at);
    let another = part(2, None, 20, false);
    let waiting = (STREAM_WINDOW_BYTES as usize).div_ceil(HEADER_BYTES + another.encoded_len());
    let others = stream::repeat(another).take(10 * waiting);
    let others = others.inspect(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let first = stream::iter([part(1, Some("a"), 10, false)]);
    let requests = first.chain(others).map(Ok);
    let node = node(Duration::ZERO).await;
    let mut answers = pin!(call(node, requests));
    assert_eq!(shown(answers.next().await).0, 2);
    assert_eq!(shown(answers.next().await), (1, "Timeout".to_owned()));
    assert_eq!(looked_at.load(Ordering::Relaxed), waiting);
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_an_append_that_was_not_allowed_is_passed_over() {
    let requests = [
        part(1, Some("$settings"), 10, false),
        part(1, Some("a"), 11, true),
        part(1, Some("b"), 12, true),
    ];
    let node = node(Duration::from_secs(60)).await;
    let requests = stream::iter(requests).map(Ok);
    let answers = call_of(Caller::user("anna", []), node, requests);
    let shown: Vec<_> = answers.map(|answer| shown(Some(answer))).collect().await;
    assert_eq!(shown, [(1, "AccessDenied".to_owned()), (1, String::new())]);
}
