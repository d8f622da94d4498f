//! Plain HTTP, over a real connection.

mod append;
pub(crate) mod client;
mod docs;
mod hostile;
mod metrics;
mod openapi;
mod page;
mod subscribe;
