//! A memory store that a test reaches into: before an append it may do something else, or answer in the store's place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use factum_store::{
    AppendBatch, Change, EventStore, EventStream, Kind, MemoryStore, ReadRequest, Receipt,
    StoreError, StreamInfo, StreamsRequest, SubscribeRequest, Subscription,
};
use factum_types::{Position, StreamName};
use futures_core::future::BoxFuture;

/// What is done before an append; what it answers, the store does not see.
type Hook = Box<dyn Fn(&AppendBatch) -> Option<StoreError> + Send + Sync>;

pub(crate) struct Hooked {
    store: MemoryStore,
    hook: Hook,
    /// Whether reads are refused.
    pub(crate) busy: AtomicBool,
}

impl Hooked {
    pub(crate) fn new(
        store: MemoryStore,
        hook: impl Fn(&AppendBatch) -> Option<StoreError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            hook: Box::new(hook),
            busy: AtomicBool::new(false),
        })
    }

    /// Dies whenever a checkpoint is to be saved: all that came before it was done.
    pub(crate) fn without_checkpoints(store: MemoryStore) -> Arc<Self> {
        Self::new(store, |batch| {
            let stream = batch.writes[0].stream.as_str();
            let checkpoint = stream.starts_with("factum.checkpoint-");
            checkpoint.then(|| StoreError::new(Kind::Internal, "the runner dies here"))
        })
    }
}

/// Whether it writes an event of this type.
pub(crate) fn writes(batch: &AppendBatch, name: &str) -> bool {
    batch.writes.iter().any(|write| match &write.change {
        Change::Events(events) => events.iter().any(|it| it.event_type.as_str() == name),
        _ => false,
    })
}

pub(crate) fn busy() -> StoreError {
    StoreError::new(Kind::Unavailable, "the store is busy")
}

impl EventStore for Hooked {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        match (self.hook)(&batch) {
            Some(error) => Box::pin(std::future::ready(Err(error))),
            None => self.store.append(batch),
        }
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        if self.busy.load(Ordering::SeqCst) {
            return EventStream::of([Err(busy())]);
        }
        self.store.read(request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.store.subscribe(request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        self.store.head()
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
