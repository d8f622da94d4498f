//! What a group passes over because it is damaged: said, but not once for each event.

use std::sync::atomic::{AtomicU64, Ordering};

use factum_store::StoreError;

use super::settings::GroupKey;

/// Counts what is passed over, and logs the first of it, then less and less often.
#[derive(Debug)]
pub(crate) struct Damage {
    group: GroupKey,
    passed: AtomicU64,
}

impl Damage {
    pub(crate) const fn new(group: GroupKey) -> Self {
        Self {
            group,
            passed: AtomicU64::new(0),
        }
    }

    /// An event is passed over for this damage. It is logged when twice as many were as when it was logged last.
    pub(crate) fn pass_over(&self, error: &StoreError) {
        let passed = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        if passed.is_power_of_two() {
            tracing::error!(group = %self.group, passed, %error, "damaged events were passed over");
        }
    }
}
