//! Plain HTTP, over a real connection.

mod append;
mod client;
mod docs;
mod hostile;
mod openapi;
mod page;
mod subscribe;
