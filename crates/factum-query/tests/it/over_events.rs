//! SQL over a store in memory and over a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use factum_query::{Done, Error, Filter, Kind, Limits, Row, Value, events, sqlite};
use factum_store::{AppendBatch, EventStore, MemoryStore, Source};
use factum_types::{
    Category, EventId, EventType, ExpectedRevision, NewEvent, Position, StreamName,
};
use serde_json::json;

const LIMITS: Limits = Limits {
    rows: 100,
    time: Duration::from_secs(20),
};

fn store() -> MemoryStore {
    let store = MemoryStore::new();
    for n in 0..20_u8 {
        let kind = if n % 4 == 0 { "Placed" } else { "Paid" };
        let data = json!({"n": n, "customer": if n % 2 == 0 { "anna" } else { "ben" }});
        let id = EventId::from_bytes([n + 1; 16]);
        let event = NewEvent::json(id, EventType::new(kind).unwrap(), data.to_string());
        let stream =
            StreamName::new(format!("{}-{n}", if n < 10 { "order" } else { "bill" })).unwrap();
        let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
        pollster::block_on(store.append(batch)).unwrap();
    }
    store
}

fn ask(filter: &Filter, sql: &str, limits: Limits) -> Result<(Done, Vec<Vec<Value>>), Error> {
    let mut rows = Vec::new();
    let mut out = |row: Row<'_>| {
        rows.push(row.values.to_vec());
        Ok(())
    };
    let store = store();
    let done = pollster::block_on(events(&store, filter, sql, limits, || false, &mut out))?;
    Ok((done, rows))
}

#[test]
fn events_are_a_table() {
    let all = Filter::default();
    let check = |sql: &str, expected: Value| {
        let (_, rows) = ask(&all, sql, LIMITS).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(json!(rows), expected, "{sql}");
    };
    check(
        "SELECT type, count(*) FROM events GROUP BY type",
        json!([["Paid", 15], ["Placed", 5]]),
    );
    check(
        "SELECT count(*) FROM events WHERE category = 'order'",
        json!([[10]]),
    );
    check(
        "SELECT data ->> '$.customer' c, sum(data ->> '$.n') FROM events GROUP BY c",
        json!([["anna", 90], ["ben", 100]]),
    );
    check(
        "SELECT stream, revision, version, tags, metadata FROM events WHERE position = 3",
        json!([["order-3", 0, 1, "[]", null]]),
    );
    check(
        "SELECT e.n FROM (SELECT data ->> 'n' AS n FROM events) e ORDER BY 1 DESC LIMIT 1",
        json!([[19]]),
    );
    check(
        "SELECT count(*) FROM events WHERE time >= '1970-01-01' AND recorded = time",
        json!([[20]]),
    );
    check(
        "WITH recursive n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
        json!([[1], [2], [3]]),
    );
    check("SELECT sql IS NOT NULL FROM sqlite_schema", json!([[1]]));
    check("SELECT * FROM events WHERE position = 99", json!([]));
    check("SELECT 9e999, x'01'", json!([[null, [1]]]));
}

#[test]
fn only_what_is_asked_for_is_copied() {
    let order = Filter {
        source: Source::Category(Category::new("order").unwrap()),
        from: Some(Position::from_raw(2)),
        to: Some(Position::from_raw(5)),
        ..Filter::default()
    };
    let (done, rows) = ask(&order, "SELECT position FROM events", LIMITS).unwrap();
    assert_eq!((done.events, rows.len(), done.cut), (4, 4, false));
    let two = Limits { rows: 2, ..LIMITS };
    let (done, rows) = ask(&order, "SELECT position FROM events", two).unwrap();
    assert_eq!((done.rows, rows.len(), done.cut), (2, 2, true));
}

#[test]
fn what_is_no_query_is_refused_with_its_reason() {
    let check = |sql: &str, kind: Kind, expected: &str| {
        let error = ask(&Filter::default(), sql, LIMITS).unwrap_err();
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.to_string().contains(expected), "{sql}: {error}");
    };
    check("SELEC 1", Kind::Invalid, "syntax error at character 1");
    check("SELECT 1 FROM evnts", Kind::Invalid, "no such table: evnts");
    check(
        "SELECT x FROM events",
        Kind::Invalid,
        "no such column: x at character 8",
    );
    check("", Kind::Invalid, "there is no query");
    check("-- nothing", Kind::Invalid, "there is no query");
    check(
        "SELECT 1; SELECT 2",
        Kind::Invalid,
        "one statement at a time",
    );
    check("SELECT ?", Kind::Invalid, "has parameters");
    check("DELETE FROM events", Kind::Refused, "delete from events");
    check(
        "UPDATE events SET type = 'x'",
        Kind::Refused,
        "update events",
    );
    check("CREATE TABLE x (a)", Kind::Refused, "this one would");
    check("DROP TABLE events", Kind::Refused, "this one would");
    check("ATTACH 'x.db' AS x", Kind::Refused, "attach another file");
    check(
        "PRAGMA query_only = 0",
        Kind::Refused,
        "set PRAGMA query_only",
    );
    check("BEGIN", Kind::Refused, "this one would");
    check("VACUUM INTO 'x.db'", Kind::Refused, "");
    check(
        "SELECT load_extension('x')",
        Kind::Refused,
        "load an extension",
    );
    check(
        "SELECT length(zeroblob(1000000000))",
        Kind::Limit,
        "too big",
    );
}

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

#[test]
fn endless_queries_end() {
    let soon = Limits {
        rows: 1,
        time: Duration::from_millis(50),
    };
    let error = ask(&Filter::default(), ENDLESS, soon).unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
    assert_eq!(
        error.to_string(),
        "the query took longer than the limit of 50ms"
    );

    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let is_stopped = move || counting.fetch_add(1, Ordering::SeqCst) > 100;
    let mut out = |_: Row<'_>| Ok(());
    let store = store();
    let all = Filter::default();
    let stopped = events(&store, &all, ENDLESS, LIMITS, is_stopped, &mut out);
    let error = pollster::block_on(stopped).unwrap_err();
    assert_eq!(error.kind(), Kind::Stopped);
    assert!(asked.load(Ordering::SeqCst) > 100);
}

#[test]
fn a_file_is_read_and_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let mut out = |_: Row<'_>| Ok(());
    let missing = sqlite(&path, "SELECT 1", LIMITS, || false, &mut out).unwrap_err();
    assert_eq!(missing.kind(), Kind::Unavailable);
    assert!(!path.exists());

    let made = rusqlite::Connection::open(&path).unwrap();
    made.execute_batch("CREATE TABLE orders (id TEXT); INSERT INTO orders VALUES ('a'), ('b')")
        .unwrap();
    let mut names = Vec::new();
    let mut out = |row: Row<'_>| {
        names.push((row.columns.to_vec(), row.values.to_vec()));
        Ok(())
    };
    let sql = "SELECT id, 1 AS one FROM orders ORDER BY id";
    let done = sqlite(&path, sql, LIMITS, || false, &mut out).unwrap();
    assert_eq!(
        (done.rows, done.columns),
        (2, vec!["id".to_owned(), "one".to_owned()])
    );
    assert_eq!(
        json!(names),
        json!([[["id", "one"], ["a", 1]], [["id", "one"], ["b", 1]]])
    );
    for sql in [
        "DELETE FROM orders",
        "DROP TABLE orders",
        "PRAGMA journal_mode = DELETE",
    ] {
        let error = sqlite(&path, sql, LIMITS, || false, &mut |_: Row<'_>| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{sql}: {error}");
    }
    let broken = |_: Row<'_>| Err(Error::new(Kind::Out, "full"));
    let error = sqlite(&path, sql, LIMITS, || false, &mut { broken }).unwrap_err();
    assert_eq!(error.kind(), Kind::Out);
}
