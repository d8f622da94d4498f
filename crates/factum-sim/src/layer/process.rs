//! Real processes, killed: a child writes to a real directory with real threads, and tells what was acknowledged; after it was killed at
//! some moment, everything it told must be there.
//!
//! The one layer that is not repeatable. Relies on: the operating system's files, processes and clock. Never: leaves a directory behind.
#![expect(
    clippy::disallowed_methods,
    reason = "this layer is about real processes, threads and time"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use factum_engine::verify::{VerifyDepth, verify};
use factum_engine::{Engine, Options};
use factum_io::Env;
use factum_store::{AppendBatch, EventStore, ReadRequest};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName};

use crate::compare::check_shape;
use crate::violation::{Checked, Violation, ensure, short};
use crate::workload::named;

const WRITERS: u64 = 4;
const SEGMENT_BYTES: u64 = 256 << 10;
const KILLS_PER_DIRECTORY: u64 = 4;

/// Kills children at random moments and looks at what they leave; gives how many acknowledgements were checked.
///
/// `program` is the binary that has the subcommand `victim`; `directory` is made, and removed at the end.
///
/// # Errors
/// The broken promise, or that the machine does not play along.
pub fn campaign(program: &Path, directory: &Path, kills: u64, seed: u64) -> Checked<u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut checked = 0;
    let mut told: BTreeMap<(String, u64), String> = BTreeMap::new();
    let mut store = PathBuf::new();
    for kill in 0..kills {
        if kill % KILLS_PER_DIRECTORY == 0 {
            told.clear();
            store = directory.join(format!("store-{kill}"));
            remove(directory)?;
            std::fs::create_dir_all(directory).map_err(|e| failed("making a directory", &e))?;
        }
        let after = Duration::from_millis(random.u64(20..400));
        told.extend(one(program, &store, after)?);
        checked += look(&store, &told).map_err(|v| v.at(format_args!("kill {kill}")))?;
    }
    remove(directory)?;
    Ok(checked)
}

fn remove(directory: &Path) -> Checked {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("removing a directory", &error))
        }
        _ => Ok(()),
    }
}

fn failed(what: &str, error: &std::io::Error) -> Violation {
    Violation::new(format!("{what}: {error}"))
}

/// One child, killed after a while; gives what it told.
fn one(program: &Path, store: &Path, after: Duration) -> Checked<BTreeMap<(String, u64), String>> {
    let mut child: Child = Command::new(program)
        .arg("victim")
        .arg(store)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed("starting a child", &error))?;
    let Some(output) = child.stdout.take() else {
        return Err(Violation::new("the child has no output"));
    };
    let reader = std::thread::spawn(move || {
        let mut told = BTreeMap::new();
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            // A line that was cut by the kill was not told.
            let line = String::from_utf8_lossy(&line).into_owned();
            let mut parts = line.split(' ');
            if let (Some(stream), Some(revision), Some(id), Some("ok")) =
                (parts.next(), parts.next(), parts.next(), parts.next())
                && let Ok(revision) = revision.parse()
            {
                told.insert((stream.to_owned(), revision), id.to_owned());
            }
        }
        told
    });
    std::thread::sleep(after);
    child
        .kill()
        .map_err(|error| failed("killing a child", &error))?;
    child
        .wait()
        .map_err(|error| failed("waiting for a child", &error))?;
    reader.join().map_err(|panic| {
        Violation::new(format!(
            "the reader of the child's output stopped: {panic:?}"
        ))
    })
}

/// Everything told is there, and the store is whole and goes on.
fn look(store: &Path, told: &BTreeMap<(String, u64), String>) -> Checked<u64> {
    let options = Options::new(store).segment_bytes(SEGMENT_BYTES);
    let engine = Engine::open(options, Env::real())
        .map_err(|error| Violation::new(format!("opening after a kill: {error}")))?;
    let report = engine.report();
    ensure(!report.degraded && report.damage.is_empty(), || {
        format!("a false alarm after a kill: {}", short(report))
    })?;
    let scan = crate::poll::events(engine.read(ReadRequest::all()))?
        .map_err(|error| Violation::new(format!("reading after a kill: {error}")))?;
    check_shape(&scan)?;
    let there: BTreeMap<(String, u64), &RecordedEvent> = scan
        .iter()
        .map(|event| {
            (
                (event.stream.as_str().to_owned(), event.revision.number()),
                event,
            )
        })
        .collect();
    for (place, id) in told {
        let found = there.get(place).map(|event| event.id.to_string());
        ensure(found.as_deref() == Some(id), || {
            format!("{place:?} was acknowledged with id {id}, and now it is {found:?}")
        })?;
    }
    engine
        .close()
        .map_err(|error| Violation::new(format!("closing: {error}")))?;
    let report = verify(store, VerifyDepth::Full, &Env::real(), &mut |_, _| {})
        .map_err(|error| Violation::new(format!("verifying: {error}")))?;
    ensure(report.is_clean(), || {
        format!("verifying finds: {}", short(&report.findings))
    })?;
    Ok(told.len() as u64)
}

/// The child: appends from several threads until it is killed, and says what was acknowledged.
///
/// # Errors
/// When the store does.
pub fn victim(store: &Path) -> Checked {
    let options = Options::new(store).segment_bytes(SEGMENT_BYTES);
    let engine = Engine::open(options, Env::real())
        .map_err(|error| Violation::new(format!("opening: {error}")))?;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let engine = engine.clone();
            std::thread::spawn(move || write(&engine, writer))
        })
        .collect();
    for writer in writers {
        writer
            .join()
            .map_err(|panic| Violation::new(format!("a writer stopped: {panic:?}")))??;
    }
    Ok(())
}

fn write(engine: &Engine, writer: u64) -> Checked {
    let mut random = fastrand::Rng::with_seed(u64::from(std::process::id()) * WRITERS + writer);
    loop {
        let name = format!("writer-{writer}");
        let events: Vec<NewEvent> = (0..random.usize(1..4))
            .map(|_| event(&mut random))
            .collect();
        let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
        let stream: StreamName = named(StreamName::new(&name));
        let batch = AppendBatch::events(stream, ExpectedRevision::Any, events);
        let receipt = wait(engine.append(batch))
            .map_err(|error| Violation::new(format!("appending: {error}")))?;
        let last = receipt.writes.first().and_then(|write| write.last_revision);
        let first = last.map_or(0, |last| last.number() + 1 - ids.len() as u64);
        let mut output = std::io::stdout().lock();
        for (revision, id) in (first..).zip(&ids) {
            writeln!(output, "{name} {revision} {id} ok").map_err(|e| failed("telling", &e))?;
        }
        output.flush().map_err(|error| failed("telling", &error))?;
    }
}

fn event(random: &mut fastrand::Rng) -> NewEvent {
    let id = EventId::from_bytes(random.u128(..).to_be_bytes());
    let length = if random.u8(0..20) == 0 {
        20_000
    } else {
        random.usize(0..500)
    };
    let mut data = vec![0; length];
    random.fill(&mut data);
    NewEvent::binary(id, named(EventType::new("Written")), data)
}

/// Waits on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
