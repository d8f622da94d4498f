//! Cached folds, and where consumers are: both disposable in different degrees.

use std::num::NonZeroU32;

use factum_types::{Bytes, Position, StreamName, Timestamp, limits};
use futures_core::future::BoxFuture;

use crate::error::StoreError;

/// A cached fold of a stream up to a version. Losing it costs time, never correctness.
///
/// ```
/// use factum_store::Snapshot;
/// use factum_types::StreamName;
///
/// let snapshot = Snapshot::new(StreamName::new("order-1")?, "order v1", 12, "the state");
/// assert_eq!(snapshot.keep, None);
/// # Ok::<(), factum_types::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The stream that was folded.
    pub stream: StreamName,
    /// Which fold: the framework puts the state's shape, the author's revision and the fold's fingerprint in here. At most
    /// [`SNAPSHOT_KEY_BYTES_MAX`](limits::SNAPSHOT_KEY_BYTES_MAX) bytes.
    pub key: String,
    /// How many events were folded; the next event has this number as its revision.
    pub version: u64,
    /// The state, opaque to the store; at most [`SNAPSHOT_BYTES_MAX`](limits::SNAPSHOT_BYTES_MAX) bytes.
    pub data: Bytes,
    /// When it was stored; ignored when saving.
    pub time: Timestamp,
    /// Whom the state has personal data of, so that erasing someone finds the snapshots to drop. At most
    /// [`SNAPSHOT_SUBJECTS_MAX`](limits::SNAPSHOT_SUBJECTS_MAX).
    pub subjects: Vec<String>,
    /// Of the snapshots of this stream and key, the last so many are kept once this one is saved, itself included; `None` keeps all.
    pub keep: Option<NonZeroU32>,
}

impl Snapshot {
    /// A snapshot, of nobody's data, that does away with no other.
    #[must_use]
    pub fn new(
        stream: StreamName,
        key: impl Into<String>,
        version: u64,
        data: impl Into<Bytes>,
    ) -> Self {
        Self {
            stream,
            key: key.into(),
            version,
            data: data.into(),
            time: Timestamp::default(),
            subjects: Vec::new(),
            keep: None,
        }
    }

    /// The same with data of these people.
    #[must_use]
    pub fn with_subjects(mut self, subjects: Vec<String>) -> Self {
        self.subjects = subjects;
        self
    }

    /// The same, with so many kept.
    #[must_use]
    pub const fn with_keep(mut self, keep: Option<NonZeroU32>) -> Self {
        self.keep = keep;
        self
    }

    /// Checks what does not depend on what is stored.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) names what is over its limit.
    pub fn validate(&self) -> Result<(), StoreError> {
        let subject_bytes = self.subjects.iter().map(String::len).max();
        for (what, size, limit) in [
            (
                "bytes in the key of a snapshot",
                self.key.len(),
                limits::SNAPSHOT_KEY_BYTES_MAX,
            ),
            (
                "bytes in a snapshot",
                self.data.len(),
                limits::SNAPSHOT_BYTES_MAX,
            ),
            (
                "data subjects in a snapshot",
                self.subjects.len(),
                limits::SNAPSHOT_SUBJECTS_MAX,
            ),
            (
                "bytes in a data subject of a snapshot",
                subject_bytes.unwrap_or(0),
                limits::SNAPSHOT_SUBJECT_BYTES_MAX,
            ),
        ] {
            if size > limit {
                return Err(StoreError::invalid(format!(
                    "{what}: {size} is more than the limit of {limit}"
                )));
            }
        }
        Ok(())
    }
}

/// A store of snapshots. The last one saved for a stream and key wins.
pub trait SnapshotStore: Send + Sync {
    /// Saves a snapshot; durable when this returns `Ok`.
    ///
    /// One of the same version takes the other's place. More than [`keep`](Snapshot::keep) are not loaded any more; when their bytes go is
    /// the store's affair.
    ///
    /// # Errors
    /// As for an append without conditions.
    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The last snapshot of a stream for a key; with `at_most`, the last of those up to that version.
    ///
    /// Snapshots of events that were deleted since do not count, and a stream that is closed for ever has none.
    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>>;

    /// Every snapshot of a stream that may still be loaded, under any key, without its state: in order of keys, the last saved first.
    ///
    /// For erasing someone's data and for looking after a store; it may look at much, and is not for hot paths.
    fn list_snapshots(
        &self,
        stream: StreamName,
    ) -> BoxFuture<'_, Result<Vec<Snapshot>, StoreError>>;

    /// Does away with all snapshots of a stream and key that were saved before: none of them is loaded again. Durable when this
    /// returns `Ok`. When their bytes go is the store's affair.
    ///
    /// # Errors
    /// As for an append without conditions.
    fn drop_snapshots(
        &self,
        stream: StreamName,
        key: String,
    ) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Up to where a consumer is done: one position per partition, usually one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// The last position done, per partition, ordered by partition; a partition that is missing has not been begun.
    pub positions: Vec<Position>,
}

/// A store of checkpoints, by the name of their consumer.
pub trait CheckpointStore: Send + Sync {
    /// Saves where a consumer is; durable when this returns `Ok`.
    ///
    /// # Errors
    /// As for an append without conditions.
    fn save_checkpoint(
        &self,
        consumer: String,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Where a consumer is, `None` when it never said.
    fn load_checkpoint(
        &self,
        consumer: String,
    ) -> BoxFuture<'_, Result<Option<Checkpoint>, StoreError>>;
}
