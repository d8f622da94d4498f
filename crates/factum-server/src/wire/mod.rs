//! From the words of KurrentDB's wire to those of the store, and back.
//!
//! What lives here: numbers, names, ids, events and refusals. Relies on: factum-proto. Never: asks the store.

pub(crate) mod errors;
pub(crate) mod event;
pub(crate) mod expected;
pub(crate) mod id;
pub(crate) mod position;

use factum_proto::kurrent::StreamIdentifier;
use factum_types::StreamName;
use tonic::Status;

/// The name of a stream, which the wire gives as bytes.
///
/// # Errors
/// `INVALID_ARGUMENT`: there is none, it is not UTF-8, or no name that a store takes.
pub(crate) fn stream_name(given: Option<StreamIdentifier>) -> Result<StreamName, Status> {
    let bytes = given.map(|given| given.stream_name).unwrap_or_default();
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        Status::invalid_argument(format!("the stream's name is not UTF-8: {error}"))
    })?;
    StreamName::new(text).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// A stream's name as the wire wants it.
pub(crate) fn identifier(stream: &StreamName) -> StreamIdentifier {
    StreamIdentifier {
        stream_name: stream.as_str().as_bytes().to_vec(),
    }
}
