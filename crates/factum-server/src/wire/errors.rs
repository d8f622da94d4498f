//! Refusals in the words and with the trailers that official clients recognise.
//!
//! Some clients compare the texts, so they are part of the protocol. None of these carries `grpc-status-details-bin`: clients look at
//! it first, and give up on what they find there.

use factum_store::{Kind, StoreError};
use factum_types::StreamName;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Status};

/// The stream was closed for ever, or deleted where that is an error.
pub(crate) fn stream_deleted(stream: &StreamName) -> Status {
    let text = format!("Event stream '{stream}' is deleted.");
    with(
        Code::FailedPrecondition,
        text,
        &[
            ("exception", "stream-deleted"),
            ("stream-name", stream.as_str()),
        ],
    )
}

/// The stream is not there.
pub(crate) fn stream_not_found(stream: &StreamName) -> Status {
    let text = format!("Event stream '{stream}' is not found.");
    with(
        Code::NotFound,
        text,
        &[
            ("exception", "stream-not-found"),
            ("stream-name", stream.as_str()),
        ],
    )
}

/// A delete or tombstone found another version than expected; versions as the protocol numbers them.
pub(crate) fn wrong_version(what: &str, stream: &StreamName, expected: i64, actual: i64) -> Status {
    let text = format!(
        "{what} failed due to WrongExpectedVersion. Stream: {stream}, Expected version: {expected}, Actual version: {actual}"
    );
    let (expected, actual) = (expected.to_string(), actual.to_string());
    with(
        Code::FailedPrecondition,
        text,
        &[
            ("exception", "wrong-expected-version"),
            ("stream-name", stream.as_str()),
            ("expected-version", &expected),
            ("actual-version", &actual),
        ],
    )
}

/// The caller may not do this.
pub(crate) fn access_denied() -> Status {
    with(
        Code::PermissionDenied,
        "Access Denied",
        &[("exception", "access-denied")],
    )
}

/// An append is over the limit, in bytes.
pub(crate) fn append_too_large(limit: usize) -> Status {
    let shown = limit.to_string();
    with(
        Code::InvalidArgument,
        format!("Maximum Append Size of {limit} Exceeded."),
        &[
            ("exception", "maximum-append-size-exceeded"),
            ("maximum-append-size", &shown),
        ],
    )
}

/// One event is over the limit, in bytes.
pub(crate) fn event_too_large(id: &str, size: usize, limit: usize) -> Status {
    let (shown_size, shown_limit) = (size.to_string(), limit.to_string());
    with(
        Code::InvalidArgument,
        format!("Event with Id: {id}, Size: {size}, exceeds Maximum Append Event Size of {limit}."),
        &[
            ("exception", "maximum-append-event-size-exceeded"),
            ("event-id", id),
            ("proposed-append-event-size", &shown_size),
            ("maximum-append-event-size", &shown_limit),
        ],
    )
}

/// An event comes without its type or content type.
pub(crate) fn missing_property(name: &str) -> Status {
    with(
        Code::InvalidArgument,
        format!("Required Metadata Property '{name}' is missing"),
        &[
            ("exception", "missing-required-metadata-property"),
            ("required-metadata-properties", "type,content-type"),
        ],
    )
}

/// The server is about to stop, or not there yet.
pub(crate) fn stopping() -> Status {
    Status::unavailable("Server Is Not Ready")
}

/// What the store answered, for a request about `stream`.
///
/// Conflicts are not for here: each call tells them in its own way.
pub(crate) fn store(error: &StoreError, stream: Option<&StreamName>) -> Status {
    let text = error.to_string();
    match (error.kind(), stream) {
        (Kind::Deleted, Some(stream)) => stream_deleted(stream),
        (Kind::NotFound, Some(stream)) => stream_not_found(stream),
        (Kind::Deleted | Kind::Conflict, _) => Status::failed_precondition(text),
        (Kind::NotFound, None) => Status::not_found(text),
        (Kind::Invalid, _) => Status::invalid_argument(text),
        (Kind::Unavailable, _) => Status::unavailable("Server Is Too Busy"),
        (Kind::Unknown, _) => Status::aborted(format!("Operation timed out: {text}")),
        (Kind::Corrupt, _) => Status::data_loss(text),
        (Kind::Full, _) => Status::resource_exhausted(text),
        (Kind::ReadOnly, _) => Status::failed_precondition(text),
        (_, _) => {
            tracing::error!(%error, "the store failed");
            Status::unknown("Exception was thrown by handler.")
        }
    }
}

/// A status with trailers. A value that no header can hold is left out: names of streams may be any text.
pub(crate) fn with(
    code: Code,
    message: impl Into<String>,
    trailers: &[(&'static str, &str)],
) -> Status {
    let mut map = MetadataMap::new();
    for (key, value) in trailers {
        if let Ok(value) = AsciiMetadataValue::try_from(*value) {
            map.insert(*key, value);
        }
    }
    Status::with_metadata(code, message, map)
}

#[cfg(test)]
mod tests {
    use super::{append_too_large, stream_deleted, wrong_version};
    use factum_types::StreamName;
    use tonic::Code;

    #[test]
    fn trailers_say_what_texts_say() {
        let stream = StreamName::new("order-1").unwrap();
        let status = wrong_version("Delete", &stream, 3, -1);
        let trailer = |name: &str| status.metadata().get(name).unwrap().to_str().unwrap();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(
            status.message(),
            "Delete failed due to WrongExpectedVersion. Stream: order-1, Expected version: 3, Actual version: -1"
        );
        assert_eq!(
            (
                trailer("exception"),
                trailer("expected-version"),
                trailer("actual-version")
            ),
            ("wrong-expected-version", "3", "-1")
        );
        assert!(status.metadata().get("grpc-status-details-bin").is_none());
        assert_eq!(
            stream_deleted(&stream)
                .metadata()
                .get("stream-name")
                .unwrap(),
            "order-1"
        );
        assert!(append_too_large(7).message().contains('7'));
    }

    #[test]
    fn a_name_that_no_header_holds_is_no_error() {
        let stream = StreamName::new("größe-1").unwrap();
        let status = stream_deleted(&stream);
        assert!(status.message().contains("größe-1"));
    }
}
