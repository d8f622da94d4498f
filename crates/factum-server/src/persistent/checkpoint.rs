//! The stream in which a group notes how far it is: the last event counts, and the one before it is kept in case of damage.

use factum_store::{AppendBatch, Change, EventStore, Kind, ReadRequest, StoreError, StreamWrite};
use factum_types::{EventType, ExpectedRevision, NameError, NewEvent, StreamName, StreamSettings};

use super::settings::{GroupKey, SourceName};
use crate::log::is_gone;
use crate::world::World;

/// The beginning of the names of streams that persistent subscriptions keep for themselves. Groups that follow all are not given
/// what stands there: noting where they are would give them something new to note.
pub(crate) const OWN_STREAMS: &str = "$persistentsubscription-";

const CHECKPOINT_TYPE: &str = "$SubscriptionCheckpoint";
const KEPT: u64 = 2;

/// The stream of a group's checkpoints.
///
/// # Errors
/// The names of source and group are too long together, or the group's has a character that no name may have.
pub(crate) fn checkpoint_stream(key: &GroupKey) -> Result<StreamName, NameError> {
    StreamName::new(format!("{OWN_STREAMS}{key}-checkpoint"))
}

/// The last checkpoint, `None` when there is none.
///
/// # Errors
/// Those of a read, and [`Kind::Internal`] when what stands there is not a checkpoint.
pub(crate) async fn load(
    store: &dyn EventStore,
    stream: &StreamName,
    source: &SourceName,
) -> Result<Option<u64>, StoreError> {
    let request = ReadRequest::backward(factum_store::Source::Stream(stream.clone())).limit(KEPT);
    let mut events = store.read(request);
    let mut damaged = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let text = serde_json::from_slice::<String>(&event.data).ok();
                return match text.and_then(|text| source.parse(&text)) {
                    Some(point) => Ok(Some(point)),
                    None => Err(StoreError::new(
                        Kind::Internal,
                        format!(
                            "event {} of stream {stream} is not a checkpoint",
                            event.revision
                        ),
                    )),
                };
            }
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) if error.kind() == Kind::Corrupt => damaged = Some(error),
            Err(error) => return Err(error),
        }
    }
    damaged.map_or(Ok(None), Err)
}

/// Notes a checkpoint.
///
/// # Errors
/// Those of an append.
pub(crate) async fn save(
    store: &dyn EventStore,
    world: &World,
    stream: &StreamName,
    text: &str,
) -> Result<(), StoreError> {
    let settings = store.stream_info(stream.clone()).await?.settings;
    let data = serde_json::to_vec(text).unwrap_or_default();
    let event = NewEvent::json(world.event_id(), own_type(CHECKPOINT_TYPE)?, data);
    let batch = AppendBatch::events(stream.clone(), ExpectedRevision::Any, vec![event]);
    store.append(keeping(batch, stream, settings, KEPT)).await?;
    Ok(())
}

/// The same batch, and the stream keeps this many events from now on.
pub(crate) fn keeping(
    batch: AppendBatch,
    stream: &StreamName,
    settings: StreamSettings,
    events: u64,
) -> AppendBatch {
    if settings.max_count.is_some() {
        return batch;
    }
    batch.and(StreamWrite {
        stream: stream.clone(),
        expected: ExpectedRevision::Any,
        change: Change::Settings(StreamSettings {
            max_count: Some(events),
            ..settings
        }),
    })
}

/// A type of our own events.
pub(crate) fn own_type(name: &str) -> Result<EventType, StoreError> {
    EventType::new(name).map_err(|error| StoreError::invalid(error.to_string()))
}
