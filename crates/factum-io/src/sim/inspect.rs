//! Looking at the simulated disk from outside: no call here is counted, can fail by a rule, or needs power.
//!
//! Relies on: the state. Never: changes it.

use std::path::{Path, PathBuf};

use super::SimDisk;
use super::image::PAGE;
use super::inode::Inode;
use super::names::normal;

impl SimDisk {
    /// The visible files, durable or not, sorted; directories are not among them.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.state()
            .names
            .files()
            .map(|(path, _)| path.to_path_buf())
            .collect()
    }

    /// The visible content of a file, durable or not; `None` if there is no such file.
    #[must_use]
    pub fn read_file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let mut state = self.state();
        let inode = state.names.check_file(&normal(path.as_ref())).ok()?;
        let file = state.inode(inode);
        let mut content = vec![0; usize::try_from(file.size).ok()?];
        file.read(&mut content, 0);
        Some(content)
    }

    /// A hash of all that is durable: directories, names, lengths, bytes. Equal for equal content, in every run.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let state = self.state();
        let mut hash = Hash::new();
        for dir in state.names.durable_dirs() {
            hash.bytes(dir.as_os_str().as_encoded_bytes());
        }
        for (path, inode) in state.names.durable_files() {
            hash.bytes(path.as_os_str().as_encoded_bytes());
            if let Some(file) = state.inodes.get(&inode) {
                hash.file(file);
            }
        }
        hash.0
    }

    /// Whether calls are written down from now on; either way, starts with none.
    pub fn set_trace(&self, on: bool) {
        self.state().trace = on.then(Vec::new);
    }

    /// The calls so far, one line each, with what was done to them; empty if tracing is off.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.clone().unwrap_or_default()
    }
}

/// A small hash that never changes, unlike the standard library's. Not for keys: easy to collide on purpose.
struct Hash(u64);

impl Hash {
    const fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    const fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word)
            .wrapping_mul(0xFF51_AFD7_ED55_8CCD)
            .rotate_left(29);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    /// Pages of zeros count like missing ones.
    fn file(&mut self, file: &Inode) {
        self.word(file.durable_size);
        let pages = file.durable().present();
        for (index, page) in pages.filter(|(_, page)| **page != [0; PAGE]) {
            self.word(index as u64);
            self.bytes(page);
        }
    }
}
