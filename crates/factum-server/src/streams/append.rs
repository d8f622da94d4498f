//! One append, sent as many messages: what is expected, then each event.

use std::sync::Arc;
use std::time::Duration;

use factum_proto::kurrent::Empty;
use factum_proto::kurrent::streams::append_req::options::ExpectedStreamRevision;
use factum_proto::kurrent::streams::append_req::{Content, ProposedMessage};
use factum_proto::kurrent::streams::append_resp::success::{CurrentRevisionOption, PositionOption};
use factum_proto::kurrent::streams::append_resp::wrong_expected_version as wrong;
use factum_proto::kurrent::streams::append_resp::{
    Position as WirePosition, Result as Outcome, Success, WrongExpectedVersion,
};
use factum_proto::kurrent::streams::{AppendReq, AppendResp};
use factum_store::{Kind, StoreError};
use factum_types::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use factum_types::{ExpectedRevision, NewEvent, Revision, StreamName};
use tonic::{Status, Streaming};

use crate::auth::{Caller, Operation};
use crate::log::append::{Appended, append as append_events};
use crate::node::Node;
use crate::overdue::Late;
use crate::room::{Brought, in_memory};
use crate::wire::event::Proposed;
use crate::wire::expected::{actual, from_oneof};
use crate::wire::{errors, position, stream_name};

/// Appends what the messages say; a version that was not expected is an answer and no error.
///
/// # Errors
/// As the protocol has them.
pub(super) async fn append(
    node: &Arc<Node>,
    caller: &Caller,
    (messages, brought): (Streaming<AppendReq>, Arc<Brought>),
) -> Result<AppendResp, Status> {
    let upload = node.options.limits.upload;
    let collecting = collect(node, caller, messages, &brought);
    let collected = tokio::time::timeout(upload, collecting).await;
    let (stream, expected, events) = collected.map_err(|elapsed| {
        Status::deadline_exceeded(format!("the append was not sent in time: {elapsed}"))
    })??;
    let answered = counted(
        node,
        stream.clone(),
        expected,
        events,
        node.options.limits.append,
    )
    .await
    .map_err(|late| Status::aborted(format!("Operation timed out: {late}")))?;
    let outcome = match answered {
        Ok(appended) => Outcome::Success(success(appended)),
        Err(error) => Outcome::WrongExpectedVersion(refused(&error, &stream, expected)?),
    };
    Ok(AppendResp {
        result: Some(outcome),
    })
}

/// Appends within a time, and counts it.
pub(crate) async fn counted(
    node: &Arc<Node>,
    stream: StreamName,
    expected: ExpectedRevision,
    events: Vec<NewEvent>,
    time: Duration,
) -> Result<Result<Appended, StoreError>, Late> {
    let (to, count) = (vec![stream.clone()], events.len());
    let append = append_events(Arc::clone(&node.store), stream, expected, events);
    node.append_within(to, count, time, append).await
}

async fn collect(
    node: &Node,
    caller: &Caller,
    mut messages: Streaming<AppendReq>,
    brought: &Brought,
) -> Result<(StreamName, ExpectedRevision, Vec<NewEvent>), Status> {
    let Some(Content::Options(options)) = messages.message().await?.and_then(|first| first.content)
    else {
        return Err(Status::invalid_argument(
            "the first message of an append says to which stream",
        ));
    };
    let stream = stream_name(options.stream_identifier)?;
    // Before its events are taken in.
    node.allow_on(caller, Operation::WriteStream, &stream)
        .await?;
    let expected = from_oneof!(
        ExpectedStreamRevision,
        options.expected_stream_revision,
        Revision
    );
    brought.flows();
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(message) = messages.message().await? {
        let Some(Content::ProposedMessage(proposed)) = message.content else {
            return Err(Status::invalid_argument(
                "after its first message, an append has events only",
            ));
        };
        let event = Proposed::from(proposed).into_event()?;
        bytes += event.byte_len();
        if bytes > BATCH_BYTES_MAX || events.len() >= BATCH_EVENTS_MAX {
            return Err(errors::append_too_large(BATCH_BYTES_MAX));
        }
        events.push(event);
        brought.keeps(in_memory(bytes, events.len()))?;
    }
    Ok((stream, expected, events))
}

fn success(appended: Appended) -> Success {
    Success {
        current_revision_option: Some(match appended.last_revision {
            Some(revision) => CurrentRevisionOption::CurrentRevision(revision.number()),
            None => CurrentRevisionOption::NoStream(Empty {}),
        }),
        position_option: Some(match appended.position.map(position::to_wire) {
            Some(at) => PositionOption::Position(WirePosition {
                commit_position: at,
                prepare_position: at,
            }),
            None => PositionOption::NoPosition(Empty {}),
        }),
    }
}

/// A conflict as an answer, with the fields of both generations of the protocol; everything else is an error.
fn refused(
    error: &StoreError,
    stream: &StreamName,
    expected: ExpectedRevision,
) -> Result<WrongExpectedVersion, Status> {
    let actual = match (error.kind(), actual(error)) {
        (Kind::Conflict, Some(Some(_))) if expected == ExpectedRevision::StreamExists => {
            return Err(errors::stream_deleted(stream));
        }
        (Kind::Conflict, Some(actual)) => actual,
        _ => return Err(errors::store(error, Some(stream))),
    };
    Ok(WrongExpectedVersion {
        current_revision_option_20_6_0: Some(match actual {
            Some(revision) => {
                wrong::CurrentRevisionOption2060::CurrentRevision2060(revision.number())
            }
            None => wrong::CurrentRevisionOption2060::NoStream2060(Empty {}),
        }),
        expected_revision_option_20_6_0: match expected {
            ExpectedRevision::Exactly(revision) => Some(
                wrong::ExpectedRevisionOption2060::ExpectedRevision2060(revision.number()),
            ),
            ExpectedRevision::Any => Some(wrong::ExpectedRevisionOption2060::Any2060(Empty {})),
            ExpectedRevision::StreamExists => Some(
                wrong::ExpectedRevisionOption2060::StreamExists2060(Empty {}),
            ),
            ExpectedRevision::NoStream => None,
        },
        current_revision_option: Some(match actual {
            Some(revision) => wrong::CurrentRevisionOption::CurrentRevision(revision.number()),
            None => wrong::CurrentRevisionOption::CurrentNoStream(Empty {}),
        }),
        expected_revision_option: Some(expected_option(expected)),
    })
}

fn expected_option(expected: ExpectedRevision) -> wrong::ExpectedRevisionOption {
    use wrong::ExpectedRevisionOption as Option;
    let number = |revision: Revision| Option::ExpectedRevision(revision.number());
    match expected {
        ExpectedRevision::Exactly(revision) => number(revision),
        ExpectedRevision::Any => Option::ExpectedAny(Empty {}),
        ExpectedRevision::StreamExists => Option::ExpectedStreamExists(Empty {}),
        ExpectedRevision::NoStream => Option::ExpectedNoStream(Empty {}),
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
