//! Refusals of the second protocol: a status with details, the telling one last, because some clients keep only that.

use factum_proto::google::rpc::{ErrorInfo, Status as Detailed};
use factum_proto::kurrent::rpc::AccessDeniedErrorDetails;
use factum_proto::kurrent::v2::streams::errors::{
    AppendConsistencyViolationErrorDetails, AppendRecordSizeExceededErrorDetails,
    AppendTransactionSizeExceededErrorDetails, ConsistencyViolation, StreamDeletedErrorDetails,
    StreamRevisionConflictErrorDetails, StreamTombstonedErrorDetails,
};
use factum_store::{ConflictReason, Kind, StoreError};
use factum_types::{ExpectedRevision, StreamName};
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};

use crate::auth::{Caller, Denied, Operation, Target};
use crate::node::Node;
use crate::wire::expected::number;
use crate::wire::{errors, position};

const DOMAIN: &str = "kurrentdb.streams";
const STREAM_ERRORS: &str = "type.googleapis.com/kurrentdb.protocol.v2.streams.errors.";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// A record is over the limit; sizes in bytes.
pub(super) fn record_too_large(stream: &StreamName, id: &str, size: usize, limit: usize) -> Status {
    let detail = AppendRecordSizeExceededErrorDetails {
        stream: stream.to_string(),
        record_id: id.to_owned(),
        size: clamp(size),
        max_size: clamp(limit),
    };
    let text = format!(
        "The size of record {id} for stream '{stream}' ({size} bytes) exceeds the maximum of {limit} bytes."
    );
    told(
        Code::InvalidArgument,
        text,
        "APPEND_RECORD_SIZE_EXCEEDED",
        "AppendRecordSizeExceededErrorDetails",
        &detail,
    )
}

/// All records together are over the limit; sizes in bytes.
pub(super) fn too_large(size: usize, limit: usize) -> Status {
    let detail = AppendTransactionSizeExceededErrorDetails {
        size: clamp(size),
        max_size: clamp(limit),
    };
    let text =
        format!("The size of the append ({size} bytes) exceeds the maximum of {limit} bytes.");
    told(
        Code::Aborted,
        text,
        "APPEND_TRANSACTION_SIZE_EXCEEDED",
        "AppendTransactionSizeExceededErrorDetails",
        &detail,
    )
}

/// Checks that do not hold.
pub(super) fn violated(violations: Vec<ConsistencyViolation>) -> Status {
    let text = format!(
        "The append was refused: {} of its checks do not hold.",
        violations.len()
    );
    let detail = AppendConsistencyViolationErrorDetails { violations };
    told(
        Code::FailedPrecondition,
        text,
        "APPEND_CONSISTENCY_VIOLATION",
        "AppendConsistencyViolationErrorDetails",
        &detail,
    )
}

/// Whether a caller may do something with a stream.
///
/// # Errors
/// `PERMISSION_DENIED` with its detail, or `UNAUTHENTICATED`.
pub(super) async fn allow(
    node: &Node,
    caller: &Caller,
    operation: Operation,
    stream: &StreamName,
) -> Result<(), Status> {
    match node
        .auth
        .check(caller, operation, Target::from(stream))
        .await
    {
        Ok(()) => Ok(()),
        Err(Denied::Access { anonymous: false }) => {
            let detail = AccessDeniedErrorDetails {
                operation: format!("{operation:?}"),
                username: caller.login().map(str::to_owned),
                permission: None,
            };
            let text = format!("Access to stream '{stream}' is denied.");
            let url = "type.googleapis.com/kurrent.rpc.AccessDeniedErrorDetails";
            Err(detailed(
                Code::PermissionDenied,
                text,
                "ACCESS_DENIED",
                url.to_owned(),
                &detail,
            ))
        }
        Err(denied) => Err(crate::guard::refusal(&denied)),
    }
}

/// The stream was closed for ever.
pub(super) fn tombstoned(stream: &StreamName) -> Status {
    let detail = StreamTombstonedErrorDetails {
        stream: stream.to_string(),
    };
    let text = format!("Stream '{stream}' has been tombstoned.");
    told(
        Code::FailedPrecondition,
        text,
        "STREAM_TOMBSTONED",
        "StreamTombstonedErrorDetails",
        &detail,
    )
}

/// What the store answered to an append to these streams.
pub(super) fn store(error: &StoreError, tombstone: Option<&StreamName>) -> Status {
    match (
        error.kind(),
        error.as_conflict().map(|conflict| &conflict.reason),
    ) {
        (Kind::Deleted, _) => match tombstone {
            Some(stream) => tombstoned(stream),
            None => errors::store(error, None),
        },
        (
            Kind::Conflict,
            Some(ConflictReason::Revision {
                stream,
                expected: ExpectedRevision::StreamExists,
                actual: Some(_),
            }),
        ) => deleted(stream),
        (
            Kind::Conflict,
            Some(ConflictReason::Revision {
                stream,
                expected,
                actual,
            }),
        ) => {
            let (expected, actual) = (number(*expected), position::signed(*actual));
            let detail = StreamRevisionConflictErrorDetails {
                stream: stream.to_string(),
                expected_revision: expected,
                actual_revision: actual,
            };
            let text = format!(
                "Append failed due to a revision conflict on stream '{stream}'. Expected revision: {expected}. Actual revision: {actual}."
            );
            told(
                Code::FailedPrecondition,
                text,
                "STREAM_REVISION_CONFLICT",
                "StreamRevisionConflictErrorDetails",
                &detail,
            )
        }
        _ => errors::store(error, None),
    }
}

fn deleted(stream: &StreamName) -> Status {
    let detail = StreamDeletedErrorDetails {
        stream: stream.to_string(),
    };
    let text = format!("Stream '{stream}' has been deleted.");
    told(
        Code::FailedPrecondition,
        text,
        "STREAM_DELETED",
        "StreamDeletedErrorDetails",
        &detail,
    )
}

fn clamp(size: usize) -> i32 {
    i32::try_from(size).unwrap_or(i32::MAX)
}

fn told(code: Code, text: String, reason: &str, name: &str, detail: &impl Message) -> Status {
    detailed(code, text, reason, format!("{STREAM_ERRORS}{name}"), detail)
}

fn detailed(code: Code, text: String, reason: &str, url: String, detail: &impl Message) -> Status {
    let info = ErrorInfo {
        reason: reason.to_owned(),
        domain: DOMAIN.to_owned(),
        ..ErrorInfo::default()
    };
    let detailed = Detailed {
        code: code as i32,
        message: text.clone(),
        details: vec![any(ERROR_INFO.to_owned(), &info), any(url, detail)],
    };
    Status::with_details(code, text, detailed.encode_to_vec().into())
}

fn any(type_url: String, detail: &impl Message) -> Any {
    Any {
        type_url,
        value: detail.encode_to_vec(),
    }
}
