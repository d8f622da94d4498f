//! Locks of the file: which are held, and which are needed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use factum_projection::Runner;
use factum_store::{
    AppendBatch, EventStore, EventStream, MemoryStore, ReadRequest, Receipt, StoreError,
    StreamInfo, StreamsRequest, SubscribeRequest, Subscription,
};
use factum_types::{Position, StreamName};
use futures_core::future::BoxFuture;
use pollster::block_on;
use rusqlite::Connection;

use super::support::{OrderDetails, append, open, orders};

/// A store that looks at every read whether the file of the read model can be written.
struct Watching {
    store: Arc<MemoryStore>,
    path: PathBuf,
    reads: AtomicUsize,
    locked: AtomicUsize,
}

impl EventStore for Watching {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        self.store.append(batch)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let other = Connection::open(&self.path).unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        if other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err() {
            self.locked.fetch_add(1, Ordering::SeqCst);
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
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

/// A store that is slow to read, or far away, must not keep others from writing the file.
#[test]
fn the_store_is_read_without_a_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    let store = orders(2);
    append(&store, "order-9", "OrderPlaced", "{}");
    append(&store, "order-9", "OrderConfirmed", "{}");
    let watching = Arc::new(Watching {
        store,
        path: path.clone(),
        reads: AtomicUsize::new(0),
        locked: AtomicUsize::new(0),
    });
    let projector = OrderDetails::default();
    let mut runner = Runner::new(Arc::clone(&watching) as _, open(&path), projector.clone());
    assert_eq!(block_on(runner.run_until_caught_up()).unwrap().parked, 2);
    projector.fixed.store(true, Ordering::SeqCst);
    let before = watching.reads.load(Ordering::SeqCst);
    block_on(runner.retry_parked("order-9")).unwrap();
    assert_eq!(block_on(runner.run_until_caught_up()).unwrap().parked, 0);
    // What was parked is read again, one by one.
    assert!(watching.reads.load(Ordering::SeqCst) >= before + 2);
    assert_eq!(watching.locked.load(Ordering::SeqCst), 0);
}
