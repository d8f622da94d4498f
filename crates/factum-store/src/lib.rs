//! The contract that all stores keep: append, read, subscribe, and what the answers mean.
//!
//! What lives here: the traits [`EventStore`], [`SnapshotStore`] and [`CheckpointStore`], the requests and answers, the error kinds,
//! and the memory store, which *defines* what is correct.
//! Relies on: factum-types. Never: names an engine, a runtime or a wire.

pub mod append;
pub mod error;
pub mod memory;
pub mod read;
pub mod shared;
mod snapshot;
pub mod stream_info;
pub mod subscribe;

use futures_core::future::BoxFuture;

pub use append::{AppendBatch, Change, Condition, Receipt, StreamReceipt, StreamWrite};
pub use error::{Conflict, ConflictReason, Damage, Kind, StoreError};
pub use memory::MemoryStore;
pub use read::{Direction, EventStream, ReadFrom, ReadRequest, Source};
pub use snapshot::{Checkpoint, CheckpointStore, Snapshot, SnapshotStore};
pub use stream_info::{StreamInfo, StreamState, StreamsRequest};
pub use subscribe::{SubscribeFrom, SubscribeRequest, Subscription, SubscriptionItem};

use factum_types::{Position, StreamName};

/// A store of events.
///
/// Every implementation passes the suite of `factum-conformance`; what that suite asks is what this trait promises. All methods may
/// be called from any thread and any runtime, many at once. The rules in full, with their order, are in [`memory`].
pub trait EventStore: Send + Sync {
    /// Appends a batch, all of it or none, and says where it landed.
    ///
    /// Events keep their order and receive consecutive revisions in their streams and increasing positions. Writes are judged in
    /// order: a later write to the same stream sees the earlier one. When this returns `Ok`, the events survive a power failure
    /// and are visible to every read that begins afterwards.
    ///
    /// Conditions are judged against what was there before the batch.
    ///
    /// The same events again (the same ids in the same streams, under the same expectations) are answered with the first receipt and
    /// `replayed: true`; changes without events in the batch are not looked at then. Ids are compared within one stream only, and an
    /// exact expectation that holds is not compared with what is there. For exact expectations that holds for ever; for [`Any`](factum_types::ExpectedRevision::Any), for
    /// [`StreamExists`](factum_types::ExpectedRevision::StreamExists) and for query conditions it holds within the store's
    /// window of recent ids.
    ///
    /// # Errors
    /// - [`Kind::Conflict`]: an expectation or condition does not hold; read again and decide again. Nothing was written. It is
    ///   only answered once what it was judged against is durable.
    /// - [`Kind::Invalid`]: over a limit, an id used for something else before, or nothing to append.
    /// - [`Kind::Deleted`]: a stream has a tombstone.
    /// - [`Kind::Unavailable`]: nothing was written; try again.
    /// - [`Kind::Unknown`]: it is not known whether it was written; retry with the same ids, which is safe.
    /// - [`Kind::Full`], [`Kind::ReadOnly`]: nothing was written, and nothing will be until someone acts.
    /// - [`Kind::Corrupt`]: nothing was written. The last event of a stream may be among events that were lost, so that its next revision is
    ///   not known.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the outcome unknown, as for [`Kind::Unknown`]; it never splits the batch and never disturbs others.
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>>;

    /// Appends each of these batches, as [`append`](Self::append) would with all of them under way at once, and answers each, in their order.
    ///
    /// There are as many answers as batches. They are handed over in their order, before any is waited for, and judged in it, unless the store has to
    /// look at one again, which may then be after later ones. Each stands or falls by itself: it is whole or not at all, and what
    /// is wrong with one says nothing of the others. (As this is written here, their order is that in which `append` takes them up: as a rule, when
    /// its future is first polled.) A store that has one thing to do for all of them does it once; so it takes less than as many
    /// calls, but answers none before it can answer all.
    ///
    /// # Errors
    /// Each as that of [`append`](Self::append).
    ///
    /// # Cancel safety
    /// As for [`append`](Self::append): dropping the future leaves the outcome of each unknown.
    fn append_each(
        &self,
        batches: Vec<AppendBatch>,
    ) -> BoxFuture<'_, Vec<Result<Receipt, StoreError>>> {
        let appends = batches.into_iter().map(|batch| self.append(batch));
        Box::pin(futures_util::future::join_all(appends))
    }

    /// Reads events, oldest first or newest first.
    ///
    /// The stream ends at what was published when it got there: a forward read may include events appended while it runs, never with
    /// a gap. A damaged event is an `Err` of [`Kind::Corrupt`] *in its place*, and the stream goes on after it; every other error ends
    /// the stream.
    ///
    /// Reading one stream gives what its settings leave; it may be nothing, which is not the same as missing. Reading across streams
    /// gives everything stored. A start beyond the end gives nothing forwards and begins at the last event backwards. Control
    /// records, when asked for, count for the limit and are not hidden by settings.
    ///
    /// # Errors (as the first item)
    /// - [`Kind::NotFound`]: the stream never had an event, or was deleted.
    /// - [`Kind::Deleted`]: the stream has a tombstone.
    /// - [`Kind::Invalid`]: a revision was given for a source that has none, or a query is over its limits.
    fn read(&self, request: ReadRequest) -> EventStream;

    /// Follows events: everything from the starting point on, then what is appended, without a gap or a repeat.
    ///
    /// A subscription to a missing or deleted stream waits; one to a stream with a tombstone ends with [`Kind::Deleted`] after the
    /// events before it, and at once when the tombstone was there first. What a stream's settings hid when the subscription was made
    /// is left out. A filtered one is sent a checkpoint when only other events came; saving snapshots and checkpoints sends none, or
    /// a consumer that saves each checkpoint would never come to rest.
    ///
    /// # Cancel safety
    /// Dropping the subscription ends it. An item is lost only if it was already taken.
    fn subscribe(&self, request: SubscribeRequest) -> Subscription;

    /// The position of the last published record, `None` when the store is empty.
    ///
    /// Records that readers do not see count, so this is what a reader at the end has read up to.
    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>>;

    /// What is known about one stream; a stream that never was is answered with [`StreamState::Missing`].
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when events were lost and its last one may be among them.
    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>>;

    /// Streams in order of their names, a page at a time. Of a stream that has lost events, it says what is left.
    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>>;
}
