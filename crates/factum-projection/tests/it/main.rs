//! The tests of the runner, over the memory store and the memory sink.

#[cfg(test)]
mod kit;
mod parking;
#[cfg(test)]
mod rebuilding;
mod running;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod support;
