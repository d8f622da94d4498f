//! Many appends over one call, each in as many messages as the client likes, answered in the order in which they are done, those
//! that were handed over together one after the other (decision 0037).
//!
//! Appends of one call are handed to the store in the order in which they were completed, so that two to one stream land in that order, but for
//! those that decision 0030 names. An append is stored as it was sent, or not at all: once it is answered, what still comes of it belongs to
//! nothing.

mod answer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use factum_proto::kurrent::Uuid;
use factum_proto::kurrent::streams::batch_append_req::{Options, ProposedMessage};
use factum_proto::kurrent::streams::batch_append_resp::Result as Outcome;
use factum_proto::kurrent::streams::{
    BatchAppendError as WireStatus, BatchAppendReq, BatchAppendResp,
};
use factum_store::AppendBatch;
use factum_types::EventId;
use factum_types::limits::BATCH_EVENTS_MAX;
use futures_core::Stream;
use futures_core::future::BoxFuture;
use prost::Message;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use crate::auth::Caller;
use crate::call::HEADER_BYTES;
use crate::flight::{Flight, poll_asked};
use crate::listen::STREAM_WINDOW_BYTES;
use crate::log::append::is_plain;
use crate::node::Node;
use crate::room::{Brought, NoRoom};
use crate::wire::{errors, id};
use answer::{Rest, allow, answer, bad_request, complete, echo, timeout, too_large};

/// What the client sends.
type Requests = Pin<Box<dyn Stream<Item = Result<BatchAppendReq, Status>> + Send>>;

/// A request that begins an append, and whether the caller may make it, once that is known.
type Asked = (BatchAppendReq, Result<(), WireStatus>);

/// The answers to a call.
pub(crate) fn answers(
    node: Arc<Node>,
    caller: Caller,
    requests: impl Stream<Item = Result<BatchAppendReq, Status>> + Send + 'static,
    brought: Arc<Brought>,
) -> impl Stream<Item = Result<BatchAppendResp, Status>> + Send {
    let stopped = Arc::clone(&node);
    brought.flows();
    Call {
        node,
        caller,
        brought,
        requests: Some(Box::pin(requests)),
        asking: None,
        asked_bytes: 0,
        begun: BTreeMap::new(),
        bytes: 0,
        late_bytes: 0,
        timer: None,
        running: Flight::new(),
        stopping: Box::pin(async move { stopped.stopping().await }),
        goodbye: None,
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
    /// What that takes in memory.
    asked_bytes: usize,
    /// Appends whose last message has not come, by their correlation id. `None` once one is answered: the rest of it is passed over, or it
    /// would be taken for an append of its own.
    begun: BTreeMap<EventId, Option<Begun>>,
    /// Bytes of what is in `begun`.
    bytes: usize,
    /// Bytes of requests that were looked at since the time of an append was over.
    late_bytes: usize,
    /// Wakes when the time of an append is over.
    timer: Option<Pin<Box<Sleep>>>,
    running: Flight<Rest>,
    /// Ready when the server stops.
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// What is said when all that was begun is answered.
    goodbye: Option<Status>,
}

/// An append that is not complete.
struct Begun {
    correlation: Option<Uuid>,
    options: Options,
    proposed: Vec<ProposedMessage>,
    bytes: usize,
    /// Until when its last message has to come.
    until: Instant,
}

impl Begun {
    fn refused(&self, error: WireStatus) -> BatchAppendResp {
        BatchAppendResp {
            correlation_id: self.correlation.clone(),
            result: Some(Outcome::Error(error)),
            ..echo(&self.options)
        }
    }
}

/// What comes next in a call.
enum Next {
    Request(Option<Result<BatchAppendReq, Status>>),
    Asked(Asked),
    Answer(BatchAppendResp),
    Stop,
    Late,
    Over,
}

impl Stream for Call {
    type Item = Result<BatchAppendResp, Status>;

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
    ) -> Poll<Option<Result<BatchAppendResp, Status>>> {
        loop {
            let answer = match ready!(self.poll_what_is_next(context)) {
                Next::Answer(answer) => Some(answer),
                Next::Over => return Poll::Ready(self.goodbye.take().map(Err)),
                Next::Late => self.expire(),
                Next::Stop => {
                    self.end(errors::stopping());
                    None
                }
                // What is complete is still answered; what is not was never asked for.
                Next::Request(None) => {
                    self.requests = None;
                    None
                }
                Next::Request(Some(Err(status))) => {
                    self.end(status);
                    None
                }
                Next::Request(Some(Ok(request))) => self.ask_or_take(request, context),
                Next::Asked((request, allowed)) => self.take_or_end(request, allowed, context),
            };
            if let Some(answer) = answer {
                return Poll::Ready(Some(Ok(answer)));
            }
        }
    }

    fn poll_what_is_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if let Poll::Ready(Some(answer)) = self.running.poll_next(context) {
            return Poll::Ready(Next::Answer(answer));
        }
        // Where there is no room, no more is read until something of this call is done.
        let crowded = self.keeps().is_err();
        if let Some(asked) = poll_asked(&mut self.asking, context) {
            if asked.is_ready() {
                self.asked_bytes = 0;
            }
            return asked.map(Next::Asked);
        }
        let limits = &self.node.options.limits;
        let room = self.running.len() < limits.batches_in_flight
            && self.running.bytes() < 4 * limits.message_bytes
            && (!crowded || self.running.is_empty());
        let late = self.begun.values().flatten().map(|begun| begun.until).min();
        let is_late = late.is_some_and(|until| until <= Instant::now());
        if !is_late {
            self.late_bytes = 0;
        }
        // What was sent in time waits in the stream, if the server was slow, and is looked at first. No more of it can wait than this.
        let may_wait = self.late_bytes < STREAM_WINDOW_BYTES as usize;
        let Some(requests) = self.requests.as_mut().filter(|_| room) else {
            let is_over = self.running.is_empty();
            return if is_over {
                Poll::Ready(Next::Over)
            } else {
                Poll::Pending
            };
        };
        if self.stopping.as_mut().poll(context).is_ready() {
            return Poll::Ready(Next::Stop);
        }
        if may_wait && let Poll::Ready(request) = requests.as_mut().poll_next(context) {
            if is_late && let Some(Ok(request)) = &request {
                self.late_bytes += HEADER_BYTES + request.encoded_len();
            }
            return Poll::Ready(Next::Request(request));
        }
        match late {
            Some(late) => self.poll_timer(late, context).map(|()| Next::Late),
            None => Poll::Pending,
        }
    }

    /// Says what this call keeps.
    fn keeps(&self) -> Result<(), NoRoom> {
        let bytes = self.bytes + self.asked_bytes + self.running.bytes();
        self.brought.keeps(bytes)
    }

    fn poll_timer(&mut self, until: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(context)
    }

    /// Takes no more; what is under way is answered first.
    fn end(&mut self, status: Status) {
        self.requests = None;
        self.goodbye = Some(status);
    }

    /// Takes a request, unless it has to be found out whether it is allowed. Nobody asks about who may do everything.
    fn ask_or_take(
        &mut self,
        request: BatchAppendReq,
        context: &mut Context<'_>,
    ) -> Option<BatchAppendResp> {
        let key = id::read(request.correlation_id.clone());
        let begins = key.is_ok_and(|key| !self.begun.contains_key(&key));
        if !begins || request.options.is_none() || self.caller.is_admin() {
            return self.take_or_end(request, Ok(()), context);
        }
        self.asked_bytes = request.proposed_messages.iter().map(in_memory).sum();
        let (node, caller) = (Arc::clone(&self.node), self.caller.clone());
        self.asking = Some(Box::pin(async move {
            let allowed = match &request.options {
                Some(options) => allow(&node, &caller, options).await,
                None => Ok(()),
            };
            (request, allowed)
        }));
        None
    }

    fn take_or_end(
        &mut self,
        request: BatchAppendReq,
        allowed: Result<(), WireStatus>,
        context: &mut Context<'_>,
    ) -> Option<BatchAppendResp> {
        self.take(request, allowed, context)
            .unwrap_or_else(|status| {
                self.end(status);
                None
            })
    }

    /// Takes a message; an answer when there is one at once.
    ///
    /// # Errors
    /// The call cannot go on.
    fn take(
        &mut self,
        request: BatchAppendReq,
        allowed: Result<(), WireStatus>,
        context: &mut Context<'_>,
    ) -> Result<Option<BatchAppendResp>, Status> {
        let BatchAppendReq {
            correlation_id,
            options,
            proposed_messages,
            is_final,
        } = request;
        let key = id::read(correlation_id.clone())?;
        let begun = match self.begun.remove(&key) {
            // One that has begun goes on as it did.
            Some(begun) => {
                self.bytes -= begun.as_ref().map_or(0, |begun| begun.bytes);
                begun.ok_or(None)
            }
            None => self.open(correlation_id, options, allowed)?.map_err(Some),
        };
        let more = match begun {
            Ok(begun) => self.add(begun, proposed_messages)?.map_err(Some),
            Err(answered) => Err(answered),
        };
        let (rest, answer) = match more {
            Ok(begun) if is_final => return Ok(self.begin(begun, context)),
            Ok(begun) => (Some(begun), None),
            Err(answered) => (None, answered),
        };
        if !is_final {
            self.bytes += rest.as_ref().map_or(0, |begun| begun.bytes);
            self.begun.insert(key, rest);
            self.keeps()?;
        }
        Ok(answer)
    }

    /// Begins an append, unless it does not say to which stream, or the caller may not.
    fn open(
        &self,
        correlation: Option<Uuid>,
        options: Option<Options>,
        allowed: Result<(), WireStatus>,
    ) -> Result<Result<Begun, BatchAppendResp>, Status> {
        let limits = &self.node.options.limits;
        if self.begun.len() >= limits.batches_in_flight {
            let limit = limits.batches_in_flight;
            let text = format!("{limit} appends were begun and not ended");
            return Err(Status::resource_exhausted(text));
        }
        let Some(options) = options else {
            let text = "the first message of an append says to which stream";
            return Ok(Err(BatchAppendResp {
                correlation_id: correlation,
                result: Some(Outcome::Error(bad_request(text.to_owned()))),
                ..BatchAppendResp::default()
            }));
        };
        let begun = Begun {
            correlation,
            bytes: options.encoded_len(),
            options,
            proposed: Vec::new(),
            until: Instant::now() + limits.upload,
        };
        // Before its events are taken in.
        Ok(match allowed {
            Ok(()) => Ok(begun),
            Err(error) => Err(begun.refused(error)),
        })
    }

    /// Adds to an append that was begun and is not among them now, unless it becomes too large.
    fn add(
        &mut self,
        mut begun: Begun,
        proposed: Vec<ProposedMessage>,
    ) -> Result<Result<Begun, BatchAppendResp>, Status> {
        // What a message takes in memory, which may be much more than on the wire.
        begun.bytes += proposed.iter().map(in_memory).sum::<usize>();
        if begun.proposed.is_empty() {
            begun.proposed = proposed;
        } else {
            begun.proposed.extend(proposed);
        }
        let limit = self.node.options.limits.message_bytes;
        if begun.bytes > limit || begun.proposed.len() > BATCH_EVENTS_MAX {
            return Ok(Err(begun.refused(too_large())));
        }
        if self.bytes + begun.bytes > 4 * limit {
            let text = "too much was sent for appends that have not ended";
            return Err(Status::resource_exhausted(text));
        }
        Ok(Ok(begun))
    }

    /// Takes away the append whose time to be sent is over, if there is one.
    fn expire(&mut self) -> Option<BatchAppendResp> {
        let open = self.begun.iter();
        let open = open.filter_map(|(key, begun)| Some((*key, begun.as_ref()?.until)));
        let (key, _) = open.min_by_key(|(_, until)| *until)?;
        Some(self.close(key)?.refused(timeout()))
    }

    /// Takes away an append that is to be answered. Its id stays until its last message comes.
    fn close(&mut self, key: EventId) -> Option<Begun> {
        let begun = self.begun.get_mut(&key)?.take()?;
        self.bytes -= begun.bytes;
        Some(begun)
    }

    /// Begins an append that is complete; its answer when it has one at once.
    fn begin(&mut self, begun: Begun, context: &mut Context<'_>) -> Option<BatchAppendResp> {
        let bytes = begun.bytes;
        let complete = match complete(&self.node, begun) {
            Ok(complete) => complete,
            Err(refused) => return Some(*refused),
        };
        let (stream, expected) = (&complete.rest.stream, complete.rest.expected);
        if is_plain(stream, expected, &complete.events) {
            let batch = AppendBatch::events(stream.clone(), expected, complete.events);
            let (append, time) = ((batch, bytes), complete.time);
            self.running
                .gather(&self.node, append, time, complete.rest, context);
        } else {
            let answer = answer(Arc::clone(&self.node), complete);
            self.running.begin(&self.node, bytes, answer, context);
        }
        None
    }
}

/// What a message takes in memory, in bytes: itself, what it holds, and a part of a node for each entry of its map.
fn in_memory(message: &ProposedMessage) -> usize {
    const ENTRY_BYTES: usize = 96;
    size_of::<ProposedMessage>() + message.encoded_len() + message.metadata.len() * ENTRY_BYTES
}
