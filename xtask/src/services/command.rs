//! Programs that install, prepare and are servers.
//!
//! Their output goes into the log of the server. Relies on: `setpriv` and `setsid` (util-linux). Never: waits for ever.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::place::{Place, User};
use super::process::{Process, pause};

/// A program, as this user.
pub(super) fn program(path: impl AsRef<Path>, user: Option<&User>) -> Command {
    let path = path.as_ref();
    let Some(user) = user else {
        return Command::new(path);
    };
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={}", user.id))
        .arg(format!("--regid={}", user.group))
        .args(["--clear-groups", "--"])
        .arg(path);
    command
}

/// Runs a program to its end, and gives it so many seconds; `input` is what it reads.
pub(super) fn run(
    place: &Place,
    mut command: Command,
    seconds: u64,
    input: &str,
) -> Result<(), String> {
    let name = words(&command);
    let log = place.log().display().to_string();
    let output = open_log(place)?;
    let errors = output
        .try_clone()
        .map_err(|error| format!("cannot use {log} twice: {error}"))?;
    // Written to a file beforehand: a pipe could fill up and stop both.
    let from = input_file(place, input)?;
    let mut child = command
        .stdin(from)
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    match wait(&mut child, seconds) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("{name}: {status}; see {log}")),
        Ok(None) => Err(format!("{name} took over {seconds} seconds; see {log}")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// Starts a server in a session of its own, so that it outlives us and whoever called us. It must stay in the foreground.
pub(super) fn start(place: &Place, command: &Command) -> Result<Process, String> {
    let name = words(command);
    let output = open_log(place)?;
    let errors = output
        .try_clone()
        .map_err(|error| format!("cannot use the log twice: {error}"))?;
    let mut session = Command::new("setsid");
    session.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => session.env(key, value),
            None => session.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        session.current_dir(directory);
    }
    let child = session
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    Process::of(child.id())
}

fn wait(child: &mut Child, seconds: u64) -> std::io::Result<Option<ExitStatus>> {
    let begun = crate::step::now();
    while begun.elapsed().as_secs() < seconds {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        pause();
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn words(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<String> = words.map(|word| word.display().to_string()).collect();
    words.join(" ")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a chore's own log; nothing is simulated"
)]
fn open_log(place: &Place) -> Result<File, String> {
    let path = place.log();
    let opened = File::options().create(true).append(true).open(&path);
    opened.map_err(|error| format!("cannot open {}: {error}", path.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a chore's own file; nothing is simulated"
)]
fn input_file(place: &Place, input: &str) -> Result<Stdio, String> {
    if input.is_empty() {
        return Ok(Stdio::null());
    }
    let path = place.path("input");
    let trouble = |error| format!("cannot use {}: {error}", path.display());
    std::fs::write(&path, input).map_err(trouble)?;
    let file = File::open(&path).map_err(trouble)?;
    // It stays readable for whom it was opened, and for nobody else.
    super::place::remove(&path)?;
    Ok(file.into())
}
