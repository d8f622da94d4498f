//! InfluxDB 1.6 of Debian, with authentication.
//!
//! Tests find in `target/services/influxdb/`: `url` (one user, who may do everything), `ca.pem`, `server.pem` and `server.key` (for a server of a
//! test's own that speaks TLS) and `program` (to start one).

use std::process::Command;

use super::place::Place;
use super::process::Process;
use super::{Service, certificates, command, deb, http};

/// No secret: it keeps nobody out but tests of wrong passwords.
const PASSWORD: &str = "a 100% test";
const PASSWORD_IN_URL: &str = "a%20100%25%20test";
const PROGRAM: &str = "root/usr/bin/influxd";

/// InfluxDB.
pub(super) const SERVICE: Service = Service {
    name: "influxdb",
    what: "InfluxDB 1.6 of Debian",
    prepare,
    start,
    url: |_, port| Ok(format!("http://factum:{PASSWORD_IN_URL}@127.0.0.1:{port}")),
    answers,
    ports: None,
    seconds: 60,
    stop: "TERM",
};

fn prepare(place: &Place) -> Result<(), String> {
    certificates::make(place, None)?;
    let program = place.path(PROGRAM);
    place.write("program", &program.display().to_string())?;
    if program.exists() {
        return Ok(());
    }
    deb::unpack(place, "influxdb")
}

fn start(place: &Place, port: u16) -> Result<Process, String> {
    let backup = super::place::free_port()?;
    let data = place.path("data").display().to_string();
    let configuration = format!(
        "reporting-disabled = true\nbind-address = \"127.0.0.1:{backup}\"\n\
         [meta]\n  dir = \"{data}/meta\"\n\
         [data]\n  dir = \"{data}/data\"\n  wal-dir = \"{data}/wal\"\n  query-log-enabled = false\n\
         [http]\n  bind-address = \"127.0.0.1:{port}\"\n  log-enabled = false\n  auth-enabled = true\n\
         [monitor]\n  store-enabled = false"
    );
    place.write("influxdb.conf", &configuration)?;
    let mut server = Command::new(place.path(PROGRAM));
    server
        .args(["run", "-config"])
        .arg(place.path("influxdb.conf"));
    command::start(place, &server)
}

/// Answers when it has its user.
fn answers(_: &Place, port: u16) -> Result<(), String> {
    let create = format!("q=CREATE USER factum WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES");
    let create = create.replace('%', "%25").replace(' ', "+");
    let answer = http(port, "POST", "/query", &create)?;
    // Refused when there is one already.
    match ["HTTP/1.1 200", "HTTP/1.1 401"]
        .iter()
        .any(|fine| answer.starts_with(fine))
    {
        true => Ok(()),
        false => Err(format!(
            "it answers {}",
            answer.lines().next().unwrap_or("")
        )),
    }
}
