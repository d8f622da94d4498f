//! States that were loaded not long ago, at most so many.
//!
//! Relies on: nothing. Never: is needed for a correct answer.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_types::{FixedMap, StreamName};

use crate::decider::Decider;
use crate::load::Loaded;

/// Which state: of this type, of this stream.
type Key = (TypeId, StreamName);

/// A cache that gives up what was not used for longest.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: Mutex<Entries>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: FixedMap<Key, Entry>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    loaded: Arc<dyn Any + Send + Sync>,
    /// When it was known to be up to date, by the monotonic clock.
    fresh_ns: u64,
    used: u64,
}

impl Cache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: Mutex::default(),
            capacity,
        }
    }

    /// The state that was loaded last, and when it was known to be up to date.
    pub(crate) fn find<D: Decider>(&self, stream: &StreamName) -> Option<(Arc<Loaded<D>>, u64)> {
        let key = (TypeId::of::<D>(), stream.clone());
        let mut entries = self.lock();
        let found = entries.touch(&key)?;
        let loaded = Arc::clone(&found.loaded).downcast().ok()?;
        Some((loaded, found.fresh_ns))
    }

    pub(crate) fn keep<D: Decider>(&self, loaded: &Arc<Loaded<D>>, fresh_ns: u64) {
        if self.capacity == 0 {
            return;
        }
        let key = (TypeId::of::<D>(), loaded.stream.clone());
        let mut entries = self.lock();
        let newer = entries.by_key.get(&key).is_some_and(|entry| {
            let held = entry.loaded.downcast_ref::<Loaded<D>>();
            held.is_some_and(|held| held.version > loaded.version)
        });
        if newer {
            // Another load was faster; who reads from memory must not go back in time.
            return;
        }
        entries.forget(&key);
        while entries.by_key.len() >= self.capacity {
            let Some((_, oldest)) = entries.by_use.pop_first() else {
                break;
            };
            entries.by_key.remove(&oldest);
        }
        entries.uses += 1;
        let used = entries.uses;
        entries.by_use.insert(used, key.clone());
        let entry = Entry {
            loaded: Arc::clone(loaded) as Arc<dyn Any + Send + Sync>,
            fresh_ns,
            used,
        };
        entries.by_key.insert(key, entry);
    }

    pub(crate) fn forget<D: Decider>(&self, stream: &StreamName) {
        self.lock().forget(&(TypeId::of::<D>(), stream.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn touch(&mut self, key: &Key) -> Option<&Entry> {
        self.uses += 1;
        let used = self.uses;
        let entry = self.by_key.get_mut(key)?;
        self.by_use.remove(&entry.used);
        self.by_use.insert(used, key.clone());
        entry.used = used;
        Some(entry)
    }

    fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.by_key.remove(key) {
            self.by_use.remove(&entry.used);
        }
    }
}
