//! Errors on command: which call fails, and how.
//!
//! Relies on: the state asks before each call. Never: random; a rule says exactly which call it hits.

use std::fmt;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::error::causes;

/// A kind of call on the disk or on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpKind {
    /// [`Disk::create_dir`](crate::Disk::create_dir)
    CreateDir,
    /// [`Disk::list`](crate::Disk::list)
    List,
    /// [`Disk::open`](crate::Disk::open) of a file that exists
    Open,
    /// [`Disk::open`](crate::Disk::open) with [`Access::CreateNew`](crate::Access::CreateNew)
    Create,
    /// [`Disk::exists`](crate::Disk::exists)
    Exists,
    /// [`Disk::rename`](crate::Disk::rename)
    Rename,
    /// [`Disk::link`](crate::Disk::link)
    Link,
    /// [`Disk::remove`](crate::Disk::remove)
    Remove,
    /// [`Disk::sync_dir`](crate::Disk::sync_dir)
    SyncDir,
    /// [`Disk::lock`](crate::Disk::lock)
    Lock,
    /// [`Disk::free_bytes`](crate::Disk::free_bytes)
    FreeBytes,
    /// [`DiskFile::len`](crate::DiskFile::len)
    Len,
    /// [`DiskFile::read_at`](crate::DiskFile::read_at)
    Read,
    /// [`DiskFile::write_at`](crate::DiskFile::write_at)
    Write,
    /// [`DiskFile::write_durable_at`](crate::DiskFile::write_durable_at)
    WriteDurable,
    /// [`DiskFile::sync`](crate::DiskFile::sync)
    Sync,
    /// [`DiskFile::sync_all`](crate::DiskFile::sync_all)
    SyncAll,
    /// [`DiskFile::set_len`](crate::DiskFile::set_len)
    SetLen,
    /// [`DiskFile::allocate`](crate::DiskFile::allocate)
    Allocate,
    /// [`DiskFile::advise`](crate::DiskFile::advise)
    Advise,
}

impl OpKind {
    /// Whether such a call changes names, bytes, or what is durable: the calls that
    /// [`SimDisk::op_count`](super::SimDisk::op_count) counts and
    /// [`SimDisk::power_off_at`](super::SimDisk::power_off_at) interrupts.
    #[must_use]
    pub const fn is_mutating(self) -> bool {
        match self {
            Self::CreateDir
            | Self::Create
            | Self::Rename
            | Self::Link
            | Self::Remove
            | Self::SyncDir
            | Self::Write
            | Self::WriteDurable
            | Self::Sync
            | Self::SyncAll
            | Self::SetLen
            | Self::Allocate => true,
            Self::List
            | Self::Open
            | Self::Exists
            | Self::Lock
            | Self::FreeBytes
            | Self::Len
            | Self::Read
            | Self::Advise => false,
        }
    }

    /// As in messages and traces.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::CreateDir => "create directory",
            Self::List => "list",
            Self::Open => "open",
            Self::Create => "create",
            Self::Exists => "look for",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::Remove => "remove",
            Self::SyncDir => "sync directory",
            Self::Lock => "lock",
            Self::FreeBytes => "measure free space of",
            Self::Len => "measure",
            Self::Read => "read",
            Self::Write => "write",
            Self::WriteDurable => "write durably",
            Self::Sync => "sync",
            Self::SyncAll => "sync all of",
            Self::SetLen => "set length of",
            Self::Allocate => "allocate",
            Self::Advise => "advise on",
        }
    }
}

/// Which calls a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Every call.
    Any,
    /// Those that change something, see [`OpKind::is_mutating`].
    Mutating,
    /// Those of one kind.
    Only(OpKind),
}

impl From<OpKind> for Calls {
    fn from(kind: OpKind) -> Self {
        Self::Only(kind)
    }
}

impl Calls {
    fn include(self, kind: OpKind) -> bool {
        match self {
            Self::Any => true,
            Self::Mutating => kind.is_mutating(),
            Self::Only(one) => one == kind,
        }
    }
}

/// How a call fails. Unless said otherwise, it fails without having done anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`. A sync leaves everything pending; a durable write has written, and its sync failed: its sectors are
    /// pending.
    Eio,
    /// `EIO`, as ext4 does it: what a write or sync should have made durable stays visible and is marked clean, so that
    /// a later sync succeeds *without* making it durable. Direct reads and
    /// [`Advice::DontNeed`](crate::Advice::DontNeed) bring the old content back. On other calls, as [`Fault::Eio`].
    EioCleanPage,
    /// `EIO`, as XFS and btrfs do it: what was pending turns back into the durable content. On calls other than syncs,
    /// nothing was done.
    EioRevert,
    /// `ENOSPC`.
    Enospc,
    /// `EDQUOT`.
    Edquot,
    /// `EMFILE`.
    Emfile,
    /// `EINTR`. The real disk repeats interrupted calls itself, so an engine meets this only here.
    Interrupted,
    /// A write or read moves only this many bytes, and succeeds. On other calls, nothing happens.
    ShortWrite(usize),
}

impl Fault {
    /// The error of the call; `None` if it succeeds.
    pub(super) const fn errno(self) -> Option<Errno> {
        match self {
            Self::Eio | Self::EioCleanPage | Self::EioRevert => Some(Errno::IO),
            Self::Enospc => Some(Errno::NOSPC),
            Self::Edquot => Some(Errno::DQUOT),
            Self::Emfile => Some(Errno::MFILE),
            Self::Interrupted => Some(Errno::INTR),
            Self::ShortWrite(_) => None,
        }
    }
}

/// A call to fail: see [`SimDisk::fail`](super::SimDisk::fail).
#[derive(Clone, Debug)]
pub struct FaultRule {
    /// Which calls are counted.
    pub op: Calls,
    /// Count only calls on paths that contain this text; of a rename or link, either path. A file counts under the path
    /// it was opened by.
    pub path_contains: Option<String>,
    /// The call to fail, counted from when the rule was made; 1 is the next one, and so is 0.
    pub nth: u64,
    /// How it fails.
    pub error: Fault,
    /// Whether all counted calls after it fail as well.
    pub sticky: bool,
}

impl FaultRule {
    /// The `nth` call that `op` includes fails, once.
    pub fn once(op: impl Into<Calls>, nth: u64, error: Fault) -> Self {
        Self {
            op: op.into(),
            path_contains: None,
            nth,
            error,
            sticky: false,
        }
    }

    /// The `nth` call that `op` includes and all after it fail.
    pub fn from_then_on(op: impl Into<Calls>, nth: u64, error: Fault) -> Self {
        Self {
            sticky: true,
            ..Self::once(op, nth, error)
        }
    }

    /// The same, for paths that contain `text`.
    #[must_use]
    pub fn on_path(self, text: impl Into<String>) -> Self {
        Self {
            path_contains: Some(text.into()),
            ..self
        }
    }

    fn counts(&self, kind: OpKind, paths: [Option<&Path>; 2]) -> bool {
        let Some(text) = &self.path_contains else {
            return self.op.include(kind);
        };
        let named = |path: &Path| path.to_string_lossy().contains(text.as_str());
        self.op.include(kind) && paths.into_iter().flatten().any(named)
    }
}

/// The rules in force, and how far each has counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Vec<(FaultRule, u64)>);

impl Faults {
    pub(super) fn add(&mut self, rule: FaultRule) {
        self.0.push((rule, 0));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts a call in every rule and returns the fault of the oldest rule that hits it.
    pub(super) fn hit(&mut self, kind: OpKind, paths: [Option<&Path>; 2]) -> Option<Fault> {
        let mut hit = None;
        for (rule, seen) in &mut self.0 {
            if rule.counts(kind, paths) {
                *seen += 1;
                let nth = rule.nth.max(1);
                if *seen == nth || (rule.sticky && *seen > nth) {
                    hit = hit.or(Some(rule.error));
                }
            }
        }
        hit
    }
}

/// The disk has lost its power.
#[derive(Clone, Copy, Debug)]
pub(super) struct PowerLost;

impl fmt::Display for PowerLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("power lost")
    }
}

impl std::error::Error for PowerLost {}

impl From<PowerLost> for io::Error {
    fn from(lost: PowerLost) -> Self {
        Self::other(lost)
    }
}

/// Whether `error` says that the simulated power was lost: the end of a simulated process, not a fault to handle.
#[must_use]
pub fn is_power_loss(error: &io::Error) -> bool {
    causes(error).any(|cause| cause.is::<PowerLost>())
}
