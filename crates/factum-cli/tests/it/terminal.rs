//! What reaches a terminal: colour, hostile text, help, and Ctrl-C.

use std::io::{BufRead, BufReader, Read as _};
use std::process::Stdio;

use crate::support::Place;

/// Data may hold anything; a column must not let a terminal obey it.
#[test]
fn columns_show_hostile_text_instead_of_obeying_it() {
    let place = Place::new();
    place.ok(&[
        "append",
        "s-1",
        "-t",
        "T",
        "--data",
        "{\"a\":\"\u{202e}\u{9b}2J\u{200b}\"}",
    ]);
    place.ok(&[
        "append",
        "s-1",
        "-t",
        "T",
        "--data",
        "{\"b\":1}",
        "--user-id",
        "x\u{1b}[2Jy",
    ]);
    let table = place.ok(&["read", "s-1", "-o", "table"]);
    assert!(table.contains("\\u{202e}\\u{9b}2J\\u{200b}"), "{table}");
    for position in ["0", "1"] {
        let shown = place.ok(&["event", "show", position]);
        let hostile = ['\u{1b}', '\u{9b}', '\u{202e}', '\u{200b}'];
        assert!(!shown.contains(hostile), "{shown:?}");
    }
    let lines = place.ok(&["read", "s-1"]);
    assert!(
        lines.contains("\u{202e}") && !lines.contains('\u{1b}'),
        "JSON keeps data exact: {lines}"
    );
}

#[test]
fn colour_is_there_when_asked_and_only_then() {
    let place = Place::new();
    place.ok(&["append", "s-1", "-t", "T"]);
    let args = ["read", "s-1", "-o", "table"];
    assert!(!place.ok(&args).contains('\u{1b}'));
    assert!(
        place
            .ok(&["--color", "always", "read", "s-1", "-o", "table"])
            .contains('\u{1b}')
    );
    let forced = place
        .command(&args)
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(forced.stdout.contains(&0x1B));
    let without = place
        .command(&args)
        .env("NO_COLOR", "1")
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(!without.stdout.contains(&0x1B));
    let red = place.run(&["--color", "always", "read", "none"]);
    assert!(red.err.contains("\u{1b}["), "{:?}", red.err);
}

#[test]
fn every_command_has_help_with_an_example() {
    let place = Place::new();
    let all: [&[&str]; 18] = [
        &["append"],
        &["read"],
        &["tail"],
        &["stream", "ls"],
        &["stream", "info"],
        &["stream", "truncate"],
        &["stream", "delete"],
        &["event", "show"],
        &["import"],
        &["export"],
        &["verify"],
        &["backup"],
        &["restore"],
        &["doctor"],
        &["demo"],
        &["completions"],
        &["man"],
        &[],
    ];
    for args in all {
        let text = place.ok(&[args, &["--help"]].concat());
        assert!(text.contains("factum "), "{args:?}");
        assert!(
            text.contains("Example") || args.is_empty(),
            "{args:?}: {text}"
        );
    }
    let ran = place.run(&["man", "pages"]);
    let count = std::fs::read_dir(place.path("pages")).unwrap().count();
    assert_eq!(ran.err, format!("{count} pages in pages\n"));
    // Other files there are no pages.
    place.write("pages/notes", "");
    assert_eq!(place.run(&["man", "pages"]).err, ran.err);
    let page = std::fs::read_to_string(place.path("pages/factum-read.1")).unwrap();
    assert!(page.contains("factum"), "{page}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            place.ok(&["completions", shell]).contains("append"),
            "{shell}"
        );
    }
}

#[test]
fn doctor_says_how_it_is() {
    let place = Place::new();
    place.ok(&["append", "s-1", "-t", "T"]);
    let text = place.run(&["doctor", "-o", "json"]).out;
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    for name in [
        "directory",
        "file system",
        "free space",
        "permission",
        "sync latency",
        "clock",
        "open files",
        "lock",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let before = std::fs::read_dir(place.path("factum-data"))
        .unwrap()
        .count();
    place.run(&["doctor"]);
    assert_eq!(
        std::fs::read_dir(place.path("factum-data"))
            .unwrap()
            .count(),
        before
    );
}

/// A follower sees what other processes append, and ends in order by Ctrl-C.
#[test]
fn a_follower_sees_what_others_append() {
    let place = Place::new();
    let append = |data: &str| place.ok(&["append", "s-1", "-t", "T", "--data", data]);
    append("0");
    append("1");
    let mut child = place
        .command(&["tail", "-f", "-n", "1", "-o", "ndjson", "s-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for n in 1..5 {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["data"], n, "without a gap or a repeat");
        append(&(n + 1).to_string());
        place.ok(&["append", "other-1", "-t", "T"]);
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// Ctrl-C ends a follower in order: what it printed is whole, and the code is 130.
#[test]
fn a_follower_ends_by_ctrl_c() {
    let place = Place::new();
    place.ok(&["append", "s-1", "-t", "T", "--data", "1"]);
    let mut child = place
        .command(&["tail", "-f", "-o", "ndjson"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("\"subject\":\"s-1\""), "{line}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// The JSON of a follower that is ended is whole.
#[test]
fn what_a_follower_printed_as_json_is_json() {
    let place = Place::new();
    place.ok(&["append", "s-1", "-t", "T", "--data", "1"]);
    let mut child = place
        .command(&["tail", "-f", "-o", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut printed = String::new();
    // The line of an event ends with the next one, or with all of them.
    while !printed.contains("\"s-1\"") {
        let mut some = [0; 256];
        let read = out.read(&mut some).unwrap();
        assert!(read > 0, "{printed}");
        printed += std::str::from_utf8(&some[..read]).unwrap();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    out.read_to_string(&mut printed).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let events: Vec<serde_json::Value> = serde_json::from_str(&printed).unwrap();
    assert_eq!(events.len(), 1);
}
