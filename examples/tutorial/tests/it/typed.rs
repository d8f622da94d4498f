//! The tutorial as a newcomer types it: `cargo new`, each block into the file that the text names, each command into a shell.
//!
//! The project stands outside of this workspace, with a copy of Factum (a link) beside it, as the text asks.

#![expect(
    clippy::disallowed_methods,
    reason = "what a command says, and a bound for how long it takes"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::tutorial::{TUTORIAL, holds};

/// A block between fences, and the file that the text put last into ticks before it.
struct Block {
    kind: &'static str,
    line: usize,
    file: &'static str,
    lines: Vec<&'static str>,
}

/// The blocks up to the last section, in which lines here and there are changed.
fn blocks() -> Vec<Block> {
    let (mut blocks, mut open, mut file) = (Vec::new(), None::<Block>, "");
    let lines = TUTORIAL
        .lines()
        .take_while(|line| !line.starts_with("## 10."));
    for (number, line) in lines.enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, None) => file = named(line).unwrap_or(file),
            (None, Some(kind)) => {
                open = Some(Block {
                    kind,
                    line: number + 1,
                    file,
                    lines: Vec::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.lines.push(line),
        }
    }
    blocks
}

/// The file that a line of text says what follows belongs into: "In `src/lib.rs`:", "Put this into `events.lock`".
fn named(line: &'static str) -> Option<&'static str> {
    let at = ["In `", "into `"]
        .iter()
        .find_map(|word| Some(line.find(word)? + word.len()))?;
    let name = line[at..].split('`').next()?;
    name.contains('.').then_some(name)
}

/// Longer than the build of everything from nothing takes on a slow machine.
const COMMAND_WITHIN: Duration = Duration::from_secs(1_200);

/// A child that does not outlive a test that fails.
struct Mortal(Child);

impl Drop for Mortal {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

/// A newcomer's directory: the project `orders`, and `factum` beside it.
struct Desk {
    root: tempfile::TempDir,
    here: PathBuf,
    target: PathBuf,
    files: BTreeMap<&'static str, String>,
}

impl Desk {
    fn new() -> Self {
        let factum = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(factum.canonicalize().unwrap(), root.path().join("factum"))
            .unwrap();
        Self {
            here: root.path().to_owned(),
            root,
            target: Path::new(env!("CARGO_TARGET_TMPDIR")).join("typed"),
            files: BTreeMap::new(),
        }
    }

    fn project(&self) -> PathBuf {
        self.root.path().join("orders")
    }

    /// A command and what it said; one that does not end is ended.
    fn shell(&self, command: &str) -> Output {
        let said = |name| self.root.path().join(name);
        let file = |name| std::fs::File::create(said(name)).unwrap();
        let child = Command::new("sh")
            .args(["-c", command])
            .current_dir(&self.here)
            .env("CARGO_TARGET_DIR", &self.target)
            // The versions of this workspace, which are there.
            .env("CARGO_NET_OFFLINE", "true")
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn();
        let mut child = Mortal(child.unwrap());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.0.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < COMMAND_WITHIN, "{command} does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        Output {
            status,
            stdout: std::fs::read(said("stdout")).unwrap(),
            stderr: std::fs::read(said("stderr")).unwrap(),
        }
    }

    fn run(&mut self, line: usize, command: &str) -> String {
        if let Some(directory) = command.strip_prefix("cd ") {
            self.here.push(directory);
            return String::new();
        }
        let output = self.shell(command);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "line {line}: {command} fails:\n{errors}"
        );
        if command.starts_with("cargo new") {
            let lock = self.root.path().join("factum/Cargo.lock");
            std::fs::copy(lock, self.project().join("Cargo.lock")).unwrap();
            // What `cargo new` puts there is replaced, as an editor would.
            self.files.insert("src/lib.rs", String::new());
            let manifest = std::fs::read_to_string(self.project().join("Cargo.toml")).unwrap();
            self.files.insert("Cargo.toml", manifest);
        }
        String::from_utf8(output.stdout).unwrap()
    }

    /// Puts a block behind what its file has.
    fn write(&mut self, block: &Block) {
        let path = self.project().join(block.file);
        let text = self.files.entry(block.file).or_default();
        writeln!(text, "{}\n", block.lines.join("\n")).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Follows the tutorial to the end of its ninth section; says what was done how often, by kind.
fn follow(desk: &mut Desk) -> BTreeMap<&'static str, usize> {
    let (mut done, mut last) = (BTreeMap::new(), (0, ""));
    let mut printed = String::new();
    for block in blocks() {
        match block.kind {
            "console" => {
                for command in &block.lines {
                    last = (block.line, command);
                    printed = desk.run(block.line, command);
                }
            }
            "text" if block.file == "events.lock" => desk.write(&block),
            "text" => {
                if !holds(&printed, &block.lines) {
                    // "Now run it again."
                    printed = desk.run(last.0, last.1);
                }
                assert!(
                    holds(&printed, &block.lines),
                    "line {}: {} does not print this, but\n{printed}",
                    block.line,
                    last.1
                );
            }
            _ => desk.write(&block),
        }
        *done.entry(block.kind).or_default() += 1;
    }
    done
}

#[test]
fn a_newcomer_types_it_and_sees_what_it_says() {
    let mut desk = Desk::new();
    let done = follow(&mut desk);
    assert_eq!(
        done.keys().copied().collect::<Vec<_>>(),
        ["console", "rust", "text", "toml"]
    );

    // Section 10 begins with a field more, and the build fails.
    let lib = &desk.files["src/lib.rs"];
    let changed = lib.replacen(
        "total: u64,\n",
        "total: u64,\n        currency: String,\n",
        1,
    );
    assert_ne!(*lib, changed);
    std::fs::write(desk.project().join("src/lib.rs"), changed).unwrap();
    let output = desk.shell("cargo build");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    let said = "the shape of OrderPlaced version 1 is not what the lock file has";
    assert!(errors.contains(said), "{errors}");
}
