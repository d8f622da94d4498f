//! A store that another process may write, followed: it is opened again whenever its files have changed.
//!
//! Relies on: reading beside a writer, which takes no lock. Never: writes; tells of an append by itself, so whoever follows asks for the head.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use factum_store::{
    AppendBatch, EventStore, EventStream, Kind, ReadRequest, Receipt, StoreError, StreamInfo,
    StreamsRequest, SubscribeRequest, Subscription,
};
use factum_types::{Position, StreamName};
use futures_util::future::BoxFuture;

use super::engine::Opener;

type Trace = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// A store that is opened again when it has changed.
pub(super) struct Follow {
    opener: Opener,
    now: Mutex<Opened>,
}

struct Opened {
    store: Arc<dyn EventStore>,
    close: Box<dyn FnOnce() + Send>,
    trace: Trace,
    /// Whether the files had changed at the last look: then one look more, because times of files are too coarse to tell two changes in a
    /// row apart.
    again: bool,
}

impl Follow {
    /// Opens the store for the first time.
    pub(super) fn open(opener: Opener) -> Result<Self, StoreError> {
        let trace = super::trace(opener.data());
        let (store, close) = opener.read()?;
        let opened = Opened {
            store,
            close,
            trace,
            again: true,
        };
        Ok(Self {
            opener,
            now: Mutex::new(opened),
        })
    }

    fn now(&self) -> Arc<dyn EventStore> {
        let opened = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&opened.store)
    }

    /// The store as it is now.
    fn fresh(&self) -> Result<Arc<dyn EventStore>, StoreError> {
        let mut opened = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let trace = super::trace(self.opener.data());
        let changed = trace != opened.trace;
        if changed || opened.again {
            let (store, close) = self.opener.read()?;
            let before = std::mem::replace(
                &mut *opened,
                Opened {
                    store,
                    close,
                    trace,
                    again: changed,
                },
            );
            (before.close)();
        }
        Ok(Arc::clone(&opened.store))
    }
}

impl EventStore for Follow {
    fn append(&self, _: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        let refused = StoreError::new(Kind::ReadOnly, "the store was opened to be read");
        Box::pin(std::future::ready(Err(refused)))
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.now().read(request)
    }

    /// Nobody tells us of an append: whoever follows asks now and then.
    fn subscribe(&self, _: SubscribeRequest) -> Subscription {
        Subscription::new(futures_util::stream::pending())
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        Box::pin(async move { self.fresh()?.head().await })
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        Box::pin(async move { self.now().stream_info(stream).await })
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        Box::pin(async move { self.now().streams(request).await })
    }
}
