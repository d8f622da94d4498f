//! Declared projections on the command line: their files, their sinks, and running them.
//!
//! Relies on: factum-projection, which decides; sinks behind the one module [`target`]. Never: shows a secret.

pub(crate) mod file;
pub(crate) mod findings;
#[cfg(any(feature = "elastic", feature = "influx"))]
mod http;
#[cfg(feature = "postgres")]
mod postgres;
pub(crate) mod sample;
pub(crate) mod target;
pub(crate) mod work;
