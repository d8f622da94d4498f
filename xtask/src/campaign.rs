//! Long searches: simulations by seed, parsers by random bytes, and a server under load that is killed.

use std::path::Path;

use crate::step::{self, Step};

/// Runs `seeds` simulations, beginning with seed `start`.
#[expect(clippy::unnecessary_wraps, reason = "one shape for all commands")]
pub(crate) fn sim(root: &Path, seeds: u64, start: u64) -> Result<bool, String> {
    let (seeds, start) = (seeds.to_string(), start.to_string());
    let arguments = ["run", "--profile", "sim", "--package", "factum-sim", "--"];
    let campaign = ["campaign", "--seeds", &seeds, "--start", &start];
    Ok(step::run_one(
        root,
        Step::cargo("simulation", &[&arguments[..], &campaign].concat()),
    ))
}

/// Fuzzes every target for `seconds`, or only `target`. A finding ends the campaign.
pub(crate) fn fuzz(root: &Path, seconds: u64, target: Option<&str>) -> Result<bool, String> {
    let targets = targets(root)?;
    if let Some(target) = target.filter(|target| !targets.iter().any(|name| name == target)) {
        return Err(format!(
            "there is no fuzz target {target:?}; there are {}",
            targets.join(", ")
        ));
    }
    if step::version(&["cargo", "fuzz"]).is_none() {
        return Err("not run: cargo-fuzz is not installed; `cargo install cargo-fuzz`".to_owned());
    }
    let limit = format!("-max_total_time={seconds}");
    for name in targets
        .iter()
        .filter(|name| target.is_none_or(|target| *name == target))
    {
        let arguments = ["+nightly", "fuzz", "run", name, "--", &limit];
        if !step::run_one(root, Step::cargo(name, &arguments)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Loads a server for `seconds`, and kills it twice meanwhile.
#[expect(clippy::unnecessary_wraps, reason = "one shape for all commands")]
pub(crate) fn load(root: &Path, seconds: u64, seed: Option<u64>) -> Result<bool, String> {
    let arguments = ["test", "--package", "factum-cli", "--test", "it", "--"];
    let only = ["--nocapture", "load::"];
    let step = Step::cargo("load", &[&arguments[..], &only].concat());
    let step = step.env("FACTUM_LOAD_SECONDS", &seconds.to_string());
    Ok(step::run_one(
        root,
        match seed {
            Some(seed) => step.env("FACTUM_LOAD_SEED", &seed.to_string()),
            None => step,
        },
    ))
}

/// The names of the fuzz targets, sorted.
fn targets(root: &Path) -> Result<Vec<String>, String> {
    let folder = root.join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder);
    let entries = entries.map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}
