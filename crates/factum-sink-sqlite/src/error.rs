//! What SQLite's errors mean for a runner.
//!
//! Relies on: SQLite's primary result codes. Never: takes an error that could pass for a refused event.

use factum_projection::{Error, Kind};
use rusqlite::ErrorCode;

/// An error of SQLite, in our words.
pub(crate) fn said(what: impl AsRef<str>, error: rusqlite::Error) -> Error {
    Error::new(kind(&error), format!("{}: {error}", what.as_ref())).because(error)
}

fn kind(error: &rusqlite::Error) -> Kind {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted
            | ErrorCode::OutOfMemory,
        ) => Kind::Unavailable,
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
            Kind::Refused
        }
        _ => Kind::Invalid,
    }
}
