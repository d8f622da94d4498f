//! What runs for each change: every layer, real kills, and the planted bugs. Slow unless built with `--profile sim`.
#![expect(
    clippy::print_stdout,
    reason = "which layer caught which bug is worth keeping in the log"
)]

use std::path::Path;

use factum_sim::layer::{self, LAYERS, Layer, process};
use factum_sim::mutants::{Mutant, hunt};

fn run(layer: Layer) -> u64 {
    let summary = layer::campaign(layer, 0..layer.ci_cases(), false);
    let failures: Vec<String> = summary.failures.iter().map(ToString::to_string).collect();
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        summary.failed,
        failures.join("\n")
    );
    println!(
        "{layer}: {} cases, {} states",
        summary.cases, summary.states
    );
    summary.states
}

/// The sound engine first, then each planted bug, one after the other: both use all processors.
#[test]
fn every_layer_passes_and_every_planted_bug_is_caught() {
    let mut states = std::collections::BTreeMap::new();
    for layer in LAYERS {
        states.insert(layer, run(layer));
    }
    assert!(
        states[&Layer::Exhaustive] >= 20_000,
        "too few crash states: {states:?}"
    );
    assert!(states[&Layer::Rot] >= 10_000, "too few damages: {states:?}");
    assert!(Mutant::ALL.len() >= 30);
    std::panic::set_hook(Box::new(|_| {}));
    let verdicts: Vec<_> = Mutant::ALL.iter().map(|mutant| hunt(*mutant)).collect();
    drop(std::panic::take_hook());
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    let survivors: Vec<_> = verdicts
        .iter()
        .filter(|v| v.caught.is_none())
        .map(|v| v.mutant)
        .collect();
    assert!(survivors.is_empty(), "no layer sees {survivors:?}");
}

#[test]
fn killed_processes_lose_nothing_that_was_acknowledged() {
    let program = Path::new(env!("CARGO_BIN_EXE_factum-sim"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kills");
    let checked = process::campaign(program, &directory, 20, 1).unwrap_or_else(|v| panic!("{v}"));
    assert!(
        checked > 20,
        "the children were told to append, and {checked} appends were told"
    );
}
