//! The memory store passes the suite, a store with gaps between its positions passes it too, and stores that break a promise do not.

#[cfg(test)]
mod broken;
mod gaps;
mod memory;
#[cfg(test)]
mod support;
