//! What every change must pass, in the order that fails fastest.

use std::path::Path;

use crate::step::{self, OnFailure, Step};
use crate::test::{self, Extent};

/// Runs all checks; says whether all that could be run passed.
#[expect(clippy::unnecessary_wraps, reason = "one shape for all commands")]
pub(crate) fn run(root: &Path, on_failure: OnFailure) -> Result<bool, String> {
    let mut steps = vec![
        component("format", "rustfmt", &["fmt", "--all", "--check"]),
        component(
            "lints",
            "clippy",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        ),
        Step::tidy(),
    ];
    steps.extend(test::steps(Extent::Full));
    steps.push(
        Step::cargo("documentation", &["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    );
    steps.extend(dependencies());
    Ok(step::run_all(root, steps, on_failure))
}

/// A step by a component of the toolchain, which must be there.
fn component(name: &str, component: &str, arguments: &[&str]) -> Step {
    let tool: Vec<&str> = ["cargo"]
        .into_iter()
        .chain(arguments.iter().take(1).copied())
        .collect();
    if step::version(&tool).is_some() {
        return Step::cargo(name, arguments);
    }
    Step::missing(
        name,
        &format!("{component} is not installed; `rustup component add {component}`"),
    )
}

/// What comes in from outside. The advisories stand apart because their database lies on another machine.
fn dependencies() -> [Step; 2] {
    let (names, deny) = (["dependencies", "advisories"], ["cargo", "deny"]);
    if step::version(&deny).is_none() {
        return names.map(|name| Step::not_run(name, "cargo-deny is not installed"));
    }
    let [dependencies, advisories] = names;
    let check = ["deny", "check", "--allow", "unused-wrapper"];
    [
        Step::cargo(
            dependencies,
            &[&check[..], &["bans", "licenses", "sources"]].concat(),
        ),
        if has_advisories() {
            let arguments = ["deny", "check", "--disable-fetch", "advisories"];
            Step::cargo(advisories, &arguments)
        } else {
            Step::not_run(
                advisories,
                "no database of advisories is here; `cargo deny fetch db` gets it",
            )
        },
    ]
}

/// Whether a database of advisories has been fetched. Nothing is fetched here: the checks reach nothing but package registries.
fn has_advisories() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let home =
        home.or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let databases = home.and_then(|home| std::fs::read_dir(home.join("advisory-dbs")).ok());
    databases
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.path().join("crates").is_dir())
}
