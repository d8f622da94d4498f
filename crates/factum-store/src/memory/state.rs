//! What the memory store holds, and the questions that need no rule.
//!
//! Relies on: only `append` and the two saves change it. Never: decides whether a change is allowed.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::task::Waker;

use factum_types::{
    Bytes, EventId, ExpectedRevision, Position, RecordedEvent, Revision, StreamName,
    StreamSettings, Timestamp,
};

use crate::snapshot::{Checkpoint, Snapshot};
use crate::stream_info::{StreamInfo, StreamState, StreamsRequest};

/// Everything in the store. A record's index is its position.
#[derive(Default)]
pub(super) struct State {
    /// Events and control records; `None` for a saved snapshot or checkpoint, which takes a position and is never read.
    pub(super) records: Vec<Option<RecordedEvent>>,
    /// Every stream that has a record.
    pub(super) streams: BTreeMap<StreamName, StreamLog>,
    /// The time of the last event or control record.
    pub(super) last_time: Option<Timestamp>,
    /// How many changes were asked for; moves the counting clock.
    pub(super) changes: u64,
    /// In the order of saving; per version only the last.
    pub(super) snapshots: BTreeMap<(StreamName, String), Vec<Snapshot>>,
    pub(super) checkpoints: BTreeMap<String, Checkpoint>,
    /// Subscriptions that wait for the next record, by their number.
    pub(super) waiting: BTreeMap<u64, Waker>,
    pub(super) subscriptions: u64,
}

/// The records of one stream.
#[derive(Default)]
pub(super) struct StreamLog {
    pub(super) heading: Heading,
    /// Indexes of its events; the place in here is the revision.
    pub(super) events: Vec<usize>,
    /// Indexes of its events and control records.
    pub(super) records: Vec<usize>,
    /// The revision at which an id was last recorded.
    pub(super) ids: BTreeMap<EventId, usize>,
}

/// What an append is judged by.
#[derive(Clone, Copy)]
pub(super) struct Heading {
    pub(super) next_revision: u64,
    pub(super) state: StreamState,
    pub(super) settings: StreamSettings,
    /// The next revision at the last deletion.
    pub(super) deleted_before: Option<u64>,
}

impl Default for Heading {
    fn default() -> Self {
        Self {
            next_revision: 0,
            state: StreamState::Missing,
            settings: StreamSettings::default(),
            deleted_before: None,
        }
    }
}

impl Heading {
    pub(super) fn last_revision(&self) -> Option<Revision> {
        self.next_revision.checked_sub(1).map(Revision::new)
    }

    /// Whether this is as expected. A tombstone is never as expected, unless anything is.
    pub(super) fn is(&self, expected: ExpectedRevision) -> bool {
        if self.state == StreamState::Tombstoned {
            return expected == ExpectedRevision::Any;
        }
        match expected {
            ExpectedRevision::Any => true,
            ExpectedRevision::NoStream => {
                self.next_revision == 0 || self.state == StreamState::Deleted
            }
            ExpectedRevision::StreamExists => self.state == StreamState::Live,
            ExpectedRevision::Exactly(revision) => self.last_revision() == Some(revision),
        }
    }
}

impl State {
    pub(super) fn head(&self) -> Option<Position> {
        self.records.len().checked_sub(1).map(position_of)
    }

    pub(super) fn heading(&self, stream: &StreamName) -> Heading {
        self.streams
            .get(stream)
            .map_or_else(Heading::default, |log| log.heading)
    }

    /// The record at an index, when it can be shown.
    pub(super) fn shown(&self, index: usize) -> Option<&RecordedEvent> {
        self.records.get(index)?.as_ref()
    }

    pub(super) fn stream_info(&self, stream: &StreamName) -> StreamInfo {
        let heading = self.heading(stream);
        StreamInfo {
            stream: stream.clone(),
            state: heading.state,
            last_revision: heading.last_revision(),
            last_position: self
                .streams
                .get(stream)
                .and_then(|log| log.events.last())
                .map(|&index| position_of(index)),
            settings: heading.settings,
        }
    }

    pub(super) fn streams(&self, request: &StreamsRequest) -> Vec<StreamInfo> {
        let after = request
            .after
            .as_ref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        self.streams
            .range((after, Bound::Unbounded))
            .map(|(stream, _)| stream)
            .filter(|stream| stream.as_str().starts_with(&request.prefix))
            .take(request.limit)
            .map(|stream| self.stream_info(stream))
            .collect()
    }

    pub(super) fn save_snapshot(&mut self, snapshot: Snapshot) {
        let place = (snapshot.stream.clone(), snapshot.key.clone());
        let saved = self.snapshots.entry(place).or_default();
        saved.retain(|earlier| earlier.version != snapshot.version);
        let keep = snapshot.keep;
        saved.push(snapshot);
        let keep = keep.map_or(usize::MAX, |keep| keep.get() as usize);
        saved.drain(..saved.len().saturating_sub(keep));
    }

    pub(super) fn list_snapshots(&self, stream: &StreamName) -> Vec<Snapshot> {
        let first = (stream.clone(), String::new());
        let of_stream = self.snapshots.range(first..);
        of_stream
            .take_while(|((name, _), _)| name == stream)
            .flat_map(|(_, saved)| saved.iter().rev())
            .filter(|snapshot| self.is_of_now(snapshot))
            .map(|snapshot| Snapshot {
                data: Bytes::new(),
                ..snapshot.clone()
            })
            .collect()
    }

    /// Whether the events that it folds are still there.
    fn is_of_now(&self, snapshot: &Snapshot) -> bool {
        let heading = self.heading(&snapshot.stream);
        let is_gone = matches!(
            heading.state,
            StreamState::Deleted | StreamState::Tombstoned
        );
        // A fold of events that were deleted since is not a fold of this stream any more.
        !is_gone && heading.deleted_before.is_none_or(|d| snapshot.version > d)
    }

    pub(super) fn snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> Option<Snapshot> {
        let saved = self.snapshots.get(&(stream, key))?;
        let within = |s: &&Snapshot| at_most.is_none_or(|version| s.version <= version);
        let mut of_now = saved.iter().rev().filter(|saved| self.is_of_now(saved));
        of_now.find(within).cloned()
    }
}

/// The position of the record at an index.
pub(super) fn position_of(index: usize) -> Position {
    Position::from_raw(index as u64)
}

/// The index of the record at a position; beyond all records when the position is beyond what an index can be.
pub(super) fn index_of(position: Position) -> usize {
    usize::try_from(position.raw()).unwrap_or(usize::MAX)
}
