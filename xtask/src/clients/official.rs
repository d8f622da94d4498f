//! The Rust client's own integration tests, out of its package in the registry, against a server on the port that they know.
//!
//! They are copied to `target/clients/rust` and run from there: nothing of them is kept here. Relies on: `clients/rust/Cargo.toml`, which
//! names the version; `setpriv`. Never: runs two of them in one process, which they do not bear.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Place, Suite, command, make_directory, remove};
use crate::step::{self, Tests};

/// The client of Rust. Its tests of projections are left out, and those that need containers.
pub(super) const RUST: Suite = Suite {
    name: "rust",
    what: "the own tests of kurrentdb 1.2.0",
    tool: &["cargo", "--version"],
    install,
    tests,
    count: |line| {
        let mut tests = Tests::default();
        tests.count(line);
        (tests != Tests::default()).then_some(tests)
    },
    server: Some(&[
        "--dev",
        "--listen",
        "127.0.0.1:2111",
        "--advertise",
        "localhost:2111",
    ]),
    seconds: (900, 240),
};

/// Tests by their names there.
const NAMES: &[(&str, &str)] = &[
    ("streams", "cluster_streams"),
    ("persistent", "cluster_persistent_subscriptions"),
    ("operations", "cluster_operations"),
    ("discover", "single_node_discover_error"),
];

/// Where they listen for a cluster.
const PORT: u16 = 2111;

/// A server that ends with us.
#[derive(Debug)]
pub(super) struct Server {
    process: Child,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(super) fn start(place: &Place, program: &Path, arguments: &[&str]) -> Result<Self, String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let listens = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
        if listens() {
            return Err(format!("something else listens on port {PORT} already"));
        }
        let data = place.scratch.join("store-dev");
        let process = command(&["setpriv", "--pdeathsig", "KILL"])
            .arg(program)
            .arg("serve")
            .args(arguments)
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        let mut server = Self { process };
        let begun = step::now();
        while !listens() {
            if let Ok(Some(status)) = server.process.try_wait() {
                return Err(format!("the server ended: {status}"));
            }
            if begun.elapsed().as_secs() > 60 {
                server.stop()?;
                return Err("the server does not listen after a minute".to_owned());
            }
            crate::services::pause();
        }
        Ok(server)
    }

    /// Ends it: what it should have done by then is done.
    pub(super) fn stop(mut self) -> Result<(), String> {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        ended
            .map(|_| ())
            .map_err(|error| format!("the server cannot be stopped: {error}"))
    }
}

fn install(place: &Place) -> Result<Vec<Command>, String> {
    let copy = place.scratch.join("kurrentdb");
    remove(&copy)?;
    copy_all(&package(place)?, &copy)?;
    // It is below our workspace, and no part of it.
    let manifest = copy.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)
        .map_err(|error| format!("cannot read {}: {error}", manifest.display()))?;
    write(&manifest, format!("{text}\n[workspace]\n"))?;
    let mut build = cargo_test(place);
    build.arg("--no-run");
    Ok(vec![build])
}

fn tests(place: &Place, only: Option<&str>) -> Result<Vec<Command>, String> {
    let wanted = NAMES
        .iter()
        .filter(|(area, _)| only.is_none_or(|only| only == *area));
    let commands = wanted.map(|(_, name)| {
        let mut test = cargo_test(place);
        test.args(["--", "--exact", name]);
        test
    });
    let commands: Vec<Command> = commands.collect();
    match commands.is_empty() {
        true => Err("there are streams, persistent, operations and discover".to_owned()),
        false => Ok(commands),
    }
}

fn cargo_test(place: &Place) -> Command {
    let mut test = command(&["cargo", "test", "--locked", "--test", "integration"]);
    test.arg("--manifest-path")
        .arg(place.scratch.join("kurrentdb/Cargo.toml"))
        .env("CARGO_TARGET_DIR", place.scratch.join("target"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    test
}

/// Where Cargo has put the package.
fn package(place: &Place) -> Result<PathBuf, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .arg("--manifest-path")
        .arg(place.sources.join("Cargo.toml"))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let manifests = text.split("\"manifest_path\":\"").skip(1);
    let mut manifests = manifests.filter_map(|rest| rest.split('"').next());
    let found = manifests.find(|path| path.contains("/kurrentdb-1."));
    let found = found.and_then(|path| Path::new(path).parent().map(Path::to_path_buf));
    found.ok_or_else(|| "cargo metadata does not name the package kurrentdb".to_owned())
}

fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    make_directory(to)?;
    let trouble = |error| format!("cannot list {}: {error}", from.display());
    for entry in std::fs::read_dir(from).map_err(trouble)? {
        let path = entry.map_err(trouble)?.path();
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_all(&path, &to)?;
            continue;
        }
        let text = std::fs::read(&path);
        let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        write(&to, text)?;
    }
    Ok(())
}

fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
