//! `factum bench append`: how many events become durable in a second, by how many writers.
//!
//! Every writer has a stream of its own and appends at the exact revision that it knows, one append after the other.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use factum_engine::{Engine, Options};
use factum_io::Clock;
use factum_store::{AppendBatch, EventStore};
use factum_types::{
    Bytes, EventId, EventType, ExpectedRevision, NameError, NewEvent, Revision, StreamName,
};

use super::crowd::{self, Writer};
use super::floor::{BareLog, HEAD_BYTES};
use super::place::Place;
use super::probe::{MIB, PAGE_BYTES, Written};
use super::row::{Floor, Row, Unit};
use super::session::{Measured, Session};
use crate::failure::{Failure, Outcome};

const GROUP: &str = "append";
const BARE: &str = "a bare group-commit loop with the same writers";

/// How many writers with how many events each time, and what must be reached.
const CROWDS: &[(usize, usize, Floor)] = &[
    (8, 1, Floor::of(25e3, 51e3)),
    (64, 1, Floor::of(150e3, 325e3)),
    (256, 1, Floor::of(400e3, 937e3)),
    (1_024, 1, Floor::of(700e3, 2_070e3)),
    (64, 32, Floor::of(1_200e3, 2_960e3)),
];
const LONE_FLOOR: Floor = Floor::of(5_000.0, 11_400.0);
const BULK_FLOOR: Floor = Floor::of(700.0, 2_253.0);
const BULK_TASKS: usize = 8;

pub(super) fn measure(session: &mut Session<'_>) -> Outcome {
    let path = session.place.fresh("bare");
    let written = Written::new(&path, &session.env)?;
    lone(session, &written)?;
    for (writers, events, floor) in CROWDS {
        crowd(session, &written, (*writers, *events), *floor)?;
    }
    bulk(session, &written)?;
    drop(written);
    Place::remove_file(&path, &session.env)
}

/// One writer can be no faster than one durable write after the other.
fn lone(session: &mut Session<'_>, written: &Written) -> Outcome {
    let name = "1 writer";
    if !session.wants(name) {
        return Ok(());
    }
    let (limit, found) = session.between(
        name,
        |session| written.durable_writes(session, PAGE_BYTES, 1),
        |session| in_store(session, (1, 1)),
    )?;
    let limit_p50 = limit.times.per_mille(500);
    let row = Row::new(GROUP, name, Unit::Events, found.figure)
        .limit(limit.figure, "durable writes of 4 KiB, one after the other")
        .floor(Some(LONE_FLOOR))
        .rounds(&found, &limit)
        .times(&found.times)
        .fact("write p50", super::stats::micros(limit_p50), "µs");
    session.add(row.spent(&found.spent, found.items).note(found.note));
    Ok(())
}

fn crowd(
    session: &mut Session<'_>,
    written: &Written,
    (writers, events): (usize, usize),
    floor: Floor,
) -> Outcome {
    let batches = if events == 1 {
        String::new()
    } else {
        format!(", {events} events at once")
    };
    let name = format!("{writers} writers{batches}");
    if !session.wants(&name) {
        return Ok(());
    }
    let (limit, found) = session.between(
        &name,
        |session| in_bare_log(session, written, (writers, events)),
        |session| in_store(session, (writers, events)),
    )?;
    let row = Row::new(GROUP, name, Unit::Events, found.figure)
        .limit(limit.figure, BARE)
        .floor(Some(floor))
        .rounds(&found, &limit)
        .times(&found.times)
        .spent(&found.spent, found.items)
        .fact(
            "bare cpu",
            super::stats::micros(limit.spent.own_ns) / (limit.items.max(1) as f64),
            "µs each",
        );
    session.add(row.note(found.note));
    Ok(())
}

fn bulk(session: &mut Session<'_>, written: &Written) -> Outcome {
    let events = session
        .settings
        .large_batch(session.settings.payload + HEAD_BYTES);
    let name = format!("bulk: {BULK_TASKS} writers, {events} events at once");
    if !session.wants(&name) {
        return Ok(());
    }
    let mut log_bytes_per_event = 0.0;
    let (limit, found) = session.between(
        &name,
        |session| written.durable_writes(session, MIB, 1),
        |session| {
            let (mut found, bytes) = in_store_with_bytes(session, (BULK_TASKS, events))?;
            log_bytes_per_event = bytes;
            found.figure *= bytes / MIB as f64;
            Ok(found)
        },
    )?;
    let events_per_second = found.figure * MIB as f64 / log_bytes_per_event.max(1.0);
    let row = Row::new(GROUP, name, Unit::Mebibytes, found.figure)
        .limit(limit.figure, "durable writes of 1 MiB, one at a time")
        .floor(Some(BULK_FLOOR))
        .rounds(&found, &limit)
        .fact("events", events_per_second, "/s")
        .times(&found.times)
        .spent(&found.spent, found.items);
    session.add(row.note(found.note));
    Ok(())
}

/// The limit.
pub(super) fn in_bare_log(
    session: &Session<'_>,
    written: &Written,
    (writers, events): (usize, usize),
) -> Outcome<Measured> {
    let log = BareLog::start(session, written)?;
    let writers = (0..writers)
        .map(|_| log.writer(events, session.settings.payload))
        .collect();
    crowd::run(session, "bare-writers", writers)
}

fn in_store(session: &mut Session<'_>, size: (usize, usize)) -> Outcome<Measured> {
    Ok(in_store_with_bytes(session, size)?.0)
}

/// The figure, and how many bytes of log an event took.
fn in_store_with_bytes(
    session: &mut Session<'_>,
    (writers, events): (usize, usize),
) -> Outcome<(Measured, f64)> {
    with_store(session, |session, engine| {
        let writers: Outcome<Vec<_>> = (0..writers)
            .map(|number| StoreWriter::new(session, engine, number, events))
            .collect();
        crowd::run(session, "store-writers", writers?)
    })
}

/// Measures a new store and removes it; also gives how many bytes of log an event took.
pub(super) fn with_store(
    session: &mut Session<'_>,
    measure: impl FnOnce(&Session<'_>, &Engine) -> Outcome<Measured>,
) -> Outcome<(Measured, f64)> {
    let path = session.place.fresh("store");
    let engine = open(&path, session)?;
    let mut found = measure(session, &engine)?;
    let stats = engine.stats();
    let bytes = stats.segment_bytes as f64 / (stats.records.max(1) as f64);
    let behind = stats.unsealed_segments.saturating_sub(1);
    if behind > 0 {
        found.note = format!("{behind} full segments not yet sealed at the end");
    }
    engine.close()?;
    drop(engine);
    Place::remove(&path)?;
    Ok((found, bytes))
}

/// A new store; but for the size of its segments, if one was given, with nothing but defaults.
pub(super) fn open(path: &Path, session: &Session<'_>) -> Outcome<Engine> {
    let options = Options::new(path).segment_bytes(session.settings.segment_bytes());
    Ok(Engine::open(options, session.env.clone())?)
}

/// Makes events of one type, as an application would: an id of version 7, data that cannot be made smaller.
///
/// The data are pieces of one block that all makers share, so that making an event costs next to nothing: what is measured is the store.
#[derive(Debug)]
pub(super) struct Maker {
    clock: Arc<dyn Clock>,
    random: fastrand::Rng,
    block: &'static [u8],
    payload: usize,
    unix_ms: u64,
}

impl Maker {
    const PIECES: usize = 16;

    pub(super) fn new(clock: &Arc<dyn Clock>, payload: usize, seed: u64) -> Self {
        Self {
            clock: Arc::clone(clock),
            random: fastrand::Rng::with_seed(seed),
            block: block(payload * Self::PIECES),
            payload,
            unix_ms: 0,
        }
    }

    /// Events for one append; the clock is asked once.
    pub(super) fn events(&mut self, event_type: &EventType, count: usize) -> Vec<NewEvent> {
        self.tick();
        (0..count).map(|_| self.make(event_type)).collect()
    }

    pub(super) fn event(&mut self, event_type: &EventType) -> NewEvent {
        self.tick();
        self.make(event_type)
    }

    fn tick(&mut self) {
        self.unix_ms = u64::try_from(self.clock.now_us() / 1_000).unwrap_or_default();
    }

    fn make(&mut self, event_type: &EventType) -> NewEvent {
        let [piece, _, _, _, _, _, tail @ ..] = self.random.u128(..).to_le_bytes();
        let piece = usize::from(piece) % Self::PIECES * self.payload;
        let data = self.block.get(piece..piece + self.payload);
        let data = Bytes::from_static(data.unwrap_or_default());
        NewEvent::binary(EventId::v7(self.unix_ms, tail), event_type.clone(), data)
    }

    /// Data of which no two events have the same.
    pub(super) fn event_of_its_own(&mut self, event_type: &EventType) -> NewEvent {
        let mut event = self.event(event_type);
        let mut data = event.data.to_vec();
        self.random.fill(&mut data);
        event.data = data.into();
        event
    }

    pub(super) const fn random(&mut self) -> &mut fastrand::Rng {
        &mut self.random
    }
}

/// Random bytes, the same in every run. One block for the program's life; all payloads of a run have one size.
fn block(bytes: usize) -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    let block = BLOCK.get_or_init(|| {
        let mut block = vec![0; bytes];
        fastrand::Rng::with_seed(BLOCK_SEED).fill(&mut block);
        block
    });
    assert!(block.len() >= bytes, "all payloads of a run have one size");
    block
}

const BLOCK_SEED: u64 = 0x0046_4143_5455_4D00;

#[derive(Debug)]
struct StoreWriter {
    engine: Engine,
    maker: Maker,
    stream: StreamName,
    event_type: EventType,
    events: usize,
    next_revision: u64,
}

impl StoreWriter {
    fn new(session: &Session<'_>, engine: &Engine, number: usize, events: usize) -> Outcome<Self> {
        Ok(Self {
            engine: engine.clone(),
            maker: Maker::new(&session.env.clock, session.settings.payload, number as u64),
            stream: StreamName::new(format!("writer-{number:017}")).map_err(named)?,
            event_type: EventType::new("Measured").map_err(named)?,
            events,
            next_revision: 0,
        })
    }
}

impl Writer for StoreWriter {
    async fn write(&mut self) -> Outcome<u64> {
        let expected = match self.next_revision.checked_sub(1) {
            Some(last) => ExpectedRevision::Exactly(Revision::new(last)),
            None => ExpectedRevision::NoStream,
        };
        let events = self.maker.events(&self.event_type, self.events);
        let batch = AppendBatch::events(self.stream.clone(), expected, events);
        self.engine.append(batch).await?;
        self.next_revision += self.events as u64;
        Ok(self.events as u64)
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err asks for"
)]
pub(super) fn named(error: NameError) -> Failure {
    Failure::error(error.to_string())
}
