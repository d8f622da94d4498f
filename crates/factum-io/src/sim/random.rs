//! Random bytes that are the same each time.
//!
//! Relies on: `fastrand`. Never: is fit for secrets.

use std::sync::{Mutex, PoisonError};

use crate::Random;

/// A generator whose whole output follows from its seed and the order of the questions.
#[derive(Debug)]
pub struct SimRandom(Mutex<fastrand::Rng>);

impl SimRandom {
    /// The generator of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl Random for SimRandom {
    fn fill(&self, buf: &mut [u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill(buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seed: u64) -> [u64; 3] {
        let random = SimRandom::new(seed);
        [random.next_u64(), random.next_u64(), random.next_u64()]
    }

    #[test]
    fn same_seed_same_bytes() {
        assert_eq!(check(1), check(1));
        assert_ne!(check(1), check(2));
    }
}
