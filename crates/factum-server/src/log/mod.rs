//! What the protocol means by a stream, said in the words of the store (decision 0030).
//!
//! What lives here: appends, deletes, tombstones and metadata streams over any store. Relies on: factum-store. Never: knows the wire.

pub(crate) mod append;
pub(crate) mod delete;
pub(crate) mod metadata;

use factum_store::{EventStore, Kind, ReadRequest, Source, StoreError};
use factum_types::{RecordedEvent, StreamName};

/// The last event of a stream, `None` when there is none to read.
pub(crate) async fn last_event(
    store: &dyn EventStore,
    stream: &StreamName,
) -> Result<Option<RecordedEvent>, StoreError> {
    let request = ReadRequest::backward(Source::Stream(stream.clone())).limit(1);
    match store.read(request).next().await {
        None => Ok(None),
        Some(Err(error)) if error.kind() == Kind::NotFound => Ok(None),
        Some(event) => event.map(Some),
    }
}
