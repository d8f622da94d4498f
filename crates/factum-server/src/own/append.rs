//! Many appends over one call: handed to the store in the order in which they come, answered in the order in which they are done.
//!
//! Appends in flight are limited by number and by bytes; at the limit nothing more is read, and the client's connection holds the rest.
//! Answers that are ready together leave together: the encoder takes what is ready before it sends.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use factum_proto::v1::append_response::Result as Outcome;
use factum_proto::v1::{AppendRequest, AppendResponse};
use factum_store::{AppendBatch, Kind, Receipt, StoreError};
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use prost::Message;
use tokio::time::Sleep;
use tonic::{Code, Status, Streaming};

use super::errors::{status, stopping};
use super::may;
use crate::auth::Caller;
use crate::node::{Node, first_look};

/// How long a call is still read when the server stops: what was sent before the client knew is refused by name, and not left unknown.
const FAREWELL: Duration = Duration::from_millis(250);

/// The answer to an append, and how many bytes it has held.
type Running = Pin<Box<dyn Future<Output = (AppendResponse, usize)> + Send>>;

/// The batch of a request, if the caller may append it.
async fn allowed(
    node: &Node,
    caller: &Caller,
    request: AppendRequest,
) -> Result<AppendBatch, StoreError> {
    let batch = AppendBatch::try_from(request)?;
    may::append(node, caller, &batch).await?;
    Ok(batch)
}

/// The answer to one append.
pub(super) async fn once(
    node: &Arc<Node>,
    caller: &Caller,
    request: AppendRequest,
) -> AppendResponse {
    let number = request.request;
    match allowed(node, caller, request).await {
        Ok(batch) => answer(Arc::clone(node), number, batch).await,
        Err(error) => response(number, Err(error)),
    }
}

async fn answer(node: Arc<Node>, number: u64, batch: AppendBatch) -> AppendResponse {
    let time = node.options.limits.append;
    let streams = batch.writes.iter().map(|write| write.stream.clone());
    let (streams, count, store) = (
        streams.collect(),
        batch.event_count(),
        Arc::clone(&node.store),
    );
    let append = async move { store.append(batch).await };
    let late = |_| {
        let text = format!("the append was not answered within {time:?}");
        Err(StoreError::new(Kind::Unknown, text))
    };
    let answer = node.append_within(streams, count, time, append).await;
    response(number, answer.unwrap_or_else(late))
}

fn response(number: u64, outcome: Result<Receipt, StoreError>) -> AppendResponse {
    AppendResponse {
        request: number,
        result: Some(match outcome {
            Ok(receipt) => Outcome::Receipt(receipt.into()),
            Err(error) => Outcome::Error((&error).into()),
        }),
    }
}

/// The answers to a call.
pub(super) fn answers(
    node: Arc<Node>,
    caller: Caller,
    requests: Streaming<AppendRequest>,
) -> impl Stream<Item = Result<AppendResponse, Status>> + Send {
    let watched = Arc::clone(&node);
    let call = Call {
        node,
        caller,
        requests: Some(requests),
        running: FuturesUnordered::new(),
        bytes: 0,
        phase: Phase::Serving(Box::pin(async move { watched.stopping().await })),
        broken: None,
    };
    stream::unfold(call, async |mut call| {
        let answer = call.next().await?;
        Some((answer, call))
    })
}

/// One call, between two answers.
struct Call {
    node: Arc<Node>,
    caller: Caller,
    /// `None` once the client said all.
    requests: Option<Streaming<AppendRequest>>,
    running: FuturesUnordered<Running>,
    /// Bytes of the requests that are running.
    bytes: usize,
    phase: Phase,
    /// Why no more requests can be read; said once what runs is answered.
    broken: Option<Status>,
}

enum Phase {
    /// Until the server stops.
    Serving(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// Refusing what still comes, until then.
    Refusing(Pin<Box<Sleep>>),
    /// Only answering what is running; then it says why. Nothing is read.
    Leaving,
    Over,
}

impl Phase {
    /// Ready when it is over.
    async fn end(&mut self) {
        match self {
            Self::Serving(stopping) => stopping.await,
            Self::Refusing(time) => time.await,
            Self::Leaving | Self::Over => std::future::pending().await,
        }
    }
}

/// What comes next in a call.
enum Next {
    Request(Result<Option<AppendRequest>, Status>),
    Answer(AppendResponse, usize),
    Idle,
    PhaseOver,
}

impl Call {
    async fn next(&mut self) -> Option<Result<AppendResponse, Status>> {
        loop {
            match self.wait().await {
                Next::Answer(answer, bytes) => {
                    self.bytes -= bytes;
                    return Some(Ok(answer));
                }
                Next::Request(Ok(Some(request))) => {
                    if let Some(answer) = self.begin(request).await {
                        return Some(Ok(answer));
                    }
                }
                // What was asked for is still answered.
                Next::Request(Ok(None)) => self.requests = None,
                Next::Request(Err(status)) => {
                    self.requests = None;
                    // A client that has gone hears nothing.
                    self.broken = Some(status).filter(|status| status.code() != Code::Cancelled);
                }
                Next::Idle => return self.farewell().map(Err),
                Next::PhaseOver => self.next_phase(),
            }
        }
    }

    /// The end of a phase comes first: a client that always has one more request would hide it for ever.
    async fn wait(&mut self) -> Next {
        let limits = &self.node.options.limits;
        let busy = !self.running.is_empty();
        let room = self.running.len() < limits.appends_in_flight
            && self.bytes < limits.append_bytes_in_flight;
        let Some(requests) = &mut self.requests else {
            return match self.running.next().await {
                Some((answer, bytes)) => Next::Answer(answer, bytes),
                None => Next::Idle,
            };
        };
        tokio::select! {
            biased;
            () = self.phase.end() => Next::PhaseOver,
            Some((answer, bytes)) = self.running.next(), if busy => Next::Answer(answer, bytes),
            request = requests.message(), if room || !busy => Next::Request(request),
        }
    }

    fn next_phase(&mut self) {
        if let Phase::Serving(_) = self.phase {
            self.phase = Phase::Refusing(Box::pin(tokio::time::sleep(FAREWELL)));
        } else {
            self.requests = None;
            self.phase = Phase::Leaving;
        }
    }

    /// What is said at the end: nothing, unless it is not the client that ends the call.
    fn farewell(&mut self) -> Option<Status> {
        if let Some(broken) = self.broken.take() {
            self.phase = Phase::Over;
            return Some(broken);
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Leaving => Some(status(&stopping())),
            _ => None,
        }
    }

    /// Hands an append to the store; its answer when it has one at once.
    async fn begin(&mut self, request: AppendRequest) -> Option<AppendResponse> {
        if let Phase::Refusing(_) = self.phase {
            return Some(response(request.request, Err(stopping())));
        }
        let (number, bytes) = (request.request, request.encoded_len());
        let batch = match allowed(&self.node, &self.caller, request).await {
            Ok(batch) => batch,
            Err(error) => return Some(response(number, Err(error))),
        };
        let node = Arc::clone(&self.node);
        let mut running: Running =
            Box::pin(async move { (answer(node, number, batch).await, bytes) });
        // The first look at a future is what hands its append over. It has to be now, or a later one might be first.
        let at_once = first_look(&mut running).await;
        if at_once.is_none() {
            self.bytes += bytes;
            self.running.push(running);
        }
        at_once.map(|(answer, _)| answer)
    }
}
