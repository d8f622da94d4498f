//! Anything that the contract can say, from a seed.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use factum_store::{
    AppendBatch, Change, Checkpoint, Condition, Conflict, ConflictReason, Damage, Direction, Kind,
    ReadFrom, ReadRequest, Receipt, Snapshot, Source, StoreError, StreamInfo, StreamReceipt,
    StreamState, StreamWrite, StreamsRequest, SubscribeFrom, SubscribeRequest, SubscriptionItem,
};
use factum_types::{
    Category, ContentType, EventId, EventType, ExpectedRevision, Metadata, NewEvent, Position,
    Query, QueryItem, RecordKind, RecordedEvent, Revision, StreamName, StreamSettings, Tag,
    Timestamp,
};

pub(super) struct Random(fastrand::Rng);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Numbers at the edges more often than others.
    fn number(&mut self) -> u64 {
        match self.0.u8(..4) {
            0 => 0,
            1 => u64::MAX,
            2 => self.0.u64(..10),
            _ => self.0.u64(..),
        }
    }

    fn maybe<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Option<T> {
        self.0.bool().then(|| make(self))
    }

    fn many<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.0.usize(..4)).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> String {
        let letters = ['a', 'Z', '0', 'ß', '✓', ' ', '"', '%'];
        (0..self.0.usize(1..9))
            .map(|_| letters[self.0.usize(..letters.len())])
            .collect()
    }

    fn bytes(&mut self) -> Bytes {
        (0..self.0.usize(..9)).map(|_| self.0.u8(..)).collect()
    }

    fn stream(&mut self) -> StreamName {
        StreamName::new(self.text()).unwrap()
    }

    fn event_type(&mut self) -> EventType {
        EventType::new(self.text()).unwrap()
    }

    fn tag(&mut self) -> Tag {
        Tag::new(format!("{}:{}", self.text(), self.text())).unwrap()
    }

    fn id(&mut self) -> EventId {
        EventId::from_bytes(self.0.u128(..).to_be_bytes())
    }

    fn position(&mut self) -> Position {
        Position::from_raw(self.number())
    }

    fn revision(&mut self) -> Revision {
        Revision::new(self.number())
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_micros(self.0.i64(..))
    }

    fn content_type(&mut self) -> ContentType {
        if self.0.bool() {
            ContentType::Json
        } else {
            ContentType::Binary
        }
    }

    fn metadata(&mut self) -> Metadata {
        if self.0.bool() {
            return Metadata::default();
        }
        Metadata {
            correlation_id: self.maybe(Self::text),
            causation_id: self.maybe(|_| String::new()),
            user_id: self.maybe(Self::text),
            traceparent: self.maybe(Self::text),
            custom: self.bytes(),
        }
    }

    pub(super) fn new_event(&mut self) -> NewEvent {
        NewEvent {
            id: self.id(),
            event_type: self.event_type(),
            data: self.bytes(),
            content_type: self.content_type(),
            schema_version: self.0.u32(..),
            tags: self.many(Self::tag),
            metadata: self.metadata(),
            personal: self.bytes(),
            time: self.maybe(Self::time),
        }
    }

    pub(super) fn recorded_event(&mut self) -> RecordedEvent {
        let kinds = [
            RecordKind::Event,
            RecordKind::Tombstone,
            RecordKind::Delete,
            RecordKind::Settings,
        ];
        RecordedEvent {
            id: self.id(),
            stream: self.stream(),
            revision: self.revision(),
            position: self.position(),
            time: self.time(),
            event_type: self.event_type(),
            data: self.bytes(),
            content_type: self.content_type(),
            schema_version: self.0.u32(..),
            tags: self.many(Self::tag),
            metadata: self.metadata(),
            personal: self.bytes(),
            kind: kinds[self.0.usize(..4)],
        }
    }

    fn expected(&mut self) -> ExpectedRevision {
        match self.0.u8(..4) {
            0 => ExpectedRevision::Any,
            1 => ExpectedRevision::NoStream,
            2 => ExpectedRevision::StreamExists,
            _ => ExpectedRevision::Exactly(self.revision()),
        }
    }

    pub(super) fn settings(&mut self) -> StreamSettings {
        StreamSettings {
            max_count: self.maybe(Self::number),
            max_age: self.maybe(|r| Duration::new(r.number(), r.0.u32(..1_000_000_000))),
            truncate_before: self.maybe(Self::revision),
        }
    }

    fn query(&mut self) -> Query {
        let item = |r: &mut Self| QueryItem {
            types: r.many(Self::event_type),
            tags: r.many(Self::tag),
        };
        Query {
            items: self.many(item),
        }
    }

    fn write(&mut self) -> StreamWrite {
        let change = match self.0.u8(..4) {
            0 => Change::Events(self.many(Self::new_event)),
            1 => Change::Settings(self.settings()),
            2 => Change::Delete,
            _ => Change::Tombstone,
        };
        StreamWrite {
            stream: self.stream(),
            expected: self.expected(),
            change,
        }
    }

    fn condition(&mut self) -> Condition {
        if self.0.bool() {
            return Condition::Stream {
                stream: self.stream(),
                expected: self.expected(),
            };
        }
        Condition::NoMatch {
            query: self.query(),
            after: self.maybe(Self::position),
        }
    }

    pub(super) fn batch(&mut self) -> AppendBatch {
        AppendBatch {
            writes: self.many(Self::write),
            conditions: self.many(Self::condition),
        }
    }

    pub(super) fn receipt(&mut self) -> Receipt {
        let write = |r: &mut Self| StreamReceipt {
            stream: r.stream(),
            last_revision: r.maybe(Self::revision),
            position: r.position(),
        };
        Receipt {
            first: self.position(),
            last: self.position(),
            writes: self.many(write),
            replayed: self.0.bool(),
        }
    }

    fn source(&mut self) -> Source {
        match self.0.u8(..4) {
            0 => Source::All,
            1 => Source::Stream(self.stream()),
            2 => Source::Category(Category::new("order").unwrap()),
            _ => Source::Query(self.query()),
        }
    }

    pub(super) fn read_request(&mut self) -> ReadRequest {
        ReadRequest {
            source: self.source(),
            from: match self.0.u8(..4) {
                0 => ReadFrom::Start,
                1 => ReadFrom::End,
                2 => ReadFrom::Position(self.position()),
                _ => ReadFrom::Revision(self.revision()),
            },
            direction: if self.0.bool() {
                Direction::Forward
            } else {
                Direction::Backward
            },
            limit: self.maybe(Self::number),
            control: self.0.bool(),
        }
    }

    pub(super) fn subscribe_request(&mut self) -> SubscribeRequest {
        SubscribeRequest {
            source: self.source(),
            from: match self.0.u8(..4) {
                0 => SubscribeFrom::Start,
                1 => SubscribeFrom::End,
                2 => SubscribeFrom::After(self.position()),
                _ => SubscribeFrom::AfterRevision(self.revision()),
            },
            control: self.0.bool(),
        }
    }

    pub(super) fn subscription_item(&mut self) -> SubscriptionItem {
        match self.0.u8(..3) {
            0 => SubscriptionItem::Event(Box::new(self.recorded_event())),
            1 => SubscriptionItem::CaughtUp(self.maybe(Self::position)),
            _ => SubscriptionItem::Checkpoint(self.position()),
        }
    }

    pub(super) fn streams_request(&mut self) -> StreamsRequest {
        StreamsRequest {
            prefix: self.maybe(Self::text).unwrap_or_default(),
            after: self.maybe(Self::stream),
            limit: usize::try_from(self.0.u32(..)).unwrap(),
        }
    }

    pub(super) fn stream_info(&mut self) -> StreamInfo {
        let states = [
            StreamState::Missing,
            StreamState::Live,
            StreamState::Deleted,
            StreamState::Tombstoned,
        ];
        StreamInfo {
            stream: self.stream(),
            state: states[self.0.usize(..4)],
            last_revision: self.maybe(Self::revision),
            last_position: self.maybe(Self::position),
            settings: self.settings(),
        }
    }

    pub(super) fn snapshot(&mut self) -> Snapshot {
        let (stream, key, version) = (self.stream(), self.text(), self.number());
        let keep = self.maybe(|r| NonZeroU32::new(r.0.u32(1..)).unwrap());
        let mut snapshot = Snapshot::new(stream, key, version, self.bytes())
            .with_subjects(self.many(Self::text))
            .with_keep(keep);
        snapshot.time = self.time();
        snapshot
    }

    pub(super) fn checkpoint(&mut self) -> Checkpoint {
        Checkpoint {
            positions: self.many(Self::position),
        }
    }

    pub(super) fn conflict(&mut self) -> Conflict {
        let reason = if self.0.bool() {
            ConflictReason::Revision {
                stream: self.stream(),
                expected: self.expected(),
                actual: self.maybe(Self::revision),
            }
        } else {
            ConflictReason::Match {
                condition: self.0.usize(..256),
                position: self.maybe(Self::position),
            }
        };
        Conflict {
            reason,
            events: self.many(Self::recorded_event),
        }
    }

    pub(super) fn error(&mut self) -> StoreError {
        let kinds = [
            Kind::Invalid,
            Kind::NotFound,
            Kind::Deleted,
            Kind::Unavailable,
            Kind::Unknown,
            Kind::Full,
            Kind::ReadOnly,
            Kind::Internal,
        ];
        let error = match self.0.u8(..4) {
            0 => StoreError::conflict(self.conflict()),
            1 => {
                let damage = Damage {
                    file: self.text(),
                    offset: self.number(),
                    length: self.number(),
                    first: self.position(),
                    last: self.position(),
                };
                StoreError::corrupt(self.text(), damage)
            }
            _ => StoreError::new(kinds[self.0.usize(..kinds.len())], self.text()),
        };
        if self.0.bool() {
            return error;
        }
        let inner = std::io::Error::other(self.text());
        error.because(StoreError::new(Kind::Internal, self.text()).because(inner))
    }
}
