//! The tests of the runner, over the memory store and the memory sink.

#[cfg(test)]
mod kit;
mod parking;
mod running;
#[cfg(test)]
mod support;
