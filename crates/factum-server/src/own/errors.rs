//! How a call ends that cannot be answered: the whole error in the details, and a code for whoever looks no further.

use factum_proto::contract::error::details;
use factum_store::{Kind, StoreError};
use factum_types::NameError;
use tonic::{Code, Status};

/// Bytes of the message that stand in `grpc-message`, where they take up to three times as much; the details have all.
const MESSAGE_BYTES_MAX: usize = 1 << 10;

/// The end of a call with this error.
pub(super) fn status(error: &StoreError) -> Status {
    let code = match error.kind() {
        Kind::Conflict => Code::Aborted,
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::Deleted | Kind::ReadOnly => Code::FailedPrecondition,
        Kind::Unavailable => Code::Unavailable,
        Kind::Unknown => Code::Unknown,
        Kind::Corrupt => Code::DataLoss,
        Kind::Full => Code::ResourceExhausted,
        _ => Code::Internal,
    };
    let text = error.to_string();
    let shown = text.get(..text.floor_char_boundary(MESSAGE_BYTES_MAX));
    Status::with_details(code, shown.unwrap_or(&text), details(code.into(), error))
}

/// The end of what would go on if the server did.
pub(super) fn stopping() -> StoreError {
    StoreError::new(Kind::Unavailable, "the server is stopping")
}

/// A name that is none.
pub(super) fn named(error: NameError) -> StoreError {
    StoreError::invalid(error.to_string()).because(error)
}
