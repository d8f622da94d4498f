//! Appends that wait, and appends that were sent, under one lock.
//!
//! Never: wakes anybody, or lets go of anything of somebody else's, while the lock is held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use factum_proto::v1::AppendRequest;
use factum_store::{Kind, Receipt, StoreError};
use futures_core::Stream;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

type Outcome = Result<Receipt, StoreError>;

/// An append that waits to be sent.
pub(super) struct Job {
    pub(super) request: AppendRequest,
    /// Not before this subscription from the end, and all before it, know where the end is. Set by [`Queue::push`].
    pub(super) after: u64,
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Outcome>,
    pub(super) room: OwnedSemaphorePermit,
}

/// An append that was sent.
struct Sent {
    deadline: Instant,
    answer: oneshot::Sender<Outcome>,
    room: OwnedSemaphorePermit,
}

/// An answer, to be given once the lock is released.
pub(super) struct Given(oneshot::Sender<Outcome>, Outcome, OwnedSemaphorePermit);

impl Given {
    fn give(self) {
        let Self(answer, outcome, room) = self;
        drop(room);
        // Nobody may be waiting any more.
        drop(answer.send(outcome));
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    sent: BTreeMap<u64, Sent>,
    /// The number of the last append that was sent.
    last: u64,
    /// The number of the call that may send.
    call: u64,
    /// Of the call that has nothing to send.
    idle: Option<Waker>,
    /// Subscriptions from the end that do not know where it is.
    unsettled: BTreeSet<u64>,
    /// How many such subscriptions there have been.
    subscriptions: u64,
}

/// The appends of one client.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Notify,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, mut job: Job) {
        let mut state = self.lock();
        job.after = state.subscriptions;
        state.waiting.push_back(job);
        let idle = state.idle.take();
        drop(state);
        if let Some(idle) = idle {
            idle.wake();
        }
        self.work.notify_one();
    }

    /// Ready once something waits.
    pub(super) async fn work(&self) {
        while self.lock().waiting.is_empty() {
            self.work.notified().await;
        }
    }

    /// What a new call sends; calls before it send nothing more.
    pub(super) fn requests(self: &Arc<Self>) -> Requests {
        let mut state = self.lock();
        state.call += 1;
        Requests {
            call: state.call,
            queue: Arc::clone(self),
        }
    }

    /// Gives the answer to what was sent; what nobody asked for is passed over.
    pub(super) fn answer(&self, number: u64, outcome: Outcome) {
        let sent = self.lock().sent.remove(&number);
        if let Some(Sent { answer, room, .. }) = sent {
            Given(answer, outcome, room).give();
        }
    }

    /// Ends the call: gives this answer to all that was sent.
    pub(super) fn end_sent(&self, error: &StoreError) {
        let mut state = self.lock();
        state.call += 1;
        let sent = mem::take(&mut state.sent);
        drop(state);
        for Sent { answer, room, .. } in sent.into_values() {
            Given(answer, Err(error.clone()), room).give();
        }
    }

    /// Gives this answer to all that waits.
    pub(super) fn end_waiting(&self, error: &StoreError) {
        let waiting = mem::take(&mut self.lock().waiting);
        for Job { answer, room, .. } in waiting {
            Given(answer, Err(error.clone()), room).give();
        }
    }

    /// Answers those whose time is up.
    pub(super) fn expire(&self, now: Instant) {
        let mut state = self.lock();
        let late: Vec<u64> = state
            .sent
            .iter()
            .filter(|(_, sent)| sent.deadline <= now)
            .map(|(number, _)| *number)
            .collect();
        let sent: Vec<Sent> = late
            .iter()
            .filter_map(|number| state.sent.remove(number))
            .collect();
        let mut waiting = Vec::new();
        while state.waiting.front().is_some_and(|job| job.deadline <= now) {
            waiting.extend(state.waiting.pop_front());
        }
        drop(state);
        for Sent { answer, room, .. } in sent {
            let text =
                "it is not known whether it was written: the server has not answered in time";
            Given(answer, Err(StoreError::new(Kind::Unknown, text)), room).give();
        }
        for Job { answer, room, .. } in waiting {
            let text = "nothing was written: the append could not be sent in time";
            Given(answer, Err(StoreError::new(Kind::Unavailable, text)), room).give();
        }
    }
}

/// What a call sends. Whatever it has given counts as sent.
pub(super) struct Requests {
    call: u64,
    queue: Arc<Queue>,
}

impl Requests {
    /// The next request, and what nobody waits for any more, to be dropped without the lock.
    fn next(
        &self,
        context: &mut Context<'_>,
        dropped: &mut Vec<Job>,
    ) -> Poll<Option<AppendRequest>> {
        let mut state = self.queue.lock();
        if state.call != self.call {
            return Poll::Ready(None);
        }
        loop {
            let settled = |job: &Job| !state.unsettled.range(..=job.after).any(|_| true);
            match state.waiting.front() {
                Some(job) if job.answer.is_closed() => dropped.extend(state.waiting.pop_front()),
                Some(job) if settled(job) => break,
                _ => {
                    state.idle = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        }
        let Some(job) = state.waiting.pop_front() else {
            return Poll::Pending;
        };
        let Job {
            mut request,
            deadline,
            answer,
            room,
            ..
        } = job;
        state.last += 1;
        request.request = state.last;
        let sent = Sent {
            deadline,
            answer,
            room,
        };
        let number = state.last;
        state.sent.insert(number, sent);
        Poll::Ready(Some(request))
    }
}

impl Stream for Requests {
    type Item = AppendRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<AppendRequest>> {
        let mut dropped = Vec::new();
        self.next(context, &mut dropped)
    }
}

/// A subscription from the end that does not know where that is. Appends asked for after it wait until it is dropped.
pub(crate) struct EndGuard {
    number: u64,
    queue: Arc<Queue>,
}

impl EndGuard {
    pub(super) fn new(queue: &Arc<Queue>) -> Self {
        let mut state = queue.lock();
        state.subscriptions += 1;
        let number = state.subscriptions;
        state.unsettled.insert(number);
        Self {
            number,
            queue: Arc::clone(queue),
        }
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.unsettled.remove(&self.number);
        let idle = state.idle.take();
        drop(state);
        if let Some(idle) = idle {
            idle.wake();
        }
    }
}
