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

impl StreamSettings {
    /// The first revision that is kept, whatever its age, of a stream whose next event has revision `next`.
    ///
    /// ```
    /// use factum_types::{Revision, StreamSettings};
    ///
    /// let mut kept = StreamSettings { max_count: Some(3), ..StreamSettings::default() };
    /// assert_eq!([kept.first_kept(10), kept.first_kept(2)], [7, 0]);
    /// kept.truncate_before = Some(Revision::new(8));
    /// assert_eq!(kept.first_kept(10), 8);
    /// ```
    #[must_use]
    pub fn first_kept(&self, next: u64) -> u64 {
        let truncated = self.truncate_before.map_or(0, Revision::number);
        let counted = self.max_count.map_or(0, |count| next.saturating_sub(count));
        truncated.max(counted)
    }
}
