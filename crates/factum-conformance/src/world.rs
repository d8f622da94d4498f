//! A store filled with known events, and the oracle that says what any read of it must give.
//!
//! The oracle is a list and four filters, so that it can be checked by looking at it. It knows the positions from reading everything
//! once, after checking that this is what was appended.

use factum_store::{AppendBatch, Direction, ReadFrom, ReadRequest, Source};
use factum_types::{ExpectedRevision, NewEvent, Position, RecordedEvent, StreamName};

use crate::check::{Outcome, Stop, increasing, recorded, same};
use crate::trial::Trial;
use crate::words::{stream, tag, write};

/// What is in the store, in order of position.
pub(crate) struct World {
    pub(crate) events: Vec<RecordedEvent>,
}

impl World {
    /// Fills the store: several streams of two categories and one without, four types, up to two tags, batches of one to four events over
    /// one to three streams. The same for every seed.
    pub(crate) fn make(t: &Trial) -> Result<Self, Stop> {
        let names = [
            "order-1",
            "order-2",
            "order-a-b",
            "item-1",
            "plain",
            "orders-1",
        ];
        let mut random = fastrand::Rng::with_seed(7);
        let mut given: Vec<(StreamName, NewEvent)> = Vec::new();
        for _ in 0..16 {
            let mut batch = AppendBatch::default();
            for _ in 0..random.usize(1..=3) {
                let name = stream(names[random.usize(..names.len())]);
                let events: Vec<_> = (0..random.usize(1..=2))
                    .map(|_| varied(t, &mut random))
                    .collect();
                given.extend(events.iter().map(|event| (name.clone(), event.clone())));
                batch = batch.and(write(&name, ExpectedRevision::Any, events));
            }
            t.append(batch)?;
        }
        Self::check(t, &given)
    }

    /// That the store holds exactly these events in this order.
    pub(crate) fn check(t: &Trial, given: &[(StreamName, NewEvent)]) -> Result<Self, Stop> {
        let events = t.read_all()?;
        same("how many events the store holds", events.len(), given.len())?;
        increasing("all events", &events)?;
        for (number, ((name, given_event), found)) in given.iter().zip(&events).enumerate() {
            let revision = given.iter().take(number).filter(|(n, _)| n == name).count() as u64;
            let expected = recorded(given_event, name, revision, found);
            same(format!("event {number} of all"), found, &expected)?;
        }
        Ok(Self { events })
    }

    /// What a read must give.
    pub(crate) fn expected(&self, request: &ReadRequest) -> Vec<RecordedEvent> {
        let mut events: Vec<_> = self
            .events
            .iter()
            .filter(|event| is_of(&request.source, event))
            .cloned()
            .collect();
        if request.direction == Direction::Backward {
            events.reverse();
        }
        let forward = request.direction == Direction::Forward;
        events.retain(|event| match request.from {
            ReadFrom::Start => forward,
            ReadFrom::End => !forward,
            ReadFrom::Position(from) if forward => event.position >= from,
            ReadFrom::Position(from) => event.position <= from,
            ReadFrom::Revision(from) if forward => event.revision >= from,
            ReadFrom::Revision(from) => event.revision <= from,
            _ => false,
        });
        let limit = request.limit.and_then(|limit| usize::try_from(limit).ok());
        events.truncate(limit.unwrap_or(usize::MAX));
        events
    }

    /// That the store gives what the oracle gives.
    pub(crate) fn compare(&self, t: &Trial, request: ReadRequest) -> Outcome {
        let expected = self.expected(&request);
        let what = format!("{request:?}");
        let found = t
            .read(request)
            .map_err(|error| Stop::from(error).at(&what))?;
        let places = |events: &[RecordedEvent]| {
            events
                .iter()
                .map(|e| (e.position, e.stream.clone(), e.revision))
                .collect::<Vec<_>>()
        };
        // Places first: a message with whole events would hide what is missing.
        same(format!("{what}, places"), places(&found), places(&expected))?;
        same(what, found, expected)
    }

    /// Every position of an event, those next to each, and one far beyond.
    pub(crate) fn edges(&self) -> Vec<Position> {
        let near = |p: Position| [p.previous(), Some(p), p.next()];
        let mut edges: Vec<_> = self
            .events
            .iter()
            .flat_map(|event| near(event.position))
            .flatten()
            .collect();
        edges.push(Position::START);
        edges.push(Position::from_raw(Position::NUMBER_MAX));
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    /// Compares a source from every edge, in both directions, with several limits.
    pub(crate) fn compare_everywhere(&self, t: &Trial, source: &Source) -> Outcome {
        let ends = [ReadFrom::Start, ReadFrom::End];
        let starts = ends
            .into_iter()
            .chain(self.edges().into_iter().map(ReadFrom::Position));
        for from in starts {
            self.compare_from(t, source, from)?;
        }
        Ok(())
    }

    /// Compares a source from one edge, in both directions, with several limits.
    pub(crate) fn compare_from(&self, t: &Trial, source: &Source, from: ReadFrom) -> Outcome {
        for limit in [None, Some(0), Some(1), Some(2), Some(3), Some(u64::MAX)] {
            for direction in [Direction::Forward, Direction::Backward] {
                let source = source.clone();
                self.compare(
                    t,
                    ReadRequest {
                        source,
                        from,
                        direction,
                        limit,
                        control: false,
                    },
                )?;
            }
        }
        Ok(())
    }
}

/// An event of a random type with random tags.
pub(crate) fn varied(t: &Trial, random: &mut fastrand::Rng) -> NewEvent {
    let event_type = ["Placed", "Paid", "Shipped", "Returned"][random.usize(..4)];
    let mut tags = vec![tag("region:north"), tag("customer:1"), tag("customer:2")];
    random.shuffle(&mut tags);
    tags.truncate(random.usize(..=2));
    t.event(event_type).with_tags(tags)
}

fn is_of(source: &Source, event: &RecordedEvent) -> bool {
    match source {
        Source::All => true,
        Source::Stream(stream) => event.stream == *stream,
        Source::Category(category) => event
            .stream
            .as_str()
            .split_once('-')
            .is_some_and(|(c, _)| c == category.as_str()),
        Source::Query(query) => query.items.iter().any(|item| {
            (item.types.is_empty() || item.types.contains(&event.event_type))
                && item.tags.iter().all(|tag| event.tags.contains(tag))
        }),
        _ => false,
    }
}
