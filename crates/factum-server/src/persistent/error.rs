//! Why a request about persistent subscriptions is refused.

use factum_store::StoreError;

use super::settings::GroupKey;

/// Why a request is refused.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// There is no such group.
    #[error("Subscription group {} on stream {} does not exist.", .0.group, .0.source)]
    NotFound(GroupKey),
    /// There is one already.
    #[error("Subscription group {} on stream {} exists.", .0.group, .0.source)]
    Exists(GroupKey),
    /// It has as many consumers as it may have.
    #[error("Maximum subscriptions reached for subscription group {} on stream {}.", .0.group, .0.source)]
    TooManyConsumers(GroupKey),
    /// What was asked for cannot be.
    #[error("Subscription group {} on stream {} failed: '{reason}'", .key.group, .key.source)]
    Failed {
        /// Which group.
        key: GroupKey,
        /// Why.
        reason: String,
    },
    /// The group was changed or deleted, or the consumer asked to be stopped.
    #[error("Subscription group {} on stream {} was dropped.", .0.group, .0.source)]
    Dropped(GroupKey),
    /// The group could not yet read where it is; try again.
    #[error("Server Is Not Ready")]
    NotReady,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SubscriptionError {
    pub(crate) fn failed(key: &GroupKey, reason: impl Into<String>) -> Self {
        Self::Failed {
            key: key.clone(),
            reason: reason.into(),
        }
    }
}
