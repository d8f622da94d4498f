//! Blocks of sealed segments in the store's own memory, for single records that are read again and again.
//!
//! Such a read otherwise is a call to the system, although the bytes are in its page cache. Blocks are in sets of eight; in each, a hand goes round
//! and takes away what was not asked for since it last came by (CLOCK: Corbató, "A paging experiment with the Multics system", 1968).
//! Relies on: a sealed segment never changes. Never: verifies anything, which whoever reads a record does; keeps more than its budget.

use crate::sync::{Mutex, lock};

/// The bytes of a block.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Longer reads go past the blocks: most of what they cost is copying.
const BLOCKS_AT_ONCE: usize = 4;
const WAYS: usize = 8;
/// Each with a lock of its own.
const SHARDS: usize = 64;

/// Blocks, as many as their budget allows; it may allow none.
#[derive(Debug)]
pub(crate) struct Blocks {
    shards: Vec<Mutex<Shard>>,
    sets_each: usize,
}

/// Which block of which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockKey(u64);

#[derive(Debug)]
struct Shard {
    sets: Vec<Set>,
    bytes: Vec<u8>,
}

/// Zero is no key.
#[derive(Debug, Default, Clone)]
struct Set {
    keys: [u64; WAYS],
    /// A bit for each that was asked for since the hand came by.
    asked: u8,
    hand: usize,
}

impl BlockKey {
    const NUMBER_BITS: u32 = 31;
    const GENERATION_BITS: u32 = 12;
    const BLOCK_BITS: u32 = 20;

    /// `None` for a file or a block beyond what is kept.
    pub(crate) fn new(number: u64, generation: u32, block: u64) -> Option<Self> {
        let fits = number >> Self::NUMBER_BITS == 0
            && generation >> Self::GENERATION_BITS == 0
            && block >> Self::BLOCK_BITS == 0;
        let file = (number << Self::GENERATION_BITS) | u64::from(generation);
        fits.then_some(Self(1 << 63 | file << Self::BLOCK_BITS | block))
    }

    /// A shard, and a set in each.
    fn place(self, sets_each: usize) -> (usize, usize) {
        // Fibonacci hashing: the upper bits are those that all others have a part in, so those say where.
        let spread = self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let rest = (spread << 6) >> 32;
        let set = (rest * sets_each as u64) >> 32;
        ((spread >> 58) as usize, set as usize)
    }
}

impl Blocks {
    /// As many blocks as fit into so many bytes, which are taken from the system as they are used.
    pub(crate) fn new(budget: u64) -> Self {
        let set_bytes = (BLOCK_BYTES * WAYS + size_of::<Set>()) * SHARDS;
        let sets_each = usize::try_from(budget).unwrap_or(usize::MAX) / set_bytes;
        let shard = || {
            Mutex::new(Shard {
                sets: vec![Set::default(); sets_each],
                bytes: vec![0; sets_each * WAYS * BLOCK_BYTES],
            })
        };
        let shards = if sets_each == 0 { 0 } else { SHARDS };
        Self {
            shards: std::iter::repeat_with(shard).take(shards).collect(),
            sets_each,
        }
    }

    /// Whether a read of so many bytes goes through the blocks.
    pub(crate) const fn serve(&self, bytes: usize) -> bool {
        self.sets_each > 0 && bytes <= (BLOCKS_AT_ONCE - 1) * BLOCK_BYTES
    }

    /// Copies the bytes of a block from `start` on, if the block is here.
    pub(crate) fn get(&self, key: BlockKey, start: usize, into: &mut [u8]) -> bool {
        let (shard, set) = key.place(self.sets_each);
        let mut shard = lock(&self.shards[shard]);
        let Some(way) = shard.sets[set].keys.iter().position(|kept| *kept == key.0) else {
            return false;
        };
        shard.sets[set].asked |= 1 << way;
        let at = (set * WAYS + way) * BLOCK_BYTES + start;
        into.copy_from_slice(&shard.bytes[at..at + into.len()]);
        true
    }

    /// Keeps a block, in the place of one that is not asked for.
    pub(crate) fn put(&self, key: BlockKey, block: &[u8; BLOCK_BYTES]) {
        let (shard, set) = key.place(self.sets_each);
        let mut shard = lock(&self.shards[shard]);
        let sets = &mut shard.sets[set];
        // Another reader may have been faster.
        let kept = sets.keys.iter().position(|kept| *kept == key.0);
        let way = kept.unwrap_or_else(|| sets.make_room());
        sets.keys[way] = key.0;
        let at = (set * WAYS + way) * BLOCK_BYTES;
        shard.bytes[at..at + BLOCK_BYTES].copy_from_slice(block);
    }
}

impl Set {
    /// The way whose block goes: an empty one, or the next that was not asked for.
    fn make_room(&mut self) -> usize {
        if let Some(empty) = self.keys.iter().position(|key| *key == 0) {
            return empty;
        }
        loop {
            let way = self.hand;
            self.hand = (way + 1) % WAYS;
            if self.asked & (1 << way) == 0 {
                return way;
            }
            self.asked &= !(1 << way);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES, BlockKey, Blocks, SHARDS, WAYS};

    fn block(number: u64) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[100..108].copy_from_slice(&number.to_le_bytes());
        block
    }

    fn got(blocks: &Blocks, number: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        let key = BlockKey::new(number, 1, 7).unwrap();
        blocks
            .get(key, 100, &mut bytes)
            .then(|| u64::from_le_bytes(bytes))
    }

    #[test]
    fn what_is_kept_is_what_was_put_and_no_more_than_the_budget() {
        let budget = 4 * (WAYS * SHARDS * (BLOCK_BYTES + 20)) as u64;
        let blocks = Blocks::new(budget);
        assert!(blocks.serve(300) && !blocks.serve(1 << 20));
        for number in 0..10_000 {
            blocks.put(BlockKey::new(number, 1, 7).unwrap(), &block(number));
            assert_eq!(got(&blocks, number), Some(number));
        }
        let kept: Vec<_> = (0..10_000)
            .filter_map(|number| {
                let found = got(&blocks, number)?;
                assert_eq!(found, number);
                Some(number)
            })
            .collect();
        let all = 4 * WAYS * SHARDS;
        assert!(
            kept.len() <= all && kept.len() > all * 3 / 4,
            "{} of {all}",
            kept.len()
        );
        assert!(
            !blocks.get(BlockKey::new(kept[0], 2, 7).unwrap(), 0, &mut [0]),
            "another generation"
        );
        assert!(
            !blocks.get(BlockKey::new(kept[0], 1, 8).unwrap(), 0, &mut [0]),
            "another block"
        );
    }

    #[test]
    fn what_is_asked_for_stays() {
        let blocks = Blocks::new((WAYS * SHARDS * (BLOCK_BYTES + 20)) as u64);
        blocks.put(BlockKey::new(0, 1, 7).unwrap(), &block(0));
        for number in 1..20_000 {
            blocks.put(BlockKey::new(number, 1, 7).unwrap(), &block(number));
            assert_eq!(got(&blocks, 0), Some(0), "after {number}");
        }
    }

    #[test]
    fn without_a_budget_nothing_is_kept_and_what_has_no_key_is_not_asked_for() {
        assert!(!Blocks::new(0).serve(1));
        assert!(
            !Blocks::new(1 << 16).serve(1),
            "too little for a set in each shard"
        );
        assert!(BlockKey::new(1 << 31, 0, 0).is_none());
        assert!(BlockKey::new(0, 1 << 12, 0).is_none());
        assert!(BlockKey::new(0, 0, 1 << 20).is_none());
        assert!(BlockKey::new((1 << 31) - 1, (1 << 12) - 1, (1 << 20) - 1).is_some());
    }
}
