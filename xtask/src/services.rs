//! The servers that tests need: installed, started and stopped here, on loopback, with everything they write below `target/services/`.
//!
//! What lives here: which servers there are, and `up`, `down` and `status` of them. One module per server below; `place` and `process` are for
//! all of them. Relies on: package registries, for what is not installed. Never: touches a server that it did not start; leaves a test to
//! guess an address: `target/services/NAME/url` holds it for as long as the server is up.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

mod certificates;
mod command;
mod deb;
mod influxdb;
mod opensearch;
mod place;
mod postgres;
mod process;
mod prometheus;
mod wheel;

use place::Place;
use process::Process;
pub(crate) use process::pause;

/// A server. To add one: a module with these four functions, and an entry in [`SERVICES`].
#[derive(Debug)]
struct Service {
    /// The name of its directory, and what it is called on the command line.
    name: &'static str,
    /// What it is, for people.
    what: &'static str,
    /// Installs what is missing, and makes its data where there are none.
    prepare: fn(&Place) -> Result<(), String>,
    /// Starts it on this port of loopback, in the foreground of a session of its own ([`command::start`]). It need not answer yet.
    start: fn(&Place, u16) -> Result<Process, String>,
    /// What tests read in `url`, for a server on this port.
    url: fn(&Place, u16) -> Result<String, String>,
    /// Whether the server on this port answers; asked again and again until it does, or for too long.
    answers: fn(&Place, u16) -> Result<(), String>,
    /// The ports that it can listen on, the first and the last, where that is not all.
    ports: Option<(u16, u16)>,
    /// How many seconds it may take until it answers.
    seconds: u64,
    /// The signal that asks it to stop.
    stop: &'static str,
}

/// All of them, in the order they are started in.
const SERVICES: &[Service] = &[
    postgres::DEBIAN,
    postgres::NEWEST,
    influxdb::SERVICE,
    opensearch::SERVICE,
    prometheus::SERVICE,
];

/// How often a server is started before that is given up.
const ATTEMPTS: u32 = 3;

/// What to do with the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start what is not running.
    Up,
    /// Stop what was started here.
    Down,
    /// Say what is running.
    Status,
}

/// The names of all servers.
pub(crate) fn names() -> Vec<&'static str> {
    SERVICES.iter().map(|service| service.name).collect()
}

/// Does it to the servers of these names, or to all; says whether all of it was done. `status` says whether all are running.
///
/// What fails does not keep the others from being tried.
pub(crate) fn run(root: &Path, action: Action, wanted: &[String]) -> Result<bool, String> {
    let failed = each(root, action, wanted)?;
    Ok(failed.is_empty())
}

/// Starts all servers; says what is wrong with those that could not be started.
pub(crate) fn up(root: &Path) -> Result<Vec<String>, String> {
    each(root, Action::Up, &[])
}

fn each(root: &Path, action: Action, wanted: &[String]) -> Result<Vec<String>, String> {
    let chosen: Vec<&Service> = SERVICES
        .iter()
        .filter(|service| wanted.is_empty() || wanted.iter().any(|name| name == service.name))
        .collect();
    let known = |name: &&String| !SERVICES.iter().any(|service| service.name == **name);
    if let Some(unknown) = wanted.iter().find(known) {
        let names = names().join(", ");
        return Err(format!(
            "there is no service {unknown:?}; there are {names}"
        ));
    }
    let mut failed = Vec::new();
    for service in chosen {
        let place = Place::new(root, service.name);
        let begun = crate::step::now();
        let said = match action {
            Action::Status => status(service, &place),
            Action::Up => place.locked(|| service.up(&place)),
            Action::Down => place.locked(|| service.down(&place)),
        };
        let seconds = begun.elapsed().as_secs_f64();
        match said {
            Ok(said) => println!("  {}: {said} ({seconds:.1} s)", service.name),
            Err(error) => {
                println!("  {}: {error}", service.name);
                failed.push(format!("{}: {error}", service.name));
            }
        }
    }
    Ok(failed)
}

fn status(service: &Service, place: &Place) -> Result<String, String> {
    let Some((process, port)) = place.running() else {
        return Err(format!("not running; {}", service.what));
    };
    (service.answers)(place, port)
        .map_err(|error| format!("{process} runs but does not answer: {error}"))?;
    Ok(format!("{}, {process}, port {port}", service.what))
}

impl Service {
    fn up(&self, place: &Place) -> Result<String, String> {
        if let Some((process, port)) = place.running() {
            if (self.answers)(place, port).is_ok() {
                place.write("url", &(self.url)(place, port)?)?;
                return Ok(format!("{}, runs already, port {port}", self.what));
            }
            process.stop(self.stop)?;
        }
        place.forget_process()?;
        place.make()?;
        (self.prepare)(place).map_err(|error| format!("cannot be prepared: {error}"))?;
        let mut attempt = 1;
        let port = loop {
            match self.start_once(place) {
                Ok(port) => break port,
                // Another program was faster to take the port, or what was left of a killed server is not gone yet.
                Err(_) if attempt < ATTEMPTS => (0..10).for_each(|_| pause()),
                Err(error) => {
                    let log = place.log().display().to_string();
                    return Err(format!("{error}; its log is {log}"));
                }
            }
            attempt += 1;
        };
        place.write("url", &(self.url)(place, port)?)?;
        Ok(format!("{}, started, port {port}", self.what))
    }

    /// Starts it on a free port; what did not answer in time does not run on.
    fn start_once(&self, place: &Place) -> Result<u16, String> {
        let port = match self.ports {
            Some((first, last)) => place::free_port_in(first, last)?,
            None => place::free_port()?,
        };
        let process =
            (self.start)(place, port).map_err(|error| format!("cannot be started: {error}"))?;
        place.note_process(&process, port)?;
        if let Err(error) = self.wait(place, &process, port) {
            process.stop(self.stop)?;
            place.forget_process()?;
            return Err(error);
        }
        Ok(port)
    }

    /// Waits until it answers.
    fn wait(&self, place: &Place, process: &Process, port: u16) -> Result<(), String> {
        let begun = crate::step::now();
        loop {
            let Err(error) = (self.answers)(place, port) else {
                return Ok(());
            };
            if !process.is_alive() {
                return Err("it ended before it answered".to_owned());
            }
            if begun.elapsed().as_secs() >= self.seconds {
                let seconds = self.seconds;
                return Err(format!("no answer within {seconds} seconds: {error}"));
            }
            pause();
        }
    }

    fn down(&self, place: &Place) -> Result<String, String> {
        let running = place.running();
        let said = match running {
            None => "was not running".to_owned(),
            Some((process, _)) => {
                process.stop(self.stop)?;
                "stopped".to_owned()
            }
        };
        place.forget_process()?;
        Ok(said)
    }
}

/// What a server on loopback answers to a request over HTTP, with its head; not all of a long answer.
fn http(port: u16, method: &str, path: &str, body: &str) -> Result<String, String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(64 << 10).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().map_err(|error| format!("port {port}: {error}"))
}
