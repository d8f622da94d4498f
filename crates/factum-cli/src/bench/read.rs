//! `factum bench read`: going through everything, from memory and from the device.

use std::hint::black_box;
use std::path::Path;

use factum_engine::Engine;
use factum_io::{DiskFileExt, Open};
use factum_store::{EventStore, ReadRequest};

use super::append::open;
use super::files;
use super::fill::{Shape, fill};
use super::meter::{Meter, device_bytes_read};
use super::place::Place;
use super::probe::{MIB, Stretch};
use super::row::{Floor, Row, Unit};
use super::session::{Measured, Session};
use super::stats::per_second;
use crate::failure::{Failure, Outcome};

const GROUP: &str = "read";
const EVENTS_DEFAULT: u64 = 2_000_000;
const STREAMS: u64 = 100_000;
/// What is read with one call; so little that it stays in the caches of a core while it is checked.
const WALK_BYTES: usize = 128 << 10;
const HOT_FLOOR: Floor = Floor::of(8e6, 40e6);
const COLD_FLOOR: Floor = Floor::of(3e6, 7.3e6);
const WALK: &str = "CRC-32C over the same bytes from the page cache, one core";
const THROUGH: &str = "direct reads of the same files, 1 MiB, 4 at once";

pub(super) fn measure(session: &mut Session<'_>) -> Outcome {
    let path = session.place.fresh("store");
    let engine = open(&path, session)?;
    let events = session.settings.events.unwrap_or(EVENTS_DEFAULT);
    fill(
        session,
        &engine,
        Shape::Spread {
            streams: STREAMS.min(events),
        },
        events,
    )?;
    let stats = engine.stats();
    let event_bytes = stats.segment_bytes as f64 / (stats.records.max(1) as f64);
    let walk = Walk {
        files: cached(&path, session)?,
        event_bytes,
    };
    for (name, read, floor) in [
        (
            "all, borrowed, verified, from memory",
            scan_all as Pass,
            Some(HOT_FLOOR),
        ),
        ("all, owned, from memory", read_all, None),
    ] {
        if !session.wants(name) {
            continue;
        }
        read(&engine)?;
        let Some(walk) = walk.of_something() else {
            hot_without_limit(session, name, &engine, read)?;
            continue;
        };
        let (limit, found) = session.between(
            name,
            |session| walk.run(session),
            |session| passes(session, &engine, read),
        )?;
        let row = Row::new(GROUP, name, Unit::Events, found.figure)
            .limit(limit.figure, WALK)
            .floor(floor)
            .rounds(&found, &limit);
        session.add(row.spent(&found.spent, found.items).note(found.note));
    }
    cold(session, &engine, (&path, event_bytes))?;
    engine.close()?;
    drop(engine);
    Place::remove(&path)
}

/// Goes through everything once and gives how many events there were.
type Pass = fn(&Engine) -> Outcome<u64>;

fn hot_without_limit(
    session: &mut Session<'_>,
    name: &'static str,
    engine: &Engine,
    read: Pass,
) -> Outcome {
    let found = session.once(&mut |session| passes(session, engine, read))?;
    let note = "no sealed segment to compare with; use more --events";
    session.add(Row::new(GROUP, name, Unit::Events, found.figure).note(note));
    Ok(())
}

fn cold(session: &mut Session<'_>, engine: &Engine, (path, event_bytes): (&Path, f64)) -> Outcome {
    let name = "all, borrowed, verified, from the device";
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
        |session| stretch.read_through(session, 4),
        |session| cold_passes(session, engine),
    )?;
    let limit_events = limit.figure * MIB as f64 / event_bytes;
    let row = Row::new(GROUP, name, Unit::Events, found.figure)
        .limit(limit_events, THROUGH)
        .floor(Some(COLD_FLOOR))
        .rounds(&found, &limit)
        .fact("limit read", limit.figure, "MiB/s");
    session.add(row.spent(&found.spent, found.items).note(found.note));
    Ok(())
}

fn scan_all(engine: &Engine) -> Outcome<u64> {
    let mut scan = engine.scan(&ReadRequest::all())?;
    let mut events = 0;
    while let Some(page) = scan.next_page()? {
        for event in page.iter() {
            let event = event?;
            black_box((
                event.position(),
                event.stream(),
                event.event_type(),
                event.data(),
            ));
            events += 1;
        }
    }
    Ok(events)
}

fn read_all(engine: &Engine) -> Outcome<u64> {
    let mut events = engine.read(ReadRequest::all());
    pollster::block_on(async {
        let mut count = 0;
        while let Some(event) = events.next().await {
            black_box(event?);
            count += 1;
        }
        Ok(count)
    })
}

/// Goes through everything again and again, for as long as a measurement lasts and at least once.
fn passes(session: &Session<'_>, engine: &Engine, read: Pass) -> Outcome<Measured> {
    let clock = &*session.env.clock;
    let (start, from_device) = (clock.monotonic_ns(), device_bytes_read());
    let meter = Meter::start(clock);
    let mut all = Measured::default();
    while all.items == 0 || clock.monotonic_ns() - start < session.window_ns() {
        all.items += read(engine)?;
    }
    all.spent = meter.stop(clock);
    all.figure = per_second(all.items, all.spent.ns);
    all.note = cache_note(device_bytes_read() - from_device, all.items);
    Ok(all)
}

/// The same, each time from caches that were just emptied; only reading counts.
fn cold_passes(session: &Session<'_>, engine: &Engine) -> Outcome<Measured> {
    let clock = &*session.env.clock;
    let start = clock.monotonic_ns();
    let mut all = Measured::default();
    let mut from_device = 0;
    while all.items == 0 || clock.monotonic_ns() - start < session.window_ns() {
        engine.drop_caches();
        let (meter, before) = (Meter::start(clock), device_bytes_read());
        all.items += scan_all(engine)?;
        let spent = meter.stop(clock);
        all.spent.ns += spent.ns;
        all.spent.own_ns += spent.own_ns;
        all.spent.others = all.spent.others.max(spent.others);
        from_device += device_bytes_read() - before;
    }
    all.figure = per_second(all.items, all.spent.ns);
    all.note = cache_note(from_device, all.items);
    Ok(all)
}

/// What state the caches were in, by what had to come from the device.
pub(super) fn cache_note(device_bytes: u64, events: u64) -> String {
    let each = device_bytes as f64 / (events.max(1) as f64);
    format!(
        "{} bytes from the device for each event",
        super::row::shown(each)
    )
}

fn cached(
    path: &Path,
    session: &Session<'_>,
) -> Outcome<Vec<(std::sync::Arc<dyn factum_io::DiskFile>, u64)>> {
    files::sealed(path, Open::read(), &session.env)
}

/// What must be done at least to read a verified event: its bytes fetched and checked.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    files: Vec<(std::sync::Arc<dyn factum_io::DiskFile>, u64)>,
    event_bytes: f64,
}

impl Walk {
    fn of_something(&self) -> Option<&Self> {
        (!self.files.is_empty()).then_some(self)
    }

    /// Reads the files through the page cache and checks pieces of an event's size; counts events.
    fn run(&self, session: &Session<'_>) -> Outcome<Measured> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the size of an event, some hundred bytes"
        )]
        let piece = (self.event_bytes.round() as usize).clamp(1, WALK_BYTES);
        let clock = &*session.env.clock;
        let mut buffer = vec![0; WALK_BYTES];
        let mut all = Measured::default();
        self.pass(&mut buffer, piece)?;
        let meter = Meter::start(clock);
        let start = clock.monotonic_ns();
        while all.items == 0 || clock.monotonic_ns() - start < session.window_ns() {
            all.items += self.pass(&mut buffer, piece)?;
        }
        all.spent = meter.stop(clock);
        all.figure = per_second(all.items, all.spent.ns);
        Ok(all)
    }

    fn pass(&self, buffer: &mut [u8], piece: usize) -> Outcome<u64> {
        let mut pieces = 0;
        for (file, bytes) in &self.files {
            let mut at = 0;
            while at < *bytes {
                let length = usize::try_from(*bytes - at)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                let part = buffer.split_at_mut(length).0;
                file.read_exact_at(part, at)
                    .map_err(|error| Failure::io("reading a segment", &error))?;
                for piece in part.chunks(piece) {
                    black_box(factum_format::hash::crc(piece));
                }
                pieces += part.len().div_ceil(piece) as u64;
                at += length as u64;
            }
        }
        Ok(pieces)
    }
}
