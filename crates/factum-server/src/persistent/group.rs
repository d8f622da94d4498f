//! A group: which of its events are where, as a state machine without input, output or clock.
//!
//! An event that came and is not done is in exactly one place:
//!
//! ```text
//!            +-> ready --+
//!  arrive ---+           +-> in flight, with a deadline --ack, skip--> done
//!  replay ---+-> retry --+        |      |
//!                 ^               |      +--park, or retried too often--> to park -> parking --written--> done
//!                 +--timeout, retry, consumer gone
//! ```
//!
//! Nothing else holds events, and each of the places moves by itself or has a deadline, so that none is forgotten: `check` asserts it.
//! What is done only moves the progress of its *lane*: the source, whose progress is the checkpoint, or the parked stream, whose
//! progress says what may be truncated. So a replayed event that is lost with the server is still parked.
//!
//! Relies on: the caller for time, which never goes back, and for taking no more from the source than there is room for.
//! Never: gives a consumer more than it asked for, or an event to two at once.

mod answer;
mod check;
mod consumer;
mod progress;
#[cfg(test)]
mod random_tests;
mod statistics;
mod strategy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use answer::Action;
use consumer::Consumer;
pub(crate) use consumer::ConsumerId;
pub use consumer::Identity;
use progress::{Mark, Progress};
pub(crate) use statistics::{ConsumerStatistics, Statistics};
pub(crate) use strategy::bucket_of;
use strategy::{Choice, Chooser};

use super::settings::{CREDIT_MAX, HELD_BYTES_MAX, Settings};

/// A moment, as the time since some start that is the same for the life of the group.
pub(crate) type Moment = Duration;

/// The number that a group gives to what arrives; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seq(pub(crate) u64);

/// An event that came.
#[derive(Debug, Clone)]
pub(crate) struct Arrival<T> {
    /// Where it stands in what it came from.
    pub(crate) point: u64,
    /// By which id consumers answer for it.
    pub(crate) id: u128,
    /// What it is pinned by.
    pub(crate) bucket: u16,
    /// How much memory it takes, with what is kept of it.
    pub(crate) bytes: usize,
    /// What is given to consumers.
    pub(crate) payload: T,
}

/// Where an event came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Source,
    Parked,
}

#[derive(Debug)]
struct Entry<T> {
    arrival: Arrival<T>,
    lane: Lane,
    /// How often it was given again.
    retries: u32,
    place: Place,
    /// Who had it last.
    last: Option<ConsumerId>,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Ready,
    Retry,
    InFlight {
        consumer: ConsumerId,
        deadline: Moment,
        since: Moment,
    },
    ToPark {
        reason: Arc<str>,
    },
    Parking,
}

/// An event for a consumer.
#[derive(Debug)]
pub(crate) struct Delivery<T> {
    pub(crate) consumer: ConsumerId,
    pub(crate) retries: u32,
    pub(crate) payload: T,
}

/// An event to be written to the parked stream.
#[derive(Debug)]
pub(crate) struct ToPark<T> {
    pub(crate) seq: Seq,
    pub(crate) reason: Arc<str>,
    pub(crate) payload: T,
}

/// The group has as many consumers as it may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyConsumers;

/// A checkpoint to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Up to where, inclusive, everything is done.
    pub(crate) point: u64,
    mark: Mark,
}

#[derive(Debug)]
pub(crate) struct Group<T> {
    settings: Settings,
    live: bool,
    next_seq: u64,
    entries: BTreeMap<Seq, Entry<T>>,
    ready: BTreeSet<Seq>,
    retry: BTreeSet<Seq>,
    to_park: BTreeSet<Seq>,
    parking: BTreeSet<Seq>,
    deadlines: BTreeSet<(Moment, Seq)>,
    ids: BTreeSet<(u128, Seq)>,
    held_bytes: usize,
    source: Progress,
    parked: Progress,
    checkpoint_at: Moment,
    has_checkpoint: bool,
    consumers: BTreeMap<ConsumerId, Consumer>,
    chooser: Chooser,
    since: Moment,
    total: u64,
    total_before: u64,
}

impl<T: Clone> Group<T> {
    /// A group that has done everything up to `after`.
    pub(crate) fn new(settings: Settings, after: Option<u64>, now: Moment) -> Self {
        let chooser = Chooser::new(settings.strategy);
        Self {
            settings,
            live: false,
            next_seq: 0,
            entries: BTreeMap::new(),
            ready: BTreeSet::new(),
            retry: BTreeSet::new(),
            to_park: BTreeSet::new(),
            parking: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            ids: BTreeSet::new(),
            held_bytes: 0,
            source: Progress::new(after),
            parked: Progress::new(None),
            checkpoint_at: now,
            has_checkpoint: false,
            consumers: BTreeMap::new(),
            chooser,
            since: now,
            total: 0,
            total_before: 0,
        }
    }

    /// How many events of the source there is room for.
    pub(crate) fn room(&self) -> usize {
        let waiting = self.ready.len() + self.retry.len() + self.to_park.len() + self.parking.len();
        self.room_beside(waiting, self.settings.buffer(self.live))
    }

    /// How many parked events there is room for. What waits from the source takes none of it.
    pub(crate) fn replay_room(&self) -> usize {
        let waiting = self.retry.len() + self.to_park.len() + self.parking.len();
        self.room_beside(waiting, self.settings.replay_batch())
    }

    fn room_beside(&self, waiting: usize, limit: usize) -> usize {
        if self.held_bytes >= HELD_BYTES_MAX {
            return 0;
        }
        limit.saturating_sub(waiting)
    }

    /// The next event of the source.
    pub(crate) fn arrive(&mut self, arrival: Arrival<T>) {
        let point = arrival.point;
        let seq = self.add(arrival, Lane::Source, Place::Ready);
        self.ready.insert(seq);
        self.source.open(seq, point);
    }

    /// The source has nothing for this group up to `point`; `counted` when that is worth a checkpoint.
    pub(crate) fn pass(&mut self, point: u64, counted: bool) {
        self.source.pass(point, counted);
    }

    /// An event of the parked stream, whose points are the revisions there; given again as one that is retried.
    pub(crate) fn replay(&mut self, arrival: Arrival<T>) {
        let point = arrival.point;
        let seq = self.add(arrival, Lane::Parked, Place::Retry);
        self.retry.insert(seq);
        self.parked.open(seq, point);
    }

    /// The parked stream has nothing that can be given again up to `revision`.
    pub(crate) fn pass_parked(&mut self, revision: u64) {
        self.parked.pass(revision, true);
    }

    fn add(&mut self, arrival: Arrival<T>, lane: Lane, place: Place) -> Seq {
        let seq = Seq(self.next_seq);
        self.next_seq += 1;
        self.held_bytes += arrival.bytes;
        self.ids.insert((arrival.id, seq));
        let entry = Entry {
            arrival,
            lane,
            retries: 0,
            place,
            last: None,
        };
        self.entries.insert(seq, entry);
        seq
    }

    /// Says whether the source has nothing older left.
    pub(crate) const fn set_live(&mut self, live: bool) {
        self.live = live;
    }

    /// A consumer that takes up to `credit` events before it answers.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(crate) fn connect(
        &mut self,
        id: ConsumerId,
        identity: Identity,
        credit: usize,
        now: Moment,
    ) -> Result<(), TooManyConsumers> {
        if self.consumers.len() >= self.settings.consumers_max() {
            return Err(TooManyConsumers);
        }
        let credit = credit.clamp(1, CREDIT_MAX);
        let consumer = Consumer::new(identity, credit, self.settings.extra_statistics, now);
        self.consumers.insert(id, consumer);
        self.chooser.join(id);
        Ok(())
    }

    /// The consumer is gone; what it had is given to others, and nothing of it is parked: a consumer that leaves says nothing about its events.
    pub(crate) fn disconnect(&mut self, id: ConsumerId) {
        let Some(consumer) = self.consumers.remove(&id) else {
            return;
        };
        self.chooser.leave(id);
        for seq in consumer.in_flight {
            self.take_back(seq);
            self.retry(seq);
        }
    }

    /// Consumers that asked to be stopped and have answered for all they had.
    pub(crate) fn stopped(&self) -> Vec<ConsumerId> {
        self.consumers
            .iter()
            .filter(|(_, one)| one.stopping && one.in_flight.is_empty())
            .map(|(id, _)| *id)
            .collect()
    }

    /// Gives events out, those to be retried first. `window` says how many a consumer can be sent now, whatever its credit.
    pub(crate) fn dispatch(
        &mut self,
        now: Moment,
        window: impl Fn(ConsumerId) -> usize,
    ) -> Vec<Delivery<T>> {
        for (id, consumer) in &mut self.consumers {
            consumer.window = window(*id);
        }
        let capacity: usize = self.consumers.values().map(Consumer::capacity).sum();
        if capacity == 0 {
            return Vec::new();
        }
        let waiting = self.retry.iter().chain(&self.ready).copied();
        let candidates: Vec<Seq> = if self.chooser.is_pinned() {
            waiting.collect()
        } else {
            waiting.take(capacity).collect()
        };
        let mut deliveries = Vec::new();
        for seq in candidates {
            let Some(entry) = self.entries.get(&seq) else {
                continue;
            };
            match self.chooser.choose(entry.arrival.bucket, &self.consumers) {
                Choice::Give(id) => deliveries.extend(self.give(seq, id, now)),
                Choice::Hold => {}
                Choice::Full => break,
            }
        }
        deliveries
    }

    /// Consumers that could be given more but for how much they can be sent, as it was when events were last given out.
    pub(crate) fn starved(&self) -> impl Iterator<Item = ConsumerId> {
        let starved = self.consumers.iter().filter(|(_, one)| one.is_starved());
        starved.map(|(id, _)| *id)
    }

    fn give(&mut self, seq: Seq, id: ConsumerId, now: Moment) -> Option<Delivery<T>> {
        let consumer = self.consumers.get_mut(&id)?;
        let entry = self.entries.get_mut(&seq)?;
        let deadline = now + self.settings.timeout();
        entry.place = Place::InFlight {
            consumer: id,
            deadline,
            since: now,
        };
        entry.last = Some(id);
        self.ready.remove(&seq);
        self.retry.remove(&seq);
        self.deadlines.insert((deadline, seq));
        consumer.in_flight.insert(seq);
        consumer.window = consumer.window.saturating_sub(1);
        consumer.total += 1;
        self.total += 1;
        self.chooser.given(entry.arrival.bucket, id);
        Some(Delivery {
            consumer: id,
            retries: entry.retries,
            payload: entry.arrival.payload.clone(),
        })
    }

    /// When something must be done at the latest, after `now`. What is due by then has been begun: its end is waited for, not its time.
    pub(crate) fn wake_at(&self, now: Moment) -> Option<Moment> {
        let timeout = self.deadlines.first().map(|(deadline, _)| *deadline);
        let enough =
            self.source.unwritten() >= u64::from(self.settings.min_checkpoint_count.max(1));
        let after = self.settings.checkpoint_after;
        let checkpoint = enough.then(|| self.checkpoint_at.saturating_add(after));
        let times = timeout.into_iter().chain(checkpoint);
        times.filter(|at| *at > now).min()
    }

    /// The checkpoint that is due: enough is done, and enough time has passed or very much is done.
    pub(crate) fn checkpoint_due(&self, now: Moment) -> Option<Checkpoint> {
        let done = self.source.unwritten();
        let settings = &self.settings;
        let by_time = done >= u64::from(settings.min_checkpoint_count)
            && now >= self.checkpoint_at.saturating_add(settings.checkpoint_after);
        let by_count = done >= u64::from(settings.max_checkpoint_count.max(1));
        if by_time || by_count {
            self.checkpoint()
        } else {
            None
        }
    }

    /// The checkpoint that could be written now, if it would say anything new.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        let mark = self.source.done();
        let point = mark.point?;
        let is_new = self.source.unwritten() > 0 && self.source.written() != Some(point);
        is_new.then_some(Checkpoint { point, mark })
    }

    /// Notes that a checkpoint was written.
    pub(crate) fn checkpointed(&mut self, checkpoint: Checkpoint, now: Moment) {
        self.source.wrote(checkpoint.mark);
        self.has_checkpoint = true;
        self.checkpoint_at = now;
    }

    /// Notes that a checkpoint could not be written: the next one is tried after the usual time.
    pub(crate) const fn checkpoint_failed(&mut self, now: Moment) {
        self.checkpoint_at = now;
    }

    /// Where the source was read up to.
    pub(crate) const fn seen(&self) -> Option<u64> {
        self.source.seen()
    }

    /// Notes that where the group begins stands in a checkpoint.
    pub(crate) fn resumed(&mut self) {
        let mark = self.source.done();
        self.source.wrote(mark);
        self.has_checkpoint = true;
    }

    /// The revision in the parked stream up to which, inclusive, everything that was replayed is done.
    pub(crate) fn replayed(&self) -> Option<u64> {
        self.parked.done().point
    }

    /// Whether no replayed event is left to be done.
    pub(crate) fn has_replayed_all(&self) -> bool {
        self.parked.open_seqs().next().is_none()
    }
}
