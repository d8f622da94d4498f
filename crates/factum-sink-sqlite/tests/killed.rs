//! Runners that are killed with `kill -9`, at times that nobody chose, and zombies beside them: the rows are those of a fresh fold.
//!
//! The parent starts itself again as a child that keeps a read model in a file, or rebuilds it, from a store of the engine, and kills it.
//! What a child had committed must fit its checkpoint each time. `FACTUM_SEED` repeats a run. Never: ends without having killed.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test with a main function of its own"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use factum_engine::{Engine, Options};
use factum_framework::Stop;
use factum_io::Env;
use factum_projection::kit::{Orders, all, orders_tables};
use factum_projection::{Error, Kind, Manage, MemorySink, Rebuild, Row, Runner, Value, Which};
use factum_sink_sqlite::SqliteSink;
use factum_store::{AppendBatch, EventStore, ReadRequest, StreamWrite};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
use pollster::block_on;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

const KILLS: u32 = 50;
const EVENTS: u64 = 3_000;
const NAME: &str = "kit_orders";
/// What a child says when it is about to begin.
const OPEN: &str = "open";
/// How a child ends that was fenced.
const FENCED: u8 = 3;

/// A small generator; the seed is not zero.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1..) {
        Some([role, what, store, file, batch]) if role == "child" => {
            let batch = batch.parse().unwrap();
            match be_killed(what, Path::new(store), Path::new(file), batch) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) if error.kind() == Kind::Fenced => ExitCode::from(FENCED),
                Err(error) => {
                    eprintln!("{}: {error}", error.kind());
                    ExitCode::FAILURE
                }
            }
        }
        _ => {
            kill_many();
            ExitCode::SUCCESS
        }
    }
}

/// Keeps the live generation for ever, or rebuilds.
fn be_killed(what: &str, store: &Path, file: &Path, batch: usize) -> Result<(), Error> {
    // Nothing is left running where the parent is killed itself.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let store: Arc<dyn EventStore> = Arc::new(Engine::open(Options::new(store), Env::real())?);
    let sink = open(file)?;
    println!("{OPEN}");
    if what == "keep" {
        let mut runner = Runner::new(store, sink, Orders::default()).batch_events(batch);
        return block_on(runner.run(&Stop::new()));
    }
    let rebuild = Rebuild::new(store, sink, Orders::default());
    let mut rebuild = rebuild.configure(|runner| runner.batch_events(batch));
    block_on(rebuild.run(&Stop::new())).map(|_| ())
}

/// A file that a child left to be recovered is locked by the next one, which may be held up.
fn open(file: &Path) -> Result<SqliteSink, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match SqliteSink::open(file, orders_tables()) {
            Err(error) if error.kind() == Kind::Unavailable && tries < 100 => drop(error),
            opened => return opened,
        }
    }
}

/// A child that does not outlive a parent that fails.
struct Mortal(Option<Child>);

impl Mortal {
    const fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().and_then(|()| child.wait()).ok();
        }
    }
}

struct Place {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Place {
    /// A child over its own copy of the store, of which the engine lets one process have one.
    fn start(&self, what: &str, copy: &str, batch: u64) -> Mortal {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["child", what])
            .arg(self.folder.path().join(copy))
            .arg(&self.file)
            .arg(batch.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Mortal(Some(child.unwrap()))
    }
}

fn kill_many() {
    let seed = match std::env::var("FACTUM_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => u64::from(std::process::id()) | 1 << 40,
    };
    println!("FACTUM_SEED={seed}");
    let mut chance = Chance(seed);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("read.db");
    let place = Place { folder, file };
    fill(&place.folder.path().join("a"), &mut chance);
    copy(
        &place.folder.path().join("a"),
        &place.folder.path().join("b"),
    );
    let (mut killed, mut fenced, mut done) = (0, 0, 0);
    let clock = Env::real().clock;
    while killed < KILLS {
        let what = ["keep", "rebuild"][usize::from(killed > 5 && chance.below(3) > 0)];
        let batch = 1 + chance.below(8);
        let mut children = vec![place.start(what, "a", batch)];
        if chance.below(8) > 0 {
            begun(&mut children[0]);
        }
        clock.sleep(Duration::from_millis(chance.below(120)));
        if chance.below(4) == 0 {
            // The first is held up, or not, and a zombie once the second has claimed.
            let held = chance.below(2) == 0;
            let first = Pid::from_child(children[0].child());
            // It may have ended by itself.
            let told = |signal| held.then(|| kill_process(first, signal).ok());
            told(Signal::STOP);
            children.push(place.start(what, "b", batch));
            clock.sleep(Duration::from_millis(chance.below(200)));
            told(Signal::CONT);
            begun(&mut children[1]);
            // One finds that it was fenced, whichever claimed first, or it was through before.
            let mut left = 2_000;
            while !children.iter_mut().any(has_ended) {
                left -= 1;
                assert!(left > 0, "both go on");
                clock.sleep(Duration::from_millis(5));
            }
        }
        for child in children {
            match end(child) {
                Ended::Killed => killed += 1,
                Ended::Fenced => fenced += 1,
                Ended::Done => done += 1,
            }
        }
        check_halves(&place.file);
    }
    println!("killed {killed}, fenced {fenced}, rebuilds done {done}");
    let claims = check_whole(&place);
    // Or the children were killed before they did anything, and nothing was tested.
    assert!(claims > u64::from(KILLS) / 2, "only {claims} claims");
    assert!(fenced > 0, "no zombie was fenced");
}

fn has_ended(child: &mut Mortal) -> bool {
    child.child().try_wait().unwrap().is_some()
}

/// Waits until the child is about to begin, or has ended, and no longer than a minute.
#[expect(
    clippy::disallowed_methods,
    reason = "another process is waited for; nothing is simulated"
)]
fn begun(child: &mut Mortal) {
    let out = child.child().stdout.take().unwrap();
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut out = BufReader::new(out);
        let read = out.read_line(&mut String::new());
        drop(said.send(read.map(drop)));
        // Whatever it says more is taken from it.
        drop(std::io::copy(&mut out, &mut std::io::sink()));
    });
    let heard = heard.recv_timeout(Duration::from_secs(60));
    heard.expect("the child did not begin").unwrap();
}

enum Ended {
    Killed,
    Fenced,
    Done,
}

fn end(mut child: Mortal) -> Ended {
    let mut child = child.0.take().unwrap();
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let status: ExitStatus = output.status;
    match status.code() {
        None => Ended::Killed,
        Some(0) => Ended::Done,
        Some(code) if code == i32::from(FENCED) => Ended::Fenced,
        Some(code) => panic!("{code}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// Every generation has counted as many events as it has applied, as far as it is.
fn check_halves(file: &Path) {
    let mut sink = SqliteSink::open(file, orders_tables()).unwrap();
    for generation in block_on(sink.generations(NAME)).unwrap() {
        let rows = block_on(all(&mut sink, NAME, generation.number, "kit_counts"));
        let count = |row: &Row| match row.get("events") {
            Some(Value::Integer(count)) => count.cast_unsigned(),
            other => panic!("{other:?}"),
        };
        let counted: u64 = rows.iter().map(count).sum();
        // All events are orders, and positions of this store are without gaps but for the end of what was appended together.
        let applied = generation.checkpoint.map_or(0, |at| at.number() + 1);
        assert_eq!(counted + generation.parked, applied, "{generation:?}");
    }
}

/// Every generation, brought to the end, is the fresh fold. Says how often they had been claimed.
fn check_whole(place: &Place) -> u64 {
    let store = Options::new(place.folder.path().join("a"));
    let store: Arc<dyn EventStore> = Arc::new(Engine::open(store, Env::real()).unwrap());
    let mut memory = MemorySink::new(orders_tables()).unwrap();
    let mut fold = Runner::new(Arc::clone(&store), memory.clone(), Orders::default());
    block_on(fold.run_until_caught_up()).unwrap();
    let parked = waiting(&mut memory, 1);
    assert!(parked.len() > 10, "{parked:?}");
    let mut sink = SqliteSink::open(&place.file, orders_tables()).unwrap();
    let generations = block_on(sink.generations(NAME)).unwrap();
    for generation in &generations {
        let runner = SqliteSink::open(&place.file, orders_tables()).unwrap();
        let mut runner = Runner::new(Arc::clone(&store), runner, Orders::default())
            .generation(Which::Number(generation.number));
        block_on(runner.run_until_caught_up()).unwrap();
        for table in ["kit_orders", "kit_counts"] {
            let ours = block_on(all(&mut sink, NAME, generation.number, table));
            let fresh = block_on(all(&mut memory, NAME, 1, table));
            assert_eq!(ours, fresh, "{table} of {generation:?}");
        }
        assert_eq!(waiting(&mut sink, generation.number), parked);
    }
    let claims = generations.iter().map(|it| it.epoch).sum();
    let count = generations.len();
    println!("{count} generations, claimed {claims} times, are the fresh fold");
    claims
}

fn waiting(sink: &mut impl Manage, generation: u32) -> Vec<(u64, String)> {
    let parked = block_on(sink.parked(NAME, generation, usize::MAX)).unwrap();
    let parked = parked.into_iter();
    parked.map(|it| (it.position.raw(), it.partition)).collect()
}

/// Orders at random; some events are refused by the projector, and some by the sink.
fn fill(path: &Path, chance: &mut Chance) {
    let engine = Engine::open(Options::new(path), Env::real()).unwrap();
    for number in 0..EVENTS {
        let kind = match chance.below(200) {
            0 => "Broken",
            1..80 => "Looked",
            80..160 => "Confirmed",
            160..198 => "Placed",
            _ => "Forgotten",
        };
        let stream = StreamName::new(format!("order-{}", chance.below(900))).unwrap();
        let id = EventId::from_bytes(u128::from(number + 1).to_be_bytes());
        let event = NewEvent::json(id, EventType::new(kind).unwrap(), "{}");
        let write = StreamWrite::events(stream, ExpectedRevision::Any, vec![event]);
        let batch = AppendBatch::change(write.stream, write.expected, write.change);
        block_on(engine.append(batch)).unwrap();
    }
    let mut events = engine.read(ReadRequest::all());
    let mut last = None;
    while let Some(event) = block_on(events.next()) {
        last = Some(event.unwrap().position.number());
    }
    assert_eq!(last, Some(EVENTS - 1), "positions have gaps");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
