//! What was seen: ids, and hashes of content. Keys come from a file, so that the hash must be one that a file cannot be made against.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use factum_types::{ContentType, EventType};

/// A map that is never walked through, only asked; its hash is keyed at random.
#[expect(
    clippy::disallowed_types,
    reason = "hostile keys need a keyed hash; the order is never looked at"
)]
pub(super) type KeyedMap<K, V> = std::collections::HashMap<K, V>;

/// Hashes what an event says, so that two can be compared without keeping both.
#[derive(Debug, Clone, Default)]
pub(super) struct ContentHasher(Arc<RandomState>);

impl ContentHasher {
    /// The hash of what an event says.
    pub(super) fn hash(&self, event_type: &EventType, content: ContentType, data: &[u8]) -> u64 {
        self.0.hash_one((event_type.as_str(), content, data))
    }
}
