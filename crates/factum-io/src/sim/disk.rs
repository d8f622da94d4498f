//! The simulated disk's handle: names, and the switches by which a test sets its behaviour.
//!
//! Relies on: the state behind the lock. Never: holds the lock while a caller's code runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::crash::SectorSize;
use super::fault::{FaultRule, OpKind};
use super::file::SimFile;
use super::names::{Node, normal};
use super::state::{Call, State};
use crate::{Access, DirLock, Disk, DiskFile, Open};

/// What an endless disk says of its free space.
const ENDLESS_BYTES: u64 = 1 << 40;

/// A disk in memory. Cloning gives another handle to the same disk; see [`SimDisk::fork`] for a copy.
///
/// `/` and the empty path are directories that always exist.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

/// Shows nothing of the content: it is large, and its lock may be held.
impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").finish_non_exhaustive()
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty, endless, honest disk.
    #[must_use]
    pub fn new() -> Self {
        Self::from_state(State::default())
    }

    /// A disk with the same content, pending units, rules and counts, and nothing shared; nobody has files open on it or
    /// holds a lock.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut state = self.state().clone();
        state.locks.clear();
        for file in state.inodes.values_mut() {
            file.handles = 0;
        }
        state.forget_unreachable();
        Self::from_state(state)
    }

    /// Fails the power in the middle of a mutating call, see [`OpKind::is_mutating`]: 1 is the next one, and so is 0.
    ///
    /// That call returns an error for which [`is_power_loss`](super::is_power_loss) holds, and so does every later one.
    /// What it wrote or changed is pending, so that it may be torn; if it was a sync, nothing became durable.
    /// Replaces an earlier setting.
    pub fn power_off_at(&self, op: u64) {
        let mut state = self.state();
        state.power_off_at = Some(state.mutating_calls.saturating_add(op.max(1)));
    }

    /// How many mutating calls there have been, see [`OpKind::is_mutating`]; calls without power do not count.
    #[must_use]
    pub fn op_count(&self) -> u64 {
        self.state().mutating_calls
    }

    /// How many calls of [`DiskFile::read_at`] there have been.
    #[must_use]
    pub fn read_count(&self) -> u64 {
        self.state().read_calls
    }

    /// Makes a call fail. Rules add up; of several that hit one call, the oldest wins.
    pub fn fail(&self, rule: FaultRule) {
        self.state().faults.add(rule);
    }

    /// Takes back all rules of [`SimDisk::fail`].
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Whether syncs, of files and directories, and durable writes report success and leave everything pending.
    pub fn lie_about_syncs(&self, lies: bool) {
        self.state().lies = lies;
    }

    /// Whether the file system refuses direct files, so that they are opened cached.
    pub fn refuse_direct(&self, refuses: bool) {
        self.state().refuses_direct = refuses;
    }

    /// How many bytes all files together may have; beyond that, creating and growing fail with `ENOSPC`. A file counts
    /// with its length, until it has neither a name nor an open handle.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// How many bytes survive a crash as one.
    pub fn set_sector_size(&self, size: SectorSize) {
        self.state().sector_size = size;
    }

    pub(super) fn from_state(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let path = &normal(path);
        let call = Call::new(OpKind::CreateDir, path);
        self.state()
            .simply(call, |state| match state.names.find(path) {
                Some(Node::Dir) => Ok(()),
                Some(Node::File(_)) => Err(Errno::EXIST),
                None => {
                    state.names.check_parent(path)?;
                    state.names.add(path, Node::Dir, state.mutating_calls);
                    Ok(())
                }
            })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir = &normal(dir);
        self.state().simply(Call::new(OpKind::List, dir), |state| {
            state.names.check_dir(dir)?;
            let names = state.names.children(dir).filter_map(Path::file_name);
            let mut names: Vec<_> = names
                .map(|name| name.to_string_lossy().into_owned())
                .collect();
            names.sort_unstable();
            Ok(names)
        })
    }

    fn open(&self, path: &Path, options: Open) -> io::Result<Arc<dyn DiskFile>> {
        let path = &normal(path);
        let mut state = self.state();
        let inode = match options.access {
            Access::CreateNew => {
                let call = Call::new(OpKind::Create, path);
                state.simply(call, |state| state.create(path))
            }
            Access::Read | Access::Write => {
                let call = Call::new(OpKind::Open, path);
                state.simply(call, |state| state.names.check_file(path))
            }
        }?;
        state.inode(inode).handles += 1;
        let options = Open {
            direct: options.direct && !state.refuses_direct,
            ..options
        };
        drop(state);
        Ok(Arc::new(SimFile::new(self.clone(), inode, path, options)))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let path = &normal(path);
        let call = Call::new(OpKind::Exists, path);
        self.state()
            .simply(call, |state| Ok(state.names.find(path).is_some()))
    }

    /// Files only: [`Unsupported`](io::ErrorKind::Unsupported) for a directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (&normal(from), &normal(to));
        let call = Call::new(OpKind::Rename, from).to(to);
        self.state().simply(call, |state| state.rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (&normal(from), &normal(to));
        self.state()
            .simply(Call::new(OpKind::Link, from).to(to), |state| {
                let inode = match state.names.check_file(from) {
                    Err(Errno::ISDIR) => return Err(Errno::PERM),
                    found => found?,
                };
                if state.names.find(to).is_some() {
                    return Err(Errno::EXIST);
                }
                state.names.check_parent(to)?;
                state.names.add(to, Node::File(inode), state.mutating_calls);
                Ok(())
            })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = &normal(path);
        self.state()
            .simply(Call::new(OpKind::Remove, path), |state| {
                let node = Node::File(state.names.check_file(path)?);
                state.names.remove(path, node, state.mutating_calls);
                Ok(())
            })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = &normal(dir);
        self.state()
            .simply(Call::new(OpKind::SyncDir, dir), |state| {
                state.names.check_dir(dir)?;
                if !state.lies && !state.power_is_off {
                    state.names.sync_dir(dir);
                    state.forget_unreachable();
                }
                Ok(())
            })
    }

    /// Creating the lock file is a pending change of a name, but locking is not counted as a mutating call.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        let path = normal(path);
        let number = self
            .state()
            .simply(Call::new(OpKind::Lock, &path), |state| {
                match state.names.find(&path) {
                    Some(Node::Dir) => return Err(Errno::ISDIR),
                    Some(Node::File(_)) => {}
                    None => {
                        state.create(&path)?;
                    }
                }
                if state.locks.contains_key(&path) {
                    return Err(Errno::WOULDBLOCK);
                }
                state.next_lock += 1;
                state.locks.insert(path.clone(), state.next_lock);
                Ok(state.next_lock)
            })?;
        Ok(Box::new(SimLock {
            disk: self.clone(),
            path,
            number,
        }))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let dir = &normal(dir);
        self.state()
            .simply(Call::new(OpKind::FreeBytes, dir), |state| {
                state.names.check_dir(dir)?;
                let capacity = state.capacity.unwrap_or(ENDLESS_BYTES);
                Ok(capacity.saturating_sub(state.used()))
            })
    }
}

/// Lets go when dropped, unless a crash has done so before.
#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    number: u64,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.locks.get(&self.path) == Some(&self.number) {
            state.locks.remove(&self.path);
        }
    }
}
