//! The blocks of the tutorial, by what they are.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use factum::framework::kit;
use factum::{Engine, Options, Repository};

use crate::changed;

pub(crate) const TUTORIAL: &str = include_str!("../../../../docs/tutorial.md");
const LIB: &str = include_str!("../../src/lib.rs");
const CHANGED: &str = include_str!("../../changed/src/lib.rs");
const MANIFEST: &str = include_str!("../../Cargo.toml");

/// Whole files that are shown.
const FILES: &[&str] = &[
    include_str!("../orders.rs"),
    include_str!("../../src/bin/place.rs"),
    include_str!("../../src/bin/stored.rs"),
    include_str!("../../src/bin/look_back.rs"),
    include_str!("../../src/bin/remember.rs"),
];

/// What is shown and is neither program nor output.
const TEXTS: &[&str] = &[
    include_str!("../../events.lock"),
    include_str!("../../changed/events.lock"),
    include_str!("../../changed/golden.ndjson"),
    include_str!("../../../../crates/factum-framework/tests/compile/tutorial.stderr"),
];

/// What is typed; `typed.rs` types it.
const COMMANDS: &[&str] = &[
    "cargo new --lib orders",
    "cd orders",
    "cargo build",
    "cargo test",
    "cargo run --bin place",
    "cargo run --bin stored",
    "cargo run --bin look_back",
    "cargo run --bin remember",
];

/// The blocks between fences, with the word after the fence and the line they begin at.
fn blocks() -> Vec<(&'static str, usize, Vec<&'static str>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, usize, Vec<&str>)> = None;
    for (number, line) in TUTORIAL.lines().enumerate() {
        match (&mut open, line.trim().strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind, number + 1, Vec::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, _, lines)), None) => lines.push(line),
            (None, None) => (),
        }
    }
    assert!(open.is_none(), "the last block has no end");
    blocks
}

/// The lines that count: neither indentation nor empty lines do.
fn lines<'a>(text: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let lines = text.into_iter().map(str::trim);
    lines.filter(|line| !line.is_empty()).collect()
}

pub(crate) fn holds(text: &str, block: &[&str]) -> bool {
    let (text, block) = (lines(text.lines()), lines(block.iter().copied()));
    text.windows(block.len()).any(|window| window == block)
}

#[test]
fn every_program_is_one_that_is_compiled_and_run() {
    let mut shown = String::new();
    for (kind, line, block) in blocks() {
        let known = match kind {
            "rust" => [LIB, CHANGED]
                .iter()
                .chain(FILES)
                .any(|file| holds(file, &block)),
            "toml" => block.iter().all(|line| {
                let name = line.split(['=', ' ', '[']).next().unwrap_or_default();
                MANIFEST.contains(name)
            }),
            "console" => block.iter().all(|line| COMMANDS.contains(line)),
            // Looked at where the programs are run.
            "text" => true,
            other => panic!("line {line}: nobody checks a block of {other:?}"),
        };
        assert!(
            known,
            "line {line}: nothing that is run has this block:\n{}",
            block.join("\n")
        );
        if kind == "rust" {
            writeln!(shown, "{}", block.join("\n")).unwrap();
        }
    }
    let shown = lines(shown.lines());
    for file in [LIB].iter().chain(FILES) {
        for line in lines(file.lines()) {
            assert!(shown.contains(&line), "the tutorial does not show: {line}");
        }
    }
    // Of what changes, all that is new.
    for line in lines(CHANGED.lines()) {
        assert!(
            shown.contains(&line),
            "the tutorial does not show what changed: {line}"
        );
    }
}

/// An empty directory to run in.
fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tutorial");
    if directory.exists() {
        std::fs::remove_dir_all(&directory).unwrap();
    }
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn run(program: &str, directory: &Path) -> String {
    let output = Command::new(program)
        .current_dir(directory)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What `look_back` shows first, with the code of the last page.
fn look_back_changed(directory: &Path) -> String {
    let options = Options::new(directory.join("orders-data"));
    let engine = Arc::new(Engine::open(options, factum::io::Env::real()).unwrap());
    let factum = Repository::new(engine.clone());
    let load = async { factum.load::<changed::Order>("order-1").as_of(2).await };
    let order = pollster::block_on(load).unwrap();
    engine.close().unwrap();
    format!("after two events: {:?}\n", order.state)
}

#[test]
fn every_output_is_what_the_programs_print() {
    let directory = directory();
    let mut outputs: Vec<_> = [
        env!("CARGO_BIN_EXE_place"),
        env!("CARGO_BIN_EXE_place"),
        env!("CARGO_BIN_EXE_stored"),
        env!("CARGO_BIN_EXE_look_back"),
        env!("CARGO_BIN_EXE_remember"),
    ]
    .map(|program| run(program, &directory))
    .into();
    outputs.push(look_back_changed(&directory));
    let texts: Vec<_> = blocks()
        .into_iter()
        .filter(|block| block.0 == "text")
        .collect();
    for (_, line, block) in &texts {
        let mut known = TEXTS
            .iter()
            .copied()
            .chain(outputs.iter().map(String::as_str));
        assert!(
            known.any(|text| holds(text, block)),
            "line {line}: nothing says this:\n{}\nbut these were printed:\n{}",
            block.join("\n"),
            outputs.join("---\n")
        );
    }
    for output in &outputs {
        let is_shown = texts.iter().any(|(_, _, block)| holds(output, block));
        assert!(is_shown, "the tutorial shows nothing of:\n{output}");
    }
}

#[test]
fn the_domain_of_the_last_page_is_sound() {
    kit::check::<changed::Order>();
}
