//! Input that is wrong: each ends with its exit code and a message that names the place.

use std::io::Write;

use crate::support::{Place, line, lines};

/// Imports `text`, expects this exit code, these words and so many events in the store.
fn check(text: impl AsRef<[u8]>, code: i32, words: &str, events: usize) {
    let place = Place::new();
    place.write("in", text);
    let ran = place.run(&["import", "in", "--batch", "2"]);
    assert_eq!(ran.code, code, "{}", ran.err);
    assert!(ran.err.contains(words), "{words:?} in {}", ran.err);
    assert!(
        !ran.err.contains("panicked") && !ran.err.contains('\u{1b}'),
        "{:?}",
        ran.err
    );
    assert_eq!(place.ok(&["cat", "--all"]).lines().count(), events);
}

#[test]
fn broken_lines_are_named_and_what_is_before_them_stays() {
    let after = line(9);
    check(
        format!("{}{{\"specversion\":\n{after}", lines(3)),
        1,
        "in:4:",
        3,
    );
    check(
        format!("{}\u{0}\u{1}\u{2}\n{after}", lines(3)),
        1,
        "in:4:",
        3,
    );
    check([lines(3).as_bytes(), b"\xFF\xFE\n"].concat(), 1, "in:4:", 3);
    check(format!("{}[{}]\n", lines(3), line(4).trim()), 1, "jq -c", 3);
    check(
        lines(3).trim_end().strip_suffix('}').unwrap(),
        1,
        "in:3:",
        2,
    );
    check(
        format!("{}{}", lines(3), line(4).replace("1.0", "0.3")),
        1,
        "in:4: specversion \"0.3\"",
        3,
    );
    check(
        format!("{}{}", lines(3), line(4).replace("order-", "a\\u001b[31mb")),
        1,
        "U+001B",
        3,
    );
    check(
        format!("{}{}", lines(3), line(4).replace("order-", "\\u202e")),
        1,
        "U+202E",
        3,
    );
}

#[test]
fn deep_nesting_is_only_data() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    check(line(1).replace("{\"n\":1}", &deep), 0, "1 event added", 1);
}

#[test]
fn a_line_over_the_limit_is_refused() {
    let long = format!("{{\"x\":\"{}\"}}", "y".repeat(17 << 20));
    check(
        format!("{}{long}\n{}", lines(3), line(9)),
        1,
        "in:4: the line is longer than the limit of 16777216 bytes",
        3,
    );
    let large = line(4).replace("{\"n\":4}", &format!("\"{}\"", "y".repeat(5 << 20)));
    check(
        format!("{}{large}", lines(3)),
        1,
        "in:4: data is 5242882, more than the limit of 4194304",
        3,
    );
}

/// Two lines that are each as large as may be are more than an append may have.
#[test]
fn large_lines_behind_each_other_are_stored() {
    let data = |number: usize, bytes: usize| {
        let data = format!("\"data\":\"{}\"", "x".repeat(bytes));
        line(number).replace(&format!("\"data\":{{\"n\":{number}}}"), &data)
    };
    let large = data(1, 4_194_300).replace("\"eu\"", &format!("\"{}\"", "y".repeat(100_000)));
    check(
        format!("{}{large}{}", data(0, 4_100_000), line(2)),
        0,
        "3 ",
        3,
    );
}

#[test]
fn an_id_twice_is_one_event_or_an_error() {
    check(format!("{}{}", lines(3), line(1)), 0, "1 repeated line", 3);
    let other = line(1).replace("\"n\":1", "\"n\":7");
    check(
        format!("{}{other}", lines(3)),
        1,
        "in:4: event 00000000-0000-4000-8000-000000000001 is on line 2 too",
        3,
    );
}

#[test]
fn compressed_data_that_ends_early_is_told() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(lines(5_000).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let place = Place::new();
    place.write("in.gz", &packed[..packed.len() - 20_000]);
    let ran = place.run(&["import", "in.gz"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("the compressed data ends too early"),
        "{}",
        ran.err
    );
    let there = place.all("factum-data").len();
    assert!(there > 0 && there < 5_000, "{there}");
    place.write("in.gz", &packed);
    let ran = place.run(&["import", "in.gz"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(place.all("factum-data").len(), 5_000);
    place.write("in.gz", b"\x1f\x8bnot gzip at all");
    assert_eq!(place.run(&["import", "in.gz"]).code, 1);
}

#[test]
fn wrong_lines_can_be_passed_over() {
    let place = Place::new();
    place.write("in", format!("{}nonsense\n{}{{}}\n", lines(3), line(4)));
    let ran = place.run(&["import", "in", "--skip-invalid", "-o", "json"]);
    assert_eq!(ran.code, 8, "{}", ran.err);
    assert!(ran.err.contains("warning: skipped in:4:"), "{}", ran.err);
    assert!(ran.err.contains("2 lines skipped"), "{}", ran.err);
    assert_eq!(place.all("factum-data").len(), 4);
}

#[test]
fn files_and_directories_that_are_not_what_they_should_be() {
    let place = Place::new();
    place.write("file", "x");
    let run = |args: &[&str], code: i32| {
        let ran = place.run(args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        assert!(ran.err.starts_with("error: "), "{args:?}: {}", ran.err);
    };
    run(&["import", "missing"], 3);
    run(&["import", "."], 1);
    run(&["append", "s", "-t", "T", "--data", "@missing"], 3);
    run(&["append", "s", "-t", "T", "--data", "nonsense"], 1);
    run(&["append", "s", "-t", "T", "--meta", "[1]"], 1);
    run(&["append", "s", "--events", "file"], 1);
    assert_ne!(
        place
            .run(&["--data", "file", "append", "s", "-t", "T"])
            .code,
        0
    );
    place.ok(&["append", "s", "-t", "T"]);
    run(&["export", "missing/out"], 3);
    run(&["event", "show", "7"], 3);
}

#[test]
fn wrong_command_lines_end_with_two() {
    let place = Place::new();
    let long = "x".repeat(600);
    let all: [&[&str]; 19] = [
        &[],
        &["nonsense"],
        &["read"],
        &["read", "s", "--all"],
        &["read", "--all", "--from", "later"],
        &["read", "--all", "-n", "-1"],
        &["read", "--tag", "no-colon"],
        &["read", &long],
        &["read", "a\u{7}b"],
        &["append", "s"],
        &["append", "s", "-t", "T", "--id", "7"],
        &["append", "s", "-t", "T", "--schema-version", "0"],
        &["append", "s", "-t", "T", "--time", "noon"],
        &["append", "s", "-t", "T", "--events", "x"],
        &["import", "x", "--batch", "0"],
        &["import", "x", "--batch", "100000"],
        &["stream", "truncate", "s", "--max-age", "30"],
        &["read", "--all", "--url", "localhost:2113"],
        &[
            "read",
            "--all",
            "--url",
            "http://localhost:1",
            "--accept-lost-tails",
        ],
    ];
    for args in all {
        let ran = place.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
        assert!(!ran.err.is_empty(), "{args:?}");
    }
    assert!(crate::support::is_absent(&place.path("factum-data")));
}
