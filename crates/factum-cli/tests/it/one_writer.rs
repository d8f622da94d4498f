//! A store has one writer, and a writer may be stopped at any moment.

use std::io::Write;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, lines};

/// More than pipes and buffers hold: when so much was taken, the import is under way.
const EVENTS: usize = 12_000;

/// An import of all events that has taken most of them, and waits for more.
fn importing(place: &Place) -> Child {
    let mut child = place
        .command(&["import", "-", "--batch", "100"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(lines(EVENTS).as_bytes())
        .unwrap();
    child
}

#[test]
fn an_import_that_was_killed_is_run_again() {
    let place = Place::new();
    place.write("in", lines(EVENTS + 500));
    let mut child = importing(&place);
    child.kill().unwrap();
    child.wait().unwrap();
    place.ok(&["import", "in"]);
    let numbers: Vec<u64> = place
        .all("factum-data")
        .iter()
        .map(|event| event["data"]["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..EVENTS as u64 + 500).collect::<Vec<_>>());
    assert!(
        place
            .run(&["import", "in"])
            .err
            .starts_with("0 events added, 12,500 already there")
    );
}

#[test]
fn an_import_ends_in_order_by_ctrl_c() {
    let place = Place::new();
    let mut child = importing(&place);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let numbers = place.all("factum-data");
    assert!(
        numbers
            .iter()
            .enumerate()
            .all(|(n, event)| event["data"]["n"] == n)
    );
}

#[test]
fn a_second_writer_is_told_who_writes_and_readers_are_not_disturbed() {
    let place = Place::new();
    let mut child = importing(&place);
    let ran = place.run(&["append", "s-1", "-t", "T"]);
    assert_eq!(ran.code, 6, "{}", ran.err);
    assert!(
        ran.err.contains(&format!("process {}", child.id())),
        "{}",
        ran.err
    );
    let ran = place.run(&["doctor"]);
    assert!(
        ran.out.contains(&format!("held by process {}", child.id())),
        "{}",
        ran.out
    );
    place.ok(&["read", "--all", "-n", "1"]);
    place.ok(&["verify"]);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(place.all("factum-data").len(), EVENTS);
    place.ok(&["append", "s-1", "-t", "T"]);
}
