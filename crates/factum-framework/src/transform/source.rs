//! What is known about the streams that are read: which of their events are not to be copied.

use std::collections::BTreeMap;

use factum_store::{EventStore, StreamInfo, StreamState};
use factum_types::{RecordedEvent, StreamName};

use crate::error::Error;

/// The streams that are read, as they were when first seen: events before this revision are hidden.
pub(super) struct Sources<'a> {
    store: &'a dyn EventStore,
    shown_from: BTreeMap<StreamName, u64>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(store: &'a dyn EventStore) -> Self {
        Self {
            store,
            shown_from: BTreeMap::new(),
        }
    }

    /// Whether the stream of an event hides it.
    pub(super) async fn hides(&mut self, event: &RecordedEvent) -> Result<bool, Error> {
        let shown_from = match self.shown_from.get(&event.stream) {
            Some(known) => *known,
            None => {
                let info = self.store.stream_info(event.stream.clone()).await?;
                let shown_from = shown_from(&info);
                self.shown_from.insert(event.stream.clone(), shown_from);
                shown_from
            }
        };
        Ok(event.revision.number() < shown_from)
    }
}

fn shown_from(info: &StreamInfo) -> u64 {
    let before = info
        .settings
        .truncate_before
        .map_or(0, |revision| revision.number());
    let beyond = info
        .settings
        .max_count
        .map_or(0, |count| info.next_revision().saturating_sub(count));
    match info.state {
        StreamState::Live => before.max(beyond),
        StreamState::Missing | StreamState::Deleted | StreamState::Tombstoned => u64::MAX,
    }
}
