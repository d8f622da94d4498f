//! What a stream keeps.

use std::time::Duration;

use crate::position::Revision;

/// Which of a stream's events reading it still gives; the rest is hidden at once and removed when the log is scavenged.
///
/// Reads of `$all`, of a category and of a query are not limited by these: they give every event that is still stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamSettings {
    /// At most this many events, the newest.
    pub max_count: Option<u64>,
    /// Events no older than this, judged by the store's clock when read.
    pub max_age: Option<Duration>,
    /// Only events from this revision on.
    pub truncate_before: Option<Revision>,
}
