//! The directory of one server, and what stands in it for all of them.
//!
//! ```text
//! target/services/NAME/url       what tests connect to, while the server is up
//!                      process   its process id, when that started, and its port
//!                      log       what it said
//! target/services/lock           held while servers are started or stopped
//! ```

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::process::Process;

/// Where a server has its files.
#[derive(Debug)]
pub(super) struct Place {
    all: PathBuf,
    directory: PathBuf,
}

/// A user that a server is run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) id: u32,
    pub(super) group: u32,
}

impl Place {
    pub(super) fn new(root: &Path, name: &str) -> Self {
        let all = root.join("target").join("services");
        Self {
            directory: all.join(name),
            all,
        }
    }

    /// A file or directory in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where the server, and what prepares it, say what they do.
    pub(super) fn log(&self) -> PathBuf {
        self.path("log")
    }

    /// Makes the directory.
    pub(super) fn make(&self) -> Result<(), String> {
        make_directory(&self.directory)
    }

    /// Makes a directory in it that belongs to the user the server runs as.
    pub(super) fn make_for(&self, name: &str, user: Option<&User>) -> Result<PathBuf, String> {
        let path = self.path(name);
        make_directory(&path)?;
        give(&path, user)?;
        Ok(path)
    }

    /// What stands in a file, without the end of its line; `None` when there is no such file.
    pub(super) fn read(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path(name)).ok()?;
        Some(text.trim_end().to_owned())
    }

    /// Writes a file of one line.
    pub(super) fn write(&self, name: &str, line: &str) -> Result<(), String> {
        let path = self.path(name);
        std::fs::write(&path, format!("{line}\n"))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// The process that was started here and its port, if it still runs.
    pub(super) fn running(&self) -> Option<(Process, u16)> {
        let noted = self.read("process")?;
        let (process, port) = noted.rsplit_once(' ')?;
        let process = Process::parse(process)?;
        process.is_alive().then_some(())?;
        Some((process, port.parse().ok()?))
    }

    pub(super) fn note_process(&self, process: &Process, port: u16) -> Result<(), String> {
        self.write("process", &format!("{} {port}", process.noted()))
    }

    /// Forgets a process that does not run any more, and its address.
    pub(super) fn forget_process(&self) -> Result<(), String> {
        for name in ["url", "process"] {
            remove(&self.path(name))?;
        }
        Ok(())
    }

    /// Does something while no other program starts or stops servers of this tree.
    pub(super) fn locked<T>(&self, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        make_directory(&self.all)?;
        let path = self.all.join("lock");
        let trouble = |error| format!("cannot lock {}: {error}", path.display());
        let lock = open_lock(&path).map_err(trouble)?;
        lock.lock().map_err(trouble)?;
        let done = work();
        drop(lock);
        done
    }
}

impl User {
    /// Whom a server may run as that refuses to run as root: `None` for whoever we are, when that is not root.
    ///
    /// # Errors
    /// We are root, and there is nobody to become.
    pub(super) fn unprivileged(candidates: &[&str]) -> Result<Option<Self>, String> {
        let own = std::fs::metadata("/proc/self").map(|ours| ours.uid());
        if own.is_ok_and(|id| id != 0) {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd")
            .map_err(|error| format!("cannot read /etc/passwd: {error}"))?;
        let found = candidates.iter().find_map(|name| Self::find(&users, name));
        let none = || format!("root must become one of {candidates:?}, and there is none");
        found.map(Some).ok_or_else(none)
    }

    fn find(users: &str, name: &str) -> Option<Self> {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        let id = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        Some(Self {
            name: name.to_owned(),
            id,
            group,
        })
    }
}

/// A port of loopback that nothing listens on now.
pub(super) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address
        .map(|address| address.port())
        .map_err(|error| format!("no free port on loopback: {error}"))
}

/// A port of loopback among these that nothing listens on now.
pub(super) fn free_port_in(first: u16, last: u16) -> Result<u16, String> {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let found = (first..=last).find(free);
    found.ok_or_else(|| format!("no free port on loopback from {first} to {last}"))
}

/// Gives a file to a user.
pub(super) fn give(path: &Path, user: Option<&User>) -> Result<(), String> {
    let Some(user) = user else {
        return Ok(());
    };
    std::os::unix::fs::chown(path, Some(user.id), Some(user.group)).map_err(|error| {
        let (path, name) = (path.display(), &user.name);
        format!("cannot give {path} to {name}: {error}")
    })
}

/// Removes a file or a directory with all that is in it, if it is there.
#[expect(
    clippy::disallowed_methods,
    reason = "a chore on files of its own; nothing is simulated"
)]
pub(super) fn remove(path: &Path) -> Result<(), String> {
    let removed = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

fn make_directory(path: &Path) -> Result<(), String> {
    std::fs::create_dir_all(path)
        .map_err(|error| format!("cannot make {}: {error}", path.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a chore's own lock; nothing is simulated"
)]
fn open_lock(path: &Path) -> std::io::Result<File> {
    File::options().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::User;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:101:104:a,,:/x:/bin/sh\n";
        let found = User::find(users, "postgres").map(|user| (user.id, user.group));
        assert_eq!(found, Some((101, 104)));
        assert_eq!(User::find(users, "nobody"), None);
    }
}
