//! What is answered to one append of a batch: what the store says of it, in the words of this call.
//!
//! Relies on: `log` for what an append means. Never: knows of other appends of the call.

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
use factum_proto::kurrent::streams::{BatchAppendError as WireStatus, BatchAppendResp};
use factum_proto::kurrent::{
    AccessDenied, AllStreamPosition, BadRequest, MaximumAppendSizeExceeded, StreamDeleted, Timeout,
    Unknown, WrongExpectedVersion, wrong_expected_version as wrong,
};
use factum_store::{Kind, StoreError};
use factum_types::limits::BATCH_BYTES_MAX;
use factum_types::{ExpectedRevision, NewEvent, StreamName};
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};

use super::Begun;
use crate::auth::{Caller, Denied, Operation, Target};
use crate::flight;
use crate::log::append::Appended;
use crate::node::Node;
use crate::overdue::Late;
use crate::streams::append::counted;
use crate::wire::event::Proposed;
use crate::wire::expected::{actual, from_oneof};
use crate::wire::{identifier, position, stream_name};

/// What begins the name of a message in an `Any`.
const TYPE_URL: &str = "type.googleapis.com/event_store.client.";

/// Whether the caller may append there; what is no name is told later.
pub(super) async fn allow(
    node: &Node,
    caller: &Caller,
    options: &Options,
) -> Result<(), WireStatus> {
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

/// An append, all of which has come.
pub(super) struct Complete {
    pub(super) events: Vec<NewEvent>,
    /// How long it may take.
    pub(super) time: Duration,
    pub(super) rest: Rest,
}

/// What is needed to answer it.
pub(super) struct Rest {
    pub(super) stream: StreamName,
    pub(super) expected: ExpectedRevision,
    /// The answer, but for its result.
    answer: BatchAppendResp,
}

/// Makes sense of an append.
///
/// # Errors
/// Its answer, if it makes none.
pub(super) fn complete(node: &Node, begun: Begun) -> Result<Complete, Box<BatchAppendResp>> {
    let Begun {
        correlation,
        options,
        proposed,
        ..
    } = begun;
    let mut answer = echo(&options);
    answer.correlation_id = correlation;
    let time = time(node, options.deadline_option.as_ref());
    match parse(options, proposed) {
        Ok((stream, expected, events)) => Ok(Complete {
            events,
            time,
            rest: Rest {
                stream,
                expected,
                answer,
            },
        }),
        Err(error) => {
            answer.result = Some(Outcome::Error(error));
            Err(Box::new(answer))
        }
    }
}

/// What becomes of an append that goes its own way, once the store has answered.
pub(super) async fn answer(node: Arc<Node>, complete: Complete) -> BatchAppendResp {
    let Complete { events, time, rest } = complete;
    let (stream, expected) = (rest.stream.clone(), rest.expected);
    let answered = counted(&node, stream, expected, events, time).await;
    rest.answered(answered)
}

impl Rest {
    fn answered(self, answered: Result<Result<Appended, StoreError>, Late>) -> BatchAppendResp {
        let Self {
            stream,
            expected,
            mut answer,
        } = self;
        answer.result = Some(match answered {
            Ok(Ok(appended)) => Outcome::Success(success(appended)),
            Ok(Err(error)) => Outcome::Error(refused(&error, &stream, expected)),
            Err(Late) => Outcome::Error(timeout()),
        });
        answer
    }
}

impl flight::Rest for Rest {
    type Answer = BatchAppendResp;

    fn answer(self, outcome: flight::Outcome) -> BatchAppendResp {
        self.answered(outcome.map(|answer| answer.map(Appended::from)))
    }
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
pub(super) fn echo(options: &Options) -> BatchAppendResp {
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
        (Kind::Unavailable | Kind::Unknown, _) => timeout(),
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

/// It says nothing that can be done.
pub(super) fn bad_request(message: String) -> WireStatus {
    let told = status(
        Code::InvalidArgument,
        "BadRequest",
        &BadRequest {
            message: message.clone(),
        },
    );
    WireStatus { message, ..told }
}

/// It is more than an append may be.
pub(super) fn too_large() -> WireStatus {
    let max_append_size = u32::try_from(BATCH_BYTES_MAX).unwrap_or(u32::MAX);
    status(
        Code::InvalidArgument,
        "MaximumAppendSizeExceeded",
        &MaximumAppendSizeExceeded { max_append_size },
    )
}

/// It took too long: to be sent, or to be stored.
pub(super) fn timeout() -> WireStatus {
    status(Code::DeadlineExceeded, "Timeout", &Timeout {})
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
            custom_metadata: custom_metadata.into(),
            data: data.into(),
        }
    }
}
