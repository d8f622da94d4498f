//! Persistent subscriptions, asked over the messages of the wire, in time that passes as fast as it can.

#![expect(clippy::panic, reason = "a test that cannot go on says so by ending")]

mod answers;
mod engine;

mod groups;
mod lifecycle;
mod parking;
pub(crate) mod support;
mod trouble;
