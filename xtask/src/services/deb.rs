//! Packages of Debian, used as archives of programs.
//!
//! Relies on: `apt-get` and `dpkg`. Never: installs anything into the system.

use std::process::Command;

use super::command;
use super::place::Place;

/// Fetches a package, and unpacks it into `root`.
pub(super) fn unpack(place: &Place, package: &str) -> Result<(), String> {
    let download = || {
        let mut apt = Command::new("apt-get");
        apt.args(["download", package]).current_dir(place.path(""));
        command::run(place, apt, 120, "")
    };
    download().or_else(|_| {
        let mut update = Command::new("apt-get");
        update.arg("update");
        command::run(place, update, 120, "")?;
        download()
    })?;
    let files = std::fs::read_dir(place.path(""))
        .map_err(|error| format!("cannot list the downloads: {error}"))?;
    let archive = files
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or("apt-get left no package")?;
    let mut unpack = Command::new("dpkg");
    unpack.arg("-x").arg(archive).arg(place.path("root"));
    command::run(place, unpack, 60, "")
}
