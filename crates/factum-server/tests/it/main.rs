//! Tests of the server over a real connection.

mod streams;
mod support;
