//! What one sink refuses or finds, every other does too: a projector that was tested in memory runs over a database.
//!
//! Relies on: the memory sink as the definition, and what is written here by hand about it. Never: looks at how a sink says what only it sees.

use factum_types::{RecordedEvent, Timestamp};

use super::{Subject, all, log, ok};
use crate::error::{Error, Kind};
use crate::memory::MemorySink;
use crate::read_back::Row;
use crate::rows::{Cell, Rows};
use crate::sink::{Advance, Claim, Sink};
use crate::table::{ColumnType, Table};
use crate::value::Value;

/// A batch of writes.
type Writes = fn(&mut dyn Rows) -> Result<(), Error>;
/// How many rows there are after it, or a part of what the refusal says.
type Outcome = Result<usize, &'static str>;

/// What only the sink can say.
const ITS_OWN: &str = "";
const NAME: &str = "kit_things";

fn table() -> Table {
    Table::new(NAME)
        .text("id")
        .column("size", ColumnType::Real)
        .integer("count")
        .column("ratio", ColumnType::Real)
        .column("done", ColumnType::Bool)
        .column("bytes", ColumnType::Bytes)
        .time("at")
        .json("more")
        .text("word")
        .key(["id", "size"])
        .index(["count", "word"])
}

fn key<'a>(id: &str, size: impl Into<Value>) -> [Cell<'a>; 2] {
    [("id", id.into()), ("size", size.into())]
}

fn with<'a, const N: usize>(more: [Cell<'a>; N]) -> Vec<Cell<'a>> {
    key("a", 1.0).into_iter().chain(more).collect()
}

fn json(text: &str) -> Value {
    Value::Json(text.to_owned())
}

/// What is found by its key.
const FOUND: [(Writes, Outcome); 9] = [
    (|to| to.insert(NAME, &key("a", 1.0)), Ok(1)),
    // Whole and with fraction, and both zeros.
    (
        |to| {
            to.upsert(NAME, &key("a", 1.0))?;
            to.upsert(NAME, &key("a", 1_i64))?;
            to.upsert(NAME, &key("a", 0.0))?;
            to.upsert(NAME, &key("a", -0.0))
        },
        Ok(2),
    ),
    (
        |to| {
            to.increment(NAME, &key("a", 1_i64), "count", 1)?;
            to.delete(NAME, &key("a", 1.0))
        },
        Ok(0),
    ),
    (
        |to| {
            to.insert(NAME, &key("a", 2.5))?;
            to.insert(NAME, &key("a, 2.5", 2.5))?;
            to.insert(NAME, &key("A", 2.5))?;
            to.insert(NAME, &key("a ", 2.5))?;
            to.insert(NAME, &key("", 2.5))?;
            to.insert(NAME, &key("ä", 2.5))
        },
        Ok(6),
    ),
    (
        |to| to.update(NAME, &key("b", 1.0), &[("count", 1_i64.into())]),
        Ok(0),
    ),
    (|to| to.delete(NAME, &key("b", 1.0)), Ok(0)),
    (|to| to.update(NAME, &key("a", 1.0), &[]), Ok(0)),
    // The columns that an upsert does not give are kept; a null is given.
    (
        |to| {
            to.insert(NAME, &with([("count", 7_i64.into()), ("word", "w".into())]))?;
            to.upsert(
                NAME,
                &with([("count", 8_i64.into()), ("ratio", 3_i64.into())]),
            )?;
            to.upsert(NAME, &with([("word", Value::Null)]))?;
            to.increment(NAME, &key("a", 1.0), "count", -10)
        },
        Ok(1),
    ),
    (
        |to| {
            to.insert(NAME, &key("a", 1.0))?;
            to.insert(NAME, &key("a", 1_i64))
        },
        Err(ITS_OWN),
    ),
];

/// What keys are.
const KEYS: [(Writes, Outcome); 9] = [
    (
        |to| to.insert(NAME, &[("id", "a".into())]),
        Err("column size of table kit_things is in the key and must be given"),
    ),
    (
        |to| to.upsert(NAME, &key("a", Value::Null)),
        Err("column size of table kit_things is in the key and must be given"),
    ),
    (
        |to| to.delete(NAME, &with([("count", 1_i64.into())])),
        Err("column count of table kit_things is not in the key"),
    ),
    (
        |to| {
            let key = with([("count", 1_i64.into())]);
            to.update(NAME, &key, &[("done", true.into())])
        },
        Err("column count of table kit_things is not in the key"),
    ),
    (
        |to| to.increment(NAME, &with([("done", true.into())]), "count", 1),
        Err("column done of table kit_things is not in the key"),
    ),
    (
        |to| to.delete(NAME, &[("id", "a".into())]),
        Err("column size of table kit_things is in the key and must be given"),
    ),
    (
        |to| {
            to.insert(NAME, &key("a", 1.0))?;
            to.update(NAME, &key("a", 1.0), &[("id", "b".into())])
        },
        Err("column id of table kit_things is in the key, which an update cannot change"),
    ),
    // Where there is no such row neither, and where it would be the same.
    (
        |to| to.update(NAME, &key("a", 1.0), &[("id", "a".into())]),
        Err("column id of table kit_things is in the key, which an update cannot change"),
    ),
    (
        |to| to.insert("kit_other", &key("a", 1.0)),
        Err("there is no table kit_other"),
    ),
];

/// What columns hold.
const VALUES: [(Writes, Outcome); 15] = [
    (
        |to| {
            let all = [
                ("count", i64::MIN.into()),
                ("ratio", 0.1.into()),
                ("done", true.into()),
                ("bytes", vec![0, 255, 10].into()),
                ("at", Timestamp::from_micros(1_700_000_000_123_456).into()),
                (
                    "more",
                    json(r#"{"a": [1, 2.5, "ü\n", null, true], "b": {}}"#),
                ),
                (
                    "word",
                    "it's \"one\"; -- \\ 'two' \u{1F600}\n\t%_$1?".into(),
                ),
            ];
            to.insert(NAME, &with(all))?;
            to.insert(NAME, &key("b", -1e300))?;
            let low = [
                ("at", Timestamp::from_micros(-1).into()),
                ("count", i64::MAX.into()),
            ];
            to.upsert(NAME, &[key("c", 1e-300).to_vec(), low.to_vec()].concat())?;
            let empty = [
                ("bytes", Vec::new().into()),
                ("word", "".into()),
                ("more", json("null")),
            ];
            to.insert(
                NAME,
                &[key("d", 9_007_199_254_740_993_i64).to_vec(), empty.to_vec()].concat(),
            )
        },
        Ok(4),
    ),
    (
        |to| {
            to.insert(NAME, &key("a", 1.0))?;
            to.update(NAME, &key("a", 1.0), &[("ratio", f64::NAN.into())])
        },
        Err("column ratio of table kit_things cannot hold NaN"),
    ),
    (
        |to| to.insert(NAME, &key("a", f64::NAN)),
        Err("column size of table kit_things cannot hold NaN"),
    ),
    (
        |to| to.insert(NAME, &key("a", f64::NEG_INFINITY)),
        Err("column size of table kit_things cannot hold an infinite number"),
    ),
    (
        |to| to.insert(NAME, &with([("word", "a\0b".into())])),
        Err("column word of table kit_things cannot hold text with a zero character"),
    ),
    (
        |to| to.insert(NAME, &with([("more", json("{'a': 1}"))])),
        Err("column more of table kit_things cannot hold what is not JSON"),
    ),
    (
        |to| to.insert(NAME, &with([("more", "{}".into())])),
        Err("column more of table kit_things holds Json, not"),
    ),
    (
        |to| to.insert(NAME, &with([("count", 1.0.into())])),
        Err("column count of table kit_things holds Integer, not"),
    ),
    (
        |to| to.insert(NAME, &with([("at", 1_i64.into())])),
        Err("column at of table kit_things holds Time, not"),
    ),
    (
        |to| to.insert(NAME, &with([("done", 1_i64.into())])),
        Err("column done of table kit_things holds Bool, not"),
    ),
    (
        |to| to.insert(NAME, &with([("none", 1_i64.into())])),
        Err("table kit_things has no column none"),
    ),
    (
        |to| {
            to.insert(NAME, &key("a", 1.0))?;
            let twice = [("done", true.into()), ("done", false.into())];
            to.update(NAME, &key("a", 1.0), &twice)
        },
        Err("column done of table kit_things is given twice"),
    ),
    (
        |to| to.increment(NAME, &key("a", 1.0), "ratio", 1),
        Err("column ratio of table kit_things does not hold whole numbers"),
    ),
    (
        |to| to.increment(NAME, &key("a", 1.0), "size", 1),
        Err("column size of table kit_things is in the key"),
    ),
    // Not beyond what a whole number holds.
    (
        |to| {
            to.increment(NAME, &key("a", 1.0), "count", i64::MAX)?;
            to.increment(NAME, &key("a", 1.0), "count", 1)
        },
        Err(ITS_OWN),
    ),
];

/// The rules of [`Rows`]: what is refused, what is found, and that values come back as they were.
///
/// # Panics
/// The sink keeps a rule in another way.
pub async fn check_rows<S: Subject>(open: impl AsyncFn(u64, &[Table]) -> S) {
    let event = &log::events().await[0];
    let cases = FOUND.iter().chain(&KEYS).chain(&VALUES);
    for (place, (writes, expected)) in (0..).zip(cases) {
        let memory = ok(MemorySink::new([table()]));
        check("memory", memory.clone(), event, *writes, *expected).await;
        let sink = open(place, &[table()]).await;
        let rows = check("the sink", sink, event, *writes, *expected).await;
        let mut memory = memory;
        let defined = all(&mut memory, "kit_things", 1, NAME).await;
        check_same(&rows, &defined, &format!("case {place}"));
    }
}

/// Both have the same rows, in any order.
pub(super) fn check_same(ours: &[Row], defined: &[Row], what: &str) {
    assert_eq!(
        ours.len(),
        defined.len(),
        "{what}: {ours:?}, not {defined:?}"
    );
    for row in defined {
        let same = |other: &&Row| {
            let mut cells = other.iter().zip(row);
            other.len() == row.len() && cells.all(|(a, b)| a.0 == b.0 && a.1.same(b.1))
        };
        let found = ours.iter().filter(same).count();
        assert_eq!(found, 1, "{what}: {row:?} among {ours:?}");
    }
}

async fn check<S: Subject>(
    name: &str,
    mut sink: S,
    event: &RecordedEvent,
    writes: Writes,
    expected: Outcome,
) -> Vec<Row> {
    let done = write(&mut sink, event, writes).await;
    let rows = all(&mut sink, "kit_things", 1, NAME).await;
    match (&done, expected) {
        (Ok(()), Ok(count)) => assert_eq!(rows.len(), count, "{name}: {rows:?}"),
        (Err(error), Err(why)) => {
            assert_eq!(error.kind(), Kind::Refused, "{name}: {error}");
            assert!(
                error.to_string().contains(why),
                "{name}: {error}, not {why}"
            );
            assert!(rows.is_empty(), "{name}: {rows:?}");
        }
        _ => panic!("{name}: {done:?}, not {expected:?}"),
    }
    rows
}

async fn write<S: Sink<Writer: Rows>>(
    sink: &mut S,
    event: &RecordedEvent,
    writes: Writes,
) -> Result<(), Error> {
    let claim = Claim {
        projection: "kit_things",
        ..Claim::default()
    };
    let lease = sink.claim(claim).await?;
    sink.begin(&lease).await?;
    let mut done = writes(sink.writer(event));
    let advance = Advance {
        to: Some(event.position),
        ..Advance::default()
    };
    if done.is_ok() {
        done = sink.commit(&lease, &advance).await;
    }
    sink.roll_back().await;
    done
}
