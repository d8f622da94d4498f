//! A directory of its own for each test, and the binary in it.

#![expect(
    clippy::disallowed_methods,
    reason = "bounds the waits of tests; decides no result"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Where the built binary is.
pub(crate) const FACTUM: &str = env!("CARGO_BIN_EXE_factum");

/// A directory in which `factum` is run; it goes away at the end.
pub(crate) struct Place(tempfile::TempDir);

/// A child that does not outlive a test that fails.
#[derive(Debug)]
pub(crate) struct Mortal(Option<Child>);

impl Mortal {
    pub(crate) const fn new(child: Child) -> Self {
        Self(Some(child))
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits until it ends by itself, at most so long.
    pub(crate) fn wait(mut self, most: Duration) -> Output {
        let start = Instant::now();
        while !self.has_ended() {
            assert!(start.elapsed() < most, "it goes on after {most:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.0.take().unwrap().wait_with_output().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().and_then(|()| child.wait()).unwrap();
        }
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// A command that runs the binary here, untouched by the variables of whoever runs the test.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(FACTUM);
        command.args(args).current_dir(self.0.path());
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"FACTUM_") {
                command.env_remove(name);
            }
        }
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    /// Runs it with this on standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A command that fails early does not read its input; that is its right.
        let feeder = std::thread::scope(|scope| {
            scope.spawn(move || drop(stdin.write_all(&input)));
            child.wait_with_output().unwrap()
        });
        Ran::of(feeder)
    }

    /// Runs it, and gives what it prints if it ends well.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        ran.out
    }

    /// The lines of `factum cat --all`.
    pub(crate) fn all(&self, data: &str) -> Vec<serde_json::Value> {
        let text = self.ok(&["cat", "--all", "--data", data]);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A CloudEvents line.
pub(crate) fn line(n: usize) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"00000000-0000-4000-8000-{n:012}\",\"source\":\"/test\",\"type\":\"T{}\",\"subject\":\"order-{}\",\"time\":\"2011-09-30T22:{:02}:{:02}.5Z\",\"datacontenttype\":\"application/json\",\"data\":{{\"n\":{n}}},\"userid\":\"u\",\"region\":\"eu\"}}\n",
        n % 3,
        n % 7,
        n / 60 % 60,
        n % 60,
    )
}

pub(crate) fn lines(count: usize) -> String {
    (0..count).map(line).collect()
}

/// The real events, where they are present: beside the project, or where the variable says.
pub(crate) fn real_events() -> Option<PathBuf> {
    let beside = "../../../shared/data/loan-applications.ndjson.gz";
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join(beside);
    let path = std::env::var_os("FACTUM_REAL_EVENTS").map_or(beside, PathBuf::from);
    path.is_file().then_some(path)
}

pub(crate) fn is_absent(path: &Path) -> bool {
    !path.exists()
}
