//! A process that was started here, told apart from another that was given its number later.
//!
//! Relies on: Linux's `/proc`, and the program `kill`. Never: signals a number alone.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a server may take to stop before it is killed.
const STOP_SECONDS: u64 = 20;

/// A process by number and start time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    id: u32,
    /// In ticks since the machine started.
    started: u64,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.id)
    }
}

impl Process {
    /// The running process of this number.
    pub(super) fn of(id: u32) -> Result<Self, String> {
        let started = started(id).ok_or_else(|| format!("process {id} ended at once"))?;
        Ok(Self { id, started })
    }

    /// As [`noted`](Self::noted) wrote it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (id, started) = text.split_once(' ')?;
        Some(Self {
            id: id.parse().ok()?,
            started: started.parse().ok()?,
        })
    }

    pub(super) fn noted(&self) -> String {
        format!("{} {}", self.id, self.started)
    }

    /// Whether it runs: it, and not another with its number.
    pub(super) fn is_alive(&self) -> bool {
        started(self.id) == Some(self.started)
    }

    /// Asks it to stop by this signal and waits; kills it when that takes too long.
    pub(super) fn stop(&self, signal: &str) -> Result<(), String> {
        for signal in [signal, "KILL"] {
            self.signal(signal)?;
            let begun = crate::step::now();
            while begun.elapsed().as_secs() < STOP_SECONDS {
                if !self.is_alive() {
                    return Ok(());
                }
                pause();
            }
        }
        Err(format!("{self} cannot be stopped"))
    }

    fn signal(&self, signal: &str) -> Result<(), String> {
        if !self.is_alive() {
            return Ok(());
        }
        let sent = Command::new("kill")
            .args(["-s", signal, &self.id.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match sent {
            Ok(status) if status.success() || !self.is_alive() => Ok(()),
            Ok(status) => Err(format!("{self} cannot be sent {signal}: {status}")),
            Err(error) => Err(format!("cannot run kill: {error}")),
        }
    }
}

/// When a process started; `None` when there is none, or only a corpse that nobody has looked at.
fn started(id: u32) -> Option<u64> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// The state and the 22nd field of proc(5)'s `stat`, counted behind the name, which may hold anything.
fn parse_stat(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    if matches!(fields.next(), Some("Z" | "X")) {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Between two looks at something that takes its time.
#[expect(
    clippy::disallowed_methods,
    reason = "a chore waits for another program; nothing is simulated"
)]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

#[cfg(test)]
mod tests {
    use super::{Process, parse_stat};

    #[test]
    fn the_start_stands_behind_a_name_with_anything_in_it() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(parse_stat(&format!("7 (a) S 1 (b) {fields}")), Some(4242));
        let corpse = fields.replacen('S', "Z", 1);
        assert_eq!(parse_stat(&format!("7 (a) {corpse}")), None);
    }

    #[test]
    fn another_process_of_the_same_number_is_not_it() {
        let own = Process::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        assert_eq!(Process::parse(&own.noted()), Some(own.clone()));
        let before = Process {
            started: own.started - 1,
            ..own
        };
        assert!(!before.is_alive());
        // So it is not signalled either.
        before.stop("KILL").unwrap();
    }
}
