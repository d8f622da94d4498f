//! Every subcommand of `factum bench`, with sizes so small that the figures say nothing: what is asserted is their form.

use serde_json::Value;

use crate::support::{Place, lines};

/// Runs a subcommand and gives its rows.
fn rows(place: &Place, what: &str, more: &[&str]) -> Vec<Value> {
    let tiny = [
        "--seconds",
        "0.02",
        "--events",
        "3000",
        "--segment-bytes",
        "262144",
        "--dir",
        ".",
        "--quiet",
        "-o",
        "json",
    ];
    let args: Vec<&str> = ["bench", what]
        .iter()
        .chain(&tiny)
        .chain(more)
        .copied()
        .collect();
    let text = place.ok(&args);
    let answer: Value = serde_json::from_str(&text).unwrap();
    for fact in ["processor", "kernel", "fileSystem", "when", "version"] {
        assert!(answer["machine"][fact].is_string(), "{fact}: {text}");
    }
    answer["rows"].as_array().unwrap().clone()
}

fn check(what: &str, rows_expected: usize, floors_expected: usize) {
    let place = Place::new();
    let rows = rows(&place, what, &[]);
    assert_eq!(rows.len(), rows_expected, "{rows:#?}");
    for row in &rows {
        assert_eq!(row["group"], what, "{row}");
        assert!(row["figure"].as_f64().unwrap() >= 0.0, "{row}");
        assert_eq!(row["limit"].is_null(), row["ratio"].is_null(), "{row}");
        assert_eq!(
            row["isUnderFloor"].is_null(),
            row["floorRatio"].is_null(),
            "{row}"
        );
    }
    let floors = rows
        .iter()
        .filter(|row| row["floorRatio"].is_number())
        .count();
    assert_eq!(floors, floors_expected, "{rows:#?}");
    let left: Vec<_> = std::fs::read_dir(place.path(".")).unwrap().collect();
    assert!(left.is_empty(), "{what} left {left:?} behind");
}

#[test]
fn the_device_has_no_floor() {
    check("disk", 17, 0);
}

#[test]
fn every_append_has_a_floor() {
    check("append", 7, 7);
}

#[test]
fn conditions_on_tags_have_a_floor() {
    check("condition", 2, 1);
}

#[test]
fn reading_is_held_against_the_same_files() {
    check("read", 3, 2);
    check("stream", 5, 5);
}

#[test]
fn folding_is_held_against_decoding() {
    check("fold", 5, 3);
}

/// Applications that were given are folded instead of made ones, each event of theirs.
#[test]
fn a_log_that_is_given_is_folded() {
    let place = Place::new();
    let log = "../../examples/loan-applications/tests/sample.ndjson";
    let log = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(log);
    let log = log.to_str().unwrap();
    let rows = rows(&place, "fold", &["--only", "together", "--log", log]);
    let note = rows[0]["note"].as_str().unwrap();
    assert_eq!(note, "the log given, 102 events of 7 streams");
    place.write("other.ndjson", lines(3));
    let other = ["bench", "fold", "--log", "other.ndjson", "--dir", "."];
    let refused = place.run(&other);
    assert_ne!(refused.code, 0, "{refused:?}");
}

#[test]
fn opening_and_bytes_have_floors() {
    check("open", 6, 6);
}

#[test]
fn a_table_has_a_line_for_each_figure() {
    let place = Place::new();
    let table = place.ok(&[
        "bench",
        "condition",
        "--seconds",
        "0.02",
        "--dir",
        ".",
        "--only",
        "tags",
    ]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines.iter().all(|line| !line.is_empty()), "{table}");
    for head in ["measured", "figure", "limit", "ratio", "floor"] {
        assert!(table.contains(head), "{head}: {table}");
    }
}

#[test]
fn a_document_gets_the_figures_between_its_marks() {
    let place = Place::new();
    place.write(
        "b.md",
        "before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n",
    );
    rows(
        &place,
        "all",
        &["--only", "8 writers", "--markdown", "b.md"],
    );
    let text = std::fs::read_to_string(place.path("b.md")).unwrap();
    assert!(
        text.starts_with("before\n<!-- figures: begin -->\n"),
        "{text}"
    );
    assert!(text.ends_with("<!-- figures: end -->\nafter\n"), "{text}");
    assert!(
        text.contains("| 8 writers |") && !text.contains("old"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let place = Place::new();
    let check = |args: &[&str]| assert_eq!(place.run(args).code, 2, "{args:?}");
    check(&["bench", "disk", "--seconds", "0"]);
    check(&["bench", "disk", "--seconds", "NaN"]);
    check(&["bench", "append", "--payload", "0"]);
    check(&["bench", "open", "--events", "0"]);
    check(&["bench"]);
}
