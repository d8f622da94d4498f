//! Many appends over one call, each in as many messages as the client likes, answered in the order in which they are done.
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

use factum_proto::kurrent::Uuid;
use factum_proto::kurrent::streams::batch_append_req::{Options, ProposedMessage};
use factum_proto::kurrent::streams::batch_append_resp::Result as Outcome;
use factum_proto::kurrent::streams::{
    BatchAppendError as WireStatus, BatchAppendReq, BatchAppendResp,
};
use factum_types::EventId;
use factum_types::limits::BATCH_EVENTS_MAX;
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use prost::Message;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use crate::auth::Caller;
use crate::listen::STREAM_WINDOW_BYTES;
use crate::node::{Node, first_look};
use crate::wire::{errors, id};
use answer::{allow, answer, bad_request, echo, timeout, too_large};

/// What comes before each message on the wire, in bytes.
const FRAME_HEADER_BYTES: usize = 5;

/// An answer to come, and how much memory its append takes, in bytes.
type Answer = Pin<Box<dyn Future<Output = (BatchAppendResp, usize)> + Send>>;

/// What the client sends.
type Requests = Pin<Box<dyn Stream<Item = Result<BatchAppendReq, Status>> + Send>>;

/// The answers to a call.
pub(super) fn answers(
    node: Arc<Node>,
    caller: Caller,
    requests: impl Stream<Item = Result<BatchAppendReq, Status>> + Send + 'static,
) -> impl Stream<Item = Result<BatchAppendResp, Status>> + Send {
    let stopped = Arc::clone(&node);
    let call = Call {
        node,
        caller,
        requests: Some(Box::pin(requests)),
        begun: BTreeMap::new(),
        bytes: 0,
        late_bytes: 0,
        running: FuturesUnordered::new(),
        running_bytes: 0,
        stopping: Box::pin(async move { stopped.stopping().await }),
        goodbye: None,
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
    requests: Option<Requests>,
    /// Appends whose last message has not come, by their correlation id. `None` once one is answered: the rest of it is passed over, or it
    /// would be taken for an append of its own.
    begun: BTreeMap<EventId, Option<Begun>>,
    /// Bytes of events in `begun`.
    bytes: usize,
    /// Bytes of requests that were looked at since the time of an append was over.
    late_bytes: usize,
    running: FuturesUnordered<Answer>,
    /// What they take.
    running_bytes: usize,
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
    Answer(Option<(BatchAppendResp, usize)>),
    Stop,
    Late,
}

impl Call {
    async fn next(&mut self) -> Option<Result<BatchAppendResp, Status>> {
        loop {
            let limits = &self.node.options.limits;
            let room = self.running.len() < limits.batches_in_flight
                && self.running_bytes < 4 * limits.message_bytes;
            let late = self.begun.values().flatten().map(|begun| begun.until).min();
            let is_late = late.is_some_and(|until| until <= Instant::now());
            if !is_late {
                self.late_bytes = 0;
            }
            // What was sent in time waits in the stream, if the server was slow, and is looked at first. No more of it can wait than this.
            let may_wait = self.late_bytes < STREAM_WINDOW_BYTES as usize;
            let next = match (&mut self.requests, room) {
                (Some(requests), true) => {
                    let running = !self.running.is_empty();
                    tokio::select! {
                        biased;
                        Some(answer) = self.running.next(), if running => Next::Answer(Some(answer)),
                        () = &mut self.stopping => Next::Stop,
                        request = requests.next(), if may_wait => Next::Request(request),
                        () = sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => Next::Late,
                    }
                }
                _ => Next::Answer(self.running.next().await),
            };
            match next {
                Next::Answer(Some((answer, bytes))) => {
                    self.running_bytes -= bytes;
                    return Some(Ok(answer));
                }
                Next::Answer(None) => return self.goodbye.take().map(Err),
                Next::Stop => self.end(errors::stopping()),
                Next::Late => {
                    if let Some(answer) = self.expire() {
                        return Some(Ok(answer));
                    }
                }
                Next::Request(Some(Ok(request))) => {
                    if is_late {
                        self.late_bytes += FRAME_HEADER_BYTES + request.encoded_len();
                    }
                    match self.take(request).await {
                        Ok(Some(answer)) => return Some(Ok(answer)),
                        Ok(None) => {}
                        Err(status) => self.end(status),
                    }
                }
                // What is complete is still answered; what is not was never asked for.
                Next::Request(None) => self.requests = None,
                Next::Request(Some(Err(status))) => self.end(status),
            }
        }
    }

    /// Takes no more; what is under way is answered first.
    fn end(&mut self, status: Status) {
        self.requests = None;
        self.goodbye = Some(status);
    }

    /// Takes a message; an answer when there is one at once.
    ///
    /// # Errors
    /// The call cannot go on.
    async fn take(&mut self, request: BatchAppendReq) -> Result<Option<BatchAppendResp>, Status> {
        let BatchAppendReq {
            correlation_id,
            options,
            proposed_messages,
            is_final,
        } = request;
        let key = id::read(correlation_id.clone())?;
        let refused = if self.begun.contains_key(&key) {
            // One that has begun goes on as it did.
            None
        } else {
            self.open(key, correlation_id, options).await?
        };
        let answer = match refused {
            Some(refused) => Some(refused),
            None => self.add(key, proposed_messages, is_final).await?,
        };
        if is_final {
            self.begun.remove(&key);
        }
        Ok(answer)
    }

    /// Begins an append, unless it does not say to which stream, or the caller may not.
    async fn open(
        &mut self,
        key: EventId,
        correlation: Option<Uuid>,
        options: Option<Options>,
    ) -> Result<Option<BatchAppendResp>, Status> {
        let limits = &self.node.options.limits;
        if self.begun.len() >= limits.batches_in_flight {
            let limit = limits.batches_in_flight;
            let text = format!("{limit} appends were begun and not ended");
            return Err(Status::resource_exhausted(text));
        }
        let Some(options) = options else {
            self.begun.insert(key, None);
            let text = "the first message of an append says to which stream";
            return Ok(Some(BatchAppendResp {
                correlation_id: correlation,
                result: Some(Outcome::Error(bad_request(text.to_owned()))),
                ..BatchAppendResp::default()
            }));
        };
        let begun = Begun {
            correlation,
            options,
            proposed: Vec::new(),
            bytes: 0,
            until: Instant::now() + limits.upload,
        };
        // Before its events are taken in.
        let allowed = allow(&self.node, &self.caller, &begun.options).await;
        let refused = allowed.err().map(|error| begun.refused(error));
        let begun = refused.is_none().then_some(begun);
        self.begun.insert(key, begun);
        Ok(refused)
    }

    /// Adds to an append that was begun, and begins to store it when this was the last of it; nothing when it was answered.
    async fn add(
        &mut self,
        key: EventId,
        proposed: Vec<ProposedMessage>,
        is_final: bool,
    ) -> Result<Option<BatchAppendResp>, Status> {
        let Some(Some(begun)) = self.begun.get_mut(&key) else {
            return Ok(None);
        };
        // What a message takes in memory, which may be much more than on the wire.
        let bytes: usize = proposed.iter().map(in_memory).sum();
        begun.bytes += bytes;
        self.bytes += bytes;
        begun.proposed.extend(proposed);
        let limit = self.node.options.limits.message_bytes;
        let over = begun.bytes > limit || begun.proposed.len() > BATCH_EVENTS_MAX;
        if over {
            let refused = self.close(key).map(|begun| begun.refused(too_large()));
            return Ok(refused);
        }
        if self.bytes > 4 * limit {
            let text = "too much was sent for appends that have not ended";
            return Err(Status::resource_exhausted(text));
        }
        match is_final.then(|| self.close(key)).flatten() {
            Some(begun) => Ok(self.begin(begun).await),
            None => Ok(None),
        }
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

    /// Hands an append to the store; its answer when it has one at once.
    async fn begin(&mut self, begun: Begun) -> Option<BatchAppendResp> {
        let bytes = begun.bytes;
        let mut answer = answer(Arc::clone(&self.node), begun);
        // The first look at a future is what hands its append over. It has to be now, or a later one might be first.
        let at_once = first_look(&mut answer).await.map(|(answer, _)| answer);
        if at_once.is_none() {
            self.running_bytes += bytes;
            self.running.push(answer);
        }
        at_once
    }
}

/// What a message takes in memory, in bytes: itself, what it holds, and a part of a node for each entry of its map.
fn in_memory(message: &ProposedMessage) -> usize {
    const ENTRY_BYTES: usize = 96;
    size_of::<ProposedMessage>() + message.encoded_len() + message.metadata.len() * ENTRY_BYTES
}
