//! Time that passes when it is told to.
//!
//! Relies on: nothing. Never: looks at a real clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Clock;

/// A clock that advances by a fixed step at each question, and by hand. Cloning shares it.
///
/// The wall clock may also be set, forward or back; the monotonic side does not notice.
#[derive(Clone, Debug)]
pub struct SimClock(Arc<Mutex<Times>>);

#[derive(Debug)]
struct Times {
    wall_us: i64,
    monotonic_ns: u64,
    step: Duration,
}

impl SimClock {
    /// A clock that says `now_us` (microseconds since 1970) and stands still.
    #[must_use]
    pub fn new(now_us: i64) -> Self {
        Self(Arc::new(Mutex::new(Times {
            wall_us: now_us,
            monotonic_ns: 0,
            step: Duration::ZERO,
        })))
    }

    /// From now on, time passes by `step` before each answer.
    pub fn set_step(&self, step: Duration) {
        self.times().step = step;
    }

    /// Lets time pass, on both sides of the clock.
    pub fn advance(&self, duration: Duration) {
        self.times().advance(duration);
    }

    /// Sets the wall clock, as an operator or a time server would; may go back.
    pub fn set_now_us(&self, now_us: i64) {
        self.times().wall_us = now_us;
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Times {
    fn advance(&mut self, duration: Duration) {
        let us = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.wall_us = self.wall_us.saturating_add(us);
        self.monotonic_ns = self.monotonic_ns.saturating_add(ns);
    }

    fn step(&mut self) {
        self.advance(self.step);
    }
}

impl Clock for SimClock {
    fn now_us(&self) -> i64 {
        let mut times = self.times();
        times.step();
        times.wall_us
    }

    fn monotonic_ns(&self) -> u64 {
        let mut times = self.times();
        times.step();
        times.monotonic_ns
    }

    /// Returns at once; the time has passed.
    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_still_steps_and_jumps() {
        let clock = SimClock::new(1_000);
        assert_eq!(
            (clock.now_us(), clock.now_us(), clock.monotonic_ns()),
            (1_000, 1_000, 0)
        );
        clock.set_step(Duration::from_micros(5));
        assert_eq!((clock.now_us(), clock.now_us()), (1_005, 1_010));
        clock.set_step(Duration::ZERO);
        clock.clone().sleep(Duration::from_millis(1));
        assert_eq!((clock.now_us(), clock.monotonic_ns()), (2_010, 1_010_000));
        clock.set_now_us(-7);
        assert_eq!((clock.now_us(), clock.monotonic_ns()), (-7, 1_010_000));
    }
}
