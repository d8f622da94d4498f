//! Randomness: salts, ids, seeds.
//!
//! Relies on: nothing. Never: promises secrecy on the simulated side.

use std::fmt::Debug;

/// A source of random bytes; the real one is fit for secrets.
pub trait Random: Send + Sync + Debug {
    /// Fills all of `buf`.
    fn fill(&self, buf: &mut [u8]);

    /// A number uniform over all of `u64`.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
