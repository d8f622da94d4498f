//! What a newcomer runs.
//!
//! Two things are tested apart, in an optimised build with every assertion (the profile `sim`): the simulator, and the writer's threads
//! under a schedule explorer, which replaces the engine's locks.

use std::path::Path;

use crate::step::{self, OnFailure, Step};

/// How much is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything.
    Full,
    /// Everything but the simulator.
    Quick,
}

/// Checks the tools, then runs all tests; says whether they passed.
pub(crate) fn run(root: &Path, extent: Extent, on_failure: OnFailure) -> Result<bool, String> {
    require_tools()?;
    let mut steps = vec![Step::tidy()];
    steps.extend(self::steps(extent));
    Ok(step::run_all(root, steps, on_failure))
}

/// The tests themselves.
pub(crate) fn steps(extent: Extent) -> Vec<Step> {
    let simulator = "simulator";
    let mut steps = vec![
        Step::services(),
        Step::cargo(
            "tests",
            &[
                "test",
                "--workspace",
                "--exclude",
                "factum-sim",
                "--no-fail-fast",
            ],
        ),
        Step::cargo(
            "schedules",
            &[
                "test",
                "--package",
                "factum-engine",
                "--profile",
                "sim",
                "--features",
                "unstable-shuttle",
                "--test",
                "schedules",
            ],
        ),
        match extent {
            Extent::Full => Step::cargo(
                simulator,
                &[
                    "test",
                    "--package",
                    "factum-sim",
                    "--profile",
                    "sim",
                    "--no-fail-fast",
                ],
            ),
            Extent::Quick => Step::not_run(simulator, "left out by --quick"),
        },
    ];
    match extent {
        Extent::Full => steps.extend(crate::clients::steps()),
        Extent::Quick => steps.push(Step::not_run("clients", "left out by --quick")),
    }
    steps
}

/// Says which tools are there, and what the missing ones mean.
fn require_tools() -> Result<(), String> {
    println!("Tools:");
    let mut missing = None;
    for (command, consequence) in [
        (&["cargo"][..], None),
        (&["git"], None),
        (
            &["cargo", "clippy"],
            Some("`cargo xtask ci` cannot check lints; `rustup component add clippy`"),
        ),
        (
            &["cargo", "fmt"],
            Some("`cargo xtask ci` cannot check the format; `rustup component add rustfmt`"),
        ),
    ] {
        let name = command.join(" ");
        match (step::version(command), consequence) {
            (Some(version), _) => println!("  {name}: {version}"),
            (None, Some(consequence)) => println!("  {name}: missing, so {consequence}"),
            (None, None) => {
                println!("  {name}: missing, and nothing can be run without it");
                missing = Some(name);
            }
        }
    }
    match missing {
        None => Ok(()),
        Some(name) => Err(format!("{name} is not installed")),
    }
}
