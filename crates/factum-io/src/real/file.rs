//! Bytes on the real file system.
//!
//! Relies on: `pread`, `pwrite`, `pwritev2` with `RWF_DSYNC` (Linux 4.7), `fdatasync`, `fallocate`. Never: moves a
//! file cursor, so that threads may share a file; repeats a sync that failed (an interrupted one has reported nothing yet,
//! and is repeated).

use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

use crate::buffer::check_aligned;
use crate::error::{Range, failed, failed_at};
use crate::{Advice, DiskFile};

/// An open file of the operating system.
#[derive(Debug)]
pub(super) struct RealFile {
    fd: OwnedFd,
    /// As it was opened; only for messages, the file may have another name by now.
    path: PathBuf,
    direct: bool,
    /// The kernel or file system refused `RWF_DSYNC` once; it is not asked again.
    no_durable_write: AtomicBool,
}

impl RealFile {
    pub(super) fn new(fd: OwnedFd, path: &Path, direct: bool) -> Self {
        Self {
            fd,
            path: path.to_path_buf(),
            direct,
            no_durable_write: AtomicBool::new(false),
        }
    }

    fn check(&self, operation: &'static str, buf: &[u8], offset: u64) -> io::Result<()> {
        let range = Range {
            offset,
            len: buf.len(),
        };
        if i64::try_from(offset).is_err() {
            // To `pwritev2`, an offset of -1 means the file cursor.
            return Err(failed_at(operation, &self.path, range, Errno::INVAL));
        }
        if self.direct {
            check_aligned(buf, offset).map_err(|error| failed(operation, &self.path, error))?;
        }
        Ok(())
    }

    fn durable_write(&self, buf: &[u8], offset: u64) -> Result<usize, Errno> {
        if !self.no_durable_write.load(Ordering::Relaxed) {
            let slices = [IoSlice::new(buf)];
            let write = || rustix::io::pwritev2(&self.fd, &slices, offset, ReadWriteFlags::DSYNC);
            match retry_on_intr(write) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.no_durable_write.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        self.durable_write_in_two(buf, offset)
    }

    /// The fallback: the write, then a sync of the whole file.
    fn durable_write_in_two(&self, buf: &[u8], offset: u64) -> Result<usize, Errno> {
        let written = retry_on_intr(|| rustix::io::pwrite(&self.fd, buf, offset))?;
        retry_on_intr(|| rustix::fs::fdatasync(&self.fd))?;
        Ok(written)
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        let stat = retry_on_intr(|| rustix::fs::fstat(&self.fd))
            .map_err(|errno| failed("measure", &self.path, errno))?;
        u64::try_from(stat.st_size)
            .map_err(|error| failed("measure", &self.path, io::Error::other(error)))
    }

    fn is_direct(&self) -> bool {
        self.direct
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check("read", buf, offset)?;
        let range = Range {
            offset,
            len: buf.len(),
        };
        retry_on_intr(|| rustix::io::pread(&self.fd, &mut *buf, offset))
            .map_err(|errno| failed_at("read", &self.path, range, errno))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.check("write", buf, offset)?;
        let range = Range {
            offset,
            len: buf.len(),
        };
        retry_on_intr(|| rustix::io::pwrite(&self.fd, buf, offset))
            .map_err(|errno| failed_at("write", &self.path, range, errno))
    }

    fn write_durable_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.check("write durably", buf, offset)?;
        let range = Range {
            offset,
            len: buf.len(),
        };
        self.durable_write(buf, offset)
            .map_err(|errno| failed_at("write durably", &self.path, range, errno))
    }

    fn sync(&self) -> io::Result<()> {
        retry_on_intr(|| rustix::fs::fdatasync(&self.fd))
            .map_err(|errno| failed("sync", &self.path, errno))
    }

    fn sync_all(&self) -> io::Result<()> {
        retry_on_intr(|| rustix::fs::fsync(&self.fd))
            .map_err(|errno| failed("sync all of", &self.path, errno))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        retry_on_intr(|| rustix::fs::ftruncate(&self.fd, len))
            .map_err(|errno| failed("set length of", &self.path, errno))
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        if len == 0 {
            return Ok(true);
        }
        match retry_on_intr(|| rustix::fs::fallocate(&self.fd, FallocateFlags::empty(), 0, len)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) if self.len()? < len => {
                self.set_len(len).map(|()| false)
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            Err(errno) => Err(failed("allocate", &self.path, errno)),
            Ok(()) => Ok(true),
        }
    }

    fn advise(&self, advice: Advice, offset: u64, len: u64) -> io::Result<()> {
        let advice = match advice {
            Advice::Sequential => rustix::fs::Advice::Sequential,
            Advice::Random => rustix::fs::Advice::Random,
            Advice::WillNeed => rustix::fs::Advice::WillNeed,
            Advice::DontNeed => rustix::fs::Advice::DontNeed,
        };
        retry_on_intr(|| rustix::fs::fadvise(&self.fd, offset, NonZeroU64::new(len), advice))
            .map_err(|errno| failed("advise on", &self.path, errno))
    }
}
