//! The kernel's random number generator.
//!
//! Relies on: `getrandom(2)`. Never: falls back to something weaker.

use rustix::io::retry_on_intr;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::Random;

/// Random bytes fit for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealRandom(());

impl RealRandom {
    /// The kernel's generator.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Random for RealRandom {
    /// # Panics
    /// If the kernel has no `getrandom`, that is before Linux 3.17.
    fn fill(&self, buf: &mut [u8]) {
        let mut done = 0;
        while done < buf.len() {
            done += retry_on_intr(|| getrandom(&mut buf[done..], GetRandomFlags::empty()))
                .expect("getrandom without flags fails only where the kernel lacks it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_all_and_differs() {
        let random = RealRandom::new();
        let mut bytes = [0; 1024];
        random.fill(&mut bytes);
        assert!(bytes[1000..].iter().any(|byte| *byte != 0));
        assert_ne!(random.next_u64(), random.next_u64());
        random.fill(&mut []);
    }
}
