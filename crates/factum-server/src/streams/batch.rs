//! Many appends over one call, each in as many messages as the client likes, answered in the order in which they are done.
//!
//! Appends of one call are handed to the store in the order in which they were completed, so that two to one stream land in that order, but for
//! those that decision 0030 names.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use factum_proto::kurrent::streams::batch_append_req::options::{
    DeadlineOption, ExpectedStreamPosition,
};
use factum_proto::kurrent::streams::batch_append_req::{Options, ProposedMessage};
use factum_proto::kurrent::streams::batch_append_resp::success::{
    CurrentRevisionOption, PositionOption,
};
use factum_proto::kurrent::streams::batch_append_resp::{
    ExpectedStreamPosition as Echo, Result as Outcome, Success,
};
use factum_proto::kurrent::streams::{
    BatchAppendError as WireStatus, BatchAppendReq, BatchAppendResp,
};
use factum_proto::kurrent::{
    AccessDenied, AllStreamPosition, BadRequest, MaximumAppendSizeExceeded, StreamDeleted, Timeout,
    Unknown, Uuid, WrongExpectedVersion, wrong_expected_version as wrong,
};
use factum_store::{Kind, StoreError};
use factum_types::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use factum_types::{EventId, ExpectedRevision, NewEvent, StreamName};
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use prost::Message;
use prost_types::Any;
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status, Streaming};

use super::append::counted;
use crate::auth::{Caller, Denied, Operation, Target};
use crate::log::append::Appended;
use crate::node::{Node, first_look};
use crate::wire::event::Proposed;
use crate::wire::expected::{actual, from_oneof};
use crate::wire::{errors, id, identifier, position, stream_name};

/// What begins the name of a message in an `Any`.
const TYPE_URL: &str = "type.googleapis.com/event_store.client.";

/// An answer to come, and how much memory its append takes, in bytes.
type Answer = Pin<Box<dyn Future<Output = (BatchAppendResp, usize)> + Send>>;

/// The answers to a call.
pub(super) fn answers(
    node: Arc<Node>,
    caller: Caller,
    requests: Streaming<BatchAppendReq>,
) -> impl Stream<Item = Result<BatchAppendResp, Status>> + Send {
    let stopped = Arc::clone(&node);
    let call = Call {
        node,
        caller,
        requests: Some(requests),
        begun: BTreeMap::new(),
        bytes: 0,
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
    requests: Option<Streaming<BatchAppendReq>>,
    /// Appends whose last message has not come, by their correlation id.
    begun: BTreeMap<EventId, Begun>,
    /// Bytes of events in `begun`.
    bytes: usize,
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
    Request(Result<Option<BatchAppendReq>, Status>),
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
            let late = self.begun.values().map(|begun| begun.until).min();
            let next = match (&mut self.requests, room) {
                (Some(requests), true) => {
                    let running = !self.running.is_empty();
                    tokio::select! {
                        biased;
                        Some(answer) = self.running.next(), if running => Next::Answer(Some(answer)),
                        () = &mut self.stopping => Next::Stop,
                        () = sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => Next::Late,
                        request = requests.message() => Next::Request(request),
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
                Next::Request(Ok(Some(request))) => match self.take(request).await {
                    Ok(Some(answer)) => return Some(Ok(answer)),
                    Ok(None) => {}
                    Err(status) => self.end(status),
                },
                // What is complete is still answered; what is not was never asked for.
                Next::Request(Ok(None)) => self.requests = None,
                Next::Request(Err(status)) => self.end(status),
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
        if let Some(options) = options
            && let Some(refused) = self.open(key, correlation_id, options).await?
        {
            return Ok(Some(refused));
        }
        let Some(begun) = self.begun.get_mut(&key) else {
            // The rest of an append that was answered already.
            return Ok(None);
        };
        // What a message takes in memory, which may be much more than on the wire.
        let bytes: usize = proposed_messages.iter().map(in_memory).sum();
        begun.bytes += bytes;
        self.bytes += bytes;
        begun.proposed.extend(proposed_messages);
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

    /// Begins an append, unless the caller may not. One that has begun goes on as it did.
    async fn open(
        &mut self,
        key: EventId,
        correlation: Option<Uuid>,
        options: Options,
    ) -> Result<Option<BatchAppendResp>, Status> {
        if self.begun.contains_key(&key) {
            return Ok(None);
        }
        let limits = &self.node.options.limits;
        if self.begun.len() >= limits.batches_in_flight {
            let limit = limits.batches_in_flight;
            let text = format!("{limit} appends were begun and not ended");
            return Err(Status::resource_exhausted(text));
        }
        let begun = Begun {
            correlation,
            options,
            proposed: Vec::new(),
            bytes: 0,
            until: Instant::now() + limits.upload,
        };
        // Before its events are taken in.
        if let Err(refused) = allow(&self.node, &self.caller, &begun.options).await {
            return Ok(Some(begun.refused(refused)));
        }
        self.begun.insert(key, begun);
        Ok(None)
    }

    /// Takes away the append whose time to be sent is over, if there is one.
    fn expire(&mut self) -> Option<BatchAppendResp> {
        let (key, _) = self.begun.iter().min_by_key(|(_, begun)| begun.until)?;
        let begun = self.close(*key)?;
        Some(begun.refused(status(Code::DeadlineExceeded, "Timeout", &Timeout {})))
    }

    /// Takes away an append that was begun.
    fn close(&mut self, key: EventId) -> Option<Begun> {
        let begun = self.begun.remove(&key)?;
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

/// Whether the caller may append there; what is no name is told later.
async fn allow(node: &Node, caller: &Caller, options: &Options) -> Result<(), WireStatus> {
    let Ok(stream) = stream_name(options.stream_identifier.clone()) else {
        return Ok(());
    };
    let target = Target::from(&stream);
    let checked = node
        .auth
        .check(caller, Operation::WriteStream, target)
        .await;
    checked.map_err(|denied| match denied {
        Denied::Access { .. } => status(Code::PermissionDenied, "AccessDenied", &AccessDenied {}),
        Denied::Store(error) => refused(&error, &stream, ExpectedRevision::Any),
    })
}

fn answer(node: Arc<Node>, begun: Begun) -> Answer {
    Box::pin(async move {
        let Begun {
            correlation,
            options,
            proposed,
            bytes,
            ..
        } = begun;
        let echo = echo(&options);
        let time = time(&node, options.deadline_option.as_ref());
        let outcome = match parse(options, proposed) {
            Ok((stream, expected, events)) => {
                let about = stream.clone();
                match counted(&node, stream, expected, events, time).await {
                    Ok(Ok(appended)) => Outcome::Success(success(appended)),
                    Ok(Err(error)) => Outcome::Error(refused(&error, &about, expected)),
                    Err(_) => {
                        Outcome::Error(status(Code::DeadlineExceeded, "Timeout", &Timeout {}))
                    }
                }
            }
            Err(error) => Outcome::Error(error),
        };
        let answer = BatchAppendResp {
            correlation_id: correlation,
            result: Some(outcome),
            ..echo
        };
        (answer, bytes)
    })
}

fn parse(
    options: Options,
    proposed: Vec<ProposedMessage>,
) -> Result<(StreamName, ExpectedRevision, Vec<NewEvent>), WireStatus> {
    let told = |status: Status| match status
        .metadata()
        .get("exception")
        .map(|value| value.as_bytes())
    {
        // Clients know no other word for it in this call.
        Some(b"maximum-append-event-size-exceeded") => too_large(),
        _ => bad_request(status.message().to_owned()),
    };
    let stream = stream_name(options.stream_identifier).map_err(told)?;
    let expected = from_oneof!(
        ExpectedStreamPosition,
        options.expected_stream_position,
        StreamPosition
    );
    let (mut events, mut bytes) = (Vec::with_capacity(proposed.len()), 0);
    for message in proposed {
        let event = Proposed::from(message).into_event().map_err(told)?;
        bytes += event.byte_len();
        if bytes > BATCH_BYTES_MAX {
            return Err(too_large());
        }
        events.push(event);
    }
    Ok((stream, expected, events))
}

/// How long the append may take: what the client asks for, but no longer than the server allows.
///
/// Clients write this in three ways, one of them the moment as a duration since 1970; so whatever is longer than the limit is the limit, and a
/// moment that has passed, by whichever clock, is the limit too.
fn time(node: &Node, asked: Option<&DeadlineOption>) -> Duration {
    let limit = node.options.limits.append;
    let micros = |seconds: i64, nanos: i32| {
        seconds
            .saturating_mul(1_000_000)
            .saturating_add(i64::from(nanos) / 1_000)
    };
    let asked = match asked {
        Some(DeadlineOption::Deadline(duration)) => micros(duration.seconds, duration.nanos),
        Some(DeadlineOption::Deadline21100(moment)) => {
            micros(moment.seconds, moment.nanos).saturating_sub(node.now().as_micros())
        }
        None => return limit,
    };
    match u64::try_from(asked) {
        Ok(micros) if micros > 0 => limit.min(Duration::from_micros(micros)),
        _ => limit,
    }
}

/// What of a request stands in its answer too.
fn echo(options: &Options) -> BatchAppendResp {
    BatchAppendResp {
        correlation_id: None,
        result: None,
        stream_identifier: options.stream_identifier.clone(),
        expected_stream_position: options.expected_stream_position.as_ref().map(|expected| {
            match expected {
                ExpectedStreamPosition::StreamPosition(position) => Echo::StreamPosition(*position),
                ExpectedStreamPosition::NoStream(()) => Echo::NoStream(()),
                ExpectedStreamPosition::Any(()) => Echo::Any(()),
                ExpectedStreamPosition::StreamExists(()) => Echo::StreamExists(()),
            }
        }),
    }
}

fn success(appended: Appended) -> Success {
    Success {
        current_revision_option: Some(match appended.last_revision {
            Some(revision) => CurrentRevisionOption::CurrentRevision(revision.number()),
            None => CurrentRevisionOption::NoStream(()),
        }),
        position_option: Some(match appended.position.map(position::to_wire) {
            Some(at) => PositionOption::Position(AllStreamPosition {
                commit_position: at,
                prepare_position: at,
            }),
            None => PositionOption::NoPosition(()),
        }),
    }
}

/// What the store answered, as the body of an answer.
fn refused(error: &StoreError, stream: &StreamName, expected: ExpectedRevision) -> WireStatus {
    let deleted = || {
        let detail = StreamDeleted {
            stream_identifier: Some(identifier(stream)),
        };
        status(Code::NotFound, "StreamDeleted", &detail)
    };
    match (error.kind(), actual(error)) {
        (Kind::Deleted, _) => deleted(),
        (Kind::Conflict, Some(Some(_))) if expected == ExpectedRevision::StreamExists => deleted(),
        (Kind::Conflict, Some(actual)) => {
            let current = match actual {
                Some(revision) => {
                    wrong::CurrentStreamRevisionOption::CurrentStreamRevision(revision.number())
                }
                None => wrong::CurrentStreamRevisionOption::CurrentNoStream(()),
            };
            let detail = WrongExpectedVersion {
                current_stream_revision_option: Some(current),
                expected_stream_position_option: Some(expected_option(expected)),
            };
            status(Code::AlreadyExists, "WrongExpectedVersion", &detail)
        }
        (Kind::Unavailable | Kind::Unknown, _) => {
            status(Code::DeadlineExceeded, "Timeout", &Timeout {})
        }
        (Kind::Invalid, _) => bad_request(error.to_string()),
        _ => {
            let failed = status(Code::Unknown, "Unknown", &Unknown {});
            WireStatus {
                message: error.to_string(),
                ..failed
            }
        }
    }
}

fn expected_option(expected: ExpectedRevision) -> wrong::ExpectedStreamPositionOption {
    use wrong::ExpectedStreamPositionOption as Option;
    match expected {
        ExpectedRevision::Exactly(revision) => Option::ExpectedStreamPosition(revision.number()),
        ExpectedRevision::Any => Option::ExpectedAny(()),
        ExpectedRevision::StreamExists => Option::ExpectedStreamExists(()),
        ExpectedRevision::NoStream => Option::ExpectedNoStream(()),
    }
}

fn bad_request(message: String) -> WireStatus {
    let told = status(
        Code::InvalidArgument,
        "BadRequest",
        &BadRequest {
            message: message.clone(),
        },
    );
    WireStatus { message, ..told }
}

fn too_large() -> WireStatus {
    let max_append_size = u32::try_from(BATCH_BYTES_MAX).unwrap_or(u32::MAX);
    status(
        Code::InvalidArgument,
        "MaximumAppendSizeExceeded",
        &MaximumAppendSizeExceeded { max_append_size },
    )
}

/// What a message takes in memory, in bytes: itself, what it holds, and a part of a node for each entry of its map.
fn in_memory(message: &ProposedMessage) -> usize {
    const ENTRY_BYTES: usize = 96;
    size_of::<ProposedMessage>() + message.encoded_len() + message.metadata.len() * ENTRY_BYTES
}

/// A status with its one detail; its text is the detail's name.
fn status(code: Code, name: &str, detail: &impl Message) -> WireStatus {
    WireStatus {
        code: code as i32,
        message: name.to_owned(),
        details: Some(Any {
            type_url: format!("{TYPE_URL}{name}"),
            value: detail.encode_to_vec(),
        }),
    }
}

impl From<ProposedMessage> for Proposed {
    fn from(message: ProposedMessage) -> Self {
        let ProposedMessage {
            id,
            metadata,
            custom_metadata,
            data,
        } = message;
        Self {
            id,
            metadata,
            custom_metadata,
            data,
        }
    }
}
