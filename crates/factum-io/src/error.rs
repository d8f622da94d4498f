//! Errors that name what was being done to which file, and keep their cause.
//!
//! Every error of both disks is an [`io::Error`] whose text is `operation path[ at offset, n bytes]: cause`, whose
//! kind is the kind of the cause, and whose source is the cause, so that the number from the operating system is
//! still there: see [`raw_os_error`]. Never: changes a kind, swallows a cause.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What was being done, and to which bytes.
#[derive(Debug)]
struct Failed {
    operation: &'static str,
    path: PathBuf,
    range: Option<Range>,
    cause: io::Error,
}

/// The bytes an operation was about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.path.display())?;
        if let Some(Range { offset, len }) = self.range {
            write!(f, " at offset {offset}, {len} bytes")?;
        }
        write!(f, ": {}", self.cause)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

/// Names the operation and the path of `cause`.
pub(crate) fn failed(
    operation: &'static str,
    path: &Path,
    cause: impl Into<io::Error>,
) -> io::Error {
    wrap(operation, path, None, cause.into())
}

/// Names the operation, the path and the bytes of `cause`.
pub(crate) fn failed_at(
    operation: &'static str,
    path: &Path,
    range: Range,
    cause: impl Into<io::Error>,
) -> io::Error {
    wrap(operation, path, Some(range), cause.into())
}

fn wrap(operation: &'static str, path: &Path, range: Option<Range>, cause: io::Error) -> io::Error {
    io::Error::new(
        cause.kind(),
        Failed {
            operation,
            path: path.to_path_buf(),
            range,
            cause,
        },
    )
}

/// Whether `error` says that there is no room: no free space, or a quota used up.
///
/// The caller's answer is to free space and try again; nothing is wrong with the disk. Errors of this crate keep
/// their kind, so that this works on both disks.
#[must_use]
pub fn is_out_of_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Whether the device could not give what was asked for (`EIO`): what is beside it may be readable.
#[must_use]
pub fn is_unreadable(error: &io::Error) -> bool {
    raw_os_error(error) == Some(rustix::io::Errno::IO.raw_os_error())
}

/// The number the operating system gave, also when `error` has been wrapped to name a file.
///
/// `None` if no cause of `error` came from the operating system.
#[must_use]
pub fn raw_os_error(error: &io::Error) -> Option<i32> {
    causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
}

/// `error`, what it carries, and their causes, outermost first.
pub(crate) fn causes(error: &io::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let outer: &(dyn Error + 'static) = error;
    let carried = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    let mut next = carried;
    std::iter::once(outer).chain(std::iter::from_fn(move || {
        let current = next?;
        next = match current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => current.source(),
        };
        Some(current)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn wrapped_error_keeps_kind_number_and_names_the_file() {
        let error = failed_at(
            "write",
            Path::new("a/b.seg"),
            Range {
                offset: 4096,
                len: 512,
            },
            Errno::NOSPC,
        );
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(raw_os_error(&error), Some(Errno::NOSPC.raw_os_error()));
        assert!(
            error
                .to_string()
                .starts_with("write a/b.seg at offset 4096, 512 bytes: ")
        );
        assert!(is_out_of_space(&error));
    }

    #[test]
    fn wrapping_twice_keeps_the_number() {
        let error = failed(
            "rename",
            Path::new("x"),
            failed("open", Path::new("y"), Errno::DQUOT),
        );
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!(raw_os_error(&error), Some(Errno::DQUOT.raw_os_error()));
        assert!(is_out_of_space(&error));
    }

    #[test]
    fn other_errors_are_not_out_of_space() {
        for errno in [Errno::IO, Errno::ROFS, Errno::MFILE, Errno::NOENT] {
            assert!(
                !is_out_of_space(&failed("sync", Path::new("x"), errno)),
                "{errno:?}"
            );
        }
        let ours = io::Error::other("no number here");
        assert_eq!(raw_os_error(&ours), None);
        let read_only = failed("open", Path::new("x"), Errno::ROFS);
        assert_eq!(read_only.kind(), io::ErrorKind::ReadOnlyFilesystem);
    }
}
