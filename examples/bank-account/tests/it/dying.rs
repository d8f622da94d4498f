//! A store whose caller dies at a certain call: that call fails, before or after it took effect, and so does everything after it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum::EventStore;
use factum::store::{
    AppendBatch, EventStream, Kind, ReadRequest, Receipt, StoreError, StreamInfo, StreamsRequest,
    SubscribeRequest, Subscription,
};
use factum::types::{Position, StreamName};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether the append at which the caller dies is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    Before,
    After,
}

pub(crate) struct Dying {
    inner: Arc<dyn EventStore>,
    calls: AtomicU64,
    at: u64,
    death: Death,
}

impl Dying {
    pub(crate) fn new(inner: Arc<dyn EventStore>, at: u64, death: Death) -> Arc<Self> {
        Arc::new(Self {
            inner,
            calls: AtomicU64::new(0),
            at,
            death,
        })
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Whether this call is the last one (`Some(true)`), or after it.
    fn dies(&self) -> Option<bool> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        (call >= self.at).then_some(call == self.at)
    }
}

fn dead() -> StoreError {
    StoreError::new(Kind::Internal, "the caller died")
}

impl EventStore for Dying {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        let dies = self.dies();
        Box::pin(async move {
            match dies {
                None => self.inner.append(batch).await,
                Some(true) if self.death == Death::After => {
                    drop(self.inner.append(batch).await);
                    Err(dead())
                }
                Some(_) => Err(dead()),
            }
        })
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        match self.dies() {
            None => self.inner.read(request),
            Some(_) => EventStream::of([Err(dead())]),
        }
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.inner.subscribe(request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        match self.dies() {
            None => self.inner.head(),
            Some(_) => Box::pin(std::future::ready(Err(dead()))),
        }
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        match self.dies() {
            None => self.inner.stream_info(stream),
            Some(_) => Box::pin(std::future::ready(Err(dead()))),
        }
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        match self.dies() {
            None => self.inner.streams(request),
            Some(_) => Box::pin(std::future::ready(Err(dead()))),
        }
    }
}
