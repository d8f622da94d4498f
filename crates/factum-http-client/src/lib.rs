//! What sinks that are reached over HTTP share: a client that needs no async runtime, and how parked events are written down.
//!
//! What lives here: [`Client`], its [`Options`] and [`Credentials`], and [`stored`]. Relies on: a thread of the client's own, so that a runner may
//! be polled on any executor. Never: follows a redirect, waits without an end, takes an answer of any size, or shows a password.
//!
//! Requests of one client go out one after another, in the order in which they were made; also those that nobody waits for any more. TLS
//! is rustls with ring; the certificates that the system trusts are trusted, or those of a file.

mod client;
mod credentials;
pub mod kit;
mod options;
pub mod stored;
mod tls;

pub use client::{Answer, Client, Method, Request, encoded};
pub use credentials::Credentials;
pub use options::Options;
