//! Tests of the server from outside, most of them over a real connection.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by ending"
)]

mod authorisation;
mod batch;
mod faulty;
mod hostile;
mod http;
mod persistent;
mod second;
mod streams;
mod support;
