//! The invariant of a group: every event that is not done is in exactly one place, and everything said about it agrees.

use std::collections::{BTreeMap, BTreeSet};

use super::{ConsumerId, Group, Lane, Place};

impl<T: Clone> Group<T> {
    /// Asserts the invariant, in debug builds: it looks at everything.
    ///
    /// # Panics
    /// When it does not hold, which is a bug.
    pub(crate) fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        self.check_places();
        self.check_consumers();
        let of_lane = |lane: Lane| {
            let of_lane = self
                .entries
                .iter()
                .filter(move |(_, entry)| entry.lane == lane);
            of_lane.map(|(seq, _)| *seq)
        };
        assert!(
            self.source.open_seqs().eq(of_lane(Lane::Source)),
            "the source's progress"
        );
        assert!(
            self.parked.open_seqs().eq(of_lane(Lane::Parked)),
            "the replay's progress"
        );
        let ids: BTreeSet<_> = self
            .entries
            .iter()
            .map(|(seq, e)| (e.arrival.id, *seq))
            .collect();
        assert_eq!(ids, self.ids, "ids");
        let bytes: usize = self.entries.values().map(|entry| entry.arrival.bytes).sum();
        assert_eq!(bytes, self.held_bytes, "bytes");
    }

    /// Each event is in the set of its place, and in no other.
    fn check_places(&self) {
        let mut places = 0;
        for (seq, entry) in &self.entries {
            let found = match &entry.place {
                Place::Ready => self.ready.contains(seq),
                Place::Retry => self.retry.contains(seq),
                Place::ToPark { .. } => self.to_park.contains(seq),
                Place::Parking => self.parking.contains(seq),
                Place::InFlight {
                    consumer, deadline, ..
                } => {
                    self.deadlines.contains(&(*deadline, *seq))
                        && self
                            .consumers
                            .get(consumer)
                            .is_some_and(|one| one.in_flight.contains(seq))
                }
            };
            assert!(found, "{seq:?} is not where it says: {:?}", entry.place);
            places += 1;
        }
        let sets = self.ready.len()
            + self.retry.len()
            + self.to_park.len()
            + self.parking.len()
            + self.deadlines.len();
        assert_eq!(
            places, sets,
            "an event is in two places, or a place holds what is done"
        );
    }

    fn check_consumers(&self) {
        let mut in_flight = 0;
        let mut holders: BTreeMap<u16, (ConsumerId, usize)> = BTreeMap::new();
        for (id, consumer) in &self.consumers {
            assert!(
                consumer.in_flight.len() <= consumer.credit,
                "{id:?} has too many"
            );
            in_flight += consumer.in_flight.len();
            for seq in &consumer.in_flight {
                let bucket = self.entries.get(seq).map(|entry| entry.arrival.bucket);
                let holder = holders
                    .entry(bucket.unwrap_or_default())
                    .or_insert((*id, 0));
                holder.1 += 1;
                assert!(
                    !self.chooser.is_pinned() || holder.0 == *id,
                    "bucket {bucket:?} is with two consumers"
                );
            }
        }
        assert_eq!(
            in_flight,
            self.deadlines.len(),
            "in flight without a deadline"
        );
        if self.chooser.is_pinned() {
            assert_eq!(holders, self.chooser.holders, "holders");
        }
    }
}
