//! Writes at random, in the sink as in memory.
//!
//! Relies on: the memory sink as the definition. Never: forgets which seed it was.

use factum_types::{RecordedEvent, Timestamp};

use super::alike::check_same;
use super::{Subject, all, log, ok};
use crate::error::{Error, Kind};
use crate::memory::MemorySink;
use crate::rows::{Cell, Rows};
use crate::sink::{Advance, Claim, Lease, Sink};
use crate::table::{ColumnType, Table};
use crate::value::Value;

const NAME: &str = "kit_random";
const BATCHES: u64 = 40;

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
