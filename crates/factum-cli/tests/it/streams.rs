//! Appending, reading, streams: answers and exit codes.

use std::process::Stdio;

use serde_json::json;

use crate::support::{Place, Ran, lines};

fn value(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn data_is_exact_and_comes_from_argument_file_or_input() {
    let place = Place::new();
    place.write("data.json", "\n{ \"a\" : [1.50, 2e3] }\n");
    place.ok(&["append", "s-1", "--type", "T", "--data", "{ \"a\" : 1.0 }"]);
    place.ok(&["append", "s-1", "--type", "T", "--data", "@data.json"]);
    let ran = place.run_with(
        &["append", "s-1", "--type", "T", "--data", "-"],
        b"{\n \"a\": \"x y\"\n}\n",
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    place.ok(&["append", "s-1", "--type", "T"]);
    place.ok(&[
        "append",
        "s-1",
        "--type",
        "T",
        "--binary",
        "--data",
        "@data.json",
    ]);
    let text = place.ok(&["read", "s-1"]);
    for expected in [
        "\"data\":{ \"a\" : 1.0 },",
        "\"data\":{ \"a\" : [1.50, 2e3] },",
        "\"data\":{\"a\":\"x y\"},",
        "\"data_base64\":\"CnsgImEi",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert_eq!(value(text.lines().nth(3).unwrap()).get("data"), None);
}

#[test]
fn everything_about_an_event_is_kept() {
    let place = Place::new();
    let receipt = place.ok(&[
        "append",
        "s-1",
        "-t",
        "T",
        "--data",
        "1",
        "--tag",
        "a:1",
        "--tag",
        "b:x,y",
        "--meta",
        "{\"region\": \"eu\"}",
        "--correlation-id",
        "c",
        "--causation-id",
        "d",
        "--user-id",
        "u",
        "--traceparent",
        "tp",
        "--schema-version",
        "3",
        "--time",
        "2020-02-03T04:05:06.789Z",
        "-o",
        "json",
    ]);
    assert_eq!(value(&receipt)["last_position"], 0);
    let event = value(&place.ok(&["read", "s-1"]));
    let expected = json!({
        "specversion": "1.0", "id": event["id"], "source": "/factum", "type": "T", "subject": "s-1",
        "time": "2020-02-03T04:05:06.789Z", "datacontenttype": "application/json", "data": 1, "correlationid": "c",
        "causationid": "d", "userid": "u", "traceparent": "tp", "tags": "a:1,b:x%2Cy", "schemaversion": 3,
        "region": "eu", "position": 0, "streamrevision": 0,
    });
    assert_eq!(event, expected);
    assert_eq!(event["id"].as_str().unwrap().as_bytes()[14], b'7');
}

#[test]
fn many_events_are_appended_or_none() {
    let place = Place::new();
    place.write("good", "\u{feff}{\"type\":\"A\",\"data\":{\"x\":1},\"tags\":[\"k:v\"]}\n\n{\"type\":\"B\",\"metadata\":{\"m\":1}}\n");
    place.write("bad", "{\"type\":\"A\"}\n{\"typo\":\"B\"}\n");
    let words = place.ok(&["append", "s-1", "--events", "good", "--expect", "none"]);
    assert_eq!(
        words,
        "appended: 2 events in s-1 at revisions 0 to 1, positions 0 to 1\n"
    );
    let ran = place.run(&["append", "s-2", "--events", "bad"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("bad:2: column 7: unknown field `typo`"),
        "{}",
        ran.err
    );
    assert_eq!(place.run(&["read", "s-2"]).code, 3);
}

#[test]
fn expectations_end_in_a_conflict() {
    let place = Place::new();
    let check = |expect: &str, code: i32| {
        let ran = place.run(&["append", "s-1", "-t", "T", "--expect", expect]);
        assert_eq!(ran.code, code, "{expect}: {}", ran.err);
    };
    check("exists", 4);
    check("none", 0);
    check("none", 4);
    check("1", 4);
    check("0", 0);
    check("exists", 0);
    check("any", 0);
    check("sometimes", 2);
    let ran = place.run(&["append", "s-1", "-t", "T", "--expect", "0", "-o", "json"]);
    let last = ran.err.lines().last().unwrap();
    assert_eq!(value(last)["error"]["kind"], "conflict");
    assert_eq!(value(last)["error"]["exit"], 4);
}

#[test]
fn reading_goes_both_ways_from_anywhere() {
    let place = Place::new();
    place.write("x", lines(14));
    place.ok(&["import", "x", "-q"]);
    let check = |args: &[&str], expected: &[u64]| {
        let text = place.ok(&[&["read"], args].concat());
        let found: Vec<u64> = text
            .lines()
            .map(|line| value(line)["data"]["n"].as_u64().unwrap())
            .collect();
        assert_eq!(found, expected, "{args:?}");
    };
    check(&["order-1"], &[1, 8]);
    check(&["order-1", "--from", "1"], &[8]);
    check(&["order-1", "--backward"], &[8, 1]);
    check(&["--all", "--from", "12"], &[12, 13]);
    check(&["--all", "-n", "2"], &[0, 1]);
    check(&["--all", "-b", "-n", "2"], &[13, 12]);
    check(&["--all", "-b", "--from", "1"], &[1, 0]);
    check(&["--all", "--from", "end"], &[]);
    check(&["--category", "order", "--from", "13"], &[13]);
    check(&["--type", "T0", "--type", "T1", "-n", "3"], &[0, 1, 3]);
    assert_eq!(
        value(&place.ok(&["read", "--all", "-o", "json"]))
            .as_array()
            .unwrap()
            .len(),
        14
    );
    assert_eq!(
        place.ok(&["read", "--category", "none", "-o", "json"]),
        "[]\n"
    );
    assert_eq!(
        value(&place.ok(&["stream", "ls", "-o", "json"]))
            .as_array()
            .unwrap()
            .len(),
        7
    );
    assert_eq!(
        place
            .ok(&["stream", "ls", "--prefix", "order-6"])
            .lines()
            .count(),
        1
    );
    assert_eq!(place.ok(&["stream", "ls", "-n", "3"]).lines().count(), 3);
}

#[test]
fn deleting_needs_a_yes() {
    let place = Place::new();
    for name in ["a-1", "b-1"] {
        place.ok(&["append", name, "-t", "T"]);
    }
    assert_eq!(place.run(&["stream", "delete", "a-1"]).code, 2);
    place.ok(&["stream", "delete", "a-1", "--dry-run"]);
    place.ok(&["read", "a-1"]);
    place.ok(&["stream", "delete", "a-1", "--yes"]);
    assert_eq!(place.run(&["read", "a-1"]).code, 3);
    assert!(
        place
            .ok(&["append", "a-1", "-t", "T"])
            .contains("revision 1")
    );
    place.ok(&["stream", "delete", "b-1", "--tombstone", "--yes"]);
    let ran = place.run(&["append", "b-1", "-t", "T"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let kinds = place.ok(&["read", "--all", "--control"]);
    assert!(
        kinds.contains("$deleted") && kinds.contains("$tombstoned"),
        "{kinds}"
    );
}

#[test]
fn truncating_keeps_what_was_set_before() {
    let place = Place::new();
    for _ in 0..5 {
        place.ok(&["append", "s-1", "-t", "T"]);
    }
    place.ok(&["stream", "truncate", "s-1", "--before", "1", "--yes"]);
    assert_eq!(place.ok(&["read", "s-1"]).lines().count(), 4);
    place.ok(&["stream", "truncate", "s-1", "--max-count", "2", "--yes"]);
    assert_eq!(place.ok(&["read", "s-1"]).lines().count(), 2);
    let info = value(&place.ok(&["stream", "info", "s-1", "-o", "json"]));
    assert_eq!(
        (&info["truncate_before"], &info["max_count"]),
        (&json!(1), &json!(2))
    );
    place.ok(&["stream", "truncate", "s-1", "--clear", "--yes"]);
    assert_eq!(place.run(&["stream", "truncate", "s-1", "--yes"]).code, 2);
    assert_eq!(
        place
            .run(&["stream", "truncate", "none", "--clear", "--yes"])
            .code,
        3
    );
}

/// `factum … | head` must not fail, nor say anything.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    place.write("x", lines(5_000));
    place.ok(&["import", "x", "-q"]);
    let all: [&[&str]; 5] = [
        &["read", "--all"],
        &["read", "--all", "-o", "table"],
        &["export"],
        &["completions", "bash"],
        &["help", "append"],
    ];
    for args in all {
        let mut child = place
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_reading() {
    let place = Place::new();
    let all: [&[&str]; 7] = [
        &["read", "--all"],
        &["tail"],
        &["stream", "ls"],
        &["event", "show", "0"],
        &["export"],
        &["verify"],
        &["backup", "b"],
    ];
    for args in all {
        let ran = place.run(args);
        assert_eq!(ran.code, 3, "{args:?}");
        assert!(
            ran.err.contains("hint: name it by --data"),
            "{args:?}: {}",
            ran.err
        );
    }
    assert!(crate::support::is_absent(&place.path("factum-data")));
}

#[test]
fn the_demo_leaves_nothing_unless_asked() {
    let place = Place::new();
    let text = place.ok(&["demo"]);
    assert!(text.contains("7. A subscriber follows"), "{text}");
    assert!(crate::support::is_absent(&place.path("factum-data")));
    place.ok(&["demo", "--data", "d"]);
    assert_eq!(place.all("d").len(), 9);
    assert_eq!(place.run(&["demo", "--data", "d"]).code, 1);
}
