//! Appends that wait, and appends that were sent, under one lock.
//!
//! An append stands in the queue from the first poll of its future on, so that the order is that of the first polls whoever is polled
//! afterwards, and no append waits for somebody else's future to be polled. It goes out when all before it have and there is room.
//! Never: wakes anybody, or lets go of anything of somebody else's, while the lock is held.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use factum_proto::v1::AppendRequest;
use factum_store::{Kind, Receipt, StoreError};
use futures_core::Stream;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

type Outcome = Result<Receipt, StoreError>;

/// An append that waits to be sent.
pub(super) struct Job {
    pub(super) request: AppendRequest,
    /// What it takes of the room for what is sent, in bytes.
    pub(super) weight: usize,
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// A job in the queue.
struct Waiting {
    job: Job,
    /// Not before this subscription from the end, and all before it, know where the end is.
    after: u64,
}

/// An append that was sent.
struct Sent {
    weight: usize,
    deadline: Instant,
    answer: oneshot::Sender<Outcome>,
}

/// An answer, to be given once the lock is released.
struct Given(oneshot::Sender<Outcome>, Outcome);

impl Given {
    fn give(self) {
        // Nobody may be waiting any more.
        drop(self.0.send(self.1));
    }
}

#[derive(Default)]
struct State {
    /// By the number of the append; the first is the next to be sent.
    waiting: BTreeMap<u64, Waiting>,
    /// By the number of the append, by which the server answers.
    sent: BTreeMap<u64, Sent>,
    /// The weight of all that was sent.
    sent_bytes: usize,
    /// The number of the last append that was asked for.
    last: u64,
    /// The number of the call that may send.
    call: u64,
    /// Of the call that has nothing it may send.
    idle: Option<Waker>,
    /// Subscriptions from the end that do not know where it is.
    unsettled: BTreeSet<u64>,
    /// How many such subscriptions there have been.
    subscriptions: u64,
}

impl State {
    /// Whether what waits first may be sent: alone, whatever its weight.
    fn may_go(&self, first: &Waiting, room_bytes: usize) -> bool {
        let settled = self.unsettled.range(..=first.after).next().is_none();
        let total = self.sent_bytes.saturating_add(first.job.weight);
        settled && (self.sent.is_empty() || total <= room_bytes)
    }

    fn unsend(&mut self, number: u64) -> Option<Sent> {
        let sent = self.sent.remove(&number)?;
        self.sent_bytes -= sent.weight;
        Some(sent)
    }

    /// Who is to be woken when there may be something to send.
    fn sender(&mut self) -> Option<Waker> {
        if self.waiting.is_empty() {
            return None;
        }
        self.idle.take()
    }
}

/// The appends of one client.
pub(super) struct Queue {
    state: Mutex<State>,
    work: Notify,
    /// The weight of what may be sent and not answered; one append goes however large it is.
    room_bytes: usize,
}

impl Queue {
    pub(super) fn new(room_bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            work: Notify::new(),
            room_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases the lock and wakes whoever may send now.
    fn release(mut state: MutexGuard<'_, State>) {
        let sender = state.sender();
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
    }

    /// Puts a job at the end.
    pub(super) fn push(&self, mut job: Job) -> Place<'_> {
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        job.request.request = number;
        let after = state.subscriptions;
        state.waiting.insert(number, Waiting { job, after });
        Self::release(state);
        self.work.notify_one();
        Place {
            number,
            queue: self,
        }
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
        let mut state = self.lock();
        let sent = state.unsend(number);
        Self::release(state);
        if let Some(Sent { answer, .. }) = sent {
            Given(answer, outcome).give();
        }
    }

    /// Ends the call: gives this answer to all that was sent.
    pub(super) fn end_sent(&self, error: &StoreError) {
        let mut state = self.lock();
        state.call += 1;
        let sent = mem::take(&mut state.sent);
        state.sent_bytes = 0;
        // The call learns that it is over, though nothing may wait.
        let idle = state.idle.take();
        drop(state);
        if let Some(idle) = idle {
            idle.wake();
        }
        for Sent { answer, .. } in sent.into_values() {
            Given(answer, Err(error.clone())).give();
        }
    }

    /// Gives this answer to all that waits.
    pub(super) fn end_waiting(&self, error: &StoreError) {
        let waiting = mem::take(&mut self.lock().waiting);
        for waiting in waiting.into_values() {
            Given(waiting.job.answer, Err(error.clone())).give();
        }
    }

    /// Answers those whose time is up.
    pub(super) fn expire(&self, now: Instant) {
        let mut state = self.lock();
        let sent = state.sent.iter();
        let late: Vec<u64> = sent
            .filter(|(_, sent)| sent.deadline <= now)
            .map(|(number, _)| *number)
            .collect();
        let sent: Vec<Sent> = late
            .into_iter()
            .filter_map(|number| state.unsend(number))
            .collect();
        // All have the same time, so that the first is up first.
        let mut waiting = Vec::new();
        while let Some(first) = state.waiting.first_entry() {
            if first.get().job.deadline > now {
                break;
            }
            waiting.push(first.remove());
        }
        Self::release(state);
        for Sent { answer, .. } in sent {
            let text =
                "it is not known whether it was written: the server has not answered in time";
            Given(answer, Err(StoreError::new(Kind::Unknown, text))).give();
        }
        for waiting in waiting {
            let text = "nothing was written: the append could not be sent in time";
            let error = StoreError::new(Kind::Unavailable, text);
            Given(waiting.job.answer, Err(error)).give();
        }
    }
}

/// The place of an append in the queue. Dropping it gives the append up, unless it was sent.
pub(super) struct Place<'a> {
    number: u64,
    queue: &'a Queue,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        let waiting = state.waiting.remove(&self.number);
        // What stood behind it may be small enough.
        Queue::release(state);
        drop(waiting);
    }
}

/// What a call sends. Whatever it has given counts as sent.
pub(super) struct Requests {
    call: u64,
    queue: Arc<Queue>,
}

impl Stream for Requests {
    type Item = AppendRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<AppendRequest>> {
        let mut state = self.queue.lock();
        if state.call != self.call {
            return Poll::Ready(None);
        }
        let first = state.waiting.first_key_value();
        let next = first.filter(|(_, first)| state.may_go(first, self.queue.room_bytes));
        let next = next.map(|(number, _)| *number);
        let Some((number, waiting)) = next.and_then(|number| state.waiting.remove_entry(&number))
        else {
            let before = state.idle.replace(context.waker().clone());
            drop(state);
            drop(before);
            return Poll::Pending;
        };
        let Job {
            request,
            weight,
            deadline,
            answer,
        } = waiting.job;
        state.sent_bytes += weight;
        let sent = Sent {
            weight,
            deadline,
            answer,
        };
        state.sent.insert(number, sent);
        Poll::Ready(Some(request))
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
        Queue::release(state);
    }
}
