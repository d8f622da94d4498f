//! The system's threads.
//!
//! Relies on: `std::thread::Builder`. Never: keeps a list of what it started.

use std::io;
use std::thread;

use crate::{JoinHandle, Spawner};

/// Starts threads of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealSpawner(());

impl RealSpawner {
    /// A spawner; it holds nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Spawner for RealSpawner {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the Spawner that others take"
    )]
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn JoinHandle>> {
        if name.contains('\0') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("thread name {name:?} contains a zero byte"),
            ));
        }
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .map_err(|error| {
                io::Error::new(error.kind(), format!("spawn thread {name}: {error}"))
            })?;
        Ok(Box::new(RealJoinHandle(handle)))
    }
}

#[derive(Debug)]
struct RealJoinHandle(thread::JoinHandle<()>);

impl JoinHandle for RealJoinHandle {
    fn join(self: Box<Self>) -> thread::Result<()> {
        self.0.join()
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn thread_runs_under_its_name() {
        let (send, receive) = mpsc::channel();
        let body = move || {
            send.send(thread::current().name().map(str::to_owned))
                .unwrap();
        };
        let handle = RealSpawner::new()
            .spawn("factum-committer", Box::new(body))
            .unwrap();
        handle.join().unwrap();
        assert_eq!(receive.recv().unwrap().as_deref(), Some("factum-committer"));
    }

    #[test]
    fn panic_comes_back_from_join() {
        let handle = RealSpawner::new()
            .spawn("p", Box::new(|| panic!("on purpose")))
            .unwrap();
        assert!(handle.join().is_err());
    }

    #[test]
    fn zero_byte_in_name_is_refused() {
        let error = RealSpawner::new()
            .spawn("a\0b", Box::new(|| {}))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
