//! The last events as keys: what an append condition is checked against after its caller looked.
//!
//! A caller evaluates its query over what is published, up to some position. Between that and its turn at the sequencer more may have
//! been appended, in flight or published; that little is looked at here. Nothing is kept until the first condition comes, so
//! that stores without conditions do not pay. Never: does I/O, grows beyond [`CAPACITY`] events.

use std::collections::VecDeque;

use factum_types::FixedMap;

use crate::key::KeyHash;
use crate::request::{PreparedQuery, QueryKeys};

/// How many events are kept.
pub(crate) const CAPACITY: usize = 1 << 16;

/// What the recent events say of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recheck {
    /// No recent event matches.
    Clear,
    /// This one does, and it is the last.
    Match(u64),
    /// They do not reach back far enough: the caller must look again.
    TooOld,
}

#[derive(Debug)]
struct RecentEvent {
    position: u64,
    type_key: KeyHash,
    tags: Box<[KeyHash]>,
}

/// The keys of the last events.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    enabled: bool,
    /// Every event from this position on is here.
    from: u64,
    events: VecDeque<RecentEvent>,
    /// The last position of each type and tag among `events`.
    last: FixedMap<KeyHash, u64>,
}

impl Recent {
    /// Begins to keep events, from the next one on.
    pub(crate) fn enable(&mut self, next_position: u64) {
        if !self.enabled {
            self.enabled = true;
            self.from = next_position;
        }
    }

    pub(crate) const fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(crate) fn push(&mut self, position: u64, type_key: KeyHash, tags: Box<[KeyHash]>) {
        if self.events.len() == CAPACITY {
            self.forget_oldest();
        }
        self.last.insert(type_key, position);
        for tag in &tags {
            self.last.insert(*tag, position);
        }
        self.events.push_back(RecentEvent {
            position,
            type_key,
            tags,
        });
    }

    /// Forgets everything; what is appended from `next_position` on is kept again.
    pub(crate) fn reset(&mut self, next_position: u64) {
        self.events.clear();
        self.last.clear();
        self.from = next_position;
    }

    /// Whether an event from `query.clear_to` on matches.
    pub(crate) fn recheck(&self, query: &PreparedQuery, next_position: u64) -> Recheck {
        if query.clear_to >= next_position {
            return Recheck::Clear;
        }
        if !self.enabled || query.clear_to < self.from {
            return Recheck::TooOld;
        }
        if !query
            .items
            .iter()
            .any(|item| self.may_match(item, query.clear_to))
        {
            return Recheck::Clear;
        }
        let newest_first = self
            .events
            .iter()
            .rev()
            .take_while(|e| e.position >= query.clear_to);
        let found = newest_first
            .into_iter()
            .find(|e| query.items.iter().any(|i| matches(i, e)));
        found.map_or(Recheck::Clear, |event| Recheck::Match(event.position))
    }

    /// Cheap and conclusive in the usual case: some tag of the item, or all of its types, has not been seen since.
    fn may_match(&self, item: &QueryKeys, clear_to: u64) -> bool {
        let seen = |key: &KeyHash| self.last.get(key).is_some_and(|last| *last >= clear_to);
        item.tags.iter().all(seen) && (item.types.is_empty() || item.types.iter().any(seen))
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.events.pop_front() else {
            return;
        };
        self.from = oldest.position + 1;
        for key in oldest.tags.iter().chain([&oldest.type_key]) {
            if self.last.get(key) == Some(&oldest.position) {
                self.last.remove(key);
            }
        }
    }
}

fn matches(item: &QueryKeys, event: &RecentEvent) -> bool {
    (item.types.is_empty() || item.types.contains(&event.type_key))
        && item.tags.iter().all(|tag| event.tags.contains(tag))
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Recent, Recheck};
    use crate::request::{PreparedQuery, QueryKeys};
    use factum_types::Query;

    fn query(types: &[u128], tags: &[u128], clear_to: u64) -> PreparedQuery {
        let items = vec![QueryKeys {
            types: types.to_vec(),
            tags: tags.to_vec(),
        }];
        PreparedQuery {
            query: Query::default(),
            items,
            from: 0,
            clear_to,
        }
    }

    #[test]
    fn types_are_alternatives_and_tags_joint() {
        let mut recent = Recent::default();
        recent.enable(10);
        recent.push(10, 1, Box::new([100, 200]));
        recent.push(11, 2, Box::new([100]));
        recent.push(12, 1, Box::new([200]));
        let check = |types: &[u128], tags: &[u128], clear_to, expected| {
            assert_eq!(recent.recheck(&query(types, tags, clear_to), 13), expected);
        };
        check(&[1], &[], 10, Recheck::Match(12));
        check(&[], &[100], 10, Recheck::Match(11));
        check(&[], &[100, 200], 10, Recheck::Match(10));
        check(&[], &[100, 200], 11, Recheck::Clear);
        check(&[2, 3], &[100], 12, Recheck::Clear);
        check(&[], &[], 13, Recheck::Clear);
        check(&[], &[], 12, Recheck::Match(12));
        check(&[], &[100], 9, Recheck::TooOld);
    }

    #[test]
    fn what_was_forgotten_is_too_old() {
        let mut recent = Recent::default();
        recent.enable(0);
        for position in 0..=CAPACITY as u64 {
            recent.push(position, 1, Box::new([]));
        }
        let next = CAPACITY as u64 + 1;
        assert_eq!(recent.recheck(&query(&[1], &[], 0), next), Recheck::TooOld);
        assert_eq!(recent.recheck(&query(&[9], &[], 1), next), Recheck::Clear);
    }

    #[test]
    fn nothing_is_known_before_it_is_enabled() {
        let recent = Recent::default();
        assert_eq!(recent.recheck(&query(&[1], &[], 3), 4), Recheck::TooOld);
        assert_eq!(recent.recheck(&query(&[1], &[], 4), 4), Recheck::Clear);
    }
}
