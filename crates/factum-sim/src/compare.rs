//! The engine against the model: every answer of every index, in both directions.
//!
//! Relies on: both hold the same log. Never: writes.

use std::collections::BTreeSet;

use factum_engine::Engine;
use factum_store::{
    CheckpointStore, Direction, EventStore, ReadFrom, ReadRequest, SnapshotStore, Source,
    StoreError, StreamsRequest,
};
use factum_types::{
    Category, EventType, Position, Query, RecordKind, RecordedEvent, Revision, StreamName, Tag,
};

use crate::history::{History, Model, Request};
use crate::poll;
use crate::violation::{Checked, ensure, short};

/// Everything the store shows, from a position on, control records included.
///
/// # Errors
/// When it shows damage, or waits.
pub fn scan(engine: &Engine, from: u64) -> Checked<Vec<RecordedEvent>> {
    let from = ReadFrom::Position(Position::from_raw(from));
    let read = engine.read(ReadRequest::all().from(from).with_control());
    poll::events(read)?
        .map_err(|error| crate::Violation::new(format!("reading everything: {error}")))
}

/// One more than the last position published.
///
/// # Errors
/// When the store cannot say.
pub fn end(engine: &Engine) -> Checked<u64> {
    let head = poll::now("the head", engine.head())?;
    let head = head.map_err(|error| crate::Violation::new(format!("the head: {error}")))?;
    Ok(head.map_or(0, |head| head.raw() + 1))
}

/// What exists in a log, to be asked for.
#[derive(Debug, Default)]
struct Things {
    streams: BTreeSet<StreamName>,
    types: BTreeSet<EventType>,
    tags: BTreeSet<Tag>,
    categories: BTreeSet<String>,
    snapshots: BTreeSet<(StreamName, String)>,
    consumers: BTreeSet<String>,
    versions: BTreeSet<u64>,
}

impl Things {
    fn of(history: &History) -> Self {
        let mut things = Self::default();
        for entry in &history.log {
            match &entry.request {
                Request::Append(batch) => {
                    for write in &batch.writes {
                        things.stream(&write.stream);
                        for event in write.change.events() {
                            things.types.insert(event.event_type.clone());
                            things.tags.extend(event.tags.iter().cloned());
                        }
                    }
                }
                Request::Snapshot(snapshot) => {
                    things.stream(&snapshot.stream);
                    things.versions.insert(snapshot.version);
                    things
                        .snapshots
                        .insert((snapshot.stream.clone(), snapshot.key.clone()));
                }
                Request::Checkpoint(consumer, _) => {
                    things.consumers.insert(consumer.clone());
                }
            }
        }
        things
    }

    fn stream(&mut self, stream: &StreamName) {
        self.categories.extend(stream.category().map(str::to_owned));
        self.streams.insert(stream.clone());
    }
}

/// Compares every answer about the log. `salt` varies where partial reads begin and end.
///
/// # Errors
/// The first difference.
pub fn compare(engine: &Engine, model: &Model, history: &History, salt: u64) -> Checked {
    let things = Things::of(history);
    let mut random = fastrand::Rng::with_seed(salt);
    let comparing = Comparing {
        engine,
        model,
        end: history.end,
    };
    comparing.source(&Source::All, &mut random)?;
    for stream in &things.streams {
        comparing.source(&Source::Stream(stream.clone()), &mut random)?;
        comparing.stream_info(stream)?;
    }
    for category in &things.categories {
        if let Ok(category) = Category::new(category) {
            comparing.source(&Source::Category(category), &mut random)?;
        }
    }
    for event_type in &things.types {
        comparing.source(
            &Source::Query(Query::event_type(event_type.clone())),
            &mut random,
        )?;
    }
    for tag in &things.tags {
        comparing.source(&Source::Query(Query::tag(tag.clone())), &mut random)?;
    }
    comparing.mixed_queries(&things, &mut random)?;
    comparing.streams()?;
    comparing.snapshots(&things)
}

struct Comparing<'a> {
    engine: &'a Engine,
    model: &'a Model,
    end: u64,
}

impl Comparing<'_> {
    fn source(&self, source: &Source, random: &mut fastrand::Rng) -> Checked {
        self.read(&ReadRequest::forward(source.clone()).with_control())?;
        self.read(&ReadRequest::backward(source.clone()))?;
        let mut request = ReadRequest::forward(source.clone());
        if random.bool() {
            request.direction = Direction::Backward;
            request.from = ReadFrom::End;
        }
        let somewhere = random.u64(0..self.end.max(1) + 2);
        request.from = match (source, random.u8(0..3)) {
            (_, 0) => request.from,
            (Source::Stream(_), 1) => ReadFrom::Revision(Revision::new(somewhere / 4)),
            _ => ReadFrom::Position(Position::from_raw(somewhere)),
        };
        request.limit = random.bool().then(|| random.u64(1..9));
        request.control = random.bool();
        self.read(&request)
    }

    fn read(&self, request: &ReadRequest) -> Checked {
        let ours = poll::events(self.engine.read(request.clone()))?;
        let theirs = poll::events(self.model.store.read(request.clone()))?;
        same_outcome(request, &ours, &theirs)
    }

    fn stream_info(&self, stream: &StreamName) -> Checked {
        let ours = poll::now("stream info", self.engine.stream_info(stream.clone()))?;
        let theirs = poll::now("stream info", self.model.store.stream_info(stream.clone()))?;
        same_outcome(stream, &ours, &theirs)
    }

    /// Two types and a tag, two tags, alternatives: what only a merge of lists answers.
    fn mixed_queries(&self, things: &Things, random: &mut fastrand::Rng) -> Checked {
        let types: Vec<_> = things.types.iter().cloned().collect();
        let tags: Vec<_> = things.tags.iter().cloned().collect();
        if types.is_empty() || tags.is_empty() {
            return Ok(());
        }
        for _ in 0..3 {
            let pick = |n: usize| types[n % types.len()].clone();
            let tag = |n: usize| tags[n % tags.len()].clone();
            let (a, b) = (random.usize(..), random.usize(..));
            let two = if a % tags.len() == b % tags.len() {
                vec![tag(a)]
            } else {
                vec![tag(a), tag(b)]
            };
            let query = Query::of([pick(a), pick(b)], [tag(b)]).or(Query::of([], two));
            self.source(&Source::Query(query), random)?;
        }
        Ok(())
    }

    fn streams(&self) -> Checked {
        let request = StreamsRequest {
            limit: 10_000,
            ..StreamsRequest::default()
        };
        let ours = poll::now("streams", self.engine.streams(request.clone()))?;
        let theirs = poll::now("streams", self.model.store.streams(request.clone()))?;
        same_outcome(&request, &ours, &theirs)
    }

    fn snapshots(&self, things: &Things) -> Checked {
        for (stream, key) in &things.snapshots {
            let limits = things
                .versions
                .iter()
                .copied()
                .take(3)
                .map(Some)
                .chain([None]);
            for at_most in limits {
                let ours = self
                    .engine
                    .load_snapshot(stream.clone(), key.clone(), at_most);
                let theirs = self
                    .model
                    .store
                    .load_snapshot(stream.clone(), key.clone(), at_most);
                let ours = poll::now("a snapshot", ours)?.map(|s| s.map(|s| (s.version, s.data)));
                let theirs =
                    poll::now("a snapshot", theirs)?.map(|s| s.map(|s| (s.version, s.data)));
                same_outcome(&("snapshot", stream, key, at_most), &ours, &theirs)?;
            }
        }
        for consumer in &things.consumers {
            let ours = poll::now(
                "a checkpoint",
                self.engine.load_checkpoint(consumer.clone()),
            )?;
            let theirs = self.model.store.load_checkpoint(consumer.clone());
            same_outcome(consumer, &ours, &poll::now("a checkpoint", theirs)?)?;
        }
        Ok(())
    }
}

fn same_outcome<T: PartialEq + std::fmt::Debug>(
    asked: &impl std::fmt::Debug,
    ours: &Result<T, StoreError>,
    theirs: &Result<T, StoreError>,
) -> Checked {
    let same = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        (Err(ours), Err(theirs)) => ours.kind() == theirs.kind(),
        _ => false,
    };
    ensure(same, || {
        format!(
            "asked {}: got {}, right is {}",
            short(asked),
            short(ours),
            short(theirs)
        )
    })
}

/// Whether revisions of every stream are consecutive from 0, and positions and times grow.
///
/// # Errors
/// The first place where it is not so.
pub fn check_shape(scan: &[RecordedEvent]) -> Checked {
    let mut next = std::collections::BTreeMap::new();
    let mut last: Option<&RecordedEvent> = None;
    for event in scan {
        let later = last.is_none_or(|l| l.position < event.position && l.time <= event.time);
        ensure(later, || {
            format!("out of order: {} after {}", short(event), short(&last))
        })?;
        last = Some(event);
        if event.kind != RecordKind::Event {
            continue;
        }
        let next = next.entry(&event.stream).or_insert(0);
        ensure(event.revision.number() == *next, || {
            format!(
                "revision {next} of its stream was expected: {}",
                short(event)
            )
        })?;
        *next += 1;
    }
    Ok(())
}
