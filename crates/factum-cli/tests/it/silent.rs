//! A server that says nothing any more, in the middle of what it was asked for: Ctrl-C is heard all the same.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::serve::Serving;
use crate::support::{Mortal, Place, line, lines};

/// How long a command may go on after Ctrl-C.
const END: Duration = Duration::from_secs(15);
/// After so long without anything, nothing more comes.
const QUIET: Duration = Duration::from_secs(1);

/// Lines of an import that the server sees: more bytes than a pipe holds, and not whole batches.
const FIRST: usize = 3_000;

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

/// Imports lines from a pipe until the server has some of them and is stopped; gives what goes on writing too.
fn importing(place: &Place, server: &Serving) -> (Child, ChildStdin) {
    let mut child = begin(place, server, &["import", "-"]);
    let mut input = child.stdin.take().unwrap();
    // More than the pipe holds: when all is written the import has begun to read, and so has found the server.
    input.write_all(lines(FIRST).as_bytes()).unwrap();
    kill_process(server.id, Signal::STOP).unwrap();
    (child, input)
}

/// The server goes on, and so does what was ended: all lines are there, each once.
fn run_again(place: &Place, server: Serving, count: usize) {
    kill_process(server.id, Signal::CONT).unwrap();
    place.write("in", lines(count));
    let url = format!("http://{}", server.address());
    place.ok(&["import", "in", "--url", &url]);
    assert_eq!(server.end(), Some(0));
    assert_eq!(place.all("factum-data").len(), count);
}

#[test]
fn an_import_ends_and_is_run_again() {
    const LINES: usize = 40_000;
    let place = Place::new();
    let server = Serving::of(&place, &["--insecure"]);
    let (child, mut input) = importing(&place, &server);
    let (send, written) = mpsc::channel();
    #[expect(clippy::disallowed_methods, reason = "it ends with the child")]
    let rest = std::thread::spawn(move || {
        for n in FIRST..LINES {
            if input.write_all(line(n).as_bytes()).is_err() {
                return n;
            }
            send.send(()).unwrap_or_default();
        }
        LINES
    });
    // Until nothing more is taken: it waits for the server.
    while written.recv_timeout(QUIET).is_ok() {}
    let said = interrupted(child);
    assert!(said.contains("already there"), "{said}");
    assert!(rest.join().unwrap() < LINES, "it did not wait");
    run_again(&place, server, LINES);
}

#[test]
fn an_import_that_has_read_everything_ends_and_is_not_complete() {
    let place = Place::new();
    let server = Serving::of(&place, &["--insecure"]);
    let (child, input) = importing(&place, &server);
    drop(input);
    // Until it has read to the end, more or less; it ends wherever it is.
    let (_send, nothing) = mpsc::channel::<()>();
    nothing.recv_timeout(QUIET).unwrap_err();
    interrupted(child);
    run_again(&place, server, FIRST);
}
