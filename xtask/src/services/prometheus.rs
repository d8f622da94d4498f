//! Prometheus of Debian, which has `promtool`, the judge of names of metrics.
//!
//! Tests find in `target/services/prometheus/`: `url` and `promtool`, the path of the program.

use std::process::Command;

use super::place::Place;
use super::process::Process;
use super::{Service, command, deb, http};

/// Prometheus.
pub(super) const SERVICE: Service = Service {
    name: "prometheus",
    what: "Prometheus of Debian",
    prepare,
    start,
    url: |_, port| Ok(format!("http://127.0.0.1:{port}")),
    answers,
    ports: None,
    seconds: 60,
    stop: "TERM",
};

fn prepare(place: &Place) -> Result<(), String> {
    let program = place.path("root/usr/bin/promtool");
    place.write("promtool", &program.display().to_string())?;
    // It scrapes nothing.
    place.write("prometheus.yml", "scrape_configs: []\n")?;
    if program.exists() {
        return Ok(());
    }
    deb::unpack(place, "prometheus")
}

fn start(place: &Place, port: u16) -> Result<Process, String> {
    let mut server = Command::new(place.path("root/usr/bin/prometheus"));
    server
        .arg("--config.file")
        .arg(place.path("prometheus.yml"))
        .arg("--storage.tsdb.path")
        .arg(place.path("data"))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command::start(place, &server)
}

fn answers(_: &Place, port: u16) -> Result<(), String> {
    let answer = http(port, "GET", "/-/ready", "")?;
    match answer.starts_with("HTTP/1.1 200") {
        true => Ok(()),
        false => Err(format!(
            "it answers {}",
            answer.lines().next().unwrap_or("")
        )),
    }
}
