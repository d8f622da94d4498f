//! What a group is asked, and what it answers.

use tokio::sync::oneshot;

use super::connection::{Answers, End, Outbox};
use super::error::SubscriptionError;
use super::group::{Action, ConsumerId, Identity, Statistics};

/// The answer to a request, whenever it comes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, SubscriptionError>>;

pub(crate) enum Command {
    Connect {
        identity: Identity,
        credit: usize,
        reply: Reply<(Outbox, Answers)>,
    },
    Ack {
        consumer: ConsumerId,
        ids: Vec<u128>,
    },
    Nack {
        consumer: ConsumerId,
        ids: Vec<u128>,
        action: Action,
        reason: String,
    },
    Status {
        reply: Reply<Status>,
    },
    Replay {
        /// The revision in the parked stream before which to stop.
        stop_at: Option<u64>,
        reply: Reply<()>,
    },
    Truncate {
        /// The revision in the parked stream before which all are given up.
        stop_at: Option<u64>,
        reply: Reply<()>,
    },
    Stop {
        why: End,
    },
}

impl Command {
    /// Whether a consumer says what became of its events.
    pub(crate) const fn is_answer(&self) -> bool {
        matches!(self, Self::Ack { .. } | Self::Nack { .. })
    }
}

/// How a group stands.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) words: String,
    pub(crate) statistics: Statistics,
    pub(crate) parked: u64,
}

/// Answers a request; who asked may be gone.
pub(crate) fn answer<T>(reply: Reply<T>, answer: Result<T, SubscriptionError>) {
    if reply.send(answer).is_err() {
        tracing::debug!("who asked a group is gone");
    }
}
