//! Blocks of sealed segments in the store's own memory, for single records that are read again and again.
//!
//! Such a read otherwise is a call to the system, although the bytes are in its page cache. Blocks are in sets of eight; in each, a hand goes round
//! and takes away what was not asked for since it last came by (CLOCK: Corbató, "A paging experiment with the Multics system", 1968).
//! Relies on: a sealed segment never changes. Never: verifies anything, which whoever reads a record does; keeps more than its budget.

use std::collections::TryReserveError;

use crate::sync::{Mutex, MutexGuard, lock};

/// The bytes of a block.
pub(crate) const BLOCK_BYTES: usize = 4096;
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

/// Sets, one behind the other. All of it is zero at first, which the system gives without giving memory.
#[derive(Debug)]
struct Shard {
    /// Eight for each set. Zero is no key.
    keys: Vec<u64>,
    marks: Vec<Marks>,
    bytes: Vec<u8>,
}

/// What the hand of a set knows: a bit for each block that was asked for since it came by, and where it is.
type Marks = [u8; 2];

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
    /// As many blocks as fit into so many bytes, which are taken from the system as they are used. Keys take a fortieth more.
    ///
    /// # Errors
    /// The system does not give so much.
    pub(crate) fn new(budget: u64) -> Result<Self, TryReserveError> {
        let set_bytes = (BLOCK_BYTES * WAYS * SHARDS) as u64;
        let sets_each = usize::try_from(budget / set_bytes).unwrap_or(usize::MAX);
        let shards = std::iter::repeat_with(|| Shard::new(sets_each).map(Mutex::new));
        let count = if sets_each == 0 { 0 } else { SHARDS };
        Ok(Self {
            shards: shards.take(count).collect::<Result<_, _>>()?,
            sets_each,
        })
    }

    /// Whether a read of so many bytes goes through the blocks. Longer ones do not: most of what they cost is copying.
    pub(crate) const fn serve(&self, bytes: usize) -> bool {
        self.sets_each > 0 && bytes <= BLOCK_BYTES
    }

    /// Copies the bytes of a block from `start` on, if the block is here.
    pub(crate) fn get(&self, key: BlockKey, start: usize, into: &mut [u8]) -> bool {
        let (mut shard, set) = self.set_of(key);
        let Some(way) = shard.way_of(set, key) else {
            return false;
        };
        shard.marks[set][0] |= 1 << way;
        let at = (set * WAYS + way) * BLOCK_BYTES + start;
        into.copy_from_slice(&shard.bytes[at..at + into.len()]);
        true
    }

    /// Keeps a block, in the place of one that is not asked for.
    pub(crate) fn put(&self, key: BlockKey, block: &[u8; BLOCK_BYTES]) {
        let (mut shard, set) = self.set_of(key);
        // Another reader may have been faster.
        let kept = shard.way_of(set, key);
        let way = kept.unwrap_or_else(|| shard.make_room(set));
        let at = set * WAYS + way;
        shard.keys[at] = key.0;
        shard.bytes[at * BLOCK_BYTES..][..BLOCK_BYTES].copy_from_slice(block);
    }

    /// Forgets a block, so that it is read again.
    pub(crate) fn forget(&self, key: BlockKey) {
        if self.sets_each == 0 {
            return;
        }
        let (mut shard, set) = self.set_of(key);
        if let Some(way) = shard.way_of(set, key) {
            shard.keys[set * WAYS + way] = 0;
        }
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            lock(shard).keys.fill(0);
        }
    }

    fn set_of(&self, key: BlockKey) -> (MutexGuard<'_, Shard>, usize) {
        let (shard, set) = key.place(self.sets_each);
        (lock(&self.shards[shard]), set)
    }
}

impl Shard {
    fn new(sets: usize) -> Result<Self, TryReserveError> {
        Ok(Self {
            keys: zeros(sets.saturating_mul(WAYS), 0)?,
            marks: zeros(sets, [0; 2])?,
            bytes: zeros(sets.saturating_mul(WAYS * BLOCK_BYTES), 0)?,
        })
    }

    fn way_of(&self, set: usize, key: BlockKey) -> Option<usize> {
        let keys = &self.keys[set * WAYS..][..WAYS];
        keys.iter().position(|kept| *kept == key.0)
    }

    /// The way whose block goes: an empty one, or the next that was not asked for.
    fn make_room(&mut self, set: usize) -> usize {
        let keys = &self.keys[set * WAYS..][..WAYS];
        if let Some(empty) = keys.iter().position(|key| *key == 0) {
            return empty;
        }
        let [asked, hand] = &mut self.marks[set];
        loop {
            let way = usize::from(*hand);
            *hand = (*hand + 1) % 8;
            if *asked & (1 << way) == 0 {
                return way;
            }
            *asked &= !(1 << way);
        }
    }
}

/// So many zeros, or an error where the system would not give them; the vector itself would end the process.
fn zeros<T: Clone>(count: usize, zero: T) -> Result<Vec<T>, TryReserveError> {
    Vec::<T>::new().try_reserve_exact(count)?;
    Ok(vec![zero; count])
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
        let budget = 4 * (WAYS * SHARDS * BLOCK_BYTES) as u64;
        let blocks = Blocks::new(budget).unwrap();
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
        let blocks = Blocks::new((WAYS * SHARDS * BLOCK_BYTES) as u64).unwrap();
        blocks.put(BlockKey::new(0, 1, 7).unwrap(), &block(0));
        for number in 1..20_000 {
            blocks.put(BlockKey::new(number, 1, 7).unwrap(), &block(number));
            assert_eq!(got(&blocks, 0), Some(0), "after {number}");
        }
        blocks.forget(BlockKey::new(0, 1, 7).unwrap());
        assert_eq!(got(&blocks, 0), None);
        assert_eq!(got(&blocks, 19_999), Some(19_999));
        blocks.clear();
        assert_eq!(got(&blocks, 19_999), None);
    }

    #[test]
    fn without_a_budget_nothing_is_kept_and_what_has_no_key_is_not_asked_for() {
        assert!(!Blocks::new(0).unwrap().serve(1));
        let some = |bytes: u64| Blocks::new(bytes).unwrap().serve(1);
        assert!(!some((2 << 20) - 1), "too little for a set in each shard");
        assert!(some(2 << 20));
        assert!(Blocks::new(u64::MAX).is_err(), "more than there is");
        assert!(BlockKey::new(1 << 31, 0, 0).is_none());
        assert!(BlockKey::new(0, 1 << 12, 0).is_none());
        assert!(BlockKey::new(0, 0, 1 << 20).is_none());
        assert!(BlockKey::new((1 << 31) - 1, (1 << 12) - 1, (1 << 20) - 1).is_some());
    }
}
