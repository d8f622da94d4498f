//! The stream of events that a group put aside: links to them, with when and why.
//!
//! Replayed events stay in it until they are done, so that none is lost with the server; what is before them is truncated.

use std::sync::Arc;

use factum_store::{AppendBatch, Change, EventStore, StoreError, StreamState};
use factum_types::{
    ExpectedRevision, Metadata, NameError, NewEvent, Revision, StreamName, StreamSettings,
};

use super::checkpoint::OWN_STREAMS;
use super::delivered::Delivered;
use super::group::ToPark;
use super::settings::GroupKey;
use crate::links::{link_to, link_type};
use crate::world::World;

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
pub(crate) fn batch(
    world: &World,
    stream: &StreamName,
    events: &[ToPark<Arc<Delivered>>],
) -> AppendBatch {
    let links = events.iter().map(|event| link(world, stream, event));
    AppendBatch::events(stream.clone(), ExpectedRevision::Any, links.collect())
}

fn link(world: &World, stream: &StreamName, event: &ToPark<Arc<Delivered>>) -> NewEvent {
    let original = event.payload.original();
    // A replayed event is parked again as what it was, not as a link to its link.
    let data = if original.stream == *stream {
        original.data.clone()
    } else {
        link_to(&original.stream, original.revision)
    };
    let metadata = serde_json::json!({
        "added": world.unix_ms(),
        "reason": &*event.reason,
        "subscriptionEventNumber": original.revision.number(),
    });
    let link = NewEvent::binary(world.event_id(), link_type(), data);
    link.with_metadata(Metadata {
        custom: metadata.to_string().into(),
        ..Metadata::default()
    })
}

/// Hides everything before a revision, and shows nothing that is hidden.
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
        truncate_before: settings.truncate_before.max(Some(Revision::new(before))),
        ..settings
    });
    let batch = AppendBatch::change(stream.clone(), ExpectedRevision::Any, change);
    store.append(batch).await?;
    Ok(())
}
