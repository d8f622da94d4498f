//! A map that remembers a bounded number of things for a bounded time.
//!
//! What was looked up before something was forgotten may be about the time before: it is not remembered. Relies on: the caller's
//! clock. Never: answers with what is too old, unless it is asked for that.

use std::collections::BTreeMap;
use std::time::Duration;

/// What is remembered, the oldest given up first.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    entries: BTreeMap<K, Entry<V>>,
    /// The keys in the order they came.
    order: BTreeMap<u64, K>,
    next: u64,
    epoch: Epoch,
    len_max: usize,
    keep_ns: u64,
}

#[derive(Debug)]
struct Entry<V> {
    number: u64,
    since_ns: u64,
    value: V,
}

/// How often something was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

impl<K: Ord + Clone, V> Bounded<K, V> {
    pub(super) fn new(len_max: usize, keep: Duration) -> Self {
        Self {
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            next: 0,
            epoch: Epoch(0),
            len_max,
            keep_ns: u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// To be taken before what is to be remembered is looked up.
    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn get(&self, key: &K, now_ns: u64) -> Option<&V> {
        let entry = self.entries.get(key)?;
        (now_ns.saturating_sub(entry.since_ns) < self.keep_ns).then_some(&entry.value)
    }

    /// The same, however old it is: the caller knows how to find out whether it still holds.
    pub(super) fn kept(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Remembers, unless something was forgotten since `epoch`.
    pub(super) fn insert(&mut self, epoch: Epoch, key: K, value: V, now_ns: u64) {
        if epoch != self.epoch {
            return;
        }
        self.remove(&key);
        if self.entries.len() >= self.len_max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        let number = self.next;
        self.next += 1;
        self.order.insert(number, key.clone());
        let since_ns = now_ns;
        self.entries.insert(
            key,
            Entry {
                number,
                since_ns,
                value,
            },
        );
    }

    /// Forgets what `is_gone` says, and whatever is being looked up.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&K, &V) -> bool) {
        self.epoch.0 += 1;
        let gone: Vec<K> = self
            .entries
            .iter()
            .filter(|(key, entry)| is_gone(key, &entry.value))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &gone {
            self.remove(key);
        }
    }

    /// Forgets one thing, and whatever is being looked up.
    pub(super) fn forget_key(&mut self, key: &K) {
        self.epoch.0 += 1;
        self.remove(key);
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.number);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.order.len());
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Bounded<u32, &'static str> {
        Bounded::new(3, Duration::from_nanos(100))
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut map = three();
        for key in [1, 2, 3, 1, 4] {
            map.insert(map.epoch(), key, "x", 0);
        }
        let left: Vec<_> = (1..=4).filter(|key| map.get(key, 0).is_some()).collect();
        assert_eq!(left, [1, 3, 4], "1 came again after 2");
        assert_eq!(map.len(), 3);
    }

    #[test]
    fn what_is_old_is_not_given() {
        let mut map = three();
        map.insert(map.epoch(), 1, "x", 50);
        assert_eq!(map.get(&1, 149), Some(&"x"));
        assert_eq!(map.get(&1, 150), None);
        assert_eq!(map.kept(&1), Some(&"x"));
    }

    #[test]
    fn what_was_looked_up_before_something_was_forgotten_is_not_remembered() {
        let mut map = three();
        let before = map.epoch();
        map.insert(before, 1, "old", 0);
        map.forget_key(&1);
        map.insert(before, 1, "old", 0);
        assert_eq!(map.get(&1, 0), None);
        map.insert(map.epoch(), 1, "new", 0);
        assert_eq!(map.get(&1, 0), Some(&"new"));
        map.insert(map.epoch(), 2, "new", 0);
        map.forget(|key, _| *key == 1);
        assert_eq!((map.get(&1, 0), map.get(&2, 0)), (None, Some(&"new")));
    }
}
