//! A server that says nothing any more, in the middle of what it was asked for: Ctrl-C is heard all the same.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::serve::Serving;
use crate::support::{Mortal, Place, line, lines};

/// How long a command may go on after Ctrl-C.
const END: Duration = Duration::from_secs(30);
/// After so long without anything, nothing more comes.
const QUIET: Duration = Duration::from_secs(1);

/// A command that talks to a server, with pipes for its input and output.
fn begin(place: &Place, server: &Serving, args: &[&str]) -> Child {
    let url = format!("http://{}", server.address());
    place
        .command(&[args, &["--url", &url]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What stands on standard error after Ctrl-C, which a server that was stopped is not there for.
fn interrupted(child: Child) -> String {
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = Mortal::new(child).wait(END);
    assert_eq!(output.status.code(), Some(130));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_export_ends() {
    let place = Place::new();
    place.write("in", lines(20_000));
    place.ok(&["import", "in"]);
    let server = Serving::of(&place, &["--insecure"]);
    let mut child = begin(&place, &server, &["export", "-"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    // One line, so that it has begun; the rest fills the pipes, so that it has not ended.
    out.read_line(&mut String::new()).unwrap();
    kill_process(server.id, Signal::STOP).unwrap();
    let (send, pieces) = mpsc::channel();
    #[expect(clippy::disallowed_methods, reason = "it ends with the child")]
    let rest = std::thread::spawn(move || {
        let mut piece = vec![0; 64 << 10];
        while out.read(&mut piece).unwrap() > 0 {
            send.send(()).unwrap_or_default();
        }
    });
    // Until nothing comes any more: it waits for the server.
    while pieces.recv_timeout(QUIET).is_ok() {}
    let said = interrupted(child);
    assert!(!said.contains("panicked"), "{said}");
    rest.join().unwrap();
}

#[test]
fn an_import_ends_and_is_run_again() {
    const LINES: usize = 30_000;
    let place = Place::new();
    let server = Serving::of(&place, &["--insecure"]);
    let mut child = begin(&place, &server, &["import", "-"]);
    let mut input = child.stdin.take().unwrap();
    let write = move |range: std::ops::Range<usize>, input: &mut std::process::ChildStdin| {
        range.for_each(|n| drop(input.write_all(line(n).as_bytes())));
    };
    write(0..LINES / 2, &mut input);
    kill_process(server.id, Signal::STOP).unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the child")]
    let rest = std::thread::spawn(move || write(LINES / 2..LINES, &mut input));
    let said = interrupted(child);
    assert!(said.contains("already there"), "{said}");
    rest.join().unwrap();
    kill_process(server.id, Signal::CONT).unwrap();
    place.write("in", lines(LINES));
    let url = format!("http://{}", server.address());
    place.ok(&["import", "in", "--url", &url]);
    assert_eq!(server.end(), Some(0));
    assert_eq!(place.all("factum-data").len(), LINES);
}
