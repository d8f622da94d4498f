//! The memory store: what is correct, written to be checked by reading.
//!
//! What lives here: [`MemoryStore`] and, in its submodules, the rules of the contract in their plainest form: `append` judges and
//! writes, `replay` recognises a retry, `read` selects, `subscribe` follows, `state` holds.
//! Relies on: a clock that is handed in. Never: reads the real clock, keeps a derived index that a rule could disagree with
//! (but for the records, the revisions and the ids of each stream), or drops a record.
//!
//! # Rules that the types do not say
//!
//! **Positions** count records from 0: events, tombstone, delete and settings records, saved snapshots and saved checkpoints take one
//! each. No read shows snapshots and checkpoints.
//!
//! **Order of judgement.** First what does not depend on what is stored (limits; an id twice in one stream). Then the conditions, in
//! order, against the state before the batch; then the writes, in order, each seeing those before it. The first that fails decides:
//! [`Kind::Deleted`](crate::Kind::Deleted) for a write to a stream with a tombstone, otherwise [`Kind::Conflict`](crate::Kind::Conflict) unless the batch is a replay. Then ids
//! that are already in use, then the times given.
//!
//! **Expectations.** `NoStream` holds for a stream that never had an event or is deleted; `StreamExists` for a live one; `Exactly(n)`
//! when the last event, deleted or not, has revision n. As a condition on a stream with a tombstone only `Any` holds.
//!
//! **Changes.** Deleting needs a live stream, whatever is expected; it hides what is there by raising `truncate_before`. Settings
//! and tombstones are allowed on a stream without events. On a deleted stream, settings never lower `truncate_before` below the
//! deletion. Writing events makes a deleted stream live again; its numbers go on, `truncate_before` stays.
//!
//! **Replays.** A batch with events is a replay when every event of it is already in its stream, consecutively, by id: from revision
//! n + 1 for `Exactly(n)`; from the last deletion or from 0 for `NoStream`; from where the first id was last recorded for `Any` and
//! `StreamExists`. Its changes without events are not looked at. It is asked for when something does not hold, and when everything
//! holds but an id of an `Any` or `StreamExists` write is already in its stream; such an id in a batch that is no replay is refused.
//! An `Exactly` or `NoStream` write that holds is never compared with what is there. A replay must repeat type, data, content type,
//! schema version and metadata; tags, the personal section and the time are not compared (tags are indexed, not read back;
//! personal sections are sealed anew by each attempt and may since have been erased; the time is the store's).
//!
//! **Conflicts** carry what reading the stream again would give: from n + 1 for `Exactly(n)`, everything for `NoStream`, nothing for
//! `StreamExists` and `Any`; for a query, the matching events, and as position that of the last of them.
//!
//! **Times** never go backwards. All records of a batch have the time of the append, except events that bring their own, which must
//! lie between the record before and the time of the append.
//!
//! **Control records** (read with `control: true`) have type `$tombstoned`, `$deleted` or `$settings`, the revision that the next
//! event would have, an id made from their position, and JSON data: the settings as they hold from there, otherwise `{}`. They never
//! match a query and are never hidden by settings.
//!
//! **Subscriptions** to a stream leave out what its settings hid when the subscription was made, and deliver everything since, even if
//! it was hidden meanwhile. Checkpoints are sent for passed-over events and control records, not for saved snapshots and
//! checkpoints: a consumer that saves each checkpoint it is sent would otherwise never come to rest.

mod append;
mod control;
mod read;
mod replay;
mod state;
mod subscribe;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use factum_types::{Position, StreamName, Timestamp};
use futures_core::future::BoxFuture;

use crate::EventStore;
use crate::append::{AppendBatch, Receipt};
use crate::error::StoreError;
use crate::read::{EventStream, ReadRequest};
use crate::snapshot::{Checkpoint, CheckpointStore, Snapshot, SnapshotStore};
use crate::stream_info::{StreamInfo, StreamsRequest};
use crate::subscribe::{SubscribeRequest, Subscription};

use state::State;
use subscribe::Follower;

/// 2024-01-01T00:00:00Z, where a counting clock begins, in microseconds.
const COUNT_START_MICROS: i64 = 1_704_067_200_000_000;
/// By how much one change moves a counting clock, in microseconds.
const COUNT_STEP_MICROS: i64 = 1_000;

/// A store in memory: nothing is durable, everything else is as promised.
///
/// Cloning gives another handle on the same store. Plain appends cost the logarithm of what is stored; a query condition costs
/// the records after its position.
///
/// ```
/// # use factum_store::{AppendBatch, EventStore, MemoryStore, ReadRequest};
/// # use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let stream = StreamName::new("order-1")?;
/// let placed = NewEvent::json(EventId::from_bytes([1; 16]), EventType::new("OrderPlaced")?, "{}");
/// let receipt =
///     store.append(AppendBatch::events(stream.clone(), ExpectedRevision::NoStream, vec![placed])).await?;
/// let events = store.read(ReadRequest::stream(stream)).collect().await?;
/// assert_eq!(events[0].position, receipt.last);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    state: Mutex<State>,
}

enum Clock {
    /// Moves with each append and save, never between: the same calls give the same times.
    Counting,
    Given(Arc<dyn Fn() -> Timestamp + Send + Sync>),
}

impl MemoryStore {
    /// An empty store whose clock begins at 2024-01-01T00:00:00Z and moves by one millisecond with each append and each save.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Clock::Counting)
    }

    /// An empty store that takes the time from `clock`, which may go backwards: times in the store will not.
    ///
    /// The clock is read while the store is locked: it must not call the store, and must not panic.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self::with(Clock::Given(clock))
    }

    fn with(clock: Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                state: Mutex::default(),
            }),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the lock")
    }

    /// The time now, by this clock and never before the last record.
    fn now(&self, state: &State) -> Timestamp {
        let clock = match &self.clock {
            Clock::Counting => {
                let steps = i64::try_from(state.changes).unwrap_or(i64::MAX);
                let passed = steps.saturating_mul(COUNT_STEP_MICROS);
                Timestamp::from_micros(COUNT_START_MICROS.saturating_add(passed))
            }
            Clock::Given(clock) => clock(),
        };
        state.last_time.map_or(clock, |last| last.max(clock))
    }

    /// Changes the state, then wakes every waiting subscription, with the lock released.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (outcome, wakers) = {
            let mut state = self.lock();
            state.changes += 1;
            let now = self.now(&state);
            let outcome = change(&mut state, now)?;
            (outcome, std::mem::take(&mut state.waiting))
        };
        for waker in wakers.into_values() {
            waker.wake();
        }
        Ok(outcome)
    }
}

impl EventStore for MemoryStore {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        Box::pin(async move { self.shared.change(|state, now| state.append(batch, now)) })
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let state = self.shared.lock();
        match state.read(&request, self.shared.now(&state)) {
            Ok(events) => EventStream::of(events.into_iter().map(Ok)),
            Err(error) => EventStream::of([Err(error)]),
        }
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        Subscription::new(Follower::new(Arc::clone(&self.shared), request))
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        Box::pin(async move { Ok(self.shared.lock().head()) })
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        Box::pin(async move { Ok(self.shared.lock().stream_info(&stream)) })
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        Box::pin(async move { Ok(self.shared.lock().streams(&request)) })
    }
}

impl SnapshotStore for MemoryStore {
    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            snapshot.validate()?;
            self.shared.change(|state, now| {
                state.save_snapshot(Snapshot {
                    time: now,
                    ..snapshot
                });
                state.records.push(None);
                Ok(())
            })
        })
    }

    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(async move { Ok(self.shared.lock().snapshot(stream, key, at_most)) })
    }

    fn list_snapshots(
        &self,
        stream: StreamName,
    ) -> BoxFuture<'_, Result<Vec<Snapshot>, StoreError>> {
        Box::pin(async move { Ok(self.shared.lock().list_snapshots(&stream)) })
    }

    fn drop_snapshots(
        &self,
        stream: StreamName,
        key: String,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            Snapshot::new(stream.clone(), key.clone(), 0, "").validate()?;
            self.shared.change(|state, _| {
                state.snapshots.remove(&(stream, key));
                state.records.push(None);
                Ok(())
            })
        })
    }
}

impl CheckpointStore for MemoryStore {
    fn save_checkpoint(
        &self,
        consumer: String,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.shared.change(|state, _| {
                state.checkpoints.insert(consumer, checkpoint);
                state.records.push(None);
                Ok(())
            })
        })
    }

    fn load_checkpoint(
        &self,
        consumer: String,
    ) -> BoxFuture<'_, Result<Option<Checkpoint>, StoreError>> {
        Box::pin(async move { Ok(self.shared.lock().checkpoints.get(&consumer).cloned()) })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("head", &self.shared.lock().head())
            .finish()
    }
}
