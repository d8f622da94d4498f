//! The simulated disk itself, behind its lock: every call passes [`State::begin`], then does its work.
//!
//! Relies on: [`Names`] and [`Inode`] for what is visible, pending and durable. Never: hands out a reference that
//! outlives the lock.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::crash::SectorSize;
use super::fault::{Fault, Faults, OpKind, PowerLost};
use super::image::FILE_BYTES_MAX;
use super::inode::{Inode, Loss};
use super::names::{InodeId, Names, Node};
use crate::error::{Range, failed, failed_at};

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) names: Names,
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) next_inode: InodeId,
    pub(super) power_is_off: bool,
    /// The number of the mutating call in which power fails.
    pub(super) power_off_at: Option<u64>,
    pub(super) faults: Faults,
    pub(super) lies: bool,
    pub(super) refuses_direct: bool,
    pub(super) misdirect_by: Option<i64>,
    pub(super) capacity: Option<u64>,
    pub(super) sector_size: SectorSize,
    /// Held locks by path, each with the number its holder knows.
    pub(super) locks: BTreeMap<PathBuf, u64>,
    pub(super) next_lock: u64,
    pub(super) mutating_calls: u64,
    pub(super) read_calls: u64,
    pub(super) trace: Option<Vec<String>>,
}

/// One call, for counting, failing and naming it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) kind: OpKind,
    pub(super) path: &'a Path,
    pub(super) to: Option<&'a Path>,
    pub(super) range: Option<Range>,
}

impl<'a> Call<'a> {
    pub(super) const fn new(kind: OpKind, path: &'a Path) -> Self {
        Self {
            kind,
            path,
            to: None,
            range: None,
        }
    }

    pub(super) const fn to(self, to: &'a Path) -> Self {
        Self {
            to: Some(to),
            ..self
        }
    }

    pub(super) const fn at(self, offset: u64, len: usize) -> Self {
        Self {
            range: Some(Range { offset, len }),
            ..self
        }
    }

    pub(super) fn failed(&self, cause: impl Into<io::Error>) -> io::Error {
        match self.range {
            Some(range) => failed_at(self.kind.text(), self.path, range, cause),
            None => failed(self.kind.text(), self.path, cause),
        }
    }

    fn line(&self) -> String {
        let mut line = format!("{} {}", self.kind.text(), self.path.display());
        if let Some(to) = self.to {
            line += &format!(" to {}", to.display());
        }
        if let Some(Range { offset, len }) = self.range {
            line += &format!(" at offset {offset}, {len} bytes");
        }
        line
    }
}

/// How a call goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Go {
    Normally,
    /// It does its work, none of it durable, and then reports that power was lost.
    IntoTheDark,
    Faulty(Fault),
}

impl State {
    /// Counts the call and says what is to become of it.
    pub(super) fn begin(&mut self, call: Call<'_>) -> io::Result<Go> {
        if self.power_is_off {
            return Err(call.failed(PowerLost));
        }
        self.read_calls += u64::from(call.kind == OpKind::Read);
        self.mutating_calls += u64::from(call.kind.is_mutating());
        let dark = call.kind.is_mutating() && self.power_off_at == Some(self.mutating_calls);
        let fault = self.faults.hit(call.kind, [Some(call.path), call.to]);
        if let Some(trace) = &mut self.trace {
            let mut line = call.line();
            match (dark, fault) {
                (true, _) => line += " -> power lost",
                (false, Some(fault)) => line += &format!(" -> {fault:?}"),
                (false, None) => {}
            }
            trace.push(line);
        }
        if dark {
            self.power_is_off = true;
            self.locks.clear();
            return Ok(Go::IntoTheDark);
        }
        Ok(fault.map_or(Go::Normally, Go::Faulty))
    }

    /// A call that either does all of `work` or, when it fails, nothing.
    pub(super) fn simply<T>(
        &mut self,
        call: Call<'_>,
        work: impl FnOnce(&mut Self) -> Result<T, Errno>,
    ) -> io::Result<T> {
        match self.begin(call)? {
            Go::Faulty(fault) if let Some(errno) = fault.errno() => Err(call.failed(errno)),
            Go::Normally | Go::Faulty(_) => work(self).map_err(|errno| call.failed(errno)),
            Go::IntoTheDark => {
                work(self).ok();
                Err(call.failed(PowerLost))
            }
        }
    }

    /// A write; returns how many bytes.
    pub(super) fn write(
        &mut self,
        call: Call<'_>,
        inode: InodeId,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<usize> {
        let durable = call.kind == OpKind::WriteDurable;
        let go = self.begin(call)?;
        let (bytes, errno) = match go {
            Go::Faulty(Fault::ShortWrite(len)) => (&bytes[..len.min(bytes.len())], None),
            Go::Faulty(fault @ Fault::EioCleanPage) => (bytes, fault.errno()),
            Go::Faulty(fault @ Fault::Eio) if durable => (bytes, fault.errno()),
            Go::Faulty(fault) => (&bytes[..0], fault.errno()),
            Go::Normally | Go::IntoTheDark => (bytes, None),
        };
        let by = self.misdirect_by.take().unwrap_or(0);
        let offset = offset.saturating_add_signed(by);
        let end = offset.saturating_add(bytes.len() as u64);
        let written = self.check_growth(inode, end);
        let call_number = self.mutating_calls;
        let lies = self.lies;
        if written.is_ok() {
            let file = self.inode(inode);
            file.write(bytes, offset, call_number);
            match go {
                Go::Faulty(Fault::EioCleanPage) => {
                    file.lose_dirty_range(offset, bytes.len(), Loss::Clean);
                }
                Go::Normally | Go::Faulty(Fault::ShortWrite(_)) if durable && !lies => {
                    file.sync_range(offset, bytes.len());
                }
                Go::Normally | Go::IntoTheDark | Go::Faulty(_) => {}
            }
        }
        if matches!(go, Go::IntoTheDark) {
            return Err(call.failed(PowerLost));
        }
        if let Some(errno) = errno.or(written.err()) {
            return Err(call.failed(errno));
        }
        Ok(bytes.len())
    }

    /// A sync of a file.
    pub(super) fn sync(&mut self, call: Call<'_>, inode: InodeId) -> io::Result<()> {
        let go = self.begin(call)?;
        let lies = self.lies;
        let file = self.inode(inode);
        match go {
            Go::IntoTheDark => return Err(call.failed(PowerLost)),
            Go::Faulty(Fault::EioCleanPage) => file.lose_dirty(Loss::Clean),
            Go::Faulty(Fault::EioRevert) => file.lose_dirty(Loss::Revert),
            Go::Normally | Go::Faulty(Fault::ShortWrite(_)) if !lies => file.sync(),
            Go::Normally | Go::Faulty(_) => {}
        }
        match go {
            Go::Faulty(fault) if let Some(errno) = fault.errno() => Err(call.failed(errno)),
            Go::Normally | Go::IntoTheDark | Go::Faulty(_) => Ok(()),
        }
    }

    /// A change of length.
    pub(super) fn resize(&mut self, inode: InodeId, size: u64) -> Result<(), Errno> {
        self.check_growth(inode, size)?;
        let call = self.mutating_calls;
        self.inode(inode).resize(size, call);
        Ok(())
    }

    /// Creates an empty file under a free name.
    pub(super) fn create(&mut self, path: &Path) -> Result<InodeId, Errno> {
        if self.names.find(path).is_some() {
            return Err(Errno::EXIST);
        }
        self.names.check_parent(path)?;
        if self
            .capacity
            .is_some_and(|capacity| self.used() >= capacity)
        {
            return Err(Errno::NOSPC);
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, Inode::default());
        self.names.add(path, Node::File(inode), self.mutating_calls);
        Ok(inode)
    }

    /// Renames a file; the checks are in the order of Linux.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), Errno> {
        self.names.check_parent(from)?;
        self.names.check_parent(to)?;
        let node = match self.names.check_file(from) {
            Err(Errno::ISDIR) => return Err(Errno::OPNOTSUPP),
            found => Node::File(found?),
        };
        if self.names.is_dir(to) {
            let holds_it = from.starts_with(to);
            return Err(if holds_it {
                Errno::NOTEMPTY
            } else {
                Errno::ISDIR
            });
        }
        // POSIX: between two names of one file, nothing happens, and both stay.
        if self.names.find(to) != Some(node) {
            self.names.rename(from, to, node, self.mutating_calls);
        }
        Ok(())
    }

    /// The file behind a handle or a name; both keep it alive.
    pub(super) fn inode(&mut self, inode: InodeId) -> &mut Inode {
        self.inodes
            .get_mut(&inode)
            .expect("a file lives as long as a name or handle leads to it")
    }

    /// The total length of all files that have a name or a handle.
    pub(super) fn used(&self) -> u64 {
        let named = self
            .names
            .files()
            .map(|(_, inode)| inode)
            .collect::<Vec<_>>();
        let lives = |(id, file): &(&InodeId, &Inode)| file.handles > 0 || named.contains(id);
        self.inodes
            .iter()
            .filter(lives)
            .map(|(_, file)| file.size)
            .sum()
    }

    /// Forgets the content of files that nothing leads to any more.
    pub(super) fn forget_unreachable(&mut self) {
        let referenced = self.names.referenced();
        self.inodes
            .retain(|id, file| file.handles > 0 || referenced.contains(id));
    }

    fn check_growth(&self, inode: InodeId, size: u64) -> Result<(), Errno> {
        if size > FILE_BYTES_MAX {
            return Err(Errno::FBIG);
        }
        let Some(capacity) = self.capacity else {
            return Ok(());
        };
        let old = self.inodes.get(&inode).map_or(0, |file| file.size);
        if size > old && self.used() + (size - old) > capacity {
            return Err(Errno::NOSPC);
        }
        Ok(())
    }
}
