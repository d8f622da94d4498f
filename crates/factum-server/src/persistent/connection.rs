//! The two ends between a group and a consumer: a bounded queue of events one way, answers the other.
//!
//! The consumer counts as gone when its answers are dropped, so that everything it answered before is heard first. When only its events
//! are dropped it is given nothing more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::command::Command;
use super::delivered::Delivered;
use super::group::{Action, ConsumerId, Delivery};
use super::settings::REASON_BYTES_MAX;

/// Why a group gives a consumer nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The group was changed or deleted, or the consumer asked to be stopped.
    Dropped,
    /// The server stops.
    Shutdown,
    /// The consumer itself is gone.
    Left,
}

/// An event for a consumer.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// What is given.
    pub delivered: Arc<Delivered>,
    /// How often it was given before.
    pub retries: u32,
}

/// What both ends know.
#[derive(Debug, Default)]
struct Shared {
    /// The group waits until there is room in the queue. It finds the queue full and says so here under the lock, and the lock is taken after
    /// something was taken from the queue: one of the two sees what the other did.
    starved: Mutex<bool>,
    gone: AtomicBool,
    end: OnceLock<End>,
}

impl Shared {
    fn starved(&self) -> MutexGuard<'_, bool> {
        self.starved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The events of a consumer.
#[derive(Debug)]
pub struct Outbox {
    queue: mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
    wake: Arc<Notify>,
}

impl Outbox {
    /// The next event; at the end why it ended.
    ///
    /// # Errors
    /// Why nothing more comes.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready loses nothing.
    pub async fn next(&mut self) -> Result<Outgoing, End> {
        let next = self.queue.recv().await;
        if std::mem::take(&mut *self.shared.starved()) {
            self.wake.notify_one();
        }
        next.ok_or_else(|| self.shared.end.get().copied().unwrap_or(End::Left))
    }
}

/// The answers of a consumer. Dropping it ends the consumer: what it has not answered for is given to others.
#[derive(Debug)]
pub struct Answers {
    id: ConsumerId,
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    wake: Arc<Notify>,
}

impl Answers {
    /// Events are done. Waits while the group has much to do. Ids that the consumer does not have are passed over.
    pub async fn ack(&self, ids: Vec<u128>) {
        self.send(Command::Ack {
            consumer: self.id,
            ids,
        })
        .await;
    }

    /// Events are not done, and why; of a reason only the first 4 KiB are kept. Otherwise as [`ack`](Self::ack).
    pub async fn nack(&self, ids: Vec<u128>, action: Action, reason: String) {
        let reason = shortened(reason);
        self.send(Command::Nack {
            consumer: self.id,
            ids,
            action,
            reason,
        })
        .await;
    }

    async fn send(&self, command: Command) {
        if self.commands.send(command).await.is_err() {
            tracing::debug!("an answer came after its group had ended");
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// The group's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: mpsc::Sender<Outgoing>,
    shared: Arc<Shared>,
}

impl Inbox {
    /// How many events can be sent now. When none, the group is woken as soon as one can.
    pub(crate) fn window(&self) -> usize {
        if self.queue.is_closed() {
            return 0;
        }
        let mut starved = self.shared.starved();
        let window = self.queue.capacity();
        *starved = window == 0;
        window
    }

    pub(crate) fn send(&self, delivery: Delivery<Arc<Delivered>>) {
        let outgoing = Outgoing {
            delivered: delivery.payload,
            retries: delivery.retries,
        };
        // One that does not arrive is in flight all the same: it is given again when its time is over or its consumer is gone.
        if self.queue.try_send(outgoing).is_err() {
            tracing::debug!(consumer = delivery.consumer.0, "an event was not taken");
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.shared.gone.load(Ordering::Acquire)
    }

    /// Ends the consumer's events after those that are in the queue.
    pub(crate) fn end(self, why: End) {
        self.shared.end.get_or_init(|| why);
    }
}

/// The beginning of a reason, as much of it as is kept. What is left out takes no memory either.
fn shortened(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        reason.shrink_to_fit();
    }
    reason
}

/// Both ends.
pub(crate) fn connect(
    id: ConsumerId,
    credit: usize,
    commands: mpsc::Sender<Command>,
    wake: &Arc<Notify>,
) -> (Inbox, Outbox, Answers) {
    let shared = Arc::new(Shared::default());
    let (sender, receiver) = mpsc::channel(credit.max(1));
    let inbox = Inbox {
        queue: sender,
        shared: Arc::clone(&shared),
    };
    let outbox = Outbox {
        queue: receiver,
        shared: Arc::clone(&shared),
        wake: Arc::clone(wake),
    };
    let answers = Answers {
        id,
        commands,
        shared,
        wake: Arc::clone(wake),
    };
    (inbox, outbox, answers)
}

#[cfg(test)]
mod tests {
    use super::{REASON_BYTES_MAX, shortened};

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(shortened("short".to_owned()), "short");
        let long = shortened("ä".repeat(REASON_BYTES_MAX));
        assert_eq!(long.len(), REASON_BYTES_MAX);
        let odd = shortened(format!("x{}", "ä".repeat(REASON_BYTES_MAX)));
        assert_eq!(odd.len(), REASON_BYTES_MAX - 1);
        assert!(odd.capacity() < 2 * REASON_BYTES_MAX);
    }
}
