//! What the protocol means by a stream, said in the words of the store (decision 0030).
//!
//! What lives here: appends, deletes, tombstones and metadata streams over any store. Relies on: factum-store. Never: knows the wire.

pub(crate) mod append;
pub(crate) mod delete;
pub(crate) mod metadata;

use factum_store::{EventStore, Kind, ReadRequest, Source, StoreError};
use factum_types::{RecordedEvent, StreamName};

/// Whether what was asked for is not there, and will not come back.
pub(crate) fn is_gone(error: &StoreError) -> bool {
    matches!(error.kind(), Kind::NotFound | Kind::Deleted)
}

/// The end of a stream.
#[derive(Debug)]
pub(crate) enum Last {
    /// It has no event to read.
    Missing,
    /// Nothing, for ever: it has a tombstone.
    Closed,
    Event(Box<RecordedEvent>),
}

/// The last event of a stream.
///
/// # Errors
/// As for a read; that the stream is missing or closed is an answer.
pub(crate) async fn last_event(
    store: &dyn EventStore,
    stream: StreamName,
) -> Result<Last, StoreError> {
    let request = ReadRequest::backward(Source::Stream(stream)).limit(1);
    match store.read(request).next().await {
        None => Ok(Last::Missing),
        Some(Ok(event)) => Ok(Last::Event(Box::new(event))),
        Some(Err(error)) => match error.kind() {
            Kind::NotFound => Ok(Last::Missing),
            Kind::Deleted => Ok(Last::Closed),
            _ => Err(error),
        },
    }
}
