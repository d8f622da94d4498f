//! What the store refuses: logged when it begins and when it ends, not each time that it is tried again.

use std::collections::BTreeMap;

use factum_store::{Kind, StoreError};

use crate::persistent::settings::GroupKey;

/// What a group asks of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    Beginning,
    Reading,
    Parking,
    Checkpoint,
    Replay,
    Truncation,
}

impl Work {
    const fn fails(self) -> &'static str {
        match self {
            Self::Beginning => "a group cannot read where it was",
            Self::Reading => "reading was interrupted",
            Self::Parking => "events cannot be parked",
            Self::Checkpoint => "a checkpoint cannot be noted",
            Self::Replay => "parked events cannot be read",
            Self::Truncation => "the parked stream cannot be truncated",
        }
    }
}

/// What the store refused last and has not done since, for each kind of work.
#[derive(Debug)]
pub(super) struct Troubles {
    group: GroupKey,
    open: BTreeMap<Work, Kind>,
}

impl Troubles {
    pub(super) const fn new(group: GroupKey) -> Self {
        Self {
            group,
            open: BTreeMap::new(),
        }
    }

    /// Whether the store refuses anything.
    pub(super) fn has_any(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn begin(&mut self, work: Work, error: &StoreError) {
        let before = self.open.insert(work, error.kind());
        let what = work.fails();
        if before == Some(error.kind()) {
            tracing::debug!(group = %self.group, %error, "still: {what}");
        } else {
            tracing::error!(group = %self.group, %error, "{what}");
        }
    }

    pub(super) fn end(&mut self, work: Work) {
        if self.open.remove(&work).is_some() {
            tracing::info!(group = %self.group, "no longer: {}", work.fails());
        }
    }
}
