//! The stream of events that a group put aside: links to them, with when and why.
//!
//! Replayed events stay in it until they are done, so that none is lost with the server; what is before them is truncated.

use std::sync::Arc;

use factum_store::{
    AppendBatch, Change, EventStore, Kind, ReadFrom, ReadRequest, StoreError, StreamState,
};
use factum_types::{
    ExpectedRevision, Metadata, NameError, NewEvent, RecordedEvent, Revision, StreamName,
    StreamSettings,
};

use super::checkpoint::{OWN_STREAMS, own_type};
use super::delivered::{Delivered, LINK_TYPE};
use super::feed::is_gone;
use super::group::ToPark;
use super::settings::GroupKey;
use super::world::World;

/// The longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 4 << 10;

/// The stream of a group's parked events.
///
/// # Errors
/// The names of source and group are too long together, or the group's has a character that no name may have.
pub(crate) fn parked_stream(key: &GroupKey) -> Result<StreamName, NameError> {
    StreamName::new(format!("{OWN_STREAMS}{key}-parked"))
}

/// What stands in the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The revision of the first event there may be.
    pub(crate) first: u64,
    /// The revision that the next one will have.
    pub(crate) next: u64,
}

/// What stands in the stream now.
///
/// # Errors
/// Those of [`EventStore::stream_info`].
pub(crate) async fn extent(
    store: &dyn EventStore,
    stream: &StreamName,
) -> Result<Extent, StoreError> {
    let info = store.stream_info(stream.clone()).await?;
    let next = info.next_revision();
    let first = match info.state {
        StreamState::Live => info.settings.truncate_before.map_or(0, Revision::number),
        StreamState::Missing | StreamState::Deleted | StreamState::Tombstoned => next,
    };
    Ok(Extent {
        first: first.min(next),
        next,
    })
}

/// The append that parks the events. Appending it again is safe.
///
/// # Errors
/// None that the events can cause.
pub(crate) fn batch(
    world: &World,
    stream: &StreamName,
    events: &[ToPark<Arc<Delivered>>],
) -> Result<AppendBatch, StoreError> {
    let links = events
        .iter()
        .map(|event| link(world, stream, event))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(AppendBatch::events(
        stream.clone(),
        ExpectedRevision::Any,
        links,
    ))
}

fn link(
    world: &World,
    stream: &StreamName,
    event: &ToPark<Arc<Delivered>>,
) -> Result<NewEvent, StoreError> {
    let original = event.payload.original();
    // A replayed event is parked again as what it was, not as a link to its link.
    let data = if original.stream == *stream {
        original.data.clone()
    } else {
        format!("{}@{}", original.revision, original.stream).into()
    };
    let metadata = serde_json::json!({
        "added": world.unix_ms(),
        "reason": shortened(&event.reason),
        "subscriptionEventNumber": original.revision.number(),
    });
    let link = NewEvent::binary(world.event_id(), own_type(LINK_TYPE)?, data);
    Ok(link.with_metadata(Metadata {
        custom: metadata.to_string().into(),
        ..Metadata::default()
    }))
}

fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}

/// Up to `limit` parked events from a revision on. Damaged ones are left out.
///
/// # Errors
/// Those of a read.
pub(crate) async fn page(
    store: &dyn EventStore,
    stream: &StreamName,
    from: u64,
    limit: usize,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let request = ReadRequest::stream(stream.clone())
        .from(ReadFrom::Revision(Revision::new(from)))
        .limit(u64::try_from(limit).unwrap_or(u64::MAX));
    let mut reading = store.read(request);
    let mut events = Vec::new();
    while let Some(event) = reading.next().await {
        match event {
            Ok(event) => events.push(event),
            Err(error) if error.kind() == Kind::Corrupt => {
                tracing::error!(%stream, %error, "a parked event is damaged and cannot be replayed");
            }
            Err(error) if is_gone(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(events)
}

/// Hides everything before a revision.
///
/// # Errors
/// Those of an append.
pub(crate) async fn truncate(
    store: &dyn EventStore,
    stream: &StreamName,
    before: u64,
) -> Result<(), StoreError> {
    let settings = store.stream_info(stream.clone()).await?.settings;
    let change = Change::Settings(StreamSettings {
        truncate_before: Some(Revision::new(before)),
        ..settings
    });
    let batch = AppendBatch::change(stream.clone(), ExpectedRevision::Any, change);
    store.append(batch).await?;
    Ok(())
}
