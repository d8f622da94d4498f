//! `factum bench stream`: reading one stream out of many, from memory and from the device.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_engine::{Engine, Options};
use factum_io::{DiskFile, DiskFileExt, Open};
use factum_store::{EventStore, ReadFrom, ReadRequest, Source};
use factum_types::{Revision, StreamName};

use super::append::open;
use super::files;
use super::fill::{Shape, fill, name_of};
use super::meter::{Meter, device_bytes_read};
use super::place::Place;
use super::probe::{MIB, Stretch, timed};
use super::read::cache_note;
use super::row::{Floor, Row, Unit};
use super::session::{Measured, Session};
use super::stats::{Histogram, per_second};
use super::threads::side_by_side;
use crate::failure::{Failure, Outcome};

const GROUP: &str = "stream";
const EVENTS_DEFAULT: u64 = 2_000_000;
const EVENTS_PER_STREAM: u64 = 20;
const SCATTERED: u64 = 10;
const READERS: usize = 64;
/// Where a read of one record from the page cache takes 645 ns.
const LAST_FLOOR: Floor = Floor::of(500e3, 1_550e3);
const SCATTERED_FLOOR: Floor = Floor::of(100e3, 155e3);
const COLD_FLOOR: Floor = Floor::of(3_500.0, 7_500.0);

/// The store as it is opened unless told otherwise: what was read before is in the system's page cache.
const PAGE_CACHE: [(&str, Ask, u64, Floor); 2] = [
    ("last event, from the page cache", last, 1, LAST_FLOOR),
    (
        "10 scattered events, from the page cache",
        scattered,
        SCATTERED,
        SCATTERED_FLOOR,
    ),
];

/// The store with blocks enough for all that is read.
const OWN_MEMORY: [(&str, Ask, u64, Floor); 2] = [
    ("last event, from the store's memory", last, 1, LAST_FLOOR),
    (
        "10 scattered events, from the store's memory",
        scattered,
        SCATTERED,
        SCATTERED_FLOOR,
    ),
];

pub(super) fn measure(session: &mut Session<'_>) -> Outcome {
    let path = session.place.fresh("store");
    let engine = open(&path, session)?;
    let events = session.settings.events.unwrap_or(EVENTS_DEFAULT);
    let streams = (events / EVENTS_PER_STREAM).max(1);
    fill(session, &engine, Shape::Spread { streams }, events)?;
    let names: Outcome<Vec<_>> = (0..streams).map(name_of).collect();
    // A stream that chance left without events is not asked for.
    let mut names = names?;
    names.retain(|name| has_enough(&engine, name));
    if names.is_empty() {
        return Err(Failure::usage(
            "too few --events: no stream has ten of them",
        ));
    }
    let names: Arc<[StreamName]> = names.into();
    let stats = engine.stats();
    let event_bytes = stats.segment_bytes / stats.records.max(1);
    hot(session, &engine, &names, (&path, event_bytes), &PAGE_CACHE)?;
    cold(session, &engine, &names, &path)?;
    engine.close()?;
    drop(engine);
    let own = Options::new(&path).block_cache_bytes(2 * stats.segment_bytes);
    let engine = Engine::open(own, session.env.clone())?;
    hot(session, &engine, &names, (&path, event_bytes), &OWN_MEMORY)?;
    engine.close()?;
    drop(engine);
    Place::remove(&path)
}

fn has_enough(engine: &Engine, name: &StreamName) -> bool {
    let info = pollster::block_on(engine.stream_info(name.clone()));
    info.is_ok_and(|info| {
        info.last_revision
            .is_some_and(|last| last.number() + 1 >= SCATTERED)
    })
}

fn hot(
    session: &mut Session<'_>,
    engine: &Engine,
    names: &Arc<[StreamName]>,
    (path, event_bytes): (&Path, u64),
    rows: &[(&str, Ask, u64, Floor); 2],
) -> Outcome {
    let cached = files::sealed(path, Open::read(), &session.env)?;
    let records = Records::new(cached, event_bytes)?;
    for (name, ask, per_read, floor) in *rows {
        if !session.wants(name) {
            continue;
        }
        // Brings everything that is asked for into memory.
        names
            .iter()
            .try_for_each(|name| read_one(engine, ask(name), per_read))?;
        let measured = |session: &mut Session<'_>| ask_on(session, engine, names, (ask, per_read));
        let Some(records) = &records else {
            let found = session.once(&mut |session| measured(session))?;
            let note = "no sealed segment to compare with; use more --events";
            session.add(Row::new(GROUP, name, Unit::Reads, found.figure).note(note));
            continue;
        };
        let (limit, found) = session.between(name, |session| records.read_on(session), measured)?;
        let row = Row::new(GROUP, name, Unit::Reads, found.figure)
            .limit(
                limit.figure / per_read as f64,
                "as many reads of one record anywhere in the page cache, each with its CRC-32C",
            )
            .floor(Some(floor))
            .rounds(&found, &limit)
            .times(&found.times);
        session.add(row.others(&found.spent).note(found.note));
    }
    Ok(())
}

fn cold(
    session: &mut Session<'_>,
    engine: &Engine,
    names: &Arc<[StreamName]>,
    path: &Path,
) -> Outcome {
    let name = "10 scattered events, from the device, 64 readers";
    if !session.wants(name) {
        return Ok(());
    }
    let direct = files::sealed(path, Open::read_direct(), &session.env)?;
    if direct.is_empty() {
        return Ok(());
    }
    let stretch = Stretch::new(direct)?;
    let (limit, found) = session.between(
        name,
        |session| stretch.read_anywhere(session, READERS),
        |session| cold_slices(session, engine, names),
    )?;
    let row = Row::new(GROUP, name, Unit::Reads, found.figure)
        .limit(
            limit.figure / SCATTERED as f64,
            "a tenth of the direct reads of 4 KiB anywhere in the same files, 64 at once",
        )
        .floor(Some(COLD_FLOOR))
        .rounds(&found, &limit)
        .times(&found.times);
    session.add(row.spent(&found.spent, found.items).note(found.note));
    Ok(())
}

/// What to ask of a stream.
type Ask = fn(&StreamName) -> ReadRequest;

fn last(name: &StreamName) -> ReadRequest {
    ReadRequest::backward(Source::Stream(name.clone())).limit(1)
}

fn scattered(name: &StreamName) -> ReadRequest {
    ReadRequest::stream(name.clone())
        .from(ReadFrom::Revision(Revision::FIRST))
        .limit(SCATTERED)
}

fn read_one(engine: &Engine, request: ReadRequest, expected: u64) -> Outcome {
    let mut events = engine.read(request);
    let found = pollster::block_on(async {
        let mut count = 0;
        while let Some(event) = events.next().await {
            black_box(event?);
            count += 1;
        }
        Ok::<u64, Failure>(count)
    })?;
    if found == expected {
        return Ok(());
    }
    Err(Failure::error(format!(
        "a stream gave {found} events instead of {expected}"
    )))
}

/// Asks for one stream after the other on one thread.
fn ask_on(
    session: &Session<'_>,
    engine: &Engine,
    names: &Arc<[StreamName]>,
    (ask, expected): (Ask, u64),
) -> Outcome<Measured> {
    let before = device_bytes_read();
    let clock = &*session.env.clock;
    let meter = Meter::start(clock);
    let mut reader = Reader::new(engine, names, 1);
    let mut times = Histogram::default();
    let until = clock.monotonic_ns() + session.window_ns();
    reader.read_until(until, clock, &mut times, (ask, expected))?;
    let spent = meter.stop(clock);
    let items = times.count();
    let note = cache_note(device_bytes_read() - before, items * expected);
    Ok(Measured {
        figure: per_second(items, spent.ns),
        items,
        times,
        spent,
        note,
        ..Measured::default()
    })
}

/// One who asks for streams by chance.
struct Reader {
    engine: Engine,
    names: Arc<[StreamName]>,
    random: fastrand::Rng,
}

impl Reader {
    fn new(engine: &Engine, names: &Arc<[StreamName]>, seed: u64) -> Self {
        Self {
            engine: engine.clone(),
            names: Arc::clone(names),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    fn read_until(
        &mut self,
        until: u64,
        clock: &dyn factum_io::Clock,
        times: &mut Histogram,
        (ask, expected): (Ask, u64),
    ) -> Outcome {
        let mut before = clock.monotonic_ns();
        while before < until {
            let Some(name) = self.random.choice(&*self.names) else {
                return Ok(());
            };
            read_one(&self.engine, ask(name), expected)?;
            let after = clock.monotonic_ns();
            times.add(after - before);
            before = after;
        }
        Ok(())
    }
}

/// Many readers at once, in slices so short that what they bring into memory does not help them, each from caches that were just emptied.
fn cold_slices(
    session: &Session<'_>,
    engine: &Engine,
    names: &Arc<[StreamName]>,
) -> Outcome<Measured> {
    const SLICE_NS: u64 = 250_000_000;
    let clock = &session.env.clock;
    let mut all = Measured::default();
    let (mut slices, mut from_device) = (0, 0);
    while all.spent.ns < session.window_ns() {
        slices += 1;
        engine.drop_caches();
        let (before, meter) = (device_bytes_read(), Meter::start(&**clock));
        let slice = SLICE_NS.min(session.window_ns());
        let until = clock.monotonic_ns() + slice;
        let (engine, names, own) = (engine.clone(), Arc::clone(names), Arc::clone(clock));
        let found = side_by_side(&session.env, READERS, move |number| {
            let mut reader = Reader::new(&engine, &names, slices * 1_000 + number as u64);
            let mut times = Histogram::default();
            reader.read_until(until, &*own, &mut times, (scattered, SCATTERED))?;
            Ok(times)
        })?;
        let spent = meter.stop(&**clock);
        all.spent.ns += spent.ns;
        all.spent.own_ns += spent.own_ns;
        all.spent.others = all.spent.others.max(spent.others);
        found.iter().for_each(|times| all.times.merge(times));
        from_device += device_bytes_read() - before;
    }
    all.items = all.times.count();
    all.figure = per_second(all.items, all.spent.ns);
    all.note = cache_note(from_device, all.items * SCATTERED);
    Ok(all)
}

/// Records anywhere in the page cache.
#[derive(Debug)]
struct Records {
    files: Arc<Vec<(Arc<dyn DiskFile>, u64)>>,
    bytes: u64,
}

impl Records {
    /// Brings all of them into the page cache.
    fn new(files: Vec<(Arc<dyn DiskFile>, u64)>, bytes: u64) -> Outcome<Option<Self>> {
        let mut buffer = vec![0; MIB];
        for (file, length) in &files {
            let mut at = 0;
            while at < *length {
                let read = file.read_at(&mut buffer, at);
                at += read
                    .map_err(|error| Failure::io("reading a segment", &error))?
                    .max(1) as u64;
            }
        }
        Ok((!files.is_empty()).then(|| Self {
            files: Arc::new(files),
            bytes,
        }))
    }

    /// Reads and checks one after the other; counts records.
    fn read_on(&self, session: &Session<'_>) -> Outcome<Measured> {
        let (files, bytes) = (Arc::clone(&self.files), self.bytes);
        let place = Arc::new(AtomicU64::new(1));
        timed(session, 1, move |_number| {
            let files = Arc::clone(&files);
            let mut random = fastrand::Rng::with_seed(place.fetch_add(1, Ordering::Relaxed));
            let mut buffer = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
            Ok(Box::new(move || {
                let Some((file, length)) = random.choice(&*files) else {
                    return Ok(());
                };
                file.read_exact_at(
                    &mut buffer,
                    random.u64(..length.saturating_sub(bytes).max(1)),
                )?;
                black_box(factum_format::hash::crc(&buffer));
                Ok(())
            }))
        })
    }
}
