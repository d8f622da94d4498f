//! A memory store behind shared reads is a store like any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use factum_conformance::{BoxFuture, Factory, Knobs, TestStore};
use factum_projection::SharedReads;
use factum_store::{
    AppendBatch, Checkpoint, CheckpointStore, EventStore, EventStream, MemoryStore, ReadRequest,
    Receipt, Snapshot, SnapshotStore, StoreError, StreamInfo, StreamsRequest, SubscribeRequest,
    Subscription,
};
use factum_types::{Position, StreamName, Timestamp};

struct Behind {
    reads: SharedReads,
    store: MemoryStore,
}

impl EventStore for Behind {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        self.reads.append(batch)
    }

    fn append_each(
        &self,
        batches: Vec<AppendBatch>,
    ) -> BoxFuture<'_, Vec<Result<Receipt, StoreError>>> {
        self.reads.append_each(batches)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.reads.read(request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.reads.subscribe(request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        self.reads.head()
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        self.reads.stream_info(stream)
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        self.reads.streams(request)
    }
}

impl SnapshotStore for Behind {
    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>> {
        self.store.save_snapshot(snapshot)
    }

    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        self.store.load_snapshot(stream, key, at_most)
    }

    fn list_snapshots(
        &self,
        stream: StreamName,
    ) -> BoxFuture<'_, Result<Vec<Snapshot>, StoreError>> {
        self.store.list_snapshots(stream)
    }

    fn drop_snapshots(
        &self,
        stream: StreamName,
        key: String,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.store.drop_snapshots(stream, key)
    }
}

impl CheckpointStore for Behind {
    fn save_checkpoint(
        &self,
        consumer: String,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.store.save_checkpoint(consumer, checkpoint)
    }

    fn load_checkpoint(
        &self,
        consumer: String,
    ) -> BoxFuture<'_, Result<Option<Checkpoint>, StoreError>> {
        self.store.load_checkpoint(consumer)
    }
}

struct Memory {
    micros: Arc<AtomicI64>,
}

impl Memory {
    fn new() -> Self {
        Self {
            micros: Arc::new(AtomicI64::new(1_704_067_200_000_000)),
        }
    }
}

impl Factory for Memory {
    fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>> {
        let micros = Arc::clone(&self.micros);
        let clock = move || Timestamp::from_micros(micros.fetch_add(1, Ordering::Relaxed));
        let store = MemoryStore::with_clock(Arc::new(clock));
        let reads = SharedReads::new(Arc::new(store.clone()));
        Box::pin(async { Arc::new(Behind { reads, store }) as Arc<dyn TestStore> })
    }

    fn knobs(&self) -> Knobs {
        let micros = Arc::clone(&self.micros);
        let advance = move |by: Duration| {
            let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            micros.fetch_add(by, Ordering::Relaxed);
        };
        Knobs {
            advance_time: Some(Arc::new(advance)),
            ..Knobs::default()
        }
    }
}

factum_conformance::conformance_tests!(Memory::new());
