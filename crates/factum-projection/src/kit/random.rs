//! Writes at random, in the sink as in memory.
//!
//! Relies on: the memory sink as the definition. Never: forgets which seed it was.

use factum_types::{Position, RecordedEvent, Timestamp};

use super::alike::check_same;
use super::{Subject, all, log, ok};
use crate::error::{Error, Kind};
use crate::memory::MemorySink;
use crate::rows::{Cell, Rows};
use crate::sink::{Advance, Claim, Lease, Sink, State, Which};
use crate::table::{ColumnType, Table};
use crate::value::Value;

const NAME: &str = "kit_random";
const BATCHES: u64 = 40;
/// A batch of a bulk that fills in again what the first one did.
const TWICE: u64 = 20;
/// How many rows a batch of a bulk fills in: few enough that several are put together.
const NEW_ROWS: u64 = 24;

/// A small generator; the seed is not zero.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn table() -> Table {
    Table::new(NAME)
        .text("id")
        .integer("number")
        .column("real", ColumnType::Real)
        .time("at")
        .json("more")
        .key(["id", "number"])
        .index(["real"])
}

/// Batches of random writes: the same ones are refused, and the same rows are there after each.
///
/// # Panics
/// They are not; the message has the seed.
pub async fn check_random<S: Subject>(open: impl AsyncFn(u64, &[Table]) -> S, seed: u64) {
    let event = &log::events().await[0];
    let mut sink = open(0, &[table()]).await;
    let mut memory = ok(MemorySink::new([table()]));
    let claim = Claim {
        projection: "kit_random",
        ..Claim::default()
    };
    let leases = (ok(sink.claim(claim).await), ok(memory.claim(claim).await));
    for batch in 0..BATCHES {
        let seed = seed.wrapping_mul(1_000).wrapping_add(batch).max(1);
        let ours = write(&mut sink, &leases.0, event, seed).await;
        let defined = write(&mut memory, &leases.1, event, seed).await;
        let kinds = (ours.as_ref().err(), defined.as_ref().err());
        let refused = |error: Option<&Error>| error.map(Error::kind);
        assert_eq!(refused(kinds.0), refused(kinds.1), "seed {seed}: {kinds:?}");
        let rows = all(&mut sink, "kit_random", 1, NAME).await;
        let defined = all(&mut memory, "kit_random", 1, NAME).await;
        check_same(&rows, &defined, &format!("seed {seed}"));
    }
}

/// The same in a bulk, whose commits may be answered before they are stored: what was refused is found, and the rest is there in the end.
///
/// # Panics
/// It is otherwise; the message has the seed.
pub async fn check_random_bulk<S: Subject>(open: impl AsyncFn(u64, &[Table]) -> S, seed: u64) {
    let event = &log::events().await[0];
    let mut sink = open(0, &[table()]).await;
    let mut memory = ok(MemorySink::new([table()]));
    let claim = Claim {
        projection: NAME,
        which: Which::New,
        version: "1",
        bulk: true,
    };
    let (lease, defined) = (ok(sink.claim(claim).await), ok(memory.claim(claim).await));
    let mut refused = Vec::new();
    for batch in 0..BATCHES {
        let mut state = ok(memory.look(&defined).await);
        let written = write_bulk(&mut memory, &defined, &mut state, event, (seed, batch)).await;
        refused.extend(written.is_err().then_some(batch));
    }
    assert!(!refused.is_empty(), "seed {seed}: nothing is refused");
    let (mut found, mut looks) = (Vec::new(), 0);
    loop {
        looks += 1;
        // A refusal costs two looks at the most: where it was put together with others, and by itself; and one more when a bulk is emptied.
        assert!(looks < 3 * BATCHES, "seed {seed}: it does not end");
        let mut state = ok(sink.look(&lease).await);
        let begin = state.checkpoint.map_or(0, Position::raw);
        let left = (begin..BATCHES).filter(|batch| !found.contains(batch));
        let mut failed = false;
        for batch in left.collect::<Vec<_>>() {
            let written = write_bulk(&mut sink, &lease, &mut state, event, (seed, batch)).await;
            if written.as_ref().is_err_and(|it| it.kind() == Kind::Refused) {
                found.push(batch);
            }
            // Now and then what was answered for is stored at once, so that not all of it is put together.
            failed =
                written.is_err() || batch % 5 == seed % 5 && ok(sink.look(&lease).await) != state;
            if failed {
                break;
            }
        }
        if failed {
            continue;
        }
        ok(sink.finish_bulk(&lease).await);
        let stored = ok(sink.look(&lease).await).checkpoint;
        if stored == state.checkpoint {
            break;
        }
    }
    found.sort_unstable();
    assert_eq!(found, refused, "seed {seed}");
    let rows = all(&mut sink, NAME, lease.generation, NAME).await;
    let defined = all(&mut memory, NAME, defined.generation, NAME).await;
    check_same(&rows, &defined, &format!("seed {seed}"));
}

/// One batch of a bulk: rows that are new, as a bulk mostly has, or now and then were there; or anything, over those.
async fn write_bulk<S: Sink<Writer: Rows>>(
    sink: &mut S,
    lease: &Lease,
    state: &mut State,
    event: &RecordedEvent,
    (seed, batch): (u64, u64),
) -> Result<(), Error> {
    let mut chance = Chance(seed.wrapping_mul(1_000).wrapping_add(batch).max(1));
    chance.below(2);
    let fill = batch < 4 || batch == TWICE || chance.below(2) == 0;
    let of = match chance.below(4) {
        _ if batch == TWICE => 0,
        0 => chance.below(batch + 1),
        _ => batch,
    };
    ok(sink.begin(lease).await);
    let mut done = Ok(());
    for number in 0..if fill { NEW_ROWS } else { 12 } {
        let to = sink.writer(event);
        done = done.and_then(|()| {
            if fill {
                let id = ("id", format!("batch-{of}").into());
                let key = [id, ("number", number.cast_signed().into())];
                let row: Vec<Cell<'_>> = key.into_iter().chain(cells(&mut chance)).collect();
                to.insert(NAME, &row)
            } else {
                over(to, &mut chance, batch)
            }
        });
    }
    let advance = Advance {
        from: state.checkpoint,
        to: Some(Position::from_raw(batch + 1)),
        edits: state.edits,
        ..Advance::default()
    };
    if done.is_ok() {
        done = sink.commit(lease, &advance).await;
    }
    match done {
        Ok(()) => {
            state.take_up(&advance);
            Ok(())
        }
        Err(error) if matches!(error.kind(), Kind::Refused | Kind::Unavailable) => {
            sink.roll_back().await;
            Err(error)
        }
        Err(error) => panic!("seed {seed}, batch {batch}: {error}"),
    }
}

/// Anything but new rows, over those of some batch.
fn over(to: &mut dyn Rows, chance: &mut Chance, batch: u64) -> Result<(), Error> {
    let id = ("id", format!("batch-{}", chance.below(batch + 1)).into());
    let number = chance.below(NEW_ROWS + 2).cast_signed();
    let key = [id, ("number", number.into())];
    let cells = cells(chance);
    let row: Vec<Cell<'_>> = key.iter().chain(&cells).cloned().collect();
    match chance.below(8) {
        0..3 => to.upsert(NAME, &row),
        3..6 => to.update(NAME, &key, &cells),
        _ => to.delete(NAME, &key),
    }
}

async fn write<S: Sink<Writer: Rows>>(
    sink: &mut S,
    lease: &Lease,
    event: &RecordedEvent,
    seed: u64,
) -> Result<(), Error> {
    let state = sink.look(lease).await?;
    sink.begin(lease).await?;
    let mut chance = Chance(seed);
    let writes = 1 + chance.below(12);
    let mut done = Ok(());
    for _ in 0..writes {
        done = done.and_then(|()| once(sink.writer(event), &mut chance));
    }
    let advance = Advance {
        from: state.checkpoint,
        to: Some(event.position),
        edits: state.edits,
        ..Advance::default()
    };
    if done.is_ok() {
        done = sink.commit(lease, &advance).await;
    }
    sink.roll_back().await;
    match done {
        Err(error) if error.kind() != Kind::Refused => panic!("seed {seed}: {error}"),
        done => done,
    }
}

fn once(to: &mut dyn Rows, chance: &mut Chance) -> Result<(), Error> {
    let id = ["a", "b", "Ä", "it's"][usize::try_from(chance.below(4)).unwrap_or(0)];
    let number = chance.below(3).cast_signed() - 1;
    let key = [("id", id.into()), ("number", number.into())];
    let cells = cells(chance);
    let row: Vec<Cell<'_>> = key.iter().chain(&cells).cloned().collect();
    match chance.below(16) {
        0 => to.insert(NAME, &row),
        1..8 => to.upsert(NAME, &row),
        8..12 => to.update(NAME, &key, &cells),
        _ => to.delete(NAME, &key),
    }
}

fn cells(chance: &mut Chance) -> Vec<Cell<'static>> {
    let real = match chance.below(4) {
        0 => Value::Null,
        1 => chance.below(9).cast_signed().into(),
        _ => (f64::from(u32::try_from(chance.below(900)).unwrap_or(0)) / 7.0).into(),
    };
    let at = Timestamp::from_micros(chance.below(1 << 50).cast_signed());
    let more = Value::Json(format!(r#"{{"n": [{}]}}"#, chance.below(9)));
    let all = [("real", real), ("at", at.into()), ("more", more)];
    all.into_iter().filter(|_| chance.below(3) > 0).collect()
}
