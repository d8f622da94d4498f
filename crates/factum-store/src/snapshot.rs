//! Cached folds, and where consumers are: both disposable in different degrees.

use factum_types::{Bytes, Position, StreamName, Timestamp};
use futures_core::future::BoxFuture;

use crate::error::StoreError;

/// A cached fold of a stream up to a version. Losing it costs time, never correctness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The stream that was folded.
    pub stream: StreamName,
    /// Which fold: the framework puts the state's shape, the author's revision and the fold's fingerprint in here. At most 256 bytes.
    pub key: String,
    /// How many events were folded; the next event has this number as its revision.
    pub version: u64,
    /// The state, opaque to the store; at most [`SNAPSHOT_BYTES_MAX`](factum_types::limits::SNAPSHOT_BYTES_MAX) bytes.
    pub data: Bytes,
    /// When it was stored; ignored when saving.
    pub time: Timestamp,
}

/// A store of snapshots. The last one saved for a stream and key wins.
pub trait SnapshotStore: Send + Sync {
    /// Saves a snapshot; durable when this returns `Ok`.
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
