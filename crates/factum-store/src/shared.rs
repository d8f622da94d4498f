//! A store that is shared is a store: each trait holds for an [`Arc`] of what has it.
//!
//! So what takes a store by value, as a repository does, can be given one that others use too. Relies on: nothing. Never: adds anything.

use std::sync::Arc;

use factum_types::{Position, StreamName};
use futures_core::future::BoxFuture;

use crate::{
    AppendBatch, Checkpoint, CheckpointStore, EventStore, EventStream, ReadRequest, Receipt,
    Snapshot, SnapshotStore, StoreError, StreamInfo, StreamsRequest, SubscribeRequest,
    Subscription,
};

/// ```
/// use std::sync::Arc;
/// use factum_store::{EventStore, MemoryStore, SnapshotStore};
/// fn takes_a_store(_: impl EventStore + SnapshotStore) {}
/// let store = Arc::new(MemoryStore::new());
/// takes_a_store(Arc::clone(&store));
/// let any: Arc<dyn EventStore> = store;
/// fn takes_any(_: impl EventStore) {}
/// takes_any(any);
/// ```
impl<S: EventStore + ?Sized> EventStore for Arc<S> {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        (**self).append(batch)
    }

    fn append_each(
        &self,
        batches: Vec<AppendBatch>,
    ) -> BoxFuture<'_, Vec<Result<Receipt, StoreError>>> {
        (**self).append_each(batches)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        (**self).read(request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        (**self).subscribe(request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        (**self).head()
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        (**self).stream_info(stream)
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        (**self).streams(request)
    }
}

impl<S: SnapshotStore + ?Sized> SnapshotStore for Arc<S> {
    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>> {
        (**self).save_snapshot(snapshot)
    }

    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        (**self).load_snapshot(stream, key, at_most)
    }

    fn list_snapshots(
        &self,
        stream: StreamName,
    ) -> BoxFuture<'_, Result<Vec<Snapshot>, StoreError>> {
        (**self).list_snapshots(stream)
    }

    fn drop_snapshots(
        &self,
        stream: StreamName,
        key: String,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        (**self).drop_snapshots(stream, key)
    }
}

impl<S: CheckpointStore + ?Sized> CheckpointStore for Arc<S> {
    fn save_checkpoint(
        &self,
        consumer: String,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        (**self).save_checkpoint(consumer, checkpoint)
    }

    fn load_checkpoint(
        &self,
        consumer: String,
    ) -> BoxFuture<'_, Result<Option<Checkpoint>, StoreError>> {
        (**self).load_checkpoint(consumer)
    }
}
