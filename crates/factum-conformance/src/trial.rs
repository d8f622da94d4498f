//! One store under test, and what a case does with it.
//!
//! Every call waits at most as long as the knobs say; a store that hangs is answered with an error of kind `Internal` that says so.

use std::fmt::{self, Display};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use factum_store::{
    AppendBatch, Change, Kind, ReadRequest, Receipt, Snapshot, Source, StoreError, StreamInfo,
    StreamsRequest, SubscribeRequest, Subscription, SubscriptionItem,
};
use factum_types::{
    EventId, ExpectedRevision, NewEvent, Position, RecordedEvent, StreamName, StreamSettings,
};

use crate::check::{Stop, fail};
use crate::wait::{block_on, block_on_while, poll_once};
use crate::words::typed;
use crate::{Knobs, TestStore};

/// A fresh store, and what is needed to try something on it.
pub struct Trial {
    /// The store.
    pub store: Arc<dyn TestStore>,
    /// What it can do besides, and how hard to test it.
    pub knobs: Knobs,
    ids: AtomicU64,
}

impl Trial {
    /// A trial of this store.
    #[must_use]
    pub fn new(store: Arc<dyn TestStore>, knobs: Knobs) -> Self {
        Self {
            store,
            knobs,
            ids: AtomicU64::new(1),
        }
    }

    /// What the future gives; an error when it takes too long.
    pub(crate) fn wait<T>(
        &self,
        what: impl Display,
        future: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        let patience = self.knobs.patience;
        block_on(patience, future).ok_or_else(|| {
            StoreError::new(
                Kind::Internal,
                format!("no answer after {patience:?}: {what}"),
            )
        })
    }

    pub(crate) fn append(&self, batch: AppendBatch) -> Result<Receipt, StoreError> {
        self.wait("append", self.store.append(batch))?
    }

    pub(crate) fn append_each(
        &self,
        batches: Vec<AppendBatch>,
    ) -> Result<Vec<Result<Receipt, StoreError>>, StoreError> {
        self.wait("append each", self.store.append_each(batches))
    }

    /// Appends events to one stream.
    pub(crate) fn add(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
    ) -> Result<Receipt, StoreError> {
        self.append(AppendBatch::events(stream.clone(), expected, events))
    }

    /// Appends so many new events to one stream, whatever it holds; gives them.
    pub(crate) fn fill(
        &self,
        stream: &StreamName,
        count: usize,
    ) -> Result<Vec<NewEvent>, StoreError> {
        let events = self.events("Filled", count);
        self.add(stream, ExpectedRevision::Any, events.clone())?;
        Ok(events)
    }

    /// Changes one stream, whatever it holds.
    pub(crate) fn change(
        &self,
        stream: &StreamName,
        change: Change,
    ) -> Result<Receipt, StoreError> {
        self.append(AppendBatch::change(
            stream.clone(),
            ExpectedRevision::Any,
            change,
        ))
    }

    pub(crate) fn set(
        &self,
        stream: &StreamName,
        settings: StreamSettings,
    ) -> Result<Receipt, StoreError> {
        self.change(stream, Change::Settings(settings))
    }

    /// A new event with JSON data of its own.
    pub(crate) fn event(&self, event_type: &str) -> NewEvent {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        NewEvent::json(
            id(number),
            typed(event_type),
            format!("{{\"number\":{number}}}"),
        )
    }

    pub(crate) fn events(&self, event_type: &str, count: usize) -> Vec<NewEvent> {
        (0..count).map(|_| self.event(event_type)).collect()
    }

    pub(crate) fn read(&self, request: ReadRequest) -> Result<Vec<RecordedEvent>, StoreError> {
        self.wait(format!("{request:?}"), self.store.read(request).collect())?
    }

    pub(crate) fn read_all(&self) -> Result<Vec<RecordedEvent>, StoreError> {
        self.read(ReadRequest::all())
    }

    pub(crate) fn read_stream(
        &self,
        stream: &StreamName,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.read(ReadRequest::stream(stream.clone()))
    }

    pub(crate) fn head(&self) -> Result<Option<Position>, StoreError> {
        self.wait("head", self.store.head())?
    }

    pub(crate) fn info(&self, stream: &StreamName) -> Result<StreamInfo, StoreError> {
        self.wait("stream_info", self.store.stream_info(stream.clone()))?
    }

    pub(crate) fn streams(&self, request: StreamsRequest) -> Result<Vec<StreamInfo>, StoreError> {
        self.wait("streams", self.store.streams(request))?
    }

    pub(crate) fn save(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        self.wait("save_snapshot", self.store.save_snapshot(snapshot))?
    }

    pub(crate) fn load(
        &self,
        stream: &StreamName,
        key: &str,
        at_most: Option<u64>,
    ) -> Result<Option<Snapshot>, StoreError> {
        let found = self
            .store
            .load_snapshot(stream.clone(), key.to_owned(), at_most);
        self.wait("load_snapshot", found)?
    }

    pub(crate) fn list(&self, stream: &StreamName) -> Result<Vec<Snapshot>, StoreError> {
        let found = self.store.list_snapshots(stream.clone());
        self.wait("list_snapshots", found)?
    }

    pub(crate) fn drop_all(&self, stream: &StreamName, key: &str) -> Result<(), StoreError> {
        let dropped = self.store.drop_snapshots(stream.clone(), key.to_owned());
        self.wait("drop_snapshots", dropped)?
    }

    pub(crate) fn follow(&self, request: SubscribeRequest) -> Follow<'_> {
        Follow {
            trial: self,
            subscription: self.store.subscribe(request),
        }
    }

    pub(crate) fn follow_from_start(&self, source: Source) -> Follow<'_> {
        self.follow(SubscribeRequest::new(source))
    }

    /// Chance for one use in a case, from the seed.
    pub(crate) fn random(&self, salt: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.knobs.seed ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Moves the clock, or says that the case cannot be tried.
    pub(crate) fn advance(&self, by: Duration) -> Result<(), Stop> {
        match &self.knobs.advance_time {
            Some(advance) => {
                advance(by);
                Ok(())
            }
            None => Err(Stop::Skipped(
                "the factory cannot move the clock".to_owned(),
            )),
        }
    }

    /// Runs `work` on so many threads, all starting at once; gives what each gave, in the order of their numbers.
    pub(crate) fn threads<T: Send>(
        &self,
        count: usize,
        work: impl Fn(usize) -> Result<T, Stop> + Sync,
    ) -> Result<Vec<T>, Stop> {
        let start = Barrier::new(count);
        let (start, work) = (&start, &work);
        thread::scope(|scope| {
            let running: Vec<_> = (0..count)
                .map(|number| {
                    scope.spawn(move || {
                        start.wait();
                        work(number)
                    })
                })
                .collect();
            let done: Vec<_> = running
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect();
            done.into_iter()
                .map(|joined| joined.unwrap_or_else(|_| fail("a thread of the case panicked")))
                .collect()
        })
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial")
            .field("knobs", &self.knobs)
            .finish_non_exhaustive()
    }
}

/// The id with this number; the top bytes keep it apart from those of control records.
pub(crate) fn id(number: u64) -> EventId {
    EventId::from_bytes(((0xC0DE_u128 << 112) | u128::from(number)).to_be_bytes())
}

/// A subscription under test.
pub(crate) struct Follow<'a> {
    trial: &'a Trial,
    subscription: Subscription,
}

impl Follow<'_> {
    /// The next item, or the error that ended it.
    pub(crate) fn next(&mut self) -> Result<Option<SubscriptionItem>, StoreError> {
        self.trial
            .wait("the next item of a subscription", self.subscription.next())?
            .transpose()
    }

    /// The next item that comes because of what is done meanwhile: the subscription is waiting when that begins.
    pub(crate) fn next_while(
        &mut self,
        meanwhile: impl FnOnce(),
    ) -> Result<Option<SubscriptionItem>, StoreError> {
        let patience = self.trial.knobs.patience;
        match block_on_while(patience, self.subscription.next(), meanwhile) {
            Some(item) => item.transpose(),
            None => Err(StoreError::new(
                Kind::Internal,
                "a waiting subscription was not woken",
            )),
        }
    }

    /// The next item if it is there already.
    pub(crate) fn next_if_ready(&mut self) -> Result<Option<SubscriptionItem>, StoreError> {
        poll_once(self.subscription.next()).flatten().transpose()
    }

    /// The next event, passing over everything else.
    pub(crate) fn event(&mut self) -> Result<RecordedEvent, Stop> {
        loop {
            match self.next()? {
                Some(SubscriptionItem::Event(event)) => return Ok(*event),
                Some(_) => {}
                None => return fail("the subscription ended"),
            }
        }
    }

    pub(crate) fn events(&mut self, count: usize) -> Result<Vec<RecordedEvent>, Stop> {
        let mut events = Vec::with_capacity(count);
        for number in 0..count {
            events.push(
                self.event()
                    .map_err(|stop| stop.at(format!("event {number} of {count}")))?,
            );
        }
        Ok(events)
    }

    /// The events up to where it has caught up.
    pub(crate) fn caught_up(&mut self) -> Result<(Vec<RecordedEvent>, Option<Position>), Stop> {
        let mut events = Vec::new();
        loop {
            match self.next()? {
                Some(SubscriptionItem::Event(event)) => events.push(*event),
                Some(SubscriptionItem::CaughtUp(head)) => return Ok((events, head)),
                Some(_) => {}
                None => return fail("the subscription ended before it had caught up"),
            }
        }
    }

    /// Reads items until a checkpoint that is not before `position`; an event fails.
    pub(crate) fn checkpoint_at(&mut self, position: Position) -> Result<Position, Stop> {
        loop {
            match self.next()? {
                Some(SubscriptionItem::Checkpoint(found)) if found >= position => return Ok(found),
                Some(SubscriptionItem::Event(event)) => {
                    return fail(format!("an event where a checkpoint was due: {event:?}"));
                }
                Some(_) => {}
                None => return fail("the subscription ended"),
            }
        }
    }
}
