//! Tests of the server over a real connection.
