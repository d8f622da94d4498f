//! The names of files in the data directory.

use std::path::{Path, PathBuf};

/// The names of files in the data directory.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    /// One of the two copies of the manifest.
    pub(crate) fn manifest(&self, copy: usize) -> PathBuf {
        self.root.join(["MANIFEST.a", "MANIFEST.b"][copy & 1])
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn segment(&self, number: u64, generation: u32) -> PathBuf {
        self.segments().join(segment_name(number, generation))
    }

    pub(crate) fn index(&self, number: u64, generation: u32) -> PathBuf {
        self.segments()
            .join(format!("{number:010}.g{generation}.idx"))
    }

    /// A path as error messages show it: relative to the data directory.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}

/// The file name of a segment.
pub(crate) fn segment_name(number: u64, generation: u32) -> String {
    match generation {
        0 => format!("{number:010}.seg"),
        _ => format!("{number:010}.g{generation}.seg"),
    }
}
