//! Steps: a tool to run, how long it took, and a summary that leaves nothing out.
//!
//! A step's output goes straight through. Standard input is closed, so that no tool can wait for an answer.
//! Never: reports a step that was not run as passed.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::clients::Suite;

/// What happens to the steps after a failed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// They are not run.
    Stop,
    /// They are run.
    Continue,
}

/// Something to run, and what to call it in the summary.
#[derive(Debug)]
pub(crate) struct Step {
    name: String,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Command(Command),
    Tidy,
    Services,
    Client {
        suite: &'static Suite,
        program: Option<PathBuf>,
        only: Option<String>,
    },
    Cannot {
        why: String,
        verdict: Verdict,
    },
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    NotRun,
}

/// What the summary says about a step.
#[derive(Debug)]
struct Outcome {
    name: String,
    verdict: Verdict,
    seconds: f64,
    note: String,
    tests: Tests,
}

/// Totals of the lines `test result: …` that the test harness prints, or of what other runners say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tests {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Step {
    fn new(name: &str, work: Work) -> Self {
        Self {
            name: name.to_owned(),
            work,
        }
    }

    /// A command of Cargo; passes when Cargo says so. With `CI=true` the lock file must be up to date.
    pub(crate) fn cargo(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("cargo");
        command.args(arguments.iter().take(1));
        let resolves = matches!(arguments, ["test" | "clippy" | "doc" | "run" | "build", ..]);
        if resolves && is_ci() {
            command.arg("--locked");
        }
        command.args(arguments.iter().skip(1));
        Self::new(name, Work::Command(command))
    }

    /// The same, with a variable in the environment.
    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        if let Work::Command(command) = &mut self.work {
            command.env(key, value);
        }
        self
    }

    /// The checks of [`crate::tidy`].
    pub(crate) fn tidy() -> Self {
        Self::new("tidy", Work::Tidy)
    }

    /// The servers that tests need. Where one cannot be started, that fails with `CI=true`, and elsewhere its tests are not run.
    pub(crate) fn services() -> Self {
        Self::new("servers", Work::Services)
    }

    /// A suite on a client, against this program or the one that was built. Where it cannot be installed, that fails with `CI=true`, and
    /// elsewhere it is not run.
    pub(crate) fn client(
        suite: &'static Suite,
        program: Option<PathBuf>,
        only: Option<String>,
    ) -> Self {
        let work = Work::Client {
            suite,
            program,
            only,
        };
        Self::new(&suite.title(), work)
    }

    /// A step that is needed and cannot be run.
    pub(crate) fn missing(name: &str, why: &str) -> Self {
        Self::new(
            name,
            Work::Cannot {
                why: why.to_owned(),
                verdict: Verdict::Failed,
            },
        )
    }

    /// A step that is welcome and cannot be run here.
    pub(crate) fn not_run(name: &str, why: &str) -> Self {
        Self::new(
            name,
            Work::Cannot {
                why: why.to_owned(),
                verdict: Verdict::NotRun,
            },
        )
    }

    /// The command line, for people.
    fn describe(&self) -> String {
        match &self.work {
            Work::Command(command) => {
                let variables = command
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?)));
                let mut words: Vec<String> = variables
                    .map(|(key, value)| {
                        format!("{}={:?}", key.display(), value.display().to_string())
                    })
                    .collect();
                words.push(command.get_program().display().to_string());
                words.extend(
                    command
                        .get_args()
                        .map(|argument| argument.display().to_string()),
                );
                words.join(" ")
            }
            Work::Tidy => "cargo xtask tidy".to_owned(),
            Work::Services => "cargo xtask services up".to_owned(),
            Work::Client { suite, .. } => suite.describe(),
            Work::Cannot { why, .. } => format!("cannot be run: {why}"),
        }
    }

    fn run(self, root: &Path) -> Outcome {
        let begun = now();
        let (verdict, note, tests) = match self.work {
            Work::Command(command) => run_command(command, root),
            Work::Tidy => match crate::tidy::run(root) {
                Ok(true) => (Verdict::Passed, String::new(), Tests::default()),
                Ok(false) => (Verdict::Failed, String::new(), Tests::default()),
                Err(error) => (Verdict::Failed, error, Tests::default()),
            },
            Work::Services => {
                let (verdict, note) = start_services(root);
                (verdict, note, Tests::default())
            }
            Work::Client {
                suite,
                program,
                only,
            } => run_client(root, suite, program, only.as_deref()),
            Work::Cannot { why, verdict } => (verdict, why, Tests::default()),
        };
        Outcome {
            name: self.name,
            verdict,
            seconds: begun.elapsed().as_secs_f64(),
            note,
            tests,
        }
    }
}

/// Runs the steps in order, prints a summary, and says whether all that could be run passed.
pub(crate) fn run_all(root: &Path, steps: Vec<Step>, on_failure: OnFailure) -> bool {
    println!("What will be run:");
    for (index, step) in steps.iter().enumerate() {
        println!("  {}. {}: {}", index + 1, step.name, step.describe());
    }
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut stopped = false;
    for step in steps {
        if stopped {
            let note = "an earlier step failed; --keep-going runs it all the same".to_owned();
            outcomes.push(Outcome {
                name: step.name,
                verdict: Verdict::NotRun,
                seconds: 0.0,
                note,
                tests: Tests::default(),
            });
            continue;
        }
        println!("\n==> {}: {}", step.name, step.describe());
        let outcome = step.run(root);
        stopped = outcome.verdict == Verdict::Failed && on_failure == OnFailure::Stop;
        outcomes.push(outcome);
    }
    print!("\n{}", summary(&outcomes));
    outcomes
        .iter()
        .all(|outcome| outcome.verdict != Verdict::Failed)
}

/// Runs one command with its output shown, and says whether it passed.
pub(crate) fn run_one(root: &Path, step: Step) -> bool {
    println!("==> {}: {}", step.name, step.describe());
    let outcome = step.run(root);
    if !outcome.note.is_empty() {
        println!("{}: {}", outcome.name, outcome.note);
    }
    outcome.verdict == Verdict::Passed
}

/// What a tool answers to `--version`, on one line; `None` when it cannot be run.
pub(crate) fn version<S: AsRef<OsStr>>(command: &[S]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let output = Command::new(program)
        .args(arguments)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| text.lines().next().unwrap_or_default().to_owned())
}

fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

fn start_services(root: &Path) -> (Verdict, String) {
    let failed = match crate::services::up(root) {
        Ok(failed) => failed,
        Err(error) => vec![error],
    };
    let note = failed.join("; ");
    match note.as_str() {
        "" => (Verdict::Passed, note),
        _ if is_ci() => (Verdict::Failed, note),
        _ => {
            let note = format!("the tests that need them will say that they were not run: {note}");
            (Verdict::NotRun, note)
        }
    }
}

fn run_client(
    root: &Path,
    suite: &Suite,
    program: Option<PathBuf>,
    only: Option<&str>,
) -> (Verdict, String, Tests) {
    let place = match suite.install(root) {
        Ok(place) => place,
        Err(why) if is_ci() => return (Verdict::Failed, why, Tests::default()),
        Err(why) => return (Verdict::NotRun, why, Tests::default()),
    };
    let program = program.unwrap_or_else(|| target(root).join("debug").join("factum"));
    let program = match program.canonicalize() {
        Ok(program) => program,
        Err(error) => {
            let why = format!("cannot find {}: {error}", program.display());
            return (Verdict::Failed, why, Tests::default());
        }
    };
    match suite.run(&place, &program, only) {
        (Ok(()), tests) => (Verdict::Passed, String::new(), tests),
        (Err(why), tests) => (Verdict::Failed, why, tests),
    }
}

/// Where Cargo puts what it builds here.
fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn run_command(command: Command, root: &Path) -> (Verdict, String, Tests) {
    let mut tests = Tests::default();
    let ended = run_counting(command, root, &mut tests, |line, tests| tests.count(line));
    match ended {
        Ok(()) => (Verdict::Passed, String::new(), tests),
        Err(note) => (Verdict::Failed, note, tests),
    }
}

/// Runs a command with its output shown, and counts the tests that it reports.
pub(crate) fn run_counting(
    mut command: Command,
    directory: &Path,
    tests: &mut Tests,
    count: impl Fn(&str, &mut Tests),
) -> Result<(), String> {
    let started = command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let ended = started.and_then(|mut child| {
        let forwarded = forward(&mut child, tests, count);
        // Wait even when our own output is gone, or the child would outlive us unseen.
        let status = child.wait()?;
        forwarded.map(|()| status)
    });
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => {
            let program = command.get_program().display();
            Err(format!("{program}: {error}"))
        }
    }
}

/// A command as one line.
pub(crate) fn words(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<String> = words.map(|word| word.display().to_string()).collect();
    words.join(" ")
}

/// Passes the child's standard output on, line by line as it comes, and counts the tests it reports.
fn forward(
    child: &mut Child,
    tests: &mut Tests,
    count: impl Fn(&str, &mut Tests),
) -> std::io::Result<()> {
    let Some(output) = child.stdout.take() else {
        return Ok(());
    };
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        count(&String::from_utf8_lossy(&line), tests);
        std::io::stdout().write_all(&line)?;
        line.clear();
    }
    std::io::stdout().flush()
}

impl Tests {
    /// Adds what a line says, if it is one of `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    pub(crate) fn count(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let (number, what) = (words.next(), words.next());
            let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else {
                continue;
            };
            match what {
                Some("passed") => self.passed += number,
                Some("failed") => self.failed += number,
                Some("ignored") => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.ignored += more.ignored;
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl std::fmt::Display for Tests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} ignored")
    }
}

/// One line per step, and a last line with the totals.
fn summary(outcomes: &[Outcome]) -> String {
    let mut text = "Summary\n".to_owned();
    let mut all = Tests::default();
    for Outcome {
        name,
        verdict,
        seconds,
        note,
        tests,
    } in outcomes
    {
        let (word, time) = match verdict {
            Verdict::Passed => ("pass", format!("{seconds:.1} s")),
            Verdict::Failed => ("FAIL", format!("{seconds:.1} s")),
            Verdict::NotRun => ("not run", String::new()),
        };
        let mut notes = vec![note.clone()];
        if !tests.is_empty() {
            notes.push(tests.to_string());
        }
        notes.retain(|note| !note.is_empty());
        let notes = if notes.is_empty() {
            String::new()
        } else {
            format!(" ({})", notes.join("; "))
        };
        line(&mut text, &format!("  {word:<8}{time:>9}  {name}{notes}"));
        all.add(*tests);
    }
    let count = |verdict| {
        outcomes
            .iter()
            .filter(|outcome| outcome.verdict == verdict)
            .count()
    };
    let (passed, failed) = (count(Verdict::Passed), count(Verdict::Failed));
    let word = if failed == 0 { "PASS" } else { "FAIL" };
    let not_run = count(Verdict::NotRun);
    line(
        &mut text,
        &format!("{word}: {passed} steps passed, {failed} failed, {not_run} not run; tests: {all}"),
    );
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes any text");
}

/// A moment to measure from.
#[expect(
    clippy::disallowed_methods,
    reason = "a chore is timed for people; nothing is decided by it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Tests, Verdict, summary};

    fn outcome(name: &str, verdict: Verdict, note: &str, tests: Tests) -> Outcome {
        Outcome {
            name: name.to_owned(),
            verdict,
            seconds: 1.25,
            note: note.to_owned(),
            tests,
        }
    }

    #[test]
    fn counts_what_the_harness_reports_and_nothing_else() {
        let mut tests = Tests::default();
        for line in [
            "running 3 tests\n",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s\n",
            "9 passed; said by a test\n",
        ] {
            tests.count(line);
        }
        assert_eq!(
            tests,
            Tests {
                passed: 7,
                failed: 2,
                ignored: 1
            }
        );
    }

    #[test]
    fn the_summary_names_every_step_and_ends_with_the_totals() {
        let tests = Tests {
            passed: 5,
            failed: 1,
            ignored: 0,
        };
        let text = summary(&[
            outcome("tidy", Verdict::Passed, "", Tests::default()),
            outcome("tests", Verdict::Failed, "exit status: 101", tests),
            outcome(
                "dependencies",
                Verdict::NotRun,
                "cargo-deny is not installed",
                Tests::default(),
            ),
        ]);
        let expected = "\
Summary
  pass        1.2 s  tidy
  FAIL        1.2 s  tests (exit status: 101; 5 passed, 1 failed, 0 ignored)
  not run            dependencies (cargo-deny is not installed)
FAIL: 1 steps passed, 1 failed, 1 not run; tests: 5 passed, 1 failed, 0 ignored
";
        assert_eq!(text, expected);
    }
}
