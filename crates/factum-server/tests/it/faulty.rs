//! A store in memory that fails as it is told to.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use factum_store::{
    AppendBatch, Checkpoint, CheckpointStore, EventStore, EventStream, Kind, MemoryStore,
    ReadRequest, Receipt, Snapshot, SnapshotStore, Source, StoreError, StreamInfo, StreamsRequest,
    SubscribeRequest, Subscription,
};
use factum_types::{Position, RecordedEvent, StreamName};
use futures_core::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::watch;

/// What becomes of appends to streams of the system, which those of groups are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appends {
    Made,
    Refused,
    /// They wait until it is otherwise.
    Held,
    /// They are made, and nobody is told so.
    MadeUnknown,
    /// They are not made, and nobody is told so.
    LostUnknown,
}

pub(crate) struct Faulty {
    pub(crate) store: MemoryStore,
    pub(crate) appends: watch::Sender<Appends>,
    /// Whether it is told where the end of all is.
    pub(crate) tells_end: watch::Sender<bool>,
    /// Streams of the system cannot be read.
    pub(crate) refuses_reads: AtomicBool,
    /// Subscriptions end at once.
    pub(crate) ends_subscriptions: AtomicBool,
    damaged: Mutex<BTreeSet<(String, u64)>>,
    reads: Mutex<Vec<String>>,
}

impl Default for Faulty {
    fn default() -> Self {
        Self {
            store: MemoryStore::new(),
            appends: watch::Sender::new(Appends::Made),
            tells_end: watch::Sender::new(true),
            refuses_reads: AtomicBool::new(false),
            ends_subscriptions: AtomicBool::new(false),
            damaged: Mutex::default(),
            reads: Mutex::default(),
        }
    }
}

impl Faulty {
    pub(crate) fn damage(&self, stream: &str, revisions: std::ops::Range<u64>) {
        let mut damaged = self.damaged.lock().unwrap();
        damaged.extend(revisions.map(|revision| (stream.to_owned(), revision)));
    }

    /// How often a stream was read.
    pub(crate) fn reads(&self, stream: &str) -> usize {
        let reads = self.reads.lock().unwrap();
        reads.iter().filter(|read| *read == stream).count()
    }
}

fn as_stored(
    damaged: &BTreeSet<(String, u64)>,
    event: RecordedEvent,
) -> Result<RecordedEvent, StoreError> {
    let place = (event.stream.as_str().to_owned(), event.revision.number());
    if damaged.contains(&place) {
        return Err(StoreError::new(
            Kind::Corrupt,
            format!("{place:?} is damaged"),
        ));
    }
    Ok(event)
}

impl EventStore for Faulty {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        let is_own = |write: &factum_store::StreamWrite| write.stream.as_str().starts_with('$');
        if !batch.writes.iter().any(is_own) {
            return self.store.append(batch);
        }
        async move {
            let mut told = self.appends.subscribe();
            let how = told.wait_for(|how| *how != Appends::Held).await;
            let how = how.map(|how| *how).unwrap();
            let unknown = || StoreError::new(Kind::Unknown, "nobody knows");
            match how {
                Appends::Made | Appends::Held => self.store.append(batch).await,
                Appends::Refused => Err(StoreError::new(Kind::Unavailable, "not now")),
                Appends::MadeUnknown => {
                    self.store.append(batch).await?;
                    Err(unknown())
                }
                Appends::LostUnknown => Err(unknown()),
            }
        }
        .boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        if let Source::Stream(stream) = &request.source {
            self.reads.lock().unwrap().push(stream.as_str().to_owned());
            if self.refuses_reads.load(Ordering::Relaxed) && stream.as_str().starts_with('$') {
                let refused = StoreError::new(Kind::Unavailable, "not now");
                return EventStream::new(stream::iter([Err(refused)]));
            }
        }
        let damaged = self.damaged.lock().unwrap().clone();
        let events = self.store.read(request);
        EventStream::new(events.map(move |event| as_stored(&damaged, event?)))
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        if self.ends_subscriptions.load(Ordering::Relaxed) {
            return Subscription::new(stream::empty());
        }
        self.store.subscribe(request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        async move {
            self.tells_end
                .subscribe()
                .wait_for(|tells| *tells)
                .await
                .unwrap();
            self.store.head().await
        }
        .boxed()
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        self.store.stream_info(stream)
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        self.store.streams(request)
    }
}

impl SnapshotStore for Faulty {
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

impl CheckpointStore for Faulty {
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
