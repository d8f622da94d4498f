//! Hash containers with a fixed hasher: the same seed of a simulation gives the same iteration order.
//!
//! Keys here are either already keyed hashes (uniform) or small integers, so the hasher is a multiply and a fold. Do not use it
//! for keys that a client chooses freely: hash those with a secret first.
//! Never: use the standard library's randomly seeded map.

use std::hash::{BuildHasherDefault, Hasher};

/// A hash map whose iteration order depends only on its history.
#[expect(
    clippy::disallowed_types,
    reason = "the one place that fixes the hasher"
)]
pub type FixedMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<FixedHasher>>;
/// A hash set whose iteration order depends only on its history.
pub type FixedSet<K> = std::collections::HashSet<K, BuildHasherDefault<FixedHasher>>;

/// Folds the written words with a multiplication each.
#[derive(Debug, Default, Clone, Copy)]
pub struct FixedHasher(u64);

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

impl FixedHasher {
    fn fold(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word).wrapping_mul(u128::from(MULTIPLIER) << 1 | 1);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are folded")]
        let folded = (wide as u64) ^ ((wide >> 64) as u64);
        self.0 = folded.rotate_left(23) ^ MULTIPLIER;
    }
}

impl Hasher for FixedHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.fold(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }

    #[expect(clippy::cast_possible_truncation, reason = "both halves are folded")]
    fn write_u128(&mut self, value: u128) {
        self.fold(value as u64);
        self.fold((value >> 64) as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::{FixedMap, FixedSet};

    #[test]
    fn iteration_order_repeats() {
        let build = || (0..1_000u64).map(|k| (k, k)).collect::<FixedMap<_, _>>();
        let one: Vec<_> = build().into_iter().collect();
        let two: Vec<_> = build().into_iter().collect();
        assert_eq!(one, two);
    }

    #[test]
    fn small_integers_spread() {
        use std::hash::{BuildHasher, BuildHasherDefault};
        let build = BuildHasherDefault::<super::FixedHasher>::default();
        let buckets: FixedSet<u64> = (0..128u64).map(|k| build.hash_one(k) & 1023).collect();
        assert!(buckets.len() > 100, "only {} of 128 buckets", buckets.len());
        let tops: FixedSet<u64> = (0..128u64).map(|k| build.hash_one(k) >> 57).collect();
        assert!(tops.len() > 60, "only {} of 128 control bytes", tops.len());
    }
}
