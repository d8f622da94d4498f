//! What is known about the streams that are read: which of their events are not to be copied.

use std::collections::BTreeMap;

use factum_store::{EventStore, Kind, ReadRequest, StreamInfo, StreamState};
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
                let shown_from = match self.store.stream_info(event.stream.clone()).await {
                    Ok(info) => shown_from(&info),
                    Err(error) if error.kind() == Kind::Corrupt => {
                        self.first_shown(event.stream.clone()).await?
                    }
                    Err(error) => return Err(error.into()),
                };
                self.shown_from.insert(event.stream.clone(), shown_from);
                shown_from
            }
        };
        Ok(event.revision.number() < shown_from)
    }

    /// Where a stream begins for its readers. This is known too where it is not known how it ends, because something was lost; a read
    /// leaves out what is older than `max_age` besides.
    async fn first_shown(&self, stream: StreamName) -> Result<u64, Error> {
        let mut events = self.store.read(ReadRequest::stream(stream));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => return Ok(event.revision.number()),
                Err(error) if error.kind() == Kind::Corrupt => {}
                Err(error) if is_nothing(error.kind()) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(u64::MAX)
    }
}

fn is_nothing(kind: Kind) -> bool {
    matches!(kind, Kind::NotFound | Kind::Deleted)
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
