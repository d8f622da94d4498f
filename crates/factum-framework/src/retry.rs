//! How often to try again, and how long to wait between.
//!
//! Relies on: a random number for each wait. Never: lets two that ran into each other wait equally long.

use std::time::Duration;

/// How often a command is tried when others are faster, and how long it waits between.
///
/// ```
/// use factum_framework::Retry;
///
/// let retry = Retry::jittered(5);
/// assert!(retry.delay(3, u64::MAX) <= retry.delay_max);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// At most this many attempts, the first included.
    pub attempts: u32,
    /// The longest wait after the first attempt; it doubles with each.
    pub delay_first: Duration,
    /// The longest wait.
    pub delay_max: Duration,
}

impl Retry {
    /// At most this many attempts, with waits of chance between, up to 2 ms after the first and twice as long after each further, never
    /// more than 500 ms.
    #[must_use]
    pub const fn jittered(attempts: u32) -> Self {
        Self {
            attempts,
            delay_first: Duration::from_millis(2),
            delay_max: Duration::from_millis(500),
        }
    }

    /// One attempt.
    #[must_use]
    pub const fn never() -> Self {
        Self::jittered(1)
    }

    /// How long to wait after this many attempts; `random` chooses evenly between nothing and the most.
    #[must_use]
    pub fn delay(&self, attempts: u32, random: u64) -> Duration {
        let doubled = 1u32
            .checked_shl(attempts.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let most = self.delay_first.saturating_mul(doubled).min(self.delay_max);
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(random % micros.saturating_add(1))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::jittered(10)
    }
}
