//! The client against servers in this process, over real connections.

mod conformance;
mod support;
