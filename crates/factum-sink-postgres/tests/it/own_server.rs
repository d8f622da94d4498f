//! A server that a test may kill: made from the programs of one of `cargo xtask services`.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::support::Server;

/// A server of its own, on loopback, without passwords. It ends with this.
pub(crate) struct OwnServer {
    folder: TempDir,
    bin: String,
    user: String,
    port: u16,
}

impl OwnServer {
    pub(crate) fn start(like: &Server) -> Self {
        let read = |name| std::fs::read_to_string(like.place.join(name)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let server = Self {
            folder: tempfile::tempdir().unwrap(),
            bin: read("bin").trim().to_owned(),
            user: read("user").trim().to_owned(),
            port,
        };
        server.give();
        let data = server.data();
        let made = server.run(
            "initdb",
            &["-D", &data, "-A", "trust", "-U", "factum", "-N"],
        );
        assert!(made, "initdb: see {}", server.folder.path().display());
        server.restart();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://factum@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it again, as soon as what was left of the last one lets it.
    pub(crate) fn restart(&self) {
        let settings = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=30",
            self.port
        );
        let log = self.folder.path().join("log").display().to_string();
        let start = [
            "-D",
            &self.data(),
            "-l",
            &log,
            "-w",
            "-t",
            "20",
            "-o",
            &settings,
            "start",
        ];
        for _ in 0..100 {
            if self.run("pg_ctl", &start) {
                return;
            }
            thread::yield_now();
            pause(100);
        }
        panic!(
            "no restart: {}",
            std::fs::read_to_string(&log).unwrap_or_default()
        );
    }

    /// As after a crash: nothing is finished, and nobody is told.
    pub(crate) fn stop_at_once(&self) {
        self.run(
            "pg_ctl",
            &["-D", &self.data(), "-m", "immediate", "-w", "stop"],
        );
    }

    /// Kills the postmaster; its children notice by themselves.
    pub(crate) fn kill(&self) {
        let path = Path::new(&self.data()).join("postmaster.pid");
        let noted = std::fs::read_to_string(path).unwrap_or_default();
        if let Some(id) = noted.lines().next() {
            let killed = Command::new("kill").args(["-9", id]).status();
            assert!(killed.unwrap().success());
        }
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let path = format!("{}/{program}", self.bin);
        let mut command = if self.user == "-" {
            Command::new(path)
        } else {
            let mut command = Command::new("setpriv");
            let user = &self.user;
            command.args([&format!("--reuid={user}"), &format!("--regid={user}")]);
            command.args(["--clear-groups", "--", &path]);
            command
        };
        command.args(arguments).current_dir("/");
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
        quiet.stderr(Stdio::null()).status().unwrap().success()
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

#[expect(
    clippy::disallowed_methods,
    reason = "another program takes its time; nothing is simulated"
)]
pub(crate) fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}
