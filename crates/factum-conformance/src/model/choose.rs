//! What the model test tries: few streams, few ids and few types, so that operations meet.

use std::time::Duration;

use factum_store::{
    AppendBatch, Change, Condition, Direction, ReadFrom, ReadRequest, Source, StreamState,
    StreamWrite,
};
use factum_types::{
    Bytes, ExpectedRevision, NewEvent, Position, Query, QueryItem, Revision, StreamName,
    StreamSettings,
};

use crate::trial::id;
use crate::words::{category, exactly, tag, typed};

use super::Model;

const TYPES: [&str; 4] = ["A", "B", "C", "D"];
const TAGS: [&str; 4] = ["x:1", "x:2", "y:1", "z:1"];
/// Ids are drawn from so few that some are used twice.
const IDS: u64 = 4_000;

impl Model<'_> {
    fn one_of<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        self.random.choice(of).cloned()
    }

    /// Seldom one with a tombstone: there is nothing more to learn from it.
    fn name(&mut self) -> StreamName {
        let mut at = self.random.usize(..self.names.len());
        for _ in 0..4 {
            let state = self.t.info(&self.names[at]).map(|info| info.state);
            if !matches!(state, Ok(StreamState::Tombstoned)) {
                break;
            }
            at = self.random.usize(..self.names.len());
        }
        self.names[at].clone()
    }

    pub(super) fn choose_batch(&mut self) -> AppendBatch {
        // Every fifth append repeats one of the last, some of those with a change.
        let recent = self.tried.len().saturating_sub(12);
        if self.random.u8(..5) == 0 && !self.tried.is_empty() {
            let at = self.random.usize(recent..self.tried.len());
            let mut batch = self.tried[at].clone();
            match self.random.u8(..8) {
                0 => batch.conditions.clear(),
                1..4 => self.spoil(&mut batch),
                4 => batch.writes.truncate(1),
                _ => {}
            }
            return batch;
        }
        let mut batch = AppendBatch::default();
        for _ in 0..[1, 1, 1, 2, 3][self.random.usize(..5)] {
            let write = self.choose_write();
            batch.writes.push(write);
        }
        for _ in 0..[0, 0, 0, 1, 2][self.random.usize(..5)] {
            let condition = self.choose_condition();
            batch.conditions.push(condition);
        }
        batch
    }

    /// Changes one event of a batch, or leaves one out.
    fn spoil(&mut self, batch: &mut AppendBatch) {
        let writes = batch.writes.len();
        let at = self.random.usize(..writes);
        let Some(StreamWrite {
            change: Change::Events(events),
            ..
        }) = batch.writes.get_mut(at)
        else {
            return;
        };
        let at = self.random.usize(..events.len());
        match self.random.u8(..3) {
            0 if events.len() > 1 => {
                events.remove(at);
            }
            1 => events[at].data = Bytes::from_static(b"spoiled"),
            _ => events.swap(0, at),
        }
    }

    fn choose_write(&mut self) -> StreamWrite {
        let stream = self.name();
        let change = match self.random.u8(..60) {
            0..48 => {
                let count = self.random.usize(1..4);
                Change::Events((0..count).map(|_| self.choose_event()).collect())
            }
            48..55 => Change::Settings(self.choose_settings()),
            55..59 => Change::Delete,
            _ if self.random.u8(..3) == 0 => Change::Tombstone,
            _ => Change::Settings(StreamSettings::default()),
        };
        let expected = self.choose_expected(&stream);
        StreamWrite {
            stream,
            expected,
            change,
        }
    }

    /// Mostly what holds: otherwise little would be written.
    fn choose_expected(&mut self, stream: &StreamName) -> ExpectedRevision {
        let info = self.t.info(stream).ok();
        let is_live = info
            .as_ref()
            .is_some_and(|info| info.state == StreamState::Live);
        let last = info
            .and_then(|info| info.last_revision)
            .map(Revision::number);
        match (self.random.u8(..20), last) {
            (0..8, _) => ExpectedRevision::Any,
            (8..12, Some(last)) => exactly(last),
            (12..15, _) if is_live => ExpectedRevision::StreamExists,
            (8..15, _) => ExpectedRevision::NoStream,
            (15, _) => ExpectedRevision::StreamExists,
            (16, _) => ExpectedRevision::NoStream,
            (17, Some(last)) => exactly(self.random.u64(..last + 2)),
            (_, Some(last)) => exactly(last),
            (_, None) => ExpectedRevision::Any,
        }
    }

    fn choose_event(&mut self) -> NewEvent {
        let number = self.random.u64(..IDS);
        let event_type = typed(TYPES[self.random.usize(..TYPES.len())]);
        let mut tags: Vec<_> = TAGS.into_iter().map(tag).collect();
        self.random.shuffle(&mut tags);
        tags.truncate(self.random.usize(..3));
        let mut event = NewEvent::json(id(number), event_type, number.to_string()).with_tags(tags);
        event.metadata.user_id = self.random.bool().then(|| "someone".to_owned());
        event
    }

    fn choose_settings(&mut self) -> StreamSettings {
        let century = Duration::from_hours(24 * 36_500);
        StreamSettings {
            max_count: self.random.bool().then(|| self.random.u64(..8)),
            max_age: (self.random.u8(..4) == 0).then_some(century),
            truncate_before: self
                .random
                .bool()
                .then(|| Revision::new(self.random.u64(..12))),
        }
    }

    fn choose_condition(&mut self) -> Condition {
        if self.random.u8(..4) == 0 {
            let stream = self.name();
            let expected = self.choose_expected(&stream);
            return Condition::Stream { stream, expected };
        }
        // Mostly recent, so that it may hold.
        let recent = self.places.len().saturating_sub(2);
        let after = if self.random.u8(..5) == 0 {
            None
        } else {
            let skip = self.random.usize(recent..=self.places.len());
            self.places.keys().nth(skip.saturating_sub(1)).copied()
        };
        Condition::NoMatch {
            query: self.choose_query(),
            after,
        }
    }

    fn choose_query(&mut self) -> Query {
        let items = (0..self.random.usize(1..3)).map(|_| {
            let types = (0..self.random.usize(..3)).filter_map(|_| self.random.choice(TYPES));
            let types = types.map(typed).collect();
            let tags = (0..self.random.usize(..3)).filter_map(|_| self.random.choice(TAGS));
            QueryItem {
                types,
                tags: tags.map(tag).collect(),
            }
        });
        Query {
            items: items.collect(),
        }
    }

    pub(super) fn choose_read(&mut self) -> ReadRequest {
        let source = match self.random.u8(..6) {
            0 => Source::All,
            1 => Source::Category(category(["a", "b", "c", "none"][self.random.usize(..4)])),
            2 => Source::Query(self.choose_query()),
            _ => Source::Stream(self.name()),
        };
        let positions: Vec<Position> = self.places.keys().copied().collect();
        let from = match (self.random.u8(..5), &source, self.one_of(&positions)) {
            (0, ..) => ReadFrom::Start,
            (1, ..) => ReadFrom::End,
            (2, Source::Stream(_), _) => ReadFrom::Revision(Revision::new(self.random.u64(..20))),
            (_, _, Some(position)) => ReadFrom::Position(position),
            _ => ReadFrom::Start,
        };
        let direction = [Direction::Forward, Direction::Backward][self.random.usize(..2)];
        let limit = self.random.bool().then(|| self.random.u64(..10));
        ReadRequest {
            source,
            from,
            direction,
            limit,
            control: self.random.u8(..4) == 0,
        }
    }
}
