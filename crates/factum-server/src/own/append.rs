//! Many appends over one call: handed to the store in the order in which they come, answered in the order in which they are done, those that were handed over together one after the other (decision 0037).
//!
//! Appends in flight are limited by number and by bytes; at the limit nothing more is read, and the client's connection holds the rest.
//! Answers that are ready together leave together: the encoder takes what is ready before it sends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use factum_proto::v1::append_response::Result as Outcome;
use factum_proto::v1::{AppendRequest, AppendResponse};
use factum_store::{AppendBatch, Kind, Receipt, StoreError};
use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use prost::Message;
use tokio::time::Sleep;
use tonic::{Code, Status};

use super::errors::{status, stopping};
use super::may;
use crate::auth::Caller;
use crate::flight::{self, Flight, Rest, poll_asked};
use crate::node::{Node, remembers};
use crate::room::{Brought, batch_in_memory};

/// How long a call is still read when the server stops: what was sent before the client knew is refused by name, and not left unknown.
const FAREWELL: Duration = Duration::from_millis(250);

/// What the client sends.
type Requests = Box<dyn Stream<Item = Result<AppendRequest, Status>> + Send + Unpin>;

/// A request, by its number and its bytes, and its batch if the caller may append that.
type Asked = (u64, usize, Result<AppendBatch, StoreError>);

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
    (request, brought): (AppendRequest, Arc<Brought>),
) -> AppendResponse {
    let (number, bytes) = (request.request, request.encoded_len());
    let allowed = allowed(node, caller, request).await.and_then(|batch| {
        let became = brought.became(batch_in_memory(&batch, bytes));
        became.map_err(|full| StoreError::new(Kind::Unavailable, full.to_string()))?;
        Ok(batch)
    });
    match allowed {
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
    let append = Box::pin(async move { store.append(batch).await });
    let answer = node.append_within(streams, count, time, append).await;
    response(number, answer.unwrap_or_else(|_| Err(late(time))))
}

fn late(time: Duration) -> StoreError {
    let text = format!("the append was not answered within {time:?}");
    StoreError::new(Kind::Unknown, text)
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
pub(crate) fn answers(
    node: Arc<Node>,
    caller: Caller,
    requests: impl Stream<Item = Result<AppendRequest, Status>> + Send + Unpin + 'static,
    brought: Arc<Brought>,
) -> impl Stream<Item = Result<AppendResponse, Status>> + Send {
    let watched = Arc::clone(&node);
    brought.flows();
    Call {
        node,
        caller,
        brought,
        requests: Some(Box::new(requests)),
        asking: None,
        running: Flight::new(),
        phase: Phase::Serving(Box::pin(async move { watched.stopping().await })),
        broken: None,
    }
}

/// One call. It is a state machine and no `async` function, which would be moved at each answer.
struct Call {
    node: Arc<Node>,
    caller: Caller,
    brought: Arc<Brought>,
    /// `None` once the client said all.
    requests: Option<Requests>,
    /// The request that has to wait until it is known whether it is allowed. No other is looked at before.
    asking: Option<BoxFuture<'static, Asked>>,
    running: Flight<Number>,
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
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Serving(stopping) => stopping.as_mut().poll(context),
            Self::Refusing(time) => time.as_mut().poll(context),
            Self::Leaving | Self::Over => Poll::Pending,
        }
    }
}

/// Which request an answer is to, and how long it may take.
struct Number(u64, Duration);

impl Rest for Number {
    type Answer = AppendResponse;

    fn answer(self, outcome: flight::Outcome) -> AppendResponse {
        response(self.0, outcome.unwrap_or_else(|_| Err(late(self.1))))
    }
}

/// What comes next in a call.
enum Next {
    Request(Option<Result<AppendRequest, Status>>),
    Asked(Asked),
    Answer(AppendResponse),
    Idle,
    PhaseOver,
}

impl Stream for Call {
    type Item = Result<AppendResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let call = self.get_mut();
        loop {
            let answer = call.poll_answer(context);
            // Whatever has come goes on together, before anybody waits.
            let handed_over = call.running.hand_over(&call.node, context);
            if answer.is_ready() || !handed_over {
                return answer;
            }
        }
    }
}

impl Call {
    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<AppendResponse, Status>>> {
        loop {
            let answer = match ready!(self.poll_what_is_next(context)) {
                Next::Answer(answer) => Some(answer),
                Next::Request(Some(Ok(request))) => self.ask_or_begin(request, context),
                Next::Asked(asked) => self.begin(asked, context),
                // What was asked for is still answered.
                Next::Request(None) => {
                    self.requests = None;
                    None
                }
                Next::Request(Some(Err(status))) => {
                    self.requests = None;
                    // A client that has gone hears nothing.
                    self.broken = Some(status).filter(|status| status.code() != Code::Cancelled);
                    None
                }
                Next::Idle => return Poll::Ready(self.farewell().map(Err)),
                Next::PhaseOver => {
                    self.next_phase();
                    None
                }
            };
            if let Some(answer) = answer {
                return Poll::Ready(Some(Ok(answer)));
            }
        }
    }

    /// The end of a phase comes first: a client that always has one more request would hide it for ever.
    fn poll_what_is_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if self.requests.is_some() && self.phase.poll_end(context).is_ready() {
            return Poll::Ready(Next::PhaseOver);
        }
        if let Poll::Ready(Some(answer)) = self.running.poll_next(context) {
            return Poll::Ready(Next::Answer(answer));
        }
        if let Some(asked) = poll_asked(&mut self.asking, context) {
            return asked.map(Next::Asked);
        }
        let crowded = self.brought.keeps(self.running.bytes()).is_err();
        let limits = &self.node.options.limits;
        let busy = !self.running.is_empty();
        let room = self.running.len() < limits.appends_in_flight
            && self.running.bytes() < limits.append_bytes_in_flight
            && !crowded;
        match &mut self.requests {
            Some(requests) if room || !busy => requests.poll_next_unpin(context).map(Next::Request),
            None if !busy => Poll::Ready(Next::Idle),
            _ => Poll::Pending,
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

    /// Begins a request, unless it has to be found out whether it is allowed.
    fn ask_or_begin(
        &mut self,
        request: AppendRequest,
        context: &mut Context<'_>,
    ) -> Option<AppendResponse> {
        let (number, bytes) = (request.request, request.encoded_len());
        if let Phase::Refusing(_) = self.phase {
            return Some(response(number, Err(stopping())));
        }
        let batch = match AppendBatch::try_from(request) {
            Ok(batch) => batch,
            Err(error) => return Some(response(number, Err(error))),
        };
        let bytes = batch_in_memory(&batch, bytes);
        if let Some(allowed) = may::append_at_once(&self.caller, &batch) {
            return self.begin((number, bytes, allowed.map(|()| batch)), context);
        }
        let (node, caller) = (Arc::clone(&self.node), self.caller.clone());
        self.asking = Some(Box::pin(async move {
            let allowed = may::append(&node, &caller, &batch).await;
            (number, bytes, allowed.map(|()| batch))
        }));
        None
    }

    /// Begins an append, unless the caller may not.
    fn begin(
        &mut self,
        (number, bytes, batch): Asked,
        context: &mut Context<'_>,
    ) -> Option<AppendResponse> {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return Some(response(number, Err(error))),
        };
        if remembers(&batch) {
            let answer = answer(Arc::clone(&self.node), number, batch);
            self.running.begin(&self.node, bytes, answer, context);
        } else {
            let (node, time) = (&self.node, self.node.options.limits.append);
            let append = (batch, bytes);
            self.running
                .gather(node, append, time, Number(number, time), context);
        }
        None
    }
}
