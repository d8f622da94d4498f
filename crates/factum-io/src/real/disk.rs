//! Names on the real file system.
//!
//! Relies on: `rustix`. Never: keeps a directory open between calls.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::file::RealFile;
use crate::error::failed;
use crate::{Access, DirLock, Disk, DiskFile, Open};

/// Files are for their owner only: events may be personal data.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIR_MODE: Mode = Mode::RWXU;

/// The file systems of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk(());

impl RealDisk {
    /// The disk; it holds nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match retry_on_intr(|| rustix::fs::mkdir(path, DIR_MODE)) {
            Err(Errno::EXIST) if path.is_dir() => Ok(()),
            result => result.map_err(|errno| failed("create directory", path, errno)),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let fail = |error| failed("list", dir, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(fail)? {
            let name = entry
                .map_err(fail)?
                .file_name()
                .into_string()
                .map_err(|name| {
                    let text = format!("name {} is not UTF-8", name.display());
                    fail(io::Error::new(io::ErrorKind::InvalidData, text))
                })?;
            names.push(name);
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path, options: Open) -> io::Result<Arc<dyn DiskFile>> {
        let (operation, flags) = match options.access {
            Access::Read => ("open", OFlags::RDONLY),
            Access::Write => ("open", OFlags::RDWR),
            Access::CreateNew => ("create", OFlags::RDWR | OFlags::CREATE | OFlags::EXCL),
        };
        let (fd, direct) = open_preferring(path, flags, options.direct)
            .map_err(|errno| failed(operation, path, errno))?;
        Ok(Arc::new(RealFile::new(fd, path, direct)))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match path.try_exists() {
            // Something above it is a file, so there is no such path.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
            result => result.map_err(|error| failed("look for", path, error)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        retry_on_intr(|| rustix::fs::rename(from, to))
            .map_err(|errno| failed("rename", from, errno))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        retry_on_intr(|| rustix::fs::link(from, to)).map_err(|errno| failed("link", from, errno))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        retry_on_intr(|| rustix::fs::unlink(path)).map_err(|errno| failed("remove", path, errno))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let fail = |errno| failed("sync directory", dir, errno);
        let fd = open_fd(dir, OFlags::RDONLY | OFlags::DIRECTORY).map_err(fail)?;
        retry_on_intr(|| rustix::fs::fsync(&fd)).map_err(fail)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        let fail = |errno| failed("lock", path, errno);
        let fd = open_fd(path, OFlags::RDWR | OFlags::CREATE).map_err(fail)?;
        retry_on_intr(|| rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive))
            .map_err(fail)?;
        Ok(Box::new(RealLock { _fd: fd }))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = retry_on_intr(|| rustix::fs::statvfs(dir))
            .map_err(|errno| failed("measure free space of", dir, errno))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Holds the lock as long as the descriptor is open.
#[derive(Debug)]
struct RealLock {
    _fd: OwnedFd,
}

impl DirLock for RealLock {}

/// Opens directly if asked and possible, and says which it was.
///
/// A file system without direct access answers `EINVAL`, but may have created the file already (the kernel checks after
/// looking up the name); the second attempt of an exclusive creation must then take that file, which is ours.
fn open_preferring(path: &Path, flags: OFlags, direct: bool) -> Result<(OwnedFd, bool), Errno> {
    if !direct {
        return Ok((open_fd(path, flags)?, false));
    }
    match open_fd(path, flags | OFlags::DIRECT) {
        Ok(fd) => Ok((fd, true)),
        Err(Errno::INVAL) => {
            let again = if path.exists() {
                flags.difference(OFlags::EXCL)
            } else {
                flags
            };
            Ok((open_fd(path, again)?, false))
        }
        Err(errno) => Err(errno),
    }
}

fn open_fd(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    retry_on_intr(|| rustix::fs::open(path, flags | OFlags::CLOEXEC, FILE_MODE))
}
