//! How failures of files become errors of the contract.

use std::io;

use factum_io::is_out_of_space;
use factum_store::{Kind, StoreError};

/// A failure before anything was written: the kind says whether trying again can help.
pub(crate) fn io_error(what: &str, error: io::Error) -> StoreError {
    let kind = match error.kind() {
        _ if is_out_of_space(&error) => Kind::Full,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Kind::ReadOnly,
        io::ErrorKind::NotFound => Kind::NotFound,
        _ => Kind::Internal,
    };
    StoreError::new(kind, format!("{what}: {error}")).because(error)
}

/// No further segment could be made.
pub(crate) fn full(error: &io::Error) -> StoreError {
    let message =
        format!("there is no space for a further segment; free some and try again ({error})");
    StoreError::new(Kind::Full, message)
}

/// The log failed while this append was on its way.
pub(crate) fn unknown(error: &str) -> StoreError {
    let message = format!(
        "writing the log failed, so it is not known whether this append is durable; \
         open the store again and retry with the same event ids ({error})"
    );
    StoreError::new(Kind::Unknown, message)
}

/// The log failed earlier, so nothing more is written.
pub(crate) fn poisoned(error: &str) -> StoreError {
    let message = format!(
        "the store stopped writing because the log failed ({error}); reads go on; \
         check the device, then open the store again"
    );
    StoreError::new(Kind::ReadOnly, message)
}

/// The store is closed or closing.
pub(crate) fn closed() -> StoreError {
    StoreError::new(Kind::Unavailable, "the store is closed")
}
