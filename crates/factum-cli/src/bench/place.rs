//! A directory for the files of a benchmark, which goes away with everything in it.

use std::path::{Path, PathBuf};

use factum_io::Env;

use crate::failure::{Failure, Outcome};

/// A directory that is removed when dropped.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    stores: u32,
}

impl Place {
    /// A new directory in `parent`, which must be there.
    pub(super) fn new(parent: &Path, env: &Env) -> Outcome<Self> {
        let name = format!(".factum-bench-{:016x}", env.random.next_u64());
        let path = parent.join(name);
        std::fs::create_dir(&path).map_err(|error| {
            Failure::io(path.display(), &error)
                .hint("name a directory that can be written by --dir")
        })?;
        Ok(Self { path, stores: 0 })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it that was not given out before.
    pub(super) fn fresh(&mut self, what: &str) -> PathBuf {
        self.stores += 1;
        self.path.join(format!("{what}-{}", self.stores))
    }

    /// Removes a store, so that its space is free for the next measurement.
    pub(super) fn remove(path: &Path) -> Outcome {
        std::fs::remove_dir_all(path).map_err(|error| Failure::io(path.display(), &error))
    }

    /// Removes a file.
    pub(super) fn remove_file(path: &Path, env: &Env) -> Outcome {
        env.disk
            .remove(path)
            .map_err(|error| Failure::io(path.display(), &error))
    }

    /// Removes everything, and says if that fails.
    pub(super) fn end(&self) -> Outcome {
        Self::remove(&self.path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // After `end` there is nothing left; on the way out of a failure, that failure is what counts.
        drop(std::fs::remove_dir_all(&self.path));
    }
}
