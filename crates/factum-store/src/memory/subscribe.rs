//! Following the records as they come.
//!
//! A subscription looks at every record once, in order of position, under the lock, so that it can neither miss one nor see one twice;
//! at the end it leaves its waker with the state, and every change wakes all.
//! Never: holds records of its own.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use factum_types::{RecordKind, RecordedEvent, Revision};
use futures_core::Stream;

use crate::error::StoreError;
use crate::read::Source;
use crate::stream_info::StreamState;
use crate::subscribe::{SubscribeFrom, SubscribeRequest, SubscriptionItem};

use super::Shared;
use super::append::tombstoned;
use super::state::{State, index_of};

/// One subscription.
pub(super) struct Follower {
    shared: Arc<Shared>,
    /// Its number, under which its waker waits.
    number: u64,
    source: Source,
    control: bool,
    /// Records of earlier revisions are left out; for one stream.
    first_revision: Revision,
    /// Events of earlier revisions were hidden when the subscription was made; for one stream.
    visible_from: Revision,
    /// Every record before this index has been looked at.
    next: usize,
    /// Whether a record that could be shown was passed over since the last item.
    passed: bool,
    phase: Phase,
}

#[derive(Clone)]
enum Phase {
    CatchingUp,
    Live,
    /// Says this, then ends.
    Ending(StoreError),
    Ended,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, request: SubscribeRequest) -> Self {
        let mut state = shared.lock();
        let now = shared.now(&state);
        state.subscriptions += 1;
        let number = state.subscriptions;
        let mut next = 0;
        let (mut first_revision, mut visible_from) = (Revision::FIRST, Revision::FIRST);
        match request.from {
            SubscribeFrom::Start => {}
            SubscribeFrom::End => next = state.records.len(),
            SubscribeFrom::After(position) => next = index_of(position).saturating_add(1),
            SubscribeFrom::AfterRevision(known) => {
                first_revision = Revision::new(known.number().saturating_add(1));
            }
        }
        let mut phase = request
            .validate()
            .err()
            .map_or(Phase::CatchingUp, Phase::Ending);
        if let Source::Stream(stream) = &request.source
            && let Some(log) = state.streams.get(stream)
        {
            visible_from = state.visible_from(log, now);
            if log.heading.state == StreamState::Tombstoned {
                phase = Phase::Ending(tombstoned(stream));
            }
        }
        drop(state);
        let SubscribeRequest {
            source, control, ..
        } = request;
        Self {
            shared,
            number,
            source,
            control,
            first_revision,
            visible_from,
            next,
            passed: false,
            phase,
        }
    }

    /// The next item, `None` when there is nothing to say for now.
    fn advance(&mut self, state: &State) -> Option<Result<SubscriptionItem, StoreError>> {
        while let Some(index) = self.next_index(state) {
            self.next = index + 1;
            let Some(event) = state.shown(index) else {
                continue;
            };
            if self.ends_with(event) {
                self.phase = Phase::Ending(tombstoned(&event.stream));
            }
            if self.wants(event) {
                self.passed = false;
                return Some(Ok(SubscriptionItem::Event(Box::new(event.clone()))));
            }
            if let Phase::Ending(_) = self.phase {
                return self.end();
            }
            self.passed = true;
        }
        self.arrive(state)
    }

    /// The next record to look at. Those of other streams are counted as passed over without looking at each.
    fn next_index(&mut self, state: &State) -> Option<usize> {
        let end = state.records.len();
        let Source::Stream(stream) = &self.source else {
            return (self.next < end).then_some(self.next);
        };
        let own = state
            .streams
            .get(stream)
            .map_or(&[][..], |log| &log.records);
        let found = own
            .get(own.partition_point(|&index| index < self.next))
            .copied();
        let passed_over = self.next..found.unwrap_or(end);
        self.passed |= any_shown(state, passed_over);
        found
    }

    /// At the head: says once that it is there, and later how far it got without an event.
    fn arrive(&mut self, state: &State) -> Option<Result<SubscriptionItem, StoreError>> {
        self.next = self.next.max(state.records.len());
        let passed = std::mem::take(&mut self.passed);
        if let Phase::CatchingUp = self.phase {
            self.phase = Phase::Live;
            return Some(Ok(SubscriptionItem::CaughtUp(state.head())));
        }
        let filtered = !matches!(self.source, Source::All);
        let head = state.head().filter(|_| passed && filtered)?;
        Some(Ok(SubscriptionItem::Checkpoint(head)))
    }

    fn end(&mut self) -> Option<Result<SubscriptionItem, StoreError>> {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Ending(error) => Some(Err(error)),
            Phase::CatchingUp | Phase::Live | Phase::Ended => None,
        }
    }

    fn ends_with(&self, event: &RecordedEvent) -> bool {
        event.kind == RecordKind::Tombstone && matches!(self.source, Source::Stream(_))
    }

    fn wants(&self, event: &RecordedEvent) -> bool {
        (self.control || event.kind == RecordKind::Event)
            && self.source.matches(event)
            && event.revision >= self.first_revision
            && (event.kind != RecordKind::Event || event.revision >= self.visible_from)
    }
}

fn any_shown(state: &State, mut range: Range<usize>) -> bool {
    range.any(|index| state.shown(index).is_some())
}

impl Stream for Follower {
    type Item = Result<SubscriptionItem, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.phase {
            Phase::Ended => return Poll::Ready(None),
            Phase::Ending(_) => return Poll::Ready(self.end()),
            Phase::CatchingUp | Phase::Live => {}
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if let Some(item) = self.advance(&state) {
            return Poll::Ready(Some(item));
        }
        let replaced = state.waiting.insert(self.number, context.waker().clone());
        // Dropping a waker may drop a task, and with it another subscription, which takes the lock.
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let waker = state.waiting.remove(&self.number);
        drop(state);
        drop(waker);
    }
}
