//! `factum bench open`: how long it takes to open a store, after closing it and after a kill, and what an event takes on disk.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use factum_engine::{Engine, Options};
use factum_io::{Env, Open};
use factum_store::EventStore;

use super::append::open;
use super::files;
use super::fill::{Filler, Shape, batch_events, fill};
use super::place::Place;
use super::probe::{MIB, Stretch};
use super::row::{Floor, Row, Unit};
use super::session::{Session, Settings};
use super::stats::{median, millis};
use crate::failure::{Failure, Outcome};

const GROUP: &str = "open";
const EVENTS_DEFAULT: u64 = 10_000_000;
const AFTER_CLOSING: &str = "after closing, the last segment nearly full";
const AFTER_KILL: &str = "after a kill, the last segment nearly full";
const STREAMS: u64 = 100_000;
const TIMES: usize = 5;
const KILLS: usize = 3;
/// Events for a look at the bytes on disk: some segments' worth.
const SHAPE_EVENTS_MAX: u64 = 1_000_000;
const BYTES_FLOOR: f64 = 320.0;
const AFTER_KILL_MS: f64 = 400.0;
const READ: &str = "reading as many bytes as the files of segments have that are not sealed, directly, 1 MiB, 4 at once";

pub(super) fn measure(session: &mut Session<'_>) -> Outcome {
    let events = session.settings.events.unwrap_or(EVENTS_DEFAULT);
    if session.wants(AFTER_CLOSING) || session.wants(AFTER_KILL) {
        times(session, events)?;
    }
    bytes(session, events.min(SHAPE_EVENTS_MAX))
}

fn times(session: &mut Session<'_>, events: u64) -> Outcome {
    let path = session.place.fresh("store");
    let engine = open(&path, session)?;
    fill(
        session,
        &engine,
        Shape::Spread {
            streams: STREAMS.min(events),
        },
        events,
    )?;
    engine.close()?;
    drop(engine);
    let floor_ms = if events <= 10_000_000 { 150.0 } else { 400.0 };
    opening(session, &path, floor_ms)?;
    Place::remove(&path)
}

/// What opening once found.
#[derive(Debug, Clone, Copy, Default)]
struct Opened {
    ns: u64,
    records: u64,
    /// Bytes of frames in segments without an index.
    unsealed_bytes: u64,
    /// Bytes of the files of such segments, which are read through.
    read_bytes: u64,
}

fn opening(session: &mut Session<'_>, path: &Path, floor_ms: f64) -> Outcome {
    session.say("opening a store that was closed");
    let mut found = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        session.check()?;
        close_one(session, path)?;
        found.push(open_once(session, path)?);
    }
    add_opening(session, AFTER_CLOSING, path, (&found, floor_ms))?;
    session.say("opening a store whose process was killed");
    found.clear();
    for _ in 0..KILLS {
        session.check()?;
        kill_one(session, path)?;
        found.push(open_once(session, path)?);
    }
    add_opening(
        session,
        AFTER_KILL,
        path,
        (&found, floor_ms + AFTER_KILL_MS),
    )
}

fn add_opening(
    session: &mut Session<'_>,
    name: &str,
    path: &Path,
    (found, floor_ms): (&[Opened], f64),
) -> Outcome {
    let mut times: Vec<u64> = found.iter().map(|opened| opened.ns).collect();
    let last = found.last().copied().unwrap_or_default();
    let row = Row::new(GROUP, name, Unit::Millis, millis(median(&mut times)))
        .fact("records", last.records as f64, "")
        .fact("unsealed", last.unsealed_bytes as f64 / MIB as f64, "MiB");
    let files = files::sealed(path, Open::read_direct(), &session.env)?;
    if files.is_empty() {
        session.add(row.note("no sealed segment to measure the limit with; use more --events"));
        return Ok(());
    }
    let stretch = Stretch::new(files)?;
    let read = session.once(&mut |session| stretch.read_through(session, 4))?;
    let limit_ms = last.read_bytes as f64 / MIB as f64 / read.figure.max(1e-9) * 1e3;
    session.add(
        row.limit(limit_ms, READ)
            .floor(Some(Floor::Figure(floor_ms))),
    );
    Ok(())
}

/// Opens a store and closes it.
fn open_once(session: &Session<'_>, path: &Path) -> Outcome<Opened> {
    let read_bytes = files::not_sealed(path)?;
    let start = session.env.clock.monotonic_ns();
    let engine = Engine::open(Options::new(path).create(false), session.env.clone())?;
    let ns = session.env.clock.monotonic_ns() - start;
    let bytes = engine.stats().segment_bytes;
    let records = engine.report().records;
    // Before closing, which may seal what was read.
    let sealed: u64 = files::sealed(path, Open::read(), &session.env)?
        .iter()
        .map(|(_, bytes)| bytes)
        .sum();
    engine.close()?;
    Ok(Opened {
        ns,
        records,
        unsealed_bytes: bytes.saturating_sub(sealed),
        read_bytes,
    })
}

/// Fills the store's last segment, and closes it.
fn close_one(session: &Session<'_>, path: &Path) -> Outcome {
    let engine = Engine::open(Options::new(path).create(false), session.env.clone())?;
    fill_last(&engine, &session.settings, &session.env)?;
    Ok(engine.close()?)
}

/// Lets another process fill the store's last segment, and kills it.
fn kill_one(session: &Session<'_>, path: &Path) -> Outcome {
    let program =
        std::env::current_exe().map_err(|error| Failure::io("cannot find this program", &error))?;
    let payload = session.settings.payload.to_string();
    let segment_bytes = session.settings.segment_bytes().to_string();
    let failed = |error| Failure::io("the process to be killed", &error);
    let mut victim = Command::new(program)
        .args([
            "bench",
            "victim",
            "--payload",
            &payload,
            "--segment-bytes",
            &segment_bytes,
        ])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    let ready = match victim.stdout.take() {
        Some(out) => BufReader::new(out).read_line(&mut line),
        None => Ok(0),
    };
    let killed = victim.kill().and_then(|()| victim.wait());
    ready.map_err(failed)?;
    killed.map_err(failed)?;
    if line.trim() == READY {
        return Ok(());
    }
    Err(Failure::error(
        "the process to be killed ended before it was",
    ))
}

const READY: &str = "ready";

/// The process to be killed: fills the last segment until it is nearly full, says so, and waits.
pub(super) fn be_killed(path: &Path, settings: &Settings, env: &Env) -> Outcome {
    let engine = Engine::open(Options::new(path).create(false), env.clone())?;
    fill_last(&engine, settings, env)?;
    let mut out = std::io::stdout();
    writeln!(out, "{READY}")?;
    out.flush()?;
    // Whoever started this process kills it; if it is gone itself, reading ends.
    let mut nothing = String::new();
    std::io::stdin().read_line(&mut nothing)?;
    Ok(())
}

/// Appends until the last segment is nearly full and those before it are sealed.
fn fill_last(engine: &Engine, settings: &Settings, env: &Env) -> Outcome {
    /// Parts of a hundred that must be used, so that little is left.
    const FULL: u64 = 85;
    let mut filler = Filler::new(
        &env.clock,
        settings.payload,
        Shape::Spread { streams: STREAMS },
        1,
    )?;
    let segments = || {
        let stats = engine.stats();
        (
            stats.sealed_segments + stats.unsealed_segments,
            stats.segment_bytes,
        )
    };
    // So few at once that the last batch does not run over what is left of the segment.
    let count = (batch_events(settings) / 8).max(1);
    let (mut number, mut began_at) = segments();
    // How full the segment is that was there already is not known, so a new one is filled.
    let mut is_new = false;
    loop {
        pollster::block_on(engine.append(filler.batch(count)?))?;
        if segments().0 > number {
            // Sealing makes the segment before smaller; after that, only the new one changes.
            engine.settle()?;
            (number, began_at) = segments();
            is_new = true;
        }
        let used = segments().1.saturating_sub(began_at);
        if is_new && used * 100 >= settings.segment_bytes() * FULL {
            break;
        }
    }
    Ok(engine.settle()?)
}

/// What events take on disk once their segments are sealed.
fn bytes(session: &mut Session<'_>, events: u64) -> Outcome {
    let shapes = [
        ("1,000 streams", Shape::Spread { streams: 1_000 }),
        ("100,000 streams", Shape::Spread { streams: 100_000 }),
        (
            "streams of 10 events",
            Shape::ShortLived {
                events: 10,
                alive: 1_000,
            },
        ),
    ];
    for (name, shape) in shapes {
        sealed_bytes(
            session,
            format!("bytes on disk, {name}"),
            |session, engine| fill(session, engine, shape, events),
        )?;
    }
    let name = "bytes on disk, 8 writers, one event at once";
    sealed_bytes(session, name.to_owned(), |session, engine| {
        session.say(name);
        small_commits(session, engine, events)
    })
}

fn sealed_bytes(
    session: &mut Session<'_>,
    name: String,
    write: impl FnOnce(&mut Session<'_>, &Engine) -> Outcome,
) -> Outcome {
    if !session.wants(&name) {
        return Ok(());
    }
    let path = session.place.fresh("store");
    let engine = open(&path, session)?;
    write(session, &engine)?;
    engine.settle()?;
    // Before closing, which would seal a segment that is not full.
    let found = files::on_disk(&path)?;
    engine.close()?;
    drop(engine);
    Place::remove(&path)?;
    if found.sealed == 0 {
        let note = "no segment was filled; use more --events";
        session.add(Row::new(GROUP, name, Unit::BytesPerEvent, 0.0).note(note));
        return Ok(());
    }
    let each = |bytes: u64| bytes as f64 / (found.sealed_records.max(1) as f64);
    let row = Row::new(
        GROUP,
        name,
        Unit::BytesPerEvent,
        each(found.segment_bytes + found.index_bytes),
    )
    .limit(
        session.settings.payload as f64,
        "the data alone, which cannot be made smaller",
    )
    .floor(Some(Floor::Figure(
        BYTES_FLOOR + session.settings.payload as f64 - 256.0,
    )))
    .fact("segments", each(found.segment_bytes), "B")
    .fact("indexes", each(found.index_bytes), "B")
    .fact("sealed segments", found.sealed as f64, "");
    session.add(row);
    Ok(())
}

/// Eight writers that wait for every event.
fn small_commits(session: &Session<'_>, engine: &Engine, events: u64) -> Outcome {
    const WRITERS: u64 = 8;
    /// What is enough for a few segments, which are not full of events then but of pages.
    const EVENTS_MAX: u64 = 400_000;
    let each = events.min(EVENTS_MAX) / WRITERS;
    let (engine, clock, payload) = (
        engine.clone(),
        session.env.clock.clone(),
        session.settings.payload,
    );
    super::threads::side_by_side(&session.env, 8, move |number| {
        let shape = Shape::Spread { streams: STREAMS };
        let mut filler = Filler::new(&clock, payload, shape, number as u64)?;
        for _ in 0..each {
            pollster::block_on(engine.append(filler.batch(1)?))?;
        }
        Ok(())
    })
    .map(drop)
}
