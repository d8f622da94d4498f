//! Short ways to set up a disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_io::sim::{CrashPolicy, SimDisk};
use factum_io::{Disk, DiskFile, DiskFileExt, Open};

pub(crate) const S: usize = 512;

pub(crate) fn p(path: &str) -> &Path {
    Path::new(path)
}

pub(crate) fn fill(byte: u8, sectors: usize) -> Vec<u8> {
    vec![byte; sectors * S]
}

/// A file whose content and name are durable.
pub(crate) fn durable(disk: &SimDisk, path: &str, content: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(p(path), Open::create_new()).unwrap();
    file.write_all_at(content, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(p(path).parent().unwrap()).unwrap();
    file
}

/// A disk with one durable file `/a`.
pub(crate) fn with_file(content: &[u8]) -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::new();
    let file = durable(&disk, "/a", content);
    assert_eq!(disk.pending_units(), 0);
    (disk, file)
}

pub(crate) fn kept(disk: &SimDisk, policy: CrashPolicy, path: &str) -> Option<Vec<u8>> {
    disk.crash(policy).read_file(path)
}

/// What every subset of the pending units would leave of one file, without doubles.
pub(crate) fn all_outcomes(disk: &SimDisk, path: &str) -> Vec<Option<Vec<u8>>> {
    let units = disk.pending_units();
    assert!(units <= 10, "{units} units");
    let mut outcomes: Vec<_> = (0..1 << units)
        .map(|mask| kept(disk, CrashPolicy::Mask(mask), path))
        .collect();
    outcomes.sort();
    outcomes.dedup();
    outcomes
}

pub(crate) fn read_all(file: &dyn DiskFile) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut content, 0).unwrap();
    content
}

pub(crate) fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

/// A directory on the real disk, removed when dropped.
pub(crate) struct TempDir(pub(crate) PathBuf);

impl TempDir {
    pub(crate) fn new(parent: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("factum-io-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
