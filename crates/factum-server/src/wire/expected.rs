//! What an append expects, as the protocol numbers it.

use factum_store::{Conflict, ConflictReason, StoreError};
use factum_types::{ExpectedRevision, Revision};

use super::position::signed;

/// "Any" as a number of the protocol; "no stream" is -1 and "exists" is -4.
pub(crate) const ANY: i64 = -2;
pub(crate) const NO_STREAM: i64 = -1;
pub(crate) const EXISTS: i64 = -4;

/// An expectation as the protocol numbers it.
pub(crate) fn number(expected: ExpectedRevision) -> i64 {
    match expected {
        ExpectedRevision::Any => ANY,
        ExpectedRevision::NoStream => NO_STREAM,
        ExpectedRevision::StreamExists => EXISTS,
        ExpectedRevision::Exactly(revision) => signed(Some(revision)),
    }
}

/// What the protocol's oneofs of an expectation have in common; `make` is for a oneof whose cases carry the same things.
macro_rules! from_oneof {
    ($oneof:path, $given:expr, $exact:ident) => {{
        use $oneof as Oneof;
        match $given {
            Some(Oneof::$exact(number)) => {
                factum_types::ExpectedRevision::Exactly(factum_types::Revision::new(number))
            }
            Some(Oneof::NoStream(_)) => factum_types::ExpectedRevision::NoStream,
            Some(Oneof::StreamExists(_)) => factum_types::ExpectedRevision::StreamExists,
            Some(Oneof::Any(_)) | None => factum_types::ExpectedRevision::Any,
        }
    }};
}
pub(crate) use from_oneof;

/// Where the stream of the first write was instead, when the error is a conflict about a stream.
pub(crate) fn actual(error: &StoreError) -> Option<Option<Revision>> {
    match error.as_conflict().map(|Conflict { reason, .. }| reason) {
        Some(ConflictReason::Revision { actual, .. }) => Some(*actual),
        _ => None,
    }
}
