//! A memory store that a test can bend.

use factum_store::{
    AppendBatch, Checkpoint, CheckpointStore, EventStore, EventStream, MemoryStore, ReadRequest,
    Receipt, Snapshot, SnapshotStore, StoreError, StreamInfo, StreamsRequest, SubscribeRequest,
    Subscription,
};
use factum_types::{Position, StreamName};

pub(crate) type Answer<'a, T> = factum_conformance::BoxFuture<'a, Result<T, StoreError>>;

/// What a test bends; what it does not is passed through.
pub(crate) trait Bend: Send + Sync + 'static {
    fn append<'a>(&'a self, store: &'a MemoryStore, batch: AppendBatch) -> Answer<'a, Receipt> {
        store.append(batch)
    }

    fn read(&self, store: &MemoryStore, request: ReadRequest) -> EventStream {
        store.read(request)
    }

    fn subscribe(&self, store: &MemoryStore, request: SubscribeRequest) -> Subscription {
        store.subscribe(request)
    }

    fn head<'a>(&'a self, store: &'a MemoryStore) -> Answer<'a, Option<Position>> {
        store.head()
    }
}

pub(crate) struct Bent<B>(pub(crate) MemoryStore, pub(crate) B);

impl<B: Bend> EventStore for Bent<B> {
    fn append(&self, batch: AppendBatch) -> Answer<'_, Receipt> {
        self.1.append(&self.0, batch)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.1.read(&self.0, request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.1.subscribe(&self.0, request)
    }

    fn head(&self) -> Answer<'_, Option<Position>> {
        self.1.head(&self.0)
    }

    fn stream_info(&self, stream: StreamName) -> Answer<'_, StreamInfo> {
        self.0.stream_info(stream)
    }

    fn streams(&self, request: StreamsRequest) -> Answer<'_, Vec<StreamInfo>> {
        self.0.streams(request)
    }
}

impl<B: Bend> SnapshotStore for Bent<B> {
    fn save_snapshot(&self, snapshot: Snapshot) -> Answer<'_, ()> {
        self.0.save_snapshot(snapshot)
    }

    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> Answer<'_, Option<Snapshot>> {
        self.0.load_snapshot(stream, key, at_most)
    }

    fn list_snapshots(&self, stream: StreamName) -> Answer<'_, Vec<Snapshot>> {
        self.0.list_snapshots(stream)
    }

    fn drop_snapshots(&self, stream: StreamName, key: String) -> Answer<'_, ()> {
        self.0.drop_snapshots(stream, key)
    }
}

impl<B: Bend> CheckpointStore for Bent<B> {
    fn save_checkpoint(&self, consumer: String, checkpoint: Checkpoint) -> Answer<'_, ()> {
        self.0.save_checkpoint(consumer, checkpoint)
    }

    fn load_checkpoint(&self, consumer: String) -> Answer<'_, Option<Checkpoint>> {
        self.0.load_checkpoint(consumer)
    }
}
