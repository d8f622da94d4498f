//! A store whose reads are counted, held and broken.

use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use factum_store::{
    AppendBatch, EventStore, EventStream, Kind, MemoryStore, ReadRequest, Receipt, StoreError,
    StreamInfo, StreamsRequest, SubscribeRequest, Subscription,
};
use factum_types::{Position, RecordedEvent, StreamName};
use futures_core::Stream;
use futures_core::future::BoxFuture;

use crate::support;

#[derive(Default)]
pub(super) struct Watched {
    store: MemoryStore,
    shared: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    given: AtomicUsize,
    reads: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Events at these positions are not given, until others are.
    held: Range<u64>,
    waiting: Vec<Waker>,
    /// In place of an event, once.
    faults: Vec<(u64, StoreError)>,
    damaged: Vec<u64>,
}

impl Watched {
    pub(super) const fn behind(&self) -> &MemoryStore {
        &self.store
    }

    pub(super) fn append_one(&self, stream: &str, name: &str) {
        support::append(&self.store, stream, &[name]);
    }

    /// How many events it gave.
    pub(super) fn given(&self) -> usize {
        self.shared.given.load(Ordering::SeqCst)
    }

    pub(super) fn reads(&self) -> usize {
        self.shared.reads.load(Ordering::SeqCst)
    }

    pub(super) fn hold(&self, held: Range<u64>) {
        let waiting = {
            let mut state = self.shared.state.lock().unwrap();
            state.held = held;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The same, found by the next poll before anybody is woken.
    pub(super) fn release_quietly(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.held = 0..0;
        state.waiting.clear();
    }

    pub(super) fn fail(&self, position: u64, error: StoreError) {
        let mut state = self.shared.state.lock().unwrap();
        state.faults.push((position, error));
    }

    pub(super) fn damage(&self, position: u64) {
        self.shared.state.lock().unwrap().damaged.push(position);
    }
}

struct Items {
    events: Option<EventStream>,
    next: Option<RecordedEvent>,
    seen: Arc<Seen>,
}

impl Stream for Items {
    type Item = Result<RecordedEvent, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(events) = &mut this.events else {
            return Poll::Ready(None);
        };
        let event = match this.next.take() {
            Some(event) => event,
            None => match Pin::new(events).poll_next(context) {
                Poll::Ready(Some(Ok(event))) => event,
                other => return other,
            },
        };
        let mut state = this.seen.state.lock().unwrap();
        let at = event.position.raw();
        if state.held.contains(&at) {
            state.waiting.push(context.waker().clone());
            this.next = Some(event);
            return Poll::Pending;
        }
        if let Some(index) = state
            .faults
            .iter()
            .position(|(position, _)| *position == at)
        {
            this.events = None;
            return Poll::Ready(Some(Err(state.faults.remove(index).1)));
        }
        if state.damaged.contains(&at) {
            return Poll::Ready(Some(Err(StoreError::new(Kind::Corrupt, "event damaged"))));
        }
        this.seen.given.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(event)))
    }
}

impl EventStore for Watched {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        self.store.append(batch)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.shared.reads.fetch_add(1, Ordering::SeqCst);
        EventStream::new(Items {
            events: Some(self.store.read(request)),
            next: None,
            seen: Arc::clone(&self.shared),
        })
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
