//! Suites on official clients of KurrentDB, unchanged, against a server: `clients/` and `docs/clients.md`.
//!
//! What lives here: which suites there are, and how one is installed, run and counted. The suites start the server themselves, from the program
//! that they are given; what a suite starts ends with it, and it ends with us (`setpriv`, `timeout`). Relies on: package registries. Never:
//! lets a suite run without a time limit; takes one that could not be run for one that passed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{self, OnFailure, Step, Tests};

mod official;
mod suites;

/// A suite on one client.
#[derive(Debug)]
pub(crate) struct Suite {
    /// What it is called on the command line.
    name: &'static str,
    /// The client and its version, for people.
    what: &'static str,
    /// A command that only works where the tool is that the suite needs.
    tool: &'static [&'static str],
    /// Installs what is pinned.
    install: fn(&Place) -> Result<Vec<Command>, String>,
    /// The tests, of one area if one is named; each is a process.
    tests: fn(&Place, Option<&str>) -> Result<Vec<Command>, String>,
    /// What a line of its output says about tests.
    count: fn(&str) -> Option<Tests>,
    /// A server that has to be there, instead of those that the suite starts.
    server: Option<&'static [&'static str]>,
    /// How many seconds the installation and each process of the tests may take.
    seconds: (u64, u64),
}

/// All of them, in the order in which they are run.
const SUITES: &[Suite] = &[
    suites::NODE,
    suites::NODE_OLD,
    suites::GO,
    suites::JAVA,
    official::RUST,
];

/// Where a suite finds things, and where it may write.
#[derive(Debug)]
pub(crate) struct Place {
    /// The sources of the suite.
    sources: PathBuf,
    /// Its directory below `target/clients/`; emptied of stores before a run.
    scratch: PathBuf,
}

/// Runs the suites of these names, or all; says whether all that could be run passed.
pub(crate) fn run(
    root: &Path,
    names: &[String],
    server: Option<&str>,
    only: Option<&str>,
) -> Result<bool, String> {
    let known = |name: &&String| !SUITES.iter().any(|suite| suite.name == **name);
    if let Some(unknown) = names.iter().find(known) {
        let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        let names = names.join(", ");
        return Err(format!("there is no client {unknown:?}; there are {names}"));
    }
    let mut steps = Vec::new();
    if server.is_none() {
        steps.push(build());
    }
    let program = server.map(PathBuf::from);
    let chosen = SUITES
        .iter()
        .filter(|suite| names.is_empty() || names.iter().any(|name| name == suite.name));
    steps.extend(chosen.map(|suite| Step::client(suite, program.clone(), only.map(str::to_owned))));
    Ok(step::run_all(root, steps, OnFailure::Continue))
}

/// The steps of a whole test: all suites, on the server as it was built for the tests.
pub(crate) fn steps() -> Vec<Step> {
    let suites = SUITES.iter().map(|suite| Step::client(suite, None, None));
    [build()].into_iter().chain(suites).collect()
}

fn build() -> Step {
    Step::cargo("server", &["build", "--package", "factum-cli"])
}

impl Suite {
    /// What the step is called.
    pub(crate) fn title(&self) -> String {
        format!("client {}", self.name)
    }

    /// What the step does.
    pub(crate) fn describe(&self) -> String {
        format!("{}, by `cargo xtask clients {}`", self.what, self.name)
    }

    /// Installs it: what is missing, when that fails.
    pub(crate) fn install(&self, root: &Path) -> Result<Place, String> {
        let words = self.tool;
        let works = Command::new(words[0]).args(&words[1..]).output();
        if !works.is_ok_and(|output| output.status.success()) {
            return Err(format!("`{}` does not work here", words.join(" ")));
        }
        let place = Place::new(root, self.name)?;
        for command in (self.install)(&place)? {
            let name = command.get_program().display().to_string();
            let ended = limited(&command, self.seconds.0)
                .current_dir(&place.sources)
                .status();
            match ended {
                Ok(status) if status.success() => {}
                Ok(status) => return Err(format!("cannot be installed: {name}: {status}")),
                Err(error) => return Err(format!("cannot be installed: {name}: {error}")),
            }
        }
        Ok(place)
    }

    /// Runs it against this program; what went wrong, if anything, and how many tests there were.
    pub(crate) fn run(
        &self,
        place: &Place,
        program: &Path,
        only: Option<&str>,
    ) -> (Result<(), String>, Tests) {
        let mut tests = Tests::default();
        let ended = self.run_counting(place, program, only, &mut tests);
        (ended, tests)
    }

    fn run_counting(
        &self,
        place: &Place,
        program: &Path,
        only: Option<&str>,
        tests: &mut Tests,
    ) -> Result<(), String> {
        let commands = (self.tests)(place, only)?;
        let server = match self.server {
            Some(arguments) => Some(official::Server::start(place, program, arguments)?),
            None => None,
        };
        let mut failed = Vec::new();
        for command in commands {
            let name = step::words(&command);
            let mut command = limited(&command, self.seconds.1);
            command
                .env("FACTUM_BINARY", program)
                .env("FACTUM_DIRECTORY", &place.scratch);
            let count = |line: &str, tests: &mut Tests| {
                if let Some(found) = (self.count)(line) {
                    tests.add(found);
                }
            };
            let before = tests.passed;
            match step::run_counting(command, &place.sources, tests, count) {
                Err(error) => failed.push(format!("{name}: {error}")),
                Ok(()) if tests.passed == before => failed.push(format!("{name}: no test was run")),
                Ok(()) => {}
            }
        }
        if let Some(server) = server {
            server.stop()?;
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(failed.join("; ")),
        }
    }
}

impl Place {
    fn new(root: &Path, name: &str) -> Result<Self, String> {
        let sources = root.join("clients").join(match name {
            "node-old" => "node",
            name => name,
        });
        let scratch = root.join("target").join("clients").join(name);
        let place = Self { sources, scratch };
        make_directory(&place.scratch)?;
        place.forget_stores()?;
        Ok(place)
    }

    /// Removes what earlier runs left, so that no test finds the stores of another.
    fn forget_stores(&self) -> Result<(), String> {
        let trouble = |error| format!("cannot list {}: {error}", self.scratch.display());
        for entry in std::fs::read_dir(&self.scratch).map_err(trouble)? {
            let path = entry.map_err(trouble)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("store-") || name.starts_with("ca-") {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// The command with a time limit: it and all that it started end at the limit, and when we end.
fn limited(command: &Command, seconds: u64) -> Command {
    let mut all = Command::new("setpriv");
    all.args(["--pdeathsig", "TERM", "timeout", "--kill-after=10"])
        .arg(seconds.to_string())
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            all.env(key, value);
        }
    }
    if let Some(directory) = command.get_current_dir() {
        all.current_dir(directory);
    }
    all
}

/// A command of these words.
fn command<S: AsRef<OsStr>>(words: &[S]) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().map_or(OsStr::new("true"), AsRef::as_ref));
    command.args(words);
    command
}

fn make_directory(path: &Path) -> Result<(), String> {
    std::fs::create_dir_all(path)
        .map_err(|error| format!("cannot make {}: {error}", path.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a chore on files of its own; nothing is simulated"
)]
fn remove(path: &Path) -> Result<(), String> {
    let removed = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}
