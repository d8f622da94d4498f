//! Deletes that leave a stream to be written again, and tombstones that do not.

use crate::links::VirtualStream;
use factum_store::{AppendBatch, Change, ConflictReason, EventStore, StoreError, StreamWrite};
use factum_types::{EventId, ExpectedRevision, Position, StreamName};

use super::append::not_written;
use super::metadata::{self, Document};

/// How often metadata may have been changed by somebody else meanwhile.
const ATTEMPTS: usize = 16;

/// Deletes a stream, and says so in its metadata, together; gives the position of the delete.
///
/// # Errors
/// As [`EventStore::append`]; a [`Conflict`](factum_store::Kind::Conflict) is about the stream itself, which may be missing or deleted already.
pub(crate) async fn delete(
    store: &dyn EventStore,
    stream: StreamName,
    expected: ExpectedRevision,
    id: EventId,
) -> Result<Position, StoreError> {
    if VirtualStream::parse(&stream).is_some() {
        return Err(not_written(&stream));
    }
    let about = metadata::stream_of(&stream)?;
    let mut attempt = 1;
    loop {
        let (at, document) = match metadata::last(store, &about).await? {
            Some((revision, document)) => (ExpectedRevision::Exactly(revision), document),
            None => (ExpectedRevision::NoStream, Document::default()),
        };
        let change = StreamWrite {
            stream: stream.clone(),
            expected,
            change: Change::Delete,
        };
        let event = document.deleting().event(id)?;
        let batch = AppendBatch {
            writes: vec![change, StreamWrite::events(about.clone(), at, vec![event])],
            conditions: Vec::new(),
        };
        match store.append(batch).await {
            Err(error) if attempt < ATTEMPTS && is_about(&error, &about) => attempt += 1,
            answered => return answered.map(|receipt| receipt.last),
        }
    }
}

/// Closes a stream for ever; gives the position of the tombstone.
///
/// # Errors
/// As [`EventStore::append`].
pub(crate) async fn tombstone(
    store: &dyn EventStore,
    stream: StreamName,
    expected: ExpectedRevision,
) -> Result<Position, StoreError> {
    if VirtualStream::parse(&stream).is_some() {
        return Err(not_written(&stream));
    }
    let batch = AppendBatch::change(stream, expected, Change::Tombstone);
    Ok(store.append(batch).await?.last)
}

fn is_about(error: &StoreError, stream: &StreamName) -> bool {
    let reason = error.as_conflict().map(|conflict| &conflict.reason);
    matches!(reason, Some(ConflictReason::Revision { stream: other, .. }) if other == stream)
}
