//! The two ends between a group and a consumer: a bounded queue of events one way, answers the other.
//!
//! The consumer counts as gone when its answers are dropped, so that everything it answered before is heard first. When only its events
//! are dropped it is given nothing more.
//!
//! The queue holds no event that the group does not hold, or a consumer that answers without reading could have more kept than is counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

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

/// An event in the queue, as long as its group holds it.
#[derive(Debug)]
struct Queued {
    delivered: Weak<Delivered>,
    retries: u32,
}

impl Queued {
    /// What is to be given; `None` when the event is done, whoever said so.
    fn outgoing(&self) -> Option<Outgoing> {
        let delivered = self.delivered.upgrade()?;
        let retries = self.retries;
        Some(Outgoing { delivered, retries })
    }
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
    queue: mpsc::Receiver<Queued>,
    shared: Arc<Shared>,
    wake: Arc<Notify>,
}

impl Outbox {
    /// The next event that is not done; at the end why it ended.
    ///
    /// # Errors
    /// Why nothing more comes.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready loses nothing.
    pub async fn next(&mut self) -> Result<Outgoing, End> {
        loop {
            let next = self.queue.recv().await;
            if std::mem::take(&mut *self.shared.starved()) {
                self.wake.notify_one();
            }
            let Some(queued) = next else {
                return Err(self.shared.end.get().copied().unwrap_or(End::Left));
            };
            if let Some(outgoing) = queued.outgoing() {
                return Ok(outgoing);
            }
        }
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
    queue: mpsc::Sender<Queued>,
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

    pub(crate) fn send(&self, delivery: &Delivery<Arc<Delivered>>) {
        let queued = Queued {
            delivered: Arc::downgrade(&delivery.payload),
            retries: delivery.retries,
        };
        // One that does not arrive is in flight all the same: it is given again when its time is over or its consumer is gone.
        if self.queue.try_send(queued).is_err() {
            tracing::debug!(consumer = delivery.consumer.0, "an event was not taken");
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.shared.gone.load(Ordering::Acquire)
    }

    /// Ends the consumer's events after those that are in the queue and that the group still holds.
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
    use std::sync::Arc;

    use bytes::Bytes;
    use factum_types::{
        ContentType, EventId, EventType, Metadata, Position, RecordKind, RecordedEvent, Revision,
        StreamName, Timestamp,
    };
    use tokio::sync::{Notify, mpsc};

    use super::{ConsumerId, Delivered, Delivery, End, REASON_BYTES_MAX, connect, shortened};

    fn event(number: u64) -> Arc<Delivered> {
        let id = EventId::from_bytes(u128::from(number).to_be_bytes());
        let recorded = RecordedEvent {
            id,
            stream: StreamName::new("s").unwrap(),
            revision: Revision::new(number),
            position: Position::from_raw(number),
            time: Timestamp::from_micros(0),
            event_type: EventType::new("T").unwrap(),
            data: Bytes::new(),
            content_type: ContentType::Json,
            schema_version: 1,
            tags: Vec::new(),
            metadata: Metadata::default(),
            personal: Bytes::new(),
            kind: RecordKind::Event,
        };
        Arc::new(Delivered::Event(Box::new(recorded)))
    }

    #[tokio::test]
    async fn the_queue_keeps_nothing_that_is_done() {
        let (commands, _commands) = mpsc::channel(1);
        let consumer = ConsumerId(0);
        let (inbox, mut outbox, _answers) =
            connect(consumer, 3, commands, &Arc::new(Notify::new()));
        let mut held: Vec<_> = (0..3).map(event).collect();
        for payload in &held {
            let payload = Arc::clone(payload);
            inbox.send(&Delivery {
                consumer,
                retries: 0,
                payload,
            });
        }
        let done = Arc::downgrade(&held.remove(0));
        assert!(done.upgrade().is_none(), "the queue keeps it");
        let next = outbox.next().await.unwrap();
        assert!(Arc::ptr_eq(&next.delivered, &held[0]));
        held.clear();
        inbox.end(End::Dropped);
        assert_eq!(outbox.next().await.unwrap_err(), End::Dropped);
    }

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
