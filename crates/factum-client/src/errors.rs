//! What the end of a call means.
//!
//! A server that says what its store answered is believed. For everything else, what counts is whether something may have been written.

use std::error::Error as StdError;

use factum_proto::contract::error::of_details;
use factum_store::{Kind, StoreError};
use tonic::{Code, ConnectError, Status};

use crate::tls;

/// What a call may have done when nothing is known of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it only asks, or was not sent.
    None,
    /// Written something.
    Write,
}

/// The error that a call ended with.
pub(crate) fn of_status(status: &Status, effect: Effect) -> StoreError {
    if let Some(error) = of_details(status.details()) {
        return error;
    }
    let (kind, what) = match refusal(status) {
        Some(refusal) => refusal,
        _ if is_untrusted(status) => (Kind::Invalid, "the server's certificate is not trusted"),
        _ if effect == Effect::Write && was_sent(status) => (
            Kind::Unknown,
            "it is not known whether it was written: the server did not answer",
        ),
        _ => (Kind::Unavailable, "the server cannot be reached"),
    };
    let text = match innermost(status) {
        Some(cause) => format!("{what}: {}: {cause}", status.message()),
        None => format!("{what}: {}", status.message()),
    };
    StoreError::new(kind, text)
}

/// What a server means that refuses a request, so that nothing was done; `None` when it may be that something was.
///
/// A status with a cause is none of the server's: it is what became of the connection, whatever its code (RFC 9113, section 7: HTTP/2 has
/// codes of its own for a peer that is asked to slow down, and tonic makes them look like a server without room).
fn refusal(status: &Status) -> Option<(Kind, &'static str)> {
    if status.source().is_some() {
        return None;
    }
    Some(match status.code() {
        Code::Unauthenticated => (
            Kind::Invalid,
            "the server does not accept who we say we are",
        ),
        Code::PermissionDenied => (Kind::Invalid, "the server does not allow this"),
        Code::Unimplemented => (Kind::Invalid, "the server does not know this request"),
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => {
            (Kind::Invalid, "the server refuses the request")
        }
        Code::ResourceExhausted => (Kind::Unavailable, "the server has no room for the request"),
        _ => return None,
    })
}

/// Not answered in time.
pub(crate) fn late(effect: Effect, time: std::time::Duration) -> StoreError {
    match effect {
        Effect::None => {
            let text = format!("the server has not answered within {time:?}");
            StoreError::new(Kind::Unavailable, text)
        }
        Effect::Write => {
            let text = format!(
                "it is not known whether it was written: the server has not answered within {time:?}"
            );
            StoreError::new(Kind::Unknown, text)
        }
    }
}

/// What the server answered makes no sense.
pub(crate) fn nonsense(error: StoreError) -> StoreError {
    let text = format!("the server's answer makes no sense: {error}");
    StoreError::new(Kind::Internal, text).because(error)
}

fn causes<'a>(status: &'a Status) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(status.source(), |error| (*error).source())
}

fn is_untrusted(status: &Status) -> bool {
    status.source().is_some_and(tls::is_untrusted)
}

/// Whether the request may have left: not when there was no connection for it.
fn was_sent(status: &Status) -> bool {
    !causes(status).any(|error| error.is::<ConnectError>())
}

fn innermost(status: &Status) -> Option<String> {
    let cause = causes(status).last()?.to_string();
    (!status.message().contains(&cause)).then_some(cause)
}

#[cfg(test)]
mod tests {
    use super::{Effect, of_status};
    use factum_proto::contract::error::details;
    use factum_store::{Kind, StoreError};
    use std::io;
    use std::sync::Arc;
    use tonic::{Code, Status};

    #[test]
    fn what_a_code_alone_means() {
        let check = |code, asked, written| {
            let kind = |effect| of_status(&Status::new(code, "why"), effect).kind();
            assert_eq!(
                (kind(Effect::None), kind(Effect::Write)),
                (asked, written),
                "{code:?}"
            );
        };
        for code in [
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::Unimplemented,
            Code::InvalidArgument,
        ] {
            check(code, Kind::Invalid, Kind::Invalid);
        }
        check(
            Code::ResourceExhausted,
            Kind::Unavailable,
            Kind::Unavailable,
        );
        for code in [
            Code::Unavailable,
            Code::Unknown,
            Code::Internal,
            Code::Cancelled,
        ] {
            check(code, Kind::Unavailable, Kind::Unknown);
        }
    }

    /// HTTP/2's own codes, as tonic has them, for calls that were sent.
    #[test]
    fn what_became_of_the_connection_is_not_what_the_server_says() {
        for code in [
            Code::ResourceExhausted,
            Code::PermissionDenied,
            Code::Internal,
        ] {
            let mut status = Status::new(code, "why");
            status.set_source(Arc::new(io::Error::other("enhance your calm")));
            let kind = |effect| of_status(&status, effect).kind();
            assert_eq!(
                (kind(Effect::None), kind(Effect::Write)),
                (Kind::Unavailable, Kind::Unknown),
                "{code:?}"
            );
        }
    }

    #[test]
    fn what_the_store_answered_counts_more() {
        let error = StoreError::new(Kind::NotFound, "stream order-1 has no events");
        let status = Status::with_details(Code::Unknown, "text", details(2, &error));
        let told = of_status(&status, Effect::Write);
        assert_eq!(
            (told.kind(), told.to_string()),
            (Kind::NotFound, error.to_string())
        );
    }
}
