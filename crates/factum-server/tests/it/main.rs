//! Tests of the server over a real connection.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by ending"
)]

mod hostile;
mod streams;
mod support;
