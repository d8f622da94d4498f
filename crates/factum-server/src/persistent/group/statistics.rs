//! What a group says about itself.

use super::consumer::{Consumer, Identity};
use super::{Group, Moment};

/// How a group stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// Whether it has nothing older left to read.
    pub(crate) live: bool,
    pub(crate) total: u64,
    pub(crate) per_second: u64,
    pub(crate) since_last: u64,
    pub(crate) checkpointed: Option<u64>,
    pub(crate) known: Option<u64>,
    pub(crate) ready: usize,
    pub(crate) retry: usize,
    pub(crate) in_flight: usize,
    /// Everything that came and is not done.
    pub(crate) outstanding: usize,
    pub(crate) consumers: Vec<ConsumerStatistics>,
}

/// How one consumer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsumerStatistics {
    pub(crate) identity: Identity,
    pub(crate) total: u64,
    pub(crate) per_second: u64,
    pub(crate) since_last: u64,
    pub(crate) slots: usize,
    pub(crate) in_flight: usize,
    pub(crate) measurements: Vec<(&'static str, i64)>,
}

impl<T: Clone> Group<T> {
    /// How the group stands, and how much was given out since this was asked last.
    pub(crate) fn statistics(&mut self, now: Moment) -> Statistics {
        let consumers = self
            .consumers
            .values_mut()
            .map(|consumer| consumer.statistics(now))
            .collect();
        let since_last = self.total - std::mem::replace(&mut self.total_before, self.total);
        Statistics {
            live: self.live,
            total: self.total,
            per_second: per_second(self.total, self.since, now),
            since_last,
            checkpointed: self.source.written().filter(|_| self.has_checkpoint),
            known: self.source.seen(),
            ready: self.ready.len(),
            retry: self.retry.len(),
            in_flight: self.deadlines.len(),
            outstanding: self.entries.len(),
            consumers,
        }
    }
}

impl Consumer {
    fn statistics(&mut self, now: Moment) -> ConsumerStatistics {
        let since_last = self.total - std::mem::replace(&mut self.total_before, self.total);
        ConsumerStatistics {
            identity: self.identity.clone(),
            total: self.total,
            per_second: per_second(self.total, self.since, now),
            since_last,
            slots: self.credit.saturating_sub(self.in_flight.len()),
            in_flight: self.in_flight.len(),
            measurements: self.measurements(),
        }
    }
}

fn per_second(total: u64, since: Moment, now: Moment) -> u64 {
    total / now.saturating_sub(since).as_secs().max(1)
}
