//! Declared projections by the binary: killed, run twice, followed, changed, and given what they cannot take.

#![expect(
    clippy::disallowed_methods,
    reason = "bounds the waits of tests; decides no result"
)]

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Mortal, Place, lines, real_events};

const FILE: &str = r#"
format = 1
name = "counts"
sink = "sqlite:read.db"
from = "all"
[tables.events]
id = "text primary key"
n = "integer"
at = "timestamp"
stream = "text index"
[tables.counts]
type = "text primary key"
events = "integer"
[[on."*"]]
table = "events"
insert = { id = "@id", n = "$.n", at = "@time", stream = "@stream" }
[[on."*"]]
table = "counts"
increment = { where = { type = "@type" }, by = { events = 1 } }
"#;

fn place(events: usize) -> Place {
    let place = Place::new();
    place.write("events.ndjson", lines(events));
    place.ok(&["import", "events.ndjson", "--data", "store", "-q"]);
    place.write("counts.toml", FILE);
    place
}

const RUN: [&str; 5] = ["project", "run", "counts.toml", "--data", "store"];

fn start(place: &Place) -> Mortal {
    let mut command = place.command(&RUN);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    Mortal::new(command.spawn().unwrap())
}

/// The one number that a query gives; nothing while there is no such table.
fn number(place: &Place, sql: &str) -> Option<i64> {
    let ran = place.run(&["query", "--sink", "sqlite:read.db", "-o", "ndjson", sql]);
    let row: Value = serde_json::from_str(ran.out.lines().next()?).unwrap();
    row.as_object().unwrap().values().next().unwrap().as_i64()
}

/// Waits until a number is this, or for a minute.
fn wait_for(place: &Place, sql: &str, expected: i64) {
    let start = Instant::now();
    while number(place, sql) != Some(expected) {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{sql}: {:?}",
            number(place, sql)
        );
    }
}

#[test]
fn a_killed_run_is_gone_on_with_and_applies_nothing_twice() {
    let place = place(3_000);
    for _ in 0..4 {
        let child = start(&place);
        // Killed at another point each time: as soon as something more was committed.
        let before = number(&place, "SELECT count(*) FROM events");
        let begun = Instant::now();
        while number(&place, "SELECT count(*) FROM events") == before {
            assert!(begun.elapsed() < Duration::from_secs(60));
            if before == Some(3_000) {
                break;
            }
        }
        child.kill();
    }
    let out = place.ok(&[
        "project",
        "run",
        "counts.toml",
        "--once",
        "--data",
        "store",
        "-o",
        "json",
    ]);
    let done: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(done["parked"], 0);
    assert_eq!(number(&place, "SELECT count(*) FROM events"), Some(3_000));
    assert_eq!(
        number(&place, "SELECT sum(events) FROM counts"),
        Some(3_000)
    );
    assert_eq!(
        number(&place, "SELECT count(*) FROM counts WHERE events = 1000"),
        Some(3)
    );
}

#[test]
fn several_in_one_run_are_each_what_they_would_be_alone() {
    let place = place(3_000);
    let one_type = r#"
format = 1
name = "one_type"
sink = "sqlite:other.db"
[tables.of_type]
id = "text primary key"
n = "integer"
[on.T1]
table = "of_type"
insert = { id = "@id", n = "$.n" }
"#;
    place.write("one_type.toml", one_type);
    let both = ["project", "run", "counts.toml", "one_type.toml"];
    let rows = |place: &Place| {
        let sql = "SELECT count(*) AS n FROM of_type";
        let out = place.ok(&["query", "--sink", "sqlite:other.db", "-o", "ndjson", sql]);
        let row: Value = serde_json::from_str(&out).unwrap();
        row["n"].as_i64()
    };
    place.ok(&[&both[..], &["--once", "--data", "store"]].concat());
    assert_eq!(number(&place, "SELECT count(*) FROM events"), Some(3_000));
    let of_type = "SELECT events FROM counts WHERE type = 'T1'";
    let before = number(&place, of_type);
    assert!(before > Some(0), "{before:?}");
    assert_eq!(rows(&place), before);

    let mut command = place.command(&[&both[..], &["--data", "store"]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = Mortal::new(command.spawn().unwrap());
    place.write("more.ndjson", lines(6_000));
    place.ok(&["import", "more.ndjson", "--data", "store", "-q"]);
    wait_for(&place, "SELECT count(*) FROM events", 6_000);
    let begun = Instant::now();
    while rows(&place) != number(&place, of_type) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{:?}",
            rows(&place)
        );
    }
    assert!(rows(&place) > before);
    child.kill();
}

#[test]
fn it_follows_a_store_that_another_process_writes() {
    let place = place(10);
    let child = start(&place);
    wait_for(&place, "SELECT count(*) FROM events", 10);
    for n in 11..14 {
        place.ok(&[
            "--data", "store", "append", "order-1", "-t", "T9", "--data", "{}", "-q",
        ]);
        wait_for(&place, "SELECT count(*) FROM events", n);
    }
    child.kill();
}

#[test]
fn of_two_that_run_the_second_takes_over() {
    let place = place(10);
    let first = start(&place);
    wait_for(&place, "SELECT count(*) FROM events", 10);
    let second = start(&place);
    let ended = first.wait(Duration::from_secs(60));
    assert_eq!(ended.status.code(), Some(4));
    let words = String::from_utf8(ended.stderr).unwrap();
    assert!(words.contains("was claimed by another runner"), "{words}");
    place.ok(&[
        "--data", "store", "append", "order-1", "-t", "T9", "--data", "{}", "-q",
    ]);
    wait_for(&place, "SELECT sum(events) FROM counts", 11);
    second.kill();
}

#[test]
fn a_pause_holds_runners_and_a_resume_lets_them_go_on() {
    let place = place(10);
    place.ok(&["project", "run", "counts.toml", "--once", "--data", "store"]);
    place.ok(&["project", "pause", "counts.toml"]);
    place.ok(&[
        "--data", "store", "append", "order-1", "-t", "T9", "--data", "{}", "-q",
    ]);
    let child = start(&place);
    let info = || {
        let out = place.ok(&[
            "project",
            "info",
            "counts.toml",
            "--data",
            "store",
            "-o",
            "json",
        ]);
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(info()["behind"]["records"], 1);
    }
    assert_eq!(info()["generations"][0]["paused"], true);
    place.ok(&["project", "resume", "counts.toml"]);
    wait_for(&place, "SELECT count(*) FROM events", 11);
    child.kill();
}

#[test]
fn a_rebuild_is_taken_up_after_a_kill_and_rolled_back() {
    let place = place(3_000);
    place.ok(&["project", "run", "counts.toml", "--once", "--data", "store"]);
    place.write(
        "counts.toml",
        FILE.replace("n = \"integer\"\n", "n = \"real\"\n"),
    );
    let refused = place.run(&["project", "run", "counts.toml", "--once", "--data", "store"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    let rebuild = [
        "project",
        "rebuild",
        "counts.toml",
        "--verify",
        "--data",
        "store",
        "-o",
        "json",
    ];
    let child = place
        .command(&rebuild)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Mortal::new(child);
    // Killed once the new generation is there, in the middle of it or at its end.
    let begun = Instant::now();
    let made = "SELECT count(*) FROM sqlite_master WHERE name = 'events__g2'";
    while number(&place, made) != Some(1) && !child.has_ended() {
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
    child.kill();
    assert_eq!(number(&place, "SELECT count(*) FROM events"), Some(3_000));
    let done: Value = serde_json::from_str(&place.ok(&rebuild)).unwrap();
    assert_eq!(done["switched"], true);
    assert_eq!(done["rows_compared"], 3_003);
    assert_eq!(
        number(
            &place,
            "SELECT count(*) FROM events WHERE typeof(n) = 'real'"
        ),
        Some(3_000)
    );
    place.ok(&["project", "rollback", "counts.toml"]);
    assert_eq!(
        number(
            &place,
            "SELECT count(*) FROM events WHERE typeof(n) = 'integer'"
        ),
        Some(3_000)
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case after another")]
fn what_is_wrong_with_sink_or_file_is_named() {
    let place = place(3);
    let check = |args: &[&str], code: i32, expected: &str| {
        let ran = place.run(args);
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, code, "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    };
    let run = |file: &'static str| ["project", "run", file, "--once", "--data", "store"];
    check(&run("none.toml"), 3, "none.toml: No such file");
    place.write("broken.toml", "format = 1\nname = [\n");
    check(&run("broken.toml"), 1, "broken.toml: line 2");
    place.write("nosink.toml", FILE.replace("sink = \"sqlite:read.db\"", ""));
    check(&run("nosink.toml"), 2, "names no sink");
    place.write("other.toml", FILE.replace("sqlite:read.db", "oracle://x"));
    check(&run("other.toml"), 2, "there is no sink");
    place.write(
        "far.toml",
        FILE.replace("sqlite:read.db", "sqlite:no/such/read.db"),
    );
    check(
        &["project", "check", "far.toml", "--data", "store"],
        6,
        "there is no directory",
    );
    place.write(
        "text.db",
        "this is no database, whatever its name says, and it is long enough to be read as one",
    );
    place.write("text.toml", FILE.replace("read.db", "text.db"));
    check(
        &["project", "check", "text.toml", "--data", "store"],
        1,
        "file is not a database",
    );
    check(&run("text.toml"), 1, "file is not a database");
    check(
        &["project", "info", "counts.toml"],
        3,
        "there is no file read.db",
    );
    check(&["project", "ls"], 2, "of which sink?");
    let secret = "postgres://anna:geheim@localhost/x";
    let ran = place.run(&["project", "ls", "--sink", secret]);
    assert_eq!(ran.code, 2);
    assert!(!ran.err.contains("geheim"), "{}", ran.err);

    let db = rusqlite::Connection::open(place.path("read.db")).unwrap();
    db.execute_batch("CREATE TABLE counts (mine TEXT)").unwrap();
    let owned = "has a table counts that no projection made";
    check(
        &["project", "check", "counts.toml", "--data", "store"],
        1,
        owned,
    );
    check(&run("counts.toml"), 1, owned);
    db.execute_batch("DROP TABLE counts").unwrap();
    place.ok(&run("counts.toml"));
    place.write(
        "thief.toml",
        FILE.replace("name = \"counts\"", "name = \"thief\""),
    );
    let theirs = "belongs to projection counts, not to thief";
    check(
        &["project", "check", "thief.toml", "--data", "store"],
        1,
        theirs,
    );
    check(
        &[
            "project",
            "run",
            "counts.toml",
            "thief.toml",
            "--once",
            "--data",
            "store",
        ],
        1,
        theirs,
    );
    check(
        &[
            "project",
            "run",
            "counts.toml",
            "counts.toml",
            "--data",
            "store",
        ],
        2,
        "the same projection",
    );
    check(
        &["project", "drop", "counts.toml", "1", "--yes"],
        1,
        "readers see generation 1",
    );
    check(
        &["project", "drop", "counts.toml", "7", "--yes"],
        3,
        "no generation 7",
    );
    check(
        &["project", "rollback", "counts.toml"],
        1,
        "no generation to go back to",
    );
    check(
        &["project", "skip", "counts.toml", "1", "--yes"],
        1,
        "is not parked",
    );
    check(&["project", "skip", "counts.toml", "1"], 2, "needs a yes");
    check(
        &["project", "info", "nobody", "--sink", "sqlite:read.db"],
        3,
        "there is no projection nobody",
    );
    check(
        &["query", "--sink", "sqlite:none.db", "SELECT 1"],
        3,
        "there is no file none.db",
    );
    check(
        &["query", "--sink", "sqlite:read.db", "SELEC 1"],
        1,
        "syntax error",
    );
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    check(
        &[
            "query",
            "--sink",
            "sqlite:read.db",
            "--timeout",
            "1s",
            endless,
        ],
        1,
        "longer than the limit",
    );
    check(
        &[
            "query",
            "--events",
            "--data",
            "store",
            "-n",
            "2",
            "SELECT position FROM events",
        ],
        0,
        "there are more",
    );
}

/// The loan applications of a bank, where that log is present: as one row each, and the counts of the log.
#[test]
fn real_events_become_one_row_for_each_application() {
    let Some(events) = real_events() else {
        return;
    };
    let place = Place::new();
    let events = events.canonicalize().unwrap();
    place.ok(&["import", events.to_str().unwrap(), "--data", "store", "-q"]);
    let counted = "SELECT count(DISTINCT stream) FROM events";
    let streams = place.ok(&[
        "query", "--events", "--data", "store", "-o", "ndjson", counted,
    ]);
    let all = place.ok(&[
        "query",
        "--events",
        "--data",
        "store",
        "-o",
        "ndjson",
        "SELECT count(*) FROM events",
    ]);
    let one = |text: &str| {
        let row: Value = serde_json::from_str(text).unwrap();
        row.as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_i64()
            .unwrap()
    };
    place.write(
        "loans.toml",
        r#"
format = 1
name = "loans"
sink = "sqlite:read.db"
from = "all"
[table]
stream = "text primary key"
events = "integer"
last_type = "text index"
last_at = "timestamp"
[[on."*"]]
increment = { where = { stream = "@stream" }, by = { events = 1 } }
[[on."*"]]
update = { where = { stream = "@stream" }, set = { last_type = "@type", last_at = "@time" } }
"#,
    );
    let rebuild = [
        "project",
        "rebuild",
        "loans.toml",
        "--data",
        "store",
        "-o",
        "json",
    ];
    let done: Value = serde_json::from_str(&place.ok(&rebuild)).unwrap();
    assert_eq!(done["rows_compared"].as_i64(), Some(one(&streams)));
    assert_eq!(
        number(&place, "SELECT count(*) FROM loans"),
        Some(one(&streams))
    );
    assert_eq!(
        number(&place, "SELECT sum(events) FROM loans"),
        Some(one(&all))
    );
    assert_eq!(
        number(&place, "SELECT count(*) FROM loans WHERE last_at IS NULL"),
        Some(0)
    );
}
