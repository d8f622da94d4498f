//! Who is given the next event.
//!
//! Pinned: a bucket belongs to the consumer with the highest hash of bucket and consumer (rendezvous hashing; Thaler and Ravishankar
//! 1998), so that one who comes or goes moves no bucket but its own. A bucket that moves waits until nothing of it is in flight with
//! the consumer that had it: one bucket is never with two, and its order holds. It cannot wait for ever, for what is in flight has a deadline.

use std::collections::{BTreeMap, VecDeque};

use super::consumer::{Consumer, ConsumerId};
use crate::persistent::settings::Strategy;

/// Into how many parts streams or conversations are divided.
pub(crate) const BUCKETS: u16 = 1_024;

pub(super) enum Choice {
    Give(ConsumerId),
    /// Not this event now; perhaps a later one.
    Hold,
    /// No event at all now.
    Full,
}

#[derive(Debug)]
pub(super) struct Chooser {
    strategy: Strategy,
    /// Consumers in the order of their turns.
    turns: VecDeque<ConsumerId>,
    /// The owner of each bucket; empty without consumers.
    owners: Vec<ConsumerId>,
    /// Who has how many events of a bucket in flight.
    pub(super) holders: BTreeMap<u16, (ConsumerId, usize)>,
}

impl Chooser {
    pub(super) const fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            turns: VecDeque::new(),
            owners: Vec::new(),
            holders: BTreeMap::new(),
        }
    }

    pub(super) fn join(&mut self, id: ConsumerId) {
        self.turns.push_back(id);
        self.assign();
    }

    pub(super) fn leave(&mut self, id: ConsumerId) {
        self.turns.retain(|other| *other != id);
        self.assign();
    }

    pub(super) const fn is_pinned(&self) -> bool {
        matches!(
            self.strategy,
            Strategy::Pinned | Strategy::PinnedByCorrelation
        )
    }

    fn assign(&mut self) {
        if !self.is_pinned() {
            return;
        }
        let owner = |bucket: u16| {
            self.turns
                .iter()
                .copied()
                .max_by_key(|id| (mix(u64::from(bucket) << 48 ^ mix(id.0)), *id))
        };
        self.owners = (0..BUCKETS).filter_map(owner).collect();
    }

    pub(super) fn choose(
        &mut self,
        bucket: u16,
        consumers: &BTreeMap<ConsumerId, Consumer>,
    ) -> Choice {
        let has_room = |id: &ConsumerId| consumers.get(id).is_some_and(|one| one.capacity() > 0);
        match self.strategy {
            Strategy::RoundRobin => self.next_turn(has_room, true),
            Strategy::DispatchToSingle => self.next_turn(has_room, false),
            Strategy::Pinned | Strategy::PinnedByCorrelation => self.owner(bucket, has_room),
        }
    }

    /// The first in turn that has room; those passed over, and with `move_on` itself, go to the back.
    fn next_turn(&mut self, has_room: impl Fn(&ConsumerId) -> bool, move_on: bool) -> Choice {
        let Some(at) = self.turns.iter().position(has_room) else {
            return Choice::Full;
        };
        self.turns.rotate_left(at);
        let Some(&chosen) = self.turns.front() else {
            return Choice::Full;
        };
        if move_on {
            self.turns.rotate_left(1);
        }
        Choice::Give(chosen)
    }

    fn owner(&self, bucket: u16, has_room: impl Fn(&ConsumerId) -> bool) -> Choice {
        let Some(owner) = self.owners.get(usize::from(bucket)) else {
            return Choice::Full;
        };
        let elsewhere = self
            .holders
            .get(&bucket)
            .is_some_and(|(holder, _)| holder != owner);
        if elsewhere || !has_room(owner) {
            return Choice::Hold;
        }
        Choice::Give(*owner)
    }

    /// Notes that an event of the bucket is with the consumer.
    pub(super) fn given(&mut self, bucket: u16, id: ConsumerId) {
        if self.is_pinned() {
            self.holders.entry(bucket).or_insert((id, 0)).1 += 1;
        }
    }

    /// Notes that an event of the bucket is no longer with its consumer.
    pub(super) fn returned(&mut self, bucket: u16) {
        if let Some((_, count)) = self.holders.get_mut(&bucket) {
            *count -= 1;
            if *count == 0 {
                self.holders.remove(&bucket);
            }
        }
    }
}

/// The bucket of a stream or a conversation.
pub(crate) fn bucket_of(text: &str) -> u16 {
    let hash = text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    u16::try_from(mix(hash) % u64::from(BUCKETS)).unwrap_or_default()
}

/// Spreads bits (the finalizer of `SplitMix64`).
const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Chooser, ConsumerId, bucket_of};
    use crate::persistent::settings::Strategy;

    #[test]
    fn buckets_spread_and_only_those_of_the_new_one_move() {
        let mut chooser = Chooser::new(Strategy::Pinned);
        for id in 0..4 {
            chooser.join(ConsumerId(id));
        }
        let before = chooser.owners.clone();
        for id in 0..4 {
            let share = before.iter().filter(|owner| owner.0 == id).count();
            assert!((180..340).contains(&share), "consumer {id} has {share}");
        }
        chooser.join(ConsumerId(4));
        for (old, new) in before.iter().zip(&chooser.owners) {
            assert!(new == old || new.0 == 4, "{old:?} became {new:?}");
        }
        chooser.leave(ConsumerId(4));
        assert_eq!(chooser.owners, before);
    }

    #[test]
    fn names_spread_over_buckets() {
        let used: std::collections::BTreeSet<_> = (0..4_096)
            .map(|n| bucket_of(&format!("order-{n}")))
            .collect();
        assert!(used.len() > 950, "{}", used.len());
        assert!(used.iter().all(|bucket| *bucket < BUCKETS));
    }
}
