//! The tests of the client.

#[cfg(test)]
mod client;
