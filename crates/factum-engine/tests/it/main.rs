//! The engine's integration tests.
#[cfg(test)]
mod basics;
#[cfg(test)]
mod support;
