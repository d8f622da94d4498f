//! What a run does, drawn from a seed: appends of every kind, right and wrong, and everything that goes on beside them.
//!
//! Relies on: nothing but the seed and what the store was seen to hold. Never: uses an event id twice, except to ask the same again.

use bytes::Bytes;
use factum_store::{AppendBatch, Change, Checkpoint, Condition, Snapshot, Source, StreamWrite};
use factum_types::{
    Category, EventId, EventType, ExpectedRevision, Metadata, NewEvent, Position, Query, Revision,
    StreamName, StreamSettings, Tag,
};
use std::collections::BTreeMap;

use crate::history::Request;

const STREAMS: [&str; 10] = [
    "order-1",
    "order-2",
    "order-3",
    "kunde-äöü",
    "日本-7",
    "plain",
    "a-b-c",
    "cart-🛒",
    "order-äß",
    "long-nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
];
const TYPES: [&str; 5] = ["Placed", "Paid", "Ausgeführt", "注文", "x"];
const TAGS: [&str; 7] = [
    "course:1",
    "course:2",
    "student:1",
    "student:ä",
    "t:1",
    "t:2",
    "t:3",
];

/// One thing a run does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Ask for something to be written.
    Ask(Request),
    /// Build a frame of what waits.
    Build,
    /// Write one of the frames under way.
    Write(usize),
    /// Complete one of the frames written.
    Complete(usize),
    /// Build a frame that only says what is durable.
    BuildCheckpoint,
    /// Work everything off.
    Drain,
    /// Do one thing in the background.
    Maintain,
    /// Seal all there is to seal.
    MaintainAll,
    /// Compare every answer with the model.
    Compare,
    /// Read a little.
    Peek(u64),
    /// Follow a source.
    Follow(Source),
    /// Let the followers take what there is.
    PollFollowers,
    /// Close and open again.
    Reopen,
    /// End the process and open again.
    Kill,
    /// Move the clock by microseconds.
    Clock(i64),
    /// Forget an answer before it came.
    Abandon(usize),
}

/// How large payloads are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// Up to a few hundred bytes.
    Small,
    /// Up to 20 KiB.
    Mixed,
}

/// Draws what a run does.
#[derive(Debug)]
pub struct Workload {
    /// Its random numbers.
    pub random: fastrand::Rng,
    sizes: Sizes,
    next_id: u64,
    seed: u64,
    /// The revision that each stream would have next if everything asked for succeeded.
    guesses: BTreeMap<StreamName, u64>,
    /// Batches asked for before, to be repeated.
    asked: Vec<AppendBatch>,
    /// Pieces of log files, to be used as payloads.
    forgery: Vec<Bytes>,
    snapshots: u64,
}

impl Workload {
    /// The workload of a seed.
    #[must_use]
    pub fn new(seed: u64, sizes: Sizes) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            sizes,
            next_id: 0,
            seed,
            guesses: BTreeMap::new(),
            asked: Vec::new(),
            forgery: Vec::new(),
            snapshots: 0,
        }
    }

    /// Gives it bytes of the log, to be written as payloads.
    pub fn forge_from(&mut self, log: &[u8]) {
        for _ in 0..4 {
            let start = self.random.usize(0..(log.len() / 64).max(1)) * 64;
            let length = self.random.usize(64..4_096);
            let end = (start + length).min(log.len());
            self.forgery.push(Bytes::copy_from_slice(
                log.get(start..end).unwrap_or_default(),
            ));
        }
        let excess = self.forgery.len().saturating_sub(12);
        self.forgery.drain(..excess);
    }

    /// Corrects its idea of a stream.
    pub fn learn(&mut self, stream: &StreamName, next_revision: u64) {
        self.guesses.insert(stream.clone(), next_revision);
    }

    /// The next thing to do.
    pub fn draw(&mut self) -> Action {
        match self.random.u8(0..100) {
            0..=34 => Action::Ask(self.request()),
            35..=49 => Action::Build,
            50..=62 => Action::Write(self.random.usize(0..2)),
            63..=74 => Action::Complete(self.random.usize(0..2)),
            75..=78 => Action::Drain,
            79..=80 => Action::BuildCheckpoint,
            81..=85 => Action::Maintain,
            86 => Action::MaintainAll,
            87..=89 => Action::Peek(self.random.u64(..)),
            90 => Action::Follow(self.source()),
            91..=93 => Action::PollFollowers,
            94 => Action::Reopen,
            95 => Action::Kill,
            96 => Action::Clock(self.clock_jump()),
            97 => Action::Abandon(self.random.usize(..)),
            _ => Action::Compare,
        }
    }

    fn clock_jump(&mut self) -> i64 {
        let far = 3_600_000_000_i64;
        match self.random.u8(0..4) {
            0 => -far,
            1 => far,
            _ => self.random.i64(1..5_000),
        }
    }

    /// Something to write.
    pub fn request(&mut self) -> Request {
        match self.random.u8(0..20) {
            0 => Request::Snapshot(self.snapshot()),
            1 => {
                let consumer = format!("consumer-{}", self.random.u8(0..3));
                let positions = vec![Position::from_raw(self.random.u64(0..1_000))];
                Request::Checkpoint(consumer, Checkpoint { positions })
            }
            2 | 3 if !self.asked.is_empty() => {
                let again = self.random.usize(0..self.asked.len());
                Request::Append(self.asked[again].clone())
            }
            _ => {
                let batch = self.batch();
                if self.asked.len() < 64 {
                    self.asked.push(batch.clone());
                }
                Request::Append(batch)
            }
        }
    }

    fn batch(&mut self) -> AppendBatch {
        let writes = if self.random.u8(0..5) == 0 {
            self.random.usize(2..5)
        } else {
            1
        };
        let mut batch = AppendBatch::default();
        for _ in 0..writes {
            batch.writes.push(self.write());
        }
        if self.random.u8(0..6) == 0 {
            batch.conditions.push(self.condition());
        }
        batch
    }

    fn write(&mut self) -> StreamWrite {
        let stream = self.stream();
        let change = match self.random.u8(0..40) {
            0 => Change::Delete,
            1 if self.random.bool() => Change::Tombstone,
            2 | 3 => Change::Settings(self.settings()),
            _ => Change::Events(self.events()),
        };
        let expected = self.expected(&stream);
        let events = change.events().len() as u64;
        *self.guesses.entry(stream.clone()).or_default() += events;
        StreamWrite {
            stream,
            expected,
            change,
        }
    }

    fn stream(&mut self) -> StreamName {
        let name = STREAMS[self.random.usize(0..STREAMS.len())];
        match self.random.u8(0..6) {
            0 => named(StreamName::new(format!(
                "{name}-{}",
                self.random.u16(0..500)
            ))),
            _ => named(StreamName::new(name)),
        }
    }

    fn expected(&mut self, stream: &StreamName) -> ExpectedRevision {
        let next = self.guesses.get(stream).copied().unwrap_or(0);
        let exactly = |n: u64| ExpectedRevision::Exactly(Revision::new(n));
        match (self.random.u8(0..12), next.checked_sub(1)) {
            (0..=3, Some(last)) => exactly(last),
            (0..=3, None) => ExpectedRevision::NoStream,
            (4, _) => exactly(next),
            (5, _) => exactly(next.saturating_sub(2)),
            (6, _) => ExpectedRevision::NoStream,
            (7, _) => ExpectedRevision::StreamExists,
            _ => ExpectedRevision::Any,
        }
    }

    fn settings(&mut self) -> StreamSettings {
        let random = &mut self.random;
        StreamSettings {
            max_count: random.bool().then(|| random.u64(1..6)),
            max_age: None,
            truncate_before: random.bool().then(|| Revision::new(random.u64(0..8))),
        }
    }

    fn events(&mut self) -> Vec<NewEvent> {
        let many = self.random.u8(0..10) == 0;
        let count = if many {
            self.random.usize(2..41)
        } else {
            self.random.usize(1..4)
        };
        (0..count).map(|_| self.event(many)).collect()
    }

    /// An event; a small one if it is one of many.
    pub fn event(&mut self, small: bool) -> NewEvent {
        let data = self.payload(small);
        let event_type = named(EventType::new(TYPES[self.random.usize(0..TYPES.len())]));
        let mut event = NewEvent::binary(self.id(), event_type, data);
        if self.random.bool() {
            let mut tags: Vec<Tag> = TAGS
                .iter()
                .filter(|_| self.random.u8(0..4) == 0)
                .map(|tag| named(Tag::new(tag)))
                .collect();
            tags.truncate(4);
            event.tags = tags;
        }
        if self.random.u8(0..5) == 0 {
            event.metadata = Metadata {
                correlation_id: Some(format!("c-{}", self.random.u8(..))),
                user_id: self.random.bool().then(|| "ärger".to_owned()),
                custom: Bytes::from_static(b"{\"a\":1}"),
                ..Metadata::default()
            };
        }
        event
    }

    fn id(&mut self) -> EventId {
        self.next_id += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.seed.to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_id.to_be_bytes());
        EventId::from_bytes(bytes)
    }

    fn payload(&mut self, small: bool) -> Bytes {
        let random = &mut self.random;
        let max = match (self.sizes, random.u8(0..12)) {
            _ if small => 120,
            (Sizes::Mixed, 0) => 20 << 10,
            (Sizes::Mixed, 1..=3) => 3_000,
            _ => 200,
        };
        let length = random.usize(0..max);
        match random.u8(0..12) {
            0 if !small => Bytes::from(vec![0; length + 1_024]),
            1 if !small && !self.forgery.is_empty() => {
                self.forgery[random.usize(0..self.forgery.len())].clone()
            }
            2 => Bytes::from(vec![0; length]),
            _ => {
                let mut bytes = vec![0; length];
                random.fill(&mut bytes);
                Bytes::from(bytes)
            }
        }
    }

    fn condition(&mut self) -> Condition {
        if self.random.u8(0..3) == 0 {
            let stream = self.stream();
            let expected = self.expected(&stream);
            return Condition::Stream { stream, expected };
        }
        let after = match self.random.u8(0..3) {
            0 => None,
            1 => Some(Position::from_raw(self.next_id)),
            _ => Some(Position::from_raw(self.random.u64(0..self.next_id + 20))),
        };
        Condition::NoMatch {
            query: self.query(),
            after,
        }
    }

    fn query(&mut self) -> Query {
        let random = &mut self.random;
        let tag = named(Tag::new(TAGS[random.usize(0..TAGS.len())]));
        let event_type = named(EventType::new(TYPES[random.usize(0..TYPES.len())]));
        match random.u8(0..4) {
            0 => Query::event_type(event_type),
            1 => Query::of([event_type], [tag]),
            2 => Query::tag(named(Tag::new(format!("never:{}", random.u8(..))))),
            _ => Query::tag(tag),
        }
    }

    fn source(&mut self) -> Source {
        match self.random.u8(0..4) {
            0 => Source::Category(named(Category::new("order"))),
            1 => Source::Query(self.query()),
            _ => Source::All,
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        self.snapshots += 1;
        let data = Bytes::from(format!("snapshot {}", self.snapshots));
        let key = format!("fold-{}", self.random.u8(0..2));
        let version = self.random.u64(0..9);
        Snapshot::new(self.stream(), key, version, data)
    }
}

/// A name that is written here as it must be.
pub(crate) fn named<T, E: std::fmt::Debug>(name: Result<T, E>) -> T {
    match name {
        Ok(name) => name,
        Err(error) => unreachable!("a name of the workload is within the rules: {error:?}"),
    }
}
