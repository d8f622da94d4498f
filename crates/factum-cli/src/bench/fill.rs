//! Stores to read from: many events, quickly, and the same ones for the same seed.

use std::sync::Arc;

use factum_engine::Engine;
use factum_io::Clock;
use factum_store::{AppendBatch, EventStore, StreamWrite};
use factum_types::{EventType, ExpectedRevision, StreamName};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::append::{Maker, named};
use super::session::{Session, Settings};
use crate::failure::{Failure, Outcome};

const SEED: u64 = 2_026;
const BATCH_EVENTS_MAX: u64 = 2_048;
/// Appends under way at once.
const IN_FLIGHT: usize = 4;
const TYPES: &[&str] = &[
    "OrderPlaced",
    "OrderPaid",
    "OrderPacked",
    "OrderSent",
    "OrderReturned",
    "NoteAdded",
];

/// How events are spread over streams.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Every event goes to any of so many streams.
    Spread {
        /// How many streams.
        streams: u64,
    },
    /// Streams live for so many events, some of them side by side, and are not written again.
    ShortLived {
        /// Events of one stream.
        events: u64,
        /// Streams that live at one time.
        alive: u64,
    },
}

impl Shape {
    /// The number of the stream of an event.
    fn stream_of(self, event: u64, random: &mut fastrand::Rng) -> u64 {
        match self {
            Self::Spread { streams } => random.u64(..streams),
            Self::ShortLived { events, alive } => {
                let (generation, place) = (event / (events * alive), event % alive);
                generation * alive + place
            }
        }
    }
}

/// The name of a stream: 24 characters that do not tell their neighbours.
pub(super) fn name_of(stream: u64) -> Outcome<StreamName> {
    StreamName::new(format!("order-{:018x}", mixed(stream))).map_err(named)
}

/// Another number for every number, all over the place (the finaliser of SplitMix64).
const fn mixed(number: u64) -> u64 {
    let one = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let two = (one ^ (one >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    two ^ (two >> 31)
}

/// Makes batches of events.
#[derive(Debug)]
pub(super) struct Filler {
    maker: Maker,
    types: Vec<EventType>,
    shape: Shape,
    made: u64,
}

impl Filler {
    /// Who makes the same events for the same seed, but for the times in their ids. Two at work on one store need two seeds.
    pub(super) fn new(
        clock: &Arc<dyn Clock>,
        payload: usize,
        shape: Shape,
        seed: u64,
    ) -> Outcome<Self> {
        let types: Result<Vec<_>, _> = TYPES.iter().map(EventType::new).collect();
        Ok(Self {
            maker: Maker::new(clock, payload, SEED + seed),
            types: types.map_err(named)?,
            shape,
            made: 0,
        })
    }

    /// The next so many events.
    pub(super) fn batch(&mut self, events: u64) -> Outcome<AppendBatch> {
        let mut batch = AppendBatch::default();
        for _ in 0..events {
            let stream = self.shape.stream_of(self.made, self.maker.random());
            self.made += 1;
            let which = self.maker.random().usize(..self.types.len());
            let Some(event_type) = self.types.get(which) else {
                continue;
            };
            let event = self.maker.event_of_its_own(event_type);
            let write = StreamWrite::events(name_of(stream)?, ExpectedRevision::Any, vec![event]);
            batch = batch.and(write);
        }
        Ok(batch)
    }
}

/// Appends so many events, and lets the store finish its work in the background.
pub(super) fn fill(
    session: &mut Session<'_>,
    engine: &Engine,
    shape: Shape,
    events: u64,
) -> Outcome {
    session.say(&format!(
        "filling a store with {}",
        crate::ui::progress::counted(events, "event")
    ));
    let mut filler = Filler::new(&session.env.clock, session.settings.payload, shape, 0)?;
    let batch = batch_events(&session.settings);
    let mut left = events;
    let batches = std::iter::from_fn(|| {
        let count = left.min(batch);
        left -= count;
        (count > 0).then(|| session.check().and_then(|()| filler.batch(count)))
    });
    let appends = stream::iter(batches)
        .map(|batch| async { engine.append(batch?).await.map(drop).map_err(Failure::from) });
    pollster::block_on(
        appends
            .buffered(IN_FLIGHT)
            .try_for_each(|()| std::future::ready(Ok(()))),
    )?;
    Ok(engine.settle()?)
}

/// How many events are appended at once. Each may be the first of its stream, so it comes with a name.
pub(super) fn batch_events(settings: &Settings) -> u64 {
    const NAME_BYTES: usize = 128;
    BATCH_EVENTS_MAX.min(settings.large_batch(settings.payload + NAME_BYTES) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Shape, name_of};

    #[test]
    fn short_lived_streams_have_their_events_and_end() {
        let shape = Shape::ShortLived {
            events: 10,
            alive: 4,
        };
        let mut random = fastrand::Rng::with_seed(1);
        let mut counts = BTreeMap::new();
        for event in 0..80 {
            *counts
                .entry(shape.stream_of(event, &mut random))
                .or_insert(0) += 1;
        }
        let expected: BTreeMap<u64, i32> = (0..8).map(|stream| (stream, 10)).collect();
        assert_eq!(counts, expected);
    }

    #[test]
    fn names_have_24_characters_and_differ() {
        let names: std::collections::BTreeSet<_> = (0..1_000)
            .map(|n| name_of(n).unwrap().as_str().to_owned())
            .collect();
        assert_eq!(names.len(), 1_000);
        assert!(names.iter().all(|name| name.len() == 24), "{names:?}");
    }
}
