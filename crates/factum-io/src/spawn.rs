//! Threads.
//!
//! Relies on: nothing. Never: detaches silently; who spawns keeps the handle and joins.

use std::fmt::Debug;
use std::io;
use std::thread;

/// Starts threads.
pub trait Spawner: Send + Sync + Debug {
    /// Starts a thread called `name` (seen in panics and debuggers) that runs `body`.
    ///
    /// # Errors
    /// - Whatever the operating system says when it has no threads left, usually
    ///   [`WouldBlock`](io::ErrorKind::WouldBlock); `body` has not run.
    /// - [`Unsupported`](io::ErrorKind::Unsupported): a simulation, which has one thread.
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput): `name` contains a zero byte.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn JoinHandle>>;
}

/// A thread that may still be running. Dropping the handle lets it run on.
pub trait JoinHandle: Send + Debug {
    /// Waits until the thread has ended.
    ///
    /// # Errors
    /// What the thread panicked with, as from [`thread::JoinHandle::join`].
    fn join(self: Box<Self>) -> thread::Result<()>;

    /// Whether the thread has ended, so that `join` would not wait.
    fn is_finished(&self) -> bool;
}
