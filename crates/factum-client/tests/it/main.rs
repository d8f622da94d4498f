//! The client against servers in this process, over real connections.

mod bent;
mod broken;
mod conformance;
mod flow;
mod proxy;
mod support;
mod tls;
