//! `factum bench fold`: the framework over the engine: all states of a category, and one long stream with and without snapshots.

use std::hint::black_box;
use std::sync::Arc;

use factum_engine::{Engine, Options};
use factum_framework::world::Background;
use factum_framework::{Event, Policy, Repository, World};
use factum_store::{AppendBatch, EventStore, ReadRequest, SnapshotStore, StreamWrite};
use factum_types::{Bytes, Category, EventType, ExpectedRevision, Metadata, NewEvent, StreamName};
use futures_util::future::BoxFuture;

use super::append::{named, open};
use super::loans::{Bare, CATEGORY, Loan, LoanEvent, application, made};
use super::meter::Meter;
use super::place::Place;
use super::row::{Floor, Row, Unit};
use super::session::{Measured, Session};
use super::stats::{Histogram, per_second};
use crate::failure::{Failure, Outcome};
use crate::files::Input;
use crate::import::{self, Effect, Invalid, Tally};
use factum_json::cloud::bring::TimeOf;

const GROUP: &str = "fold";
/// As many as the real log has.
const EVENTS_DEFAULT: u64 = 262_200;
/// Applications that are written at one time.
const ALIVE: usize = 400;
const BATCH_EVENTS: usize = 2_048;
/// More than one event takes in a batch.
const EVENT_BYTES: usize = 512;
/// Small enough for the log to seal several.
const SEALED_SEGMENT_BYTES: u64 = 16 << 20;
const ONE_BY_ONE: &str = "all loan applications, one by one";
const ALL_FLOOR: f64 = 1_000_000.0;
const BARE: &str = "serde_json over the same data in memory, borrowed, one core";

const LONG_EVENTS: usize = 10_000;
const EVERY: usize = 100;
/// How many times faster than a replay a load from a snapshot must be.
const SNAPSHOT_TIMES: f64 = 20.0;
/// As many events as the policy leaves behind the last snapshot, at worst.
const TAIL_EVENTS: usize = EVERY - 1;

pub(super) fn measure(session: &mut Session<'_>) -> Outcome {
    all(session)?;
    long(session)
}

/// Every application of the log, first in a store as it is by default, then in one most of whose segments are sealed.
fn all(session: &mut Session<'_>) -> Outcome {
    let bytes = session.settings.segment_bytes();
    applications(
        session,
        bytes,
        &["all loan applications, together", ONE_BY_ONE],
    )?;
    let bytes = bytes.min(SEALED_SEGMENT_BYTES);
    applications(session, bytes, &["all loan applications, together, sealed"])
}

/// Every application of the log in a store with segments of this size.
fn applications(session: &mut Session<'_>, segment_bytes: u64, names: &[&str]) -> Outcome {
    if !names.iter().any(|name| session.wants(name)) {
        return Ok(());
    }
    let path = session.place.fresh("store");
    let options = Options::new(&path).segment_bytes(segment_bytes);
    let engine = Engine::open(options, session.env.clone())?;
    let note = match session.settings.log.clone() {
        Some(log) => bring(session, &engine, &log)?,
        None => make(session, &engine)?,
    };
    let events = category_data(&engine)?;
    if events.ends.is_empty() {
        return Err(Failure::usage(format!(
            "the log has no streams of the category {CATEGORY}"
        )));
    }
    let repository = Repository::new(Arc::new(engine.clone())).with_cache(0);
    for name in names {
        if *name == ONE_BY_ONE {
            let streams = streams_of(&repository)?;
            let alone = || {
                let loads = streams
                    .iter()
                    .map(|stream| load(&repository, stream.as_str()));
                loads.sum::<Outcome<u64>>()
            };
            row(session, name, (&events, None, &note), alone)?;
        } else {
            let floor = Some(Floor::Figure(ALL_FLOOR));
            row(session, name, (&events, floor, &note), || {
                together(&repository)
            })?;
        }
    }
    engine.close()?;
    drop((repository, engine));
    Place::remove(&path)
}

fn together(repository: &Repository) -> Outcome<u64> {
    let load = repository.load_all::<Loan>(CATEGORY).at_most(usize::MAX);
    let states = pollster::block_on(async { load.await })?;
    Ok(states.iter().map(|state| state.version).sum())
}

/// One stream that is long.
fn long(session: &mut Session<'_>) -> Outcome {
    let path = session.place.fresh("store");
    let engine = open(&path, session)?;
    let plain = Repository::new(Arc::new(engine.clone())).with_cache(0);
    let kept = with_snapshots(&plain, &engine)?;
    write_long(&kept)?;
    write(
        &plain,
        TAIL,
        made(&mut fastrand::Rng::with_seed(2), TAIL_EVENTS),
    )?;
    let events = category_data(&engine)?;
    let name = format!("{} events of one stream, replayed", shown(LONG_EVENTS));
    let note = String::new();
    row(session, &name, (&events, None, &note), || {
        load(&plain, LONG)
    })?;
    let name = format!(
        "{} events of one stream, from a snapshot",
        shown(LONG_EVENTS)
    );
    if session.wants(&name) {
        let replays = session.once(&mut |session| loads(session, &plain, LONG))?;
        let (limit, found) = session.between(
            &name,
            |session| loads(session, &plain, TAIL),
            |session| loads(session, &kept, LONG),
        )?;
        let row = Row::new(GROUP, name, Unit::Reads, found.figure)
            .limit(
                limit.figure,
                "loads of a stream that has no more than the 99 events of the tail",
            )
            .floor(Some(Floor::Figure(SNAPSHOT_TIMES * replays.figure)))
            .rounds(&found, &limit)
            .times(&found.times)
            .fact("times a replay", found.figure / replays.figure.max(1.0), "");
        session.add(row.spent(&found.spent, found.items));
    }
    engine.close()?;
    drop((plain, kept, engine));
    Place::remove(&path)
}

/// Measures folds of `events` against the bare decoding of the same.
fn row(
    session: &mut Session<'_>,
    name: &str,
    (data, floor, note): (&Data, Option<Floor>, &str),
    fold: impl Fn() -> Outcome<u64>,
) -> Outcome {
    if !session.wants(name) {
        return Ok(());
    }
    // Brings everything into memory.
    fold()?;
    let (limit, found) = session.between(
        name,
        |session| repeated(session, || data.decode()),
        |session| repeated(session, &fold),
    )?;
    let row = Row::new(GROUP, name, Unit::Events, found.figure)
        .limit(limit.figure, BARE)
        .floor(floor)
        .rounds(&found, &limit);
    session.add(row.spent(&found.spent, found.items).note(note));
    Ok(())
}

/// Does it again and again, for as long as a measurement lasts and at least once.
fn repeated(session: &Session<'_>, work: impl Fn() -> Outcome<u64>) -> Outcome<Measured> {
    let clock = &*session.env.clock;
    let meter = Meter::start(clock);
    let mut all = Measured::default();
    let until = clock.monotonic_ns() + session.window_ns();
    while all.items == 0 || clock.monotonic_ns() < until {
        session.check()?;
        all.items += work()?.max(1);
    }
    all.spent = meter.stop(clock);
    all.figure = per_second(all.items, all.spent.ns);
    Ok(all)
}

/// Loads a stream again and again, and counts the loads.
fn loads(session: &Session<'_>, repository: &Repository, stream: &str) -> Outcome<Measured> {
    let clock = &*session.env.clock;
    let meter = Meter::start(clock);
    let mut times = Histogram::default();
    let mut before = clock.monotonic_ns();
    let until = before + session.window_ns();
    while times.count() == 0 || before < until {
        black_box(load(repository, stream)?);
        let after = clock.monotonic_ns();
        times.add(after - before);
        before = after;
    }
    let spent = meter.stop(clock);
    Ok(Measured {
        figure: per_second(times.count(), spent.ns),
        items: times.count(),
        times,
        spent,
        ..Measured::default()
    })
}

/// Loads a stream, and says how many events that stands for.
fn load(repository: &Repository, stream: &str) -> Outcome<u64> {
    let loaded = pollster::block_on(async { repository.load::<Loan>(stream).await })?;
    Ok(loaded.version)
}

/// The data of all events, one behind the other.
#[derive(Debug, Default)]
struct Data {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Data {
    /// Does the least that a typed fold can do with JSON.
    fn decode(&self) -> Outcome<u64> {
        let mut start = 0;
        for end in &self.ends {
            let data = self.bytes.get(start..*end).unwrap_or_default();
            let bare: Bare<'_> = serde_json::from_slice(data).map_err(|error| undecoded(&error))?;
            black_box((bare.registered, bare.amount, bare.lifecycle));
            start = *end;
        }
        Ok(self.ends.len() as u64)
    }
}

fn undecoded(error: &serde_json::Error) -> Failure {
    Failure::error(format!(
        "the log has an event that is none of a loan application's: {error}"
    ))
}

fn category() -> Outcome<Category> {
    Category::new(CATEGORY).map_err(named)
}

fn category_data(engine: &Engine) -> Outcome<Data> {
    let mut data = Data::default();
    let mut events = engine.read(ReadRequest::category(category()?));
    pollster::block_on(async {
        while let Some(event) = events.next().await {
            data.bytes.extend_from_slice(&event?.data);
            data.ends.push(data.bytes.len());
        }
        Ok::<_, Failure>(())
    })?;
    Ok(data)
}

fn streams_of(repository: &Repository) -> Outcome<Vec<StreamName>> {
    let load = repository.load_all::<Loan>(CATEGORY).at_most(usize::MAX);
    let states = pollster::block_on(async { load.await })?;
    Ok(states.into_iter().map(|state| state.stream).collect())
}

/// Brings the real log in.
fn bring(session: &mut Session<'_>, engine: &Engine, log: &std::path::Path) -> Outcome<String> {
    struct Quiet;
    impl import::Watcher for Quiet {
        fn step(&mut self, _: &Tally) {}
        fn wrong(&mut self, _: &str) {}
    }
    session.say(&format!("bringing in {}", log.display()));
    let settings = import::Settings {
        time_of: TimeOf::Event,
        batch_events: import::BATCH_EVENTS,
        invalid: Invalid::Stop,
        effect: Effect::Append,
    };
    let store: Arc<dyn EventStore> = Arc::new(engine.clone());
    let input = Input::open(log)?;
    let finished = import::run(
        input,
        settings,
        &store,
        &session.env,
        session.interrupt(),
        &mut Quiet,
    );
    finished.outcome?;
    engine.settle()?;
    let Tally { added, streams, .. } = finished.tally;
    Ok(format!(
        "the log given, {added} events of {streams} streams"
    ))
}

/// Makes a log of the shape of the real one.
fn make(session: &mut Session<'_>, engine: &Engine) -> Outcome<String> {
    let events = session.settings.events.unwrap_or(EVENTS_DEFAULT);
    session.say(&format!(
        "making {}",
        crate::ui::progress::counted(events, "event")
    ));
    let mut maker = Maker::new();
    let batch_events = session.settings.large_batch(EVENT_BYTES).min(BATCH_EVENTS);
    let mut left = usize::try_from(events).unwrap_or(usize::MAX);
    while left > 0 {
        session.check()?;
        let count = left.min(batch_events);
        let mut batch = AppendBatch::default();
        for _ in 0..count {
            batch = batch.and(maker.write(engine)?);
        }
        pollster::block_on(engine.append(batch))?;
        left -= count;
    }
    engine.settle()?;
    Ok(format!(
        "made, {events} events of {} streams",
        maker.streams
    ))
}

/// Makes the events of many applications, some of them side by side.
struct Maker {
    random: fastrand::Rng,
    alive: Vec<(StreamName, std::vec::IntoIter<LoanEvent>)>,
    streams: u32,
}

impl Maker {
    fn new() -> Self {
        Self {
            random: fastrand::Rng::with_seed(2_012),
            alive: Vec::new(),
            streams: 0,
        }
    }

    /// The next event of any application, with metadata as an import leaves them.
    fn write(&mut self, engine: &Engine) -> Outcome<StreamWrite> {
        const CUSTOM: &[u8] = br#"{"source":"https://doi.org/10.4121/uuid:3926db30-f712-4394-aebc-75976070e91f","time":"2011-09-30T22:38:44.546Z"}"#;
        let (stream, event) = self.next()?;
        let event_type = EventType::new(event.kind().name).map_err(named)?;
        let mut stored = NewEvent::json(engine.new_event_id(), event_type, event.encode()?);
        let with_user = self.random.u8(..100) < 93;
        stored.metadata = Metadata {
            user_id: with_user.then(|| (10_000 + self.random.u32(..2_000)).to_string()),
            custom: Bytes::from_static(CUSTOM),
            ..Metadata::default()
        };
        Ok(StreamWrite::events(
            stream,
            ExpectedRevision::Any,
            vec![stored],
        ))
    }

    fn next(&mut self) -> Outcome<(StreamName, LoanEvent)> {
        loop {
            while self.alive.len() < ALIVE {
                self.streams += 1;
                let stream = format!("{CATEGORY}-{}", 173_000 + self.streams);
                let stream = StreamName::new(stream).map_err(named)?;
                let events = application(&mut self.random).into_iter();
                self.alive.push((stream, events));
            }
            let which = self.random.usize(..self.alive.len());
            let Some((stream, events)) = self.alive.get_mut(which) else {
                continue;
            };
            match events.next() {
                Some(event) => return Ok((stream.clone(), event)),
                None => drop(self.alive.swap_remove(which)),
            }
        }
    }
}

const LONG: &str = "loanApplication-long";
const TAIL: &str = "loanApplication-tail";

/// Takes snapshots at once, so that which there are does not depend on chance.
struct AtOnce;

impl Background for AtOnce {
    fn start(&self, task: BoxFuture<'static, ()>) {
        pollster::block_on(task);
    }
}

fn with_snapshots(plain: &Repository, engine: &Engine) -> Outcome<Repository> {
    let world = World {
        background: Arc::new(AtOnce),
        ..World::real()
    };
    let snapshots: Arc<dyn SnapshotStore> = Arc::new(engine.clone());
    let every = Policy::every(EVERY as u64);
    let kept = plain
        .clone()
        .with_world(world)
        .with_snapshot_store(snapshots);
    Ok(kept.with_snapshots::<Loan>(every)?)
}

/// A stream of 10,000 events, whose last snapshot has as long a tail as the policy allows.
fn write_long(kept: &Repository) -> Outcome {
    let mut events = made(&mut fastrand::Rng::with_seed(1), LONG_EVENTS);
    let tail = events.split_off(LONG_EVENTS - TAIL_EVENTS);
    let first = events.split_off(1);
    write(kept, LONG, events)?;
    for part in first.chunks(EVERY) {
        write(kept, LONG, part.to_vec())?;
    }
    write(kept, LONG, tail)?;
    let loaded = pollster::block_on(async { kept.load::<Loan>(LONG).await })?;
    let as_meant = (loaded.version, loaded.folded) == (LONG_EVENTS as u64, TAIL_EVENTS as u64);
    as_meant.then_some(()).ok_or_else(|| {
        let (version, folded) = (loaded.version, loaded.folded);
        Failure::error(format!(
            "of {version} events {folded} were folded: the snapshots are not as meant"
        ))
    })
}

fn write(repository: &Repository, stream: &str, events: Vec<LoanEvent>) -> Outcome {
    let ran = pollster::block_on(async { repository.run::<Loan>(stream, events).await });
    ran.map(drop)
        .map_err(|error| Failure::error(format!("a command failed: {error}")))
}

fn shown(number: usize) -> String {
    crate::ui::progress::grouped(number as u64)
}
