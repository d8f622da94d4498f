//! An open file on the simulated disk.
//!
//! Relies on: the state keeps a file that has handles. Never: caches anything itself.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::SimDisk;
use super::fault::{Fault, OpKind};
use super::names::InodeId;
use super::state::{Call, Go};
use crate::buffer::check_aligned;
use crate::{Access, Advice, DiskFile, Open};

#[derive(Debug)]
pub(super) struct SimFile {
    disk: SimDisk,
    inode: InodeId,
    /// As it was opened; faults are matched against it even after a rename.
    path: PathBuf,
    options: Open,
}

impl SimFile {
    /// The caller has counted the handle.
    pub(super) fn new(disk: SimDisk, inode: InodeId, path: &Path, options: Open) -> Self {
        Self {
            disk,
            inode,
            path: path.to_path_buf(),
            options,
        }
    }

    fn call(&self, kind: OpKind) -> Call<'_> {
        Call::new(kind, &self.path)
    }

    fn write(&self, kind: OpKind, buf: &[u8], offset: u64) -> io::Result<usize> {
        let call = self.call(kind).at(offset, buf.len());
        self.check_writable(call)?;
        self.check_aligned(call, buf, offset)?;
        self.disk.state().write(call, self.inode, buf, offset)
    }

    fn check_writable(&self, call: Call<'_>) -> io::Result<()> {
        match self.options.access {
            Access::Read => Err(call.failed(Errno::BADF)),
            Access::Write | Access::CreateNew => Ok(()),
        }
    }

    fn check_aligned(&self, call: Call<'_>, buf: &[u8], offset: u64) -> io::Result<()> {
        if !self.options.direct {
            return Ok(());
        }
        check_aligned(buf, offset).map_err(|error| call.failed(error))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Some(file) = self.disk.state().inodes.get_mut(&self.inode) {
            file.handles = file.handles.saturating_sub(1);
        }
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let call = self.call(OpKind::Len);
        self.disk
            .state()
            .simply(call, |state| Ok(state.inode(self.inode).size))
    }

    fn is_direct(&self) -> bool {
        self.options.direct
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let call = self.call(OpKind::Read).at(offset, buf.len());
        self.check_aligned(call, buf, offset)?;
        let mut state = self.disk.state();
        let asked = match state.begin(call)? {
            Go::Faulty(Fault::ShortWrite(len)) => len.min(buf.len()),
            Go::Faulty(fault) if let Some(errno) = fault.errno() => return Err(call.failed(errno)),
            Go::Normally | Go::IntoTheDark | Go::Faulty(_) => buf.len(),
        };
        let file = state.inode(self.inode);
        let left = usize::try_from(file.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = asked.min(left);
        if len == 0 {
            return Ok(0);
        }
        if self.options.direct {
            file.read_direct(&mut buf[..len], offset);
        } else {
            file.read(&mut buf[..len], offset);
        }
        Ok(len)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.write(OpKind::Write, buf, offset)
    }

    fn write_durable_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.write(OpKind::WriteDurable, buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().sync(self.call(OpKind::Sync), self.inode)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk
            .state()
            .sync(self.call(OpKind::SyncAll), self.inode)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let call = self.call(OpKind::SetLen);
        self.check_writable(call)?;
        self.disk
            .state()
            .simply(call, |state| state.resize(self.inode, len))
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        let call = self.call(OpKind::Allocate);
        self.check_writable(call)?;
        let extended = self.disk.state().simply(call, |state| {
            if len <= state.inode(self.inode).size {
                return Ok(());
            }
            state.resize(self.inode, len)
        });
        extended.map(|()| true)
    }

    fn advise(&self, advice: Advice, offset: u64, len: u64) -> io::Result<()> {
        self.disk
            .state()
            .simply(self.call(OpKind::Advise), |state| {
                if advice == Advice::DontNeed {
                    state.inode(self.inode).drop_clean(offset, len);
                }
                Ok(())
            })
    }
}
