//! Hints which streams the sequencer knows: a caller that finds one need not look.
//!
//! A table of atomic words without locks, overwritten at will. A word names a stream and how often the sequencer had forgotten streams when it
//! was written; after it has forgotten any, all words are stale. A wrong hint (two streams with the same 56 bits) only sends a
//! request back once. Never: is needed.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::KeyHash;

const SLOTS: usize = 1 << 14;
const EVICTIONS: u64 = 0xFF;

/// Which streams the sequencer knows.
#[derive(Debug)]
pub(crate) struct Hints {
    slots: Box<[AtomicU64]>,
}

impl Hints {
    pub(crate) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Takes note that a stream was written.
    pub(crate) fn written(&self, stream: KeyHash, evictions: u64) {
        let (slot, word) = place(stream, evictions);
        self.slots[slot].store(word, Ordering::Relaxed);
    }

    /// Whether a stream was written since the sequencer last forgot any, as far as is remembered.
    pub(crate) fn is_known(&self, stream: KeyHash, evictions: u64) -> bool {
        let (slot, word) = place(stream, evictions);
        self.slots[slot].load(Ordering::Relaxed) == word
    }
}

const fn place(stream: KeyHash, evictions: u64) -> (usize, u64) {
    let word = ((stream >> 64) as u64 & !EVICTIONS) | (evictions & EVICTIONS);
    (stream as usize & (SLOTS - 1), word)
}

#[cfg(test)]
mod tests {
    use super::Hints;

    #[test]
    fn a_hint_holds_until_something_is_forgotten() {
        let hints = Hints::new();
        let stream = 0xABCD_EF01_2345_6789_1122_3344_5566_7788;
        assert!(!hints.is_known(stream, 3));
        hints.written(stream, 3);
        assert!(hints.is_known(stream, 3));
        assert!(!hints.is_known(stream, 4));
        assert!(!hints.is_known(stream ^ (1 << 90), 3));
    }
}
