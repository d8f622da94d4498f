//! Several runners over one read of the log: a store in front of a store, whose readers share what they read.
//!
//! What lives here: [`SharedReads`]. What was read lately is in `cache`, what is being read in `reading`, which sources are read as one in
//! `covers`, and the stream that a reader is given in `reader`. Relies on: a clock. Never: lets one reader wait for another; whoever waits for
//! events that someone else began to read drives that read itself, so nothing hangs when the other is slow, dropped or gone.
//!
//! # What a reader is given
//!
//! The same as by the store underneath, event by event. Events that many streams are read for are never changed and never taken away by
//! settings or deletions, so one that was read lately is right; after some seconds it is read again all the same. The *end* is never taken from the
//! cache: a reader has come to it only when a read that was begun after its own said so. An error is given to those who waited for that read, and
//! not kept; from a damaged event on, each reads by itself, up to the end of its stream.
//!
//! Passed on as they are: reads of single streams, whose settings hide events from one moment to the next; reads backwards, with a limit, or with
//! control records; appends, subscriptions, and everything else.

mod cache;
mod covers;
mod reader;
mod reading;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_framework::World;
use factum_store::{
    AppendBatch, Direction, EventStore, EventStream, ReadFrom, ReadRequest, Receipt, Source,
    StoreError, StreamInfo, StreamsRequest, SubscribeRequest, Subscription,
};
use factum_types::{Position, StreamName};
use futures_core::future::BoxFuture;

use cache::Cache;
use covers::Covers;
use reader::Reader;

/// How many bytes of events are kept at most, unless told otherwise.
const CACHE_BYTES: usize = 32 << 20;
/// For how long what was read is given to others, and a source counts as being read.
const AGE_NS: u64 = 5_000_000_000;

/// A store whose readers read together: runners that go in step cause one read, each event of which is fetched and decoded once.
///
/// A runner that is far from the others reads by itself, and nobody waits for it. Give all runners a clone of one [`Arc`] of this.
///
/// Readers of the same source always share. Readers of different ones do when these are told beforehand ([`over`](Self::over)) and can be
/// read as one: types and tags can, and everything can where one of the readers reads everything. Then the events of all are read once, and
/// each reader is given its own, as long as another one is near; one that is alone reads its own source.
///
/// It keeps at most 32 MiB of events, and gives nobody what it read more than five seconds before. What it promises is what the store
/// promises; the module says how.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_projection::{MemorySink, Runner, SharedReads, kit};
///
/// # pollster::block_on(async {
/// let store = kit::log().await;
/// let shared = Arc::new(SharedReads::new(store));
/// for _ in 0..3 {
///     let sink = MemorySink::new(kit::orders_tables())?;
///     let mut runner = Runner::new(shared.clone(), sink, kit::Orders::default());
///     runner.run_until_caught_up().await?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct SharedReads {
    shared: Arc<Shared>,
}

/// What all readers have in common.
struct Shared {
    store: Arc<dyn EventStore>,
    world: World,
    covers: Covers,
    cache: Mutex<Cache>,
    /// Numbers moments: of two, the one with the greater number came later.
    moments: AtomicU64,
}

impl SharedReads {
    /// Readers of the same source share.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self::over(store, [])
    }

    /// Readers of these sources share what they can.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use factum_projection::SharedReads;
    /// use factum_store::{EventStore, MemoryStore, ReadRequest, Source};
    /// use factum_types::{EventType, Query};
    ///
    /// let placed = Source::Query(Query::event_type(EventType::new("OrderPlaced")?));
    /// let paid = Source::Query(Query::event_type(EventType::new("OrderPaid")?));
    /// let shared = SharedReads::over(Arc::new(MemoryStore::new()), [placed.clone(), paid]);
    /// let events = pollster::block_on(shared.read(ReadRequest::forward(placed)).collect())?;
    /// assert!(events.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn over(store: Arc<dyn EventStore>, sources: impl IntoIterator<Item = Source>) -> Self {
        let world = World::real();
        let cache = Cache::new(CACHE_BYTES, world.clock.monotonic_ns());
        Self::with(store, world, Covers::new(sources), cache)
    }

    fn with(store: Arc<dyn EventStore>, world: World, covers: Covers, cache: Cache) -> Self {
        let shared = Shared {
            store,
            world,
            covers,
            cache: Mutex::new(cache),
            moments: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The time from elsewhere. What was shared so far is forgotten.
    #[must_use]
    pub fn with_world(self, world: World) -> Self {
        let (store, covers) = (Arc::clone(&self.shared.store), self.shared.covers.clone());
        let cache = Cache::new(self.shared.cache().bytes_max(), world.clock.monotonic_ns());
        Self::with(store, world, covers, cache)
    }

    /// How many bytes of events are kept at most. Default: 32 MiB. Each reader holds up to 256 KiB and one event besides.
    #[must_use]
    pub fn cache_bytes(self, bytes: usize) -> Self {
        self.shared.cache().limit(bytes);
        self
    }
}

impl Shared {
    /// A moment after all that were asked for before.
    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    fn now_ns(&self) -> u64 {
        self.world.clock.monotonic_ns()
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a read that can be shared begins; `None` for one that is passed on.
fn shareable(request: &ReadRequest) -> Option<Position> {
    let is_plain = request.direction == Direction::Forward
        && request.limit.is_none()
        && !request.control
        && !matches!(request.source, Source::Stream(_))
        && request.validate().is_ok();
    match request.from {
        ReadFrom::Start if is_plain => Some(Position::START),
        ReadFrom::Position(at) if is_plain => Some(at),
        _ => None,
    }
}

impl EventStore for SharedReads {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        self.shared.store.append(batch)
    }

    fn append_each(
        &self,
        batches: Vec<AppendBatch>,
    ) -> BoxFuture<'_, Vec<Result<Receipt, StoreError>>> {
        self.shared.store.append_each(batches)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        match shareable(&request) {
            Some(from) => {
                let reader = Reader::new(Arc::clone(&self.shared), request.source, from);
                EventStream::new(reader)
            }
            None => self.shared.store.read(request),
        }
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.shared.store.subscribe(request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        self.shared.store.head()
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        self.shared.store.stream_info(stream)
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        self.shared.store.streams(request)
    }
}

impl std::fmt::Debug for SharedReads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedReads")
            .field("covers", &self.shared.covers)
            .finish_non_exhaustive()
    }
}
