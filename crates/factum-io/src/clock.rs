//! Time: what the calendar says, and how long something takes.
//!
//! Relies on: nothing. Never: is used to order events; positions do that.

use std::fmt::Debug;
use std::time::Duration;

/// A wall clock and a monotonic clock.
pub trait Clock: Send + Sync + Debug {
    /// Microseconds since 1970-01-01T00:00:00Z, negative before it. May jump in either direction.
    fn now_us(&self) -> i64;

    /// Nanoseconds since an arbitrary moment that is the same for the life of this clock. Never goes back.
    fn monotonic_ns(&self) -> u64;

    /// Waits at least `duration`, on the calling thread.
    fn sleep(&self, duration: Duration);
}
