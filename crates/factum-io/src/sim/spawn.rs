//! No threads: a simulation has one.
//!
//! Relies on: nothing. Never: starts one after all; two threads would make two runs of one seed differ.

use std::io;

use crate::{JoinHandle, Spawner};

/// Refuses to start threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimSpawner(());

impl SimSpawner {
    /// A spawner; it holds nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Spawner for SimSpawner {
    fn spawn(
        &self,
        name: &str,
        _body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<Box<dyn JoinHandle>> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "spawn thread {name}: a simulation has one thread; drive the work step by step"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_and_names_the_thread() {
        let error = SimSpawner::new()
            .spawn("committer", Box::new(|| {}))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("committer"));
    }
}
