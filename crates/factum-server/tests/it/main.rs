//! Tests of the server over a real connection.

mod hostile;
mod streams;
mod support;
