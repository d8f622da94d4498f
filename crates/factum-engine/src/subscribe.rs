//! Subscriptions: catch up by reading, then wait for what comes.
//!
//! A subscriber is a cursor. While there is something to read it reads, from memory for what is recent; when it has read everything it
//! leaves its waker, and is woken once when something it may want is published. So a slow subscriber holds no memory and never
//! slows the writer. Wakers are looked through by a thread of their own, off the commit path.
//! Relies on: readers see a frame before anybody is woken for it. Never: skips or repeats an event.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use factum_store::{
    Direction, Kind, Source, StoreError, SubscribeFrom, SubscribeRequest, Subscription,
    SubscriptionItem,
};
use factum_types::Position;
use futures_core::Stream;

use crate::read::stream::{tombstoned, visible_from};
use crate::read::{Chain, Cursor, CursorStart, Item, Items, SourceKeys};
use crate::reader::Reader;
use crate::sequence::TailState;
use crate::sync::{Condvar, Mutex, lock, wait};

/// Who waits for more.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    wakers: BTreeMap<u64, Waker>,
    next_id: u64,
    published: u64,
    dispatched: u64,
    closed: bool,
}

impl Waiters {
    /// Takes note that more was published; cheap, for the commit path.
    pub(crate) fn publish(&self, end: u64) {
        let mut state = lock(&self.state);
        state.published = end;
        let anybody = !state.wakers.is_empty();
        drop(state);
        if anybody {
            self.changed.notify_one();
        }
    }

    /// Wakes everybody for ever: the store is closed.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// Wakes whoever waits, if something was published since the last call. Says how many.
    pub(crate) fn dispatch(&self) -> usize {
        let mut state = lock(&self.state);
        state.dispatched = state.published;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        let count = wakers.len();
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
        count
    }

    /// The dispatcher's thread: wakes whoever waits, whenever something is published, until the store is closed.
    pub(crate) fn run(&self) {
        loop {
            let mut state = lock(&self.state);
            while !state.closed && (state.wakers.is_empty() || state.dispatched == state.published)
            {
                state = wait(&self.changed, state);
            }
            if state.closed {
                return;
            }
            drop(state);
            self.dispatch();
        }
    }

    /// Leaves a waker for when more than `end` is published; says whether that is so already.
    fn arm(&self, id: &mut Option<u64>, end: u64, waker: &Waker) -> bool {
        let mut state = lock(&self.state);
        if state.published > end || state.closed {
            return false;
        }
        // Whoever arms has seen everything published, so nothing is left to dispatch to it.
        let id = *id.get_or_insert_with(|| {
            state.next_id += 1;
            state.next_id
        });
        match state.wakers.entry(id) {
            Entry::Occupied(mut old) => old.get_mut().clone_from(waker),
            Entry::Vacant(place) => drop(place.insert(waker.clone())),
        }
        true
    }

    fn disarm(&self, id: u64) {
        let mut state = lock(&self.state);
        drop(state.wakers.remove(&id));
    }

    /// Sets how far is published when the store is opened.
    pub(crate) fn start(&self, end: u64) {
        let mut state = lock(&self.state);
        state.published = end;
        state.dispatched = end;
    }
}

impl Reader {
    /// Follows events.
    pub(crate) fn subscribe(self: &Arc<Self>, request: &SubscribeRequest) -> Subscription {
        match Following::new(Arc::clone(self), request) {
            Ok(following) => Subscription::new(following),
            Err(error) => Subscription::new(Failed(Some(error))),
        }
    }
}

/// A subscription that never began.
struct Failed(Option<StoreError>);

impl Stream for Failed {
    type Item = Result<SubscriptionItem, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

/// A subscription under way.
struct Following {
    reader: Arc<Reader>,
    cursor: Cursor,
    items: Items,
    chain: Option<Chain>,
    oldest: Option<i64>,
    filtered: bool,
    caught_up: bool,
    /// Everything before this position was reported, by an event, a checkpoint or being caught up.
    reported: u64,
    /// What could be shown before the last page was read ends here.
    shown: u64,
    waiter: Option<u64>,
    /// Set when the stream turned out to be closed for ever.
    ended: bool,
}

impl Following {
    fn new(reader: Arc<Reader>, request: &SubscribeRequest) -> Result<Self, StoreError> {
        request.validate()?;
        let mut revisions = 0..u64::MAX;
        let mut asked = 0..u64::MAX;
        let mut oldest = None;
        let mut chain = None;
        if let Source::Stream(name) = &request.source {
            let tail = reader.stream_tail(name)?;
            if tail.state == TailState::Tombstoned {
                return Err(tombstoned(name));
            }
            (revisions.start, oldest) = visible_from(&tail, || reader.now());
            chain = Some(name.clone());
        }
        let from = match request.from {
            SubscribeFrom::Start => 0,
            SubscribeFrom::End => reader.published.end(),
            SubscribeFrom::After(position) => position.raw().saturating_add(1),
            SubscribeFrom::AfterRevision(revision) => {
                asked.start = revision.number().saturating_add(1);
                0
            }
            _ => return Err(StoreError::invalid("this start is not known to the engine")),
        };
        let source = SourceKeys::new(&request.source, &reader.keyer)?;
        let filtered = !matches!(source, SourceKeys::All);
        let control = request.control;
        let direction = Direction::Forward;
        revisions.start = revisions.start.max(asked.start);
        let chain = chain.map(|name| {
            let known = match request.from {
                SubscribeFrom::Start | SubscribeFrom::AfterRevision(_) => Some(revisions.start),
                _ => None,
            };
            Chain::new(name, true, known)
        });
        let control_revisions = asked;
        let start = CursorStart {
            source,
            direction,
            from,
            revisions,
            control,
            control_revisions,
        };
        let cursor = Cursor::new(start);
        Ok(Self {
            items: Items::new(Arc::clone(&reader)),
            reader,
            cursor,
            chain,
            oldest,
            filtered,
            caught_up: false,
            reported: from,
            shown: 0,
            waiter: None,
            ended: false,
        })
    }

    fn deliver(&mut self, item: Item) -> Result<SubscriptionItem, StoreError> {
        let event = item?;
        self.reported = self.reported.max(event.position.raw() + 1);
        Ok(SubscriptionItem::Event(Box::new(event)))
    }

    /// What to say when everything published has been read.
    fn at_end(&mut self) -> Option<SubscriptionItem> {
        let end = self.cursor.next_position();
        let head = end.checked_sub(1).map(Position::from_raw);
        if !self.caught_up {
            self.caught_up = true;
            self.reported = end;
            return Some(SubscriptionItem::CaughtUp(head));
        }
        // What nobody is shown, such as a saved checkpoint, is no reason for one: its saving would go on for ever.
        let now = self.reader.published.shown_end();
        // What came after the page was read says nothing of what is before its end.
        let passed = [self.shown, now].into_iter().filter(|at| *at <= end).max();
        let moved = self.filtered && passed > Some(self.reported);
        if moved {
            self.reported = end;
        }
        head.filter(|_| moved).map(SubscriptionItem::Checkpoint)
    }

    /// Whether the stream was closed for ever, once everything of it has been read.
    fn closed_for_ever(&self) -> Result<Option<StoreError>, StoreError> {
        let Some(name) = self.chain.as_ref().map(Chain::stream) else {
            return Ok(None);
        };
        let tail = self.reader.stream_tail(name)?;
        // It may have been closed after what was fetched, with events before it.
        let is_read = tail.after_last_record <= self.cursor.next_position();
        let is_closed = tail.state == TailState::Tombstoned && is_read;
        Ok(is_closed.then(|| tombstoned(name)))
    }

    fn poll_item(
        &mut self,
        context: &Context<'_>,
    ) -> Poll<Option<Result<SubscriptionItem, StoreError>>> {
        loop {
            if let Some(item) = self.items.next(&mut self.chain, self.oldest) {
                return Poll::Ready(Some(self.deliver(item)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match self.fetch() {
                // Whoever goes on asks again, from what he has had: some of what could be read may be in the page.
                Err(error) => {
                    self.ended = true;
                    self.items.rest();
                    return Poll::Ready(Some(Err(error)));
                }
                Ok(false) => continue,
                Ok(true) => {}
            }
            if !self.items.is_empty() {
                continue;
            }
            self.items.rest();
            match self.closed_for_ever() {
                Ok(None) => {}
                Ok(Some(closed)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(closed)));
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            if let Some(item) = self.at_end() {
                return Poll::Ready(Some(Ok(item)));
            }
            let end = self.cursor.next_position();
            if self
                .reader
                .waiters
                .arm(&mut self.waiter, end, context.waker())
            {
                return Poll::Pending;
            }
            if self.reader.waiters.is_closed() && self.reader.published.end() <= end {
                self.ended = true;
                let message = "the store was closed";
                return Poll::Ready(Some(Err(StoreError::new(Kind::Unavailable, message))));
            }
        }
    }

    /// Reads on; says whether everything published has been read.
    fn fetch(&mut self) -> Result<bool, StoreError> {
        self.shown = self.reader.published.shown_end();
        self.items.fetch(&mut self.cursor, usize::MAX)
    }
}

impl Stream for Following {
    type Item = Result<SubscriptionItem, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(context)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(id) = self.waiter {
            self.reader.waiters.disarm(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use factum_io::Env;
    use factum_io::sim::SimEnv;
    use factum_store::{AppendBatch, Change, EventStore};
    use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};

    use super::{Arc, Following, Source, SubscribeRequest};
    use crate::{Engine, Options};

    /// All of a page was given, and the stream goes on and is closed before it is asked whether it is.
    #[test]
    fn a_stream_that_was_closed_ends_behind_its_last_event() {
        let mut env = SimEnv::new(7).env();
        env.spawner = Env::real().spawner;
        let store = Engine::open(Options::new("/data"), env).unwrap();
        let stream = StreamName::new("s").unwrap();
        let append = |change| {
            let batch = AppendBatch::change(stream.clone(), ExpectedRevision::Any, change);
            pollster::block_on(store.append(batch)).unwrap();
        };
        let event = |number: u128| {
            let id = EventId::from_bytes(number.to_be_bytes());
            let kind = EventType::new("Happened").unwrap();
            Change::Events(vec![NewEvent::binary(id, kind, "x")])
        };
        append(event(1));
        let request = SubscribeRequest::new(Source::Stream(stream.clone()));
        let reader = Arc::clone(store.reader());
        let mut following = Following::new(reader, &request).unwrap();
        while !following.fetch().unwrap() {}
        append(event(2));
        append(Change::Tombstone);
        assert!(following.closed_for_ever().unwrap().is_none());
        while !following.fetch().unwrap() {}
        assert!(following.closed_for_ever().unwrap().is_some());
        store.close().unwrap();
    }
}
