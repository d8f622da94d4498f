//! A server that a test may kill: made from the programs of one of `cargo xtask services`.
//!
//! Relies on: `setpriv` (util-linux), by which the kernel ends a server whose test ends before it. Never: leaves a server to nobody.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use factum_io::{Clock, Env};
use tempfile::TempDir;

use super::support::Server;

/// For a server to take connections after it was started, and for what is left of one that was told to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A moment after which nothing is waited for.
pub(crate) struct Deadline {
    clock: Arc<dyn Clock>,
    until: Duration,
}

impl Deadline {
    pub(crate) fn after(time: Duration) -> Self {
        let clock = Env::real().clock;
        let until = Duration::from_nanos(clock.monotonic_ns()) + time;
        Self { clock, until }
    }

    pub(crate) fn is_over(&self) -> bool {
        Duration::from_nanos(self.clock.monotonic_ns()) > self.until
    }
}

/// A server of its own, on loopback, without passwords. It ends with this, and with the thread that started it, however that ends.
pub(crate) struct OwnServer {
    folder: TempDir,
    bin: String,
    user: String,
    port: u16,
    child: Mutex<Option<Child>>,
}

impl OwnServer {
    pub(crate) fn start(like: &Server) -> Self {
        let read = |name| std::fs::read_to_string(like.place.join(name)).unwrap();
        let server = Self {
            folder: tempfile::tempdir().unwrap(),
            bin: read("bin").trim().to_owned(),
            user: read("user").trim().to_owned(),
            port: free_port(),
            child: Mutex::default(),
        };
        server.give();
        let data = server.data();
        let mut initdb = server.program("initdb", &["-D", &data, "-A", "trust", "-U", "factum"]);
        let made = initdb.arg("-N").stdout(Stdio::null()).stderr(Stdio::null());
        let made = made.status().unwrap().success();
        assert!(made, "initdb: see {}", server.folder.path().display());
        server.restart();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://factum@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it again, as soon as what was left of the last one lets it.
    pub(crate) fn restart(&self) {
        self.stop_at_once();
        let deadline = Deadline::after(PATIENCE);
        while !deadline.is_over() {
            *self.child() = Some(self.spawn());
            if self.answers(&deadline) {
                return;
            }
            self.end("KILL");
            thread::yield_now();
            pause(100);
        }
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        panic!("no restart: {log}");
    }

    /// As after a crash: nothing is finished, and nobody is told.
    pub(crate) fn stop_at_once(&self) {
        self.end("QUIT");
    }

    /// Kills the postmaster; its children notice by themselves.
    pub(crate) fn kill(&self) {
        self.end("KILL");
    }

    /// The number of its process, while there is one.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    fn end(&self, signal: &str) {
        if let Some(mut child) = self.child().take() {
            let mut kill = Command::new("kill");
            kill.args(["-s", signal, &child.id().to_string()]);
            kill.status().unwrap();
            let deadline = Deadline::after(PATIENCE);
            while child.try_wait().unwrap().is_none() {
                if deadline.is_over() {
                    child.kill().unwrap();
                }
                pause(5);
            }
        }
    }

    /// In the foreground, so that it is a child of ours and not of another that is gone.
    #[expect(
        clippy::disallowed_methods,
        reason = "what another program writes into; nothing is simulated"
    )]
    fn spawn(&self) -> Child {
        let port = self.port.to_string();
        let mut postgres = self.program("postgres", &["-D", &self.data(), "-p", &port]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "max_connections=30",
        ] {
            postgres.args(["-c", setting]);
        }
        let log = File::create(self.log()).unwrap();
        let quiet = postgres.stdout(log.try_clone().unwrap()).stderr(log);
        quiet.spawn().unwrap()
    }

    /// Waits until it takes connections; says whether it came to that.
    fn answers(&self, deadline: &Deadline) -> bool {
        let port = self.port.to_string();
        while !deadline.is_over() {
            let asked = ["-q", "-t", "2", "-h", "127.0.0.1", "-p", &port];
            let asked = self.program("pg_isready", &asked).status().unwrap();
            if asked.success() {
                return true;
            }
            let ended = |child: &mut Child| child.try_wait().unwrap().is_some();
            if self.child().as_mut().is_none_or(ended) {
                return false;
            }
            pause(50);
        }
        false
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap()
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    fn program(&self, program: &str, arguments: &[&str]) -> Command {
        let path = format!("{}/{program}", self.bin);
        // A server that is told so ends its children and removes its shared memory.
        let mut command = mortal("QUIT", (self.user != "-").then_some(&self.user));
        command.arg(path).args(arguments).current_dir("/");
        command
    }

    /// Gives the folder to whom the server runs as.
    fn give(&self) {
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let mut lines = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        if let Some(line) = lines.find(|line| line[0] == self.user) {
            let (user, group) = (line[2].parse().unwrap(), line[3].parse().unwrap());
            chown(self.folder.path(), Some(user), Some(group)).unwrap();
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.stop_at_once();
    }
}

/// A program, still to be named, that the kernel sends this signal when the thread that starts it is gone.
pub(crate) fn mortal(signal: &str, user: Option<&String>) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--pdeathsig={signal}"));
    if let Some(user) = user {
        command.args([format!("--reuid={user}"), format!("--regid={user}")]);
        command.arg("--clear-groups");
    }
    command.arg("--").stdin(Stdio::null());
    command
}

/// A port of loopback that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[expect(
    clippy::disallowed_methods,
    reason = "another program takes its time; nothing is simulated"
)]
pub(crate) fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

/// Whoever starts a server and is gone before it takes it along: here a thread, as a process that is killed would.
#[test]
fn a_server_ends_with_who_started_it() {
    let test = "own_server::a_server_ends_with_who_started_it";
    for like in super::support::servers(test) {
        let start = || OwnServer::start(&like);
        let server = thread::scope(|scope| scope.spawn(start).join().unwrap());
        let process = server.process().unwrap();
        let runs = || {
            let status =
                std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
            // A corpse that nobody has looked at does not run.
            status.is_ok_and(|it| !it.contains(") Z "))
        };
        let deadline = Deadline::after(PATIENCE);
        while runs() && !deadline.is_over() {
            pause(50);
        }
        assert!(!runs(), "process {process} runs on");
    }
}
