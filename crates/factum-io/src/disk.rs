//! Files and directories, as the engine may use them.
//!
//! Bytes and names become durable separately: a synced file whose directory entry was not synced may be gone after a
//! power failure, and a synced name may lead to a file whose bytes were not. See each method for what is durable when
//! it returns. Relies on: the file system keeps what it has synced. Never: syncs without being asked, retries a
//! failed sync (after one, the kernel may call lost pages clean; Rebello et al., "Can Applications Recover from fsync
//! Failures?", USENIX ATC 2020).

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

mod ext;

pub use ext::{DiskFileExt, read_to_end};

/// How the owner of a file may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing a file that exists.
    Write,
    /// Reading and writing a file that must not exist yet.
    CreateNew,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// What may be done with the file, and whether it must exist.
    pub access: Access,
    /// Whether to go around the page cache (`O_DIRECT`) if the file system agrees; see [`DiskFile::is_direct`].
    pub direct: bool,
}

impl Open {
    /// An existing file, to read through the page cache.
    #[must_use]
    pub const fn read() -> Self {
        Self {
            access: Access::Read,
            direct: false,
        }
    }

    /// An existing file, to read from the device where possible.
    #[must_use]
    pub const fn read_direct() -> Self {
        Self {
            access: Access::Read,
            direct: true,
        }
    }

    /// An existing file, to read and write through the page cache.
    #[must_use]
    pub const fn write() -> Self {
        Self {
            access: Access::Write,
            direct: false,
        }
    }

    /// An existing file, to read and write without the page cache where possible.
    #[must_use]
    pub const fn write_direct() -> Self {
        Self {
            access: Access::Write,
            direct: true,
        }
    }

    /// A new, empty file, to read and write through the page cache.
    #[must_use]
    pub const fn create_new() -> Self {
        Self {
            access: Access::CreateNew,
            direct: false,
        }
    }

    /// A new, empty file, to read and write without the page cache where possible.
    #[must_use]
    pub const fn create_new_direct() -> Self {
        Self {
            access: Access::CreateNew,
            direct: true,
        }
    }
}

/// What will be done with a range of a file next. Advice changes speed, never content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// It will be read from front to back.
    Sequential,
    /// It will be read here and there.
    Random,
    /// It will be read soon.
    WillNeed,
    /// It will not be read soon: drop its clean pages from the page cache.
    DontNeed,
}

/// The names: directories, and which file a name leads to.
///
/// No change of a name is durable before [`Disk::sync_dir`] of the directory it is in; until then, a power failure
/// keeps or undoes each change on its own.
///
/// # Errors
/// All methods return the error of the operating system with operation and path in its text and its kind unchanged:
/// [`NotFound`](io::ErrorKind::NotFound), [`StorageFull`](io::ErrorKind::StorageFull),
/// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded), [`ReadOnlyFilesystem`](io::ErrorKind::ReadOnlyFilesystem),
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied) and so on; [`raw_os_error`](crate::raw_os_error) finds the
/// number. Methods list only what is particular to them.
pub trait Disk: Send + Sync + Debug {
    /// Makes the directory `path`, one level; it is fine if it exists. Durable after `sync_dir` of its parent.
    ///
    /// # Errors
    /// - [`NotFound`](io::ErrorKind::NotFound): the parent does not exist.
    /// - [`AlreadyExists`](io::ErrorKind::AlreadyExists): a file has this name.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in `dir`, of files and directories, without the path, sorted by bytes; may be empty.
    ///
    /// # Errors
    /// - [`InvalidData`](io::ErrorKind::InvalidData): a name is not UTF-8.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens or creates a file. A created one is empty, and its name is durable after `sync_dir` of its parent.
    ///
    /// # Errors
    /// - [`NotFound`](io::ErrorKind::NotFound): no such file, or no such directory to create it in.
    /// - [`AlreadyExists`](io::ErrorKind::AlreadyExists): [`Access::CreateNew`], and the name is taken.
    fn open(&self, path: &Path, options: Open) -> io::Result<Arc<dyn DiskFile>>;

    /// Whether `path` leads to a file or directory.
    ///
    /// # Errors
    /// Any, except not finding it.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Gives the file `from` the name `to` instead, replacing a file of that name, in one step.
    ///
    /// Undone or kept as a whole by a power failure before `sync_dir`, if both are in one directory; across
    /// directories, both must be synced, and before that either name, both or none may be there. The *content* of the
    /// file is as durable as it was: sync it first.
    ///
    /// # Errors
    /// - [`NotFound`](io::ErrorKind::NotFound): no file `from`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives the file `from` a second name `to` (a hard link). Durable after `sync_dir` of the parent of `to`.
    ///
    /// # Errors
    /// - [`AlreadyExists`](io::ErrorKind::AlreadyExists): `to` is taken.
    /// - [`NotFound`](io::ErrorKind::NotFound): no file `from`.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes the name `path` away from its file; open handles keep working. The name may come back after a power
    /// failure before `sync_dir` of its parent.
    ///
    /// # Errors
    /// - [`NotFound`](io::ErrorKind::NotFound): no such file.
    /// - [`IsADirectory`](io::ErrorKind::IsADirectory): directories are not removed.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in `dir` durable: all creations, renames, links and removals in it so far.
    ///
    /// # Errors
    /// - [`NotFound`](io::ErrorKind::NotFound): no such directory.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock file `path`, creating it if needed, until the returned guard is dropped or the process ends.
    ///
    /// Excludes other processes and other callers in this one; does not wait (`flock`, `LOCK_EX | LOCK_NB`).
    ///
    /// # Errors
    /// - [`WouldBlock`](io::ErrorKind::WouldBlock): somebody else holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>>;

    /// Bytes that this process may still write on the file system of `dir`, roughly: others write too.
    ///
    /// # Errors
    /// - [`NotFound`](io::ErrorKind::NotFound): no such directory.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// A lock on a data directory; dropping it lets go.
pub trait DirLock: Send + Sync + Debug {}

/// An open file: bytes by offset. Shared between threads; calls at different offsets do not disturb each other.
///
/// # Errors
/// As for [`Disk`]; the text also names offset and length. Requests on a direct file must be aligned to
/// [`ALIGN`](crate::buffer::ALIGN) in offset, length and memory, else they fail with
/// [`InvalidInput`](io::ErrorKind::InvalidInput) and change nothing.
#[expect(
    clippy::len_without_is_empty,
    reason = "the length of a file is a question that can fail"
)]
pub trait DiskFile: Send + Sync + Debug {
    /// The length in bytes.
    ///
    /// # Errors
    /// As for the trait.
    fn len(&self) -> io::Result<u64>;

    /// Whether reads and writes go around the page cache, which also demands alignment.
    ///
    /// False although asked for if the file system refuses direct access; everything then works, cached.
    fn is_direct(&self) -> bool;

    /// Reads from `offset` into `buf` and returns how many bytes were read: fewer than asked at the end of the file
    /// (0 beyond it), and possibly fewer elsewhere. See [`DiskFileExt::read_exact_at`].
    ///
    /// # Errors
    /// As for the trait. The content of `buf` is then unspecified.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes `buf` at `offset`, growing the file if needed, and returns how many bytes were written, possibly fewer.
    ///
    /// Not durable: after a power failure each sector of it may be old or new until [`DiskFile::sync`] succeeds.
    ///
    /// # Errors
    /// As for the trait. Some of the bytes may have been written.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Writes `buf` at `offset`, returning how many bytes were written, possibly fewer; these are durable.
    ///
    /// One `pwritev2(RWF_DSYNC)`: fastest, and of the least doubtful meaning, where the file has been written before
    /// (not only allocated) and is not extended. Earlier calls of `write_at` are *not* made durable by this one.
    ///
    /// # Errors
    /// As for the trait. It is not known which of the bytes were written, nor which will survive.
    fn write_durable_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes all bytes and the length durable (`fdatasync`). Not the file's name: see [`Disk::sync_dir`].
    ///
    /// # Errors
    /// As for the trait. It is not known what is durable, and a second sync that succeeds proves nothing: do not retry.
    fn sync(&self) -> io::Result<()>;

    /// Like [`DiskFile::sync`], and the file's attributes too (`fsync`).
    ///
    /// # Errors
    /// As for [`DiskFile::sync`].
    fn sync_all(&self) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file to `len` bytes. Durable after [`DiskFile::sync`].
    ///
    /// # Errors
    /// As for the trait.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves space for bytes 0 to `len` and extends the file to `len` if it is shorter; new bytes read as zeros.
    /// Durable after [`DiskFile::sync`].
    ///
    /// Says whether the space is reserved: where the file system cannot do that, this only extends, and a later write may find none.
    ///
    /// # Errors
    /// As for the trait. Part of the space may have been reserved.
    fn allocate(&self, len: u64) -> io::Result<bool>;

    /// Says what will be done with `len` bytes from `offset`; 0 means up to the end of the file.
    ///
    /// # Errors
    /// As for the trait; safe to ignore.
    fn advise(&self, advice: Advice, offset: u64, len: u64) -> io::Result<()>;
}
