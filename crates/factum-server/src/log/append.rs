//! Appends, with what the protocol adds to the store's: none at all, and streams that have only metadata.

use std::sync::Arc;

use factum_store::{
    AppendBatch, Condition, Conflict, ConflictReason, EventStore, Kind, Receipt, StoreError,
    StreamInfo, StreamState,
};
use factum_types::{ExpectedRevision, NewEvent, Position, Revision, StreamName};

use futures_core::future::BoxFuture;

use super::metadata;
use crate::links::VirtualStream;
use crate::node::Store;

/// Where an append landed; without events there may be nothing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) last_revision: Option<Revision>,
    pub(crate) position: Option<Position>,
}

/// Appends to one stream.
///
/// # Errors
/// As [`EventStore::append`].
pub(crate) fn append(
    store: Arc<dyn Store>,
    stream: StreamName,
    expected: ExpectedRevision,
    events: Vec<NewEvent>,
) -> BoxFuture<'static, Result<Appended, StoreError>> {
    if !is_plain(&stream, expected, &events) {
        return Box::pin(async move { append_specially(&*store, stream, expected, events).await });
    }
    // Nearly all of them, so kept small.
    Box::pin(async move {
        let batch = AppendBatch::events(stream, expected, events);
        store.append(batch).await.map(Appended::from)
    })
}

/// Whether the protocol adds nothing to an append: it means what it means to the store.
pub(crate) fn is_plain(
    stream: &StreamName,
    expected: ExpectedRevision,
    events: &[NewEvent],
) -> bool {
    !stream.as_str().starts_with('$')
        && !events.is_empty()
        && expected != ExpectedRevision::StreamExists
}

async fn append_specially(
    store: &dyn EventStore,
    stream: StreamName,
    expected: ExpectedRevision,
    events: Vec<NewEvent>,
) -> Result<Appended, StoreError> {
    if VirtualStream::parse(&stream).is_some() {
        return Err(not_written(&stream));
    }
    if events.is_empty() {
        let info = store.stream_info(stream).await?;
        if expected == ExpectedRevision::StreamExists && kept_by(store, &info).await?.is_some() {
            return judge(&info, ExpectedRevision::Any);
        }
        return judge(&info, expected);
    }
    let receipt = if let Some(subject) = metadata::subject(&stream) {
        metadata::write(store, subject, stream, expected, events).await?
    } else if expected == ExpectedRevision::StreamExists {
        append_to_existing(store, stream, events).await?
    } else {
        store
            .append(AppendBatch::events(stream, expected, events))
            .await?
    };
    Ok(receipt.into())
}

impl From<Receipt> for Appended {
    fn from(receipt: Receipt) -> Self {
        Self {
            last_revision: receipt.writes.first().and_then(|write| write.last_revision),
            position: receipt.writes.first().map(|write| write.position),
        }
    }
}

/// A stream that is made of the index cannot be written.
pub(crate) fn not_written(stream: &StreamName) -> StoreError {
    StoreError::invalid(format!(
        "stream {stream} is made of the index when it is read, and cannot be written"
    ))
}

/// A stream that has only metadata exists, as far as the protocol is concerned.
async fn append_to_existing(
    store: &dyn EventStore,
    stream: StreamName,
    events: Vec<NewEvent>,
) -> Result<Receipt, StoreError> {
    let exists = AppendBatch::events(
        stream.clone(),
        ExpectedRevision::StreamExists,
        events.clone(),
    );
    let refused = match store.append(exists).await {
        Err(error) if error.kind() == Kind::Conflict => error,
        answered => return answered,
    };
    let info = store.stream_info(stream.clone()).await?;
    let Some(exists) = kept_by(store, &info).await? else {
        return Err(refused);
    };
    let batch = AppendBatch::events(stream, ExpectedRevision::Any, events).on(exists);
    store.append(batch).await
}

/// For a stream that has only metadata, and so exists as far as the protocol is concerned: that it has them.
pub(crate) async fn kept_by(
    store: &dyn EventStore,
    info: &StreamInfo,
) -> Result<Option<Condition>, StoreError> {
    // Metadata have none of their own, and the longest names leave no room for any.
    let about = metadata::stream_of(&info.stream).ok();
    let (Some(about), StreamState::Missing, None) =
        (about, info.state, metadata::subject(&info.stream))
    else {
        return Ok(None);
    };
    let state = store.stream_info(about.clone()).await?.state;
    Ok((state == StreamState::Live).then_some(Condition::Stream {
        stream: about,
        expected: ExpectedRevision::StreamExists,
    }))
}

/// Whether an append without events would be accepted.
pub(crate) fn judge(info: &StreamInfo, expected: ExpectedRevision) -> Result<Appended, StoreError> {
    if info.state == StreamState::Tombstoned {
        let text = format!("stream {} was closed for ever", info.stream);
        return Err(StoreError::new(Kind::Deleted, text));
    }
    let holds = match expected {
        ExpectedRevision::Any => true,
        ExpectedRevision::NoStream => info.state != StreamState::Live,
        ExpectedRevision::StreamExists => info.state == StreamState::Live,
        ExpectedRevision::Exactly(revision) => info.last_revision == Some(revision),
    };
    if holds {
        return Ok(Appended {
            last_revision: info.last_revision,
            position: info.last_position,
        });
    }
    Err(StoreError::conflict(Conflict {
        reason: ConflictReason::Revision {
            stream: info.stream.clone(),
            expected,
            actual: info.last_revision,
        },
        events: Vec::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::append_specially as append;
    use factum_store::{EventStore, Kind, MemoryStore, ReadRequest};
    use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};

    #[test]
    fn a_stream_with_metadata_only_exists() {
        pollster::block_on(async {
            let store = MemoryStore::new();
            let event = |id, kind: &str| {
                NewEvent::json(
                    EventId::from_bytes([id; 16]),
                    EventType::new(kind).unwrap(),
                    "{}",
                )
            };
            let name = |text: &str| StreamName::new(text).unwrap();
            let exists = ExpectedRevision::StreamExists;
            let refused = append(&store, name("s"), exists, vec![event(1, "A")])
                .await
                .unwrap_err();
            assert_eq!(refused.kind(), Kind::Conflict);
            append(
                &store,
                name("$$s"),
                ExpectedRevision::Any,
                vec![event(2, "$metadata")],
            )
            .await
            .unwrap();
            append(&store, name("s"), exists, vec![event(1, "A")])
                .await
                .unwrap();
            let read = store
                .read(ReadRequest::stream(name("s")))
                .collect()
                .await
                .unwrap();
            assert_eq!(read.len(), 1);
        });
    }

    #[test]
    fn nothing_at_all_is_judged_and_not_written() {
        pollster::block_on(async {
            let store = MemoryStore::new();
            let name = StreamName::new("s").unwrap();
            for (expected, holds) in [
                (ExpectedRevision::Any, true),
                (ExpectedRevision::NoStream, true),
                (ExpectedRevision::StreamExists, false),
                (
                    ExpectedRevision::Exactly(factum_types::Revision::FIRST),
                    false,
                ),
            ] {
                let judged = append(&store, name.clone(), expected, Vec::new()).await;
                assert_eq!(judged.is_ok(), holds, "{expected}");
            }
            assert_eq!(store.head().await.unwrap(), None);
        });
    }
}
