//! The client against servers in this process, over real connections.

#[cfg(test)]
mod bent;
#[cfg(test)]
mod broken;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod server;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
