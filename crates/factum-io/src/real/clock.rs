//! The system's clocks.
//!
//! Relies on: `std::time`. Never: fails; a wall clock out of range is clamped.

#![expect(
    clippy::disallowed_methods,
    reason = "this file is the door that the lint sends everybody else to"
)]

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Clock;

/// The system's wall clock and monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// A clock whose monotonic side counts from now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    fn now_us(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        }
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes() {
        let clock = RealClock::new();
        let (wall, monotonic) = (clock.now_us(), clock.monotonic_ns());
        clock.sleep(Duration::from_micros(50));
        assert!(clock.monotonic_ns() >= monotonic + 50_000);
        assert!(wall > 1_600_000_000_000_000, "after 2020");
    }
}
