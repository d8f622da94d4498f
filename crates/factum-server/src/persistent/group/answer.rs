//! What ends a delivery: an answer, a deadline, a consumer that goes; and what is parked.

use std::sync::Arc;

use super::{ConsumerId, Entry, Group, Lane, Moment, Place, Seq, ToPark};

/// What a consumer asks for with an event that it did not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Nothing said: as [`Action::Retry`].
    Unknown,
    /// Put it aside.
    Park,
    /// Give it again.
    Retry,
    /// Take it as done.
    Skip,
    /// Give it to another, and me nothing more.
    Stop,
}

impl<T: Clone> Group<T> {
    /// The consumer has done the event. Answers that come after the deadline count as long as nobody else was given it.
    pub(crate) fn ack(&mut self, consumer: ConsumerId, event: u128, now: Moment) {
        if let Some(seq) = self.answered(consumer, event) {
            self.observe(consumer, seq, now);
            self.finish(seq);
        }
    }

    /// The consumer has not done the events. The reason is kept once for all of them.
    pub(crate) fn nack(
        &mut self,
        consumer: ConsumerId,
        events: &[u128],
        action: Action,
        reason: &str,
        now: Moment,
    ) {
        let reason = Arc::from(format!("Client explicitly NAK'ed message.\n{reason}"));
        for event in events {
            self.nack_one(consumer, *event, action, &reason, now);
        }
    }

    fn nack_one(
        &mut self,
        consumer: ConsumerId,
        event: u128,
        action: Action,
        reason: &Arc<str>,
        now: Moment,
    ) {
        let Some(seq) = self.answered(consumer, event) else {
            return;
        };
        self.observe(consumer, seq, now);
        match action {
            Action::Skip => self.finish(seq),
            Action::Park => {
                self.take_back(seq);
                self.put_aside(seq, Arc::clone(reason));
            }
            Action::Retry | Action::Unknown => {
                // One that waits to be given again already was counted when its time was over.
                if self.is_in_flight(seq) {
                    self.take_back(seq);
                    self.retry_or_park(seq);
                }
            }
            Action::Stop => {
                self.take_back(seq);
                self.put(seq, Place::Retry);
                self.retry.insert(seq);
                self.stop(consumer);
            }
        }
    }

    fn stop(&mut self, id: ConsumerId) {
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.stopping = true;
            self.chooser.leave(id);
        }
    }

    /// Deadlines that have passed: the events are given again, or parked.
    pub(crate) fn expire(&mut self, now: Moment) {
        while let Some((_, seq)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.take_back(seq);
            self.retry_or_park(seq);
        }
    }

    /// The event that the consumer means: one it has, or had last and that is not with another since. The same id may stand for events
    /// of several streams; then the oldest is meant.
    fn answered(&self, consumer: ConsumerId, event: u128) -> Option<Seq> {
        let range = (event, Seq(0))..=(event, Seq(u64::MAX));
        self.ids.range(range).map(|(_, seq)| *seq).find(|seq| {
            self.entries.get(seq).is_some_and(|entry| {
                let waits = matches!(entry.place, Place::InFlight { .. } | Place::Retry);
                waits && entry.last == Some(consumer)
            })
        })
    }

    fn observe(&mut self, consumer: ConsumerId, seq: Seq, now: Moment) {
        let place = self.entries.get(&seq).map(|entry| &entry.place);
        if let (Some(Place::InFlight { since, .. }), Some(consumer)) =
            (place, self.consumers.get_mut(&consumer))
        {
            consumer.observe(now.saturating_sub(*since));
        }
    }

    fn is_in_flight(&self, seq: Seq) -> bool {
        let place = self.entries.get(&seq).map(|entry| &entry.place);
        matches!(place, Some(Place::InFlight { .. }))
    }

    /// Takes the event from where it is; the caller puts it elsewhere.
    pub(super) fn take_back(&mut self, seq: Seq) {
        let Some(entry) = self.entries.get(&seq) else {
            return;
        };
        let was_there = match &entry.place {
            Place::InFlight {
                consumer, deadline, ..
            } => {
                if let Some(consumer) = self.consumers.get_mut(consumer) {
                    consumer.in_flight.remove(&seq);
                }
                self.chooser.returned(entry.arrival.bucket);
                self.deadlines.remove(&(*deadline, seq))
            }
            Place::Ready => self.ready.remove(&seq),
            Place::Retry => self.retry.remove(&seq),
            Place::ToPark { .. } => self.to_park.remove(&seq),
            Place::Parking => self.parking.remove(&seq),
        };
        debug_assert!(was_there, "{seq:?} was not where it says");
    }

    fn put(&mut self, seq: Seq, place: Place) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.place = place;
        }
    }

    pub(super) fn retry_or_park(&mut self, seq: Seq) {
        let Some(entry) = self.entries.get(&seq) else {
            return;
        };
        let retries = entry.retries;
        if retries >= self.settings.max_retry_count {
            self.put_aside(seq, Arc::from(format!("Reached retry count of {retries}")));
            return;
        }
        self.retry(seq);
    }

    /// Gives an event again, however often that was done.
    pub(super) fn retry(&mut self, seq: Seq) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.retries = entry.retries.saturating_add(1);
            entry.place = Place::Retry;
            self.retry.insert(seq);
        }
    }

    /// The reason is kept with the event until both stand in the parked stream, and counted with it.
    fn put_aside(&mut self, seq: Seq, reason: Arc<str>) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.arrival.bytes += reason.len();
            self.held_bytes += reason.len();
        }
        self.put(seq, Place::ToPark { reason });
        self.to_park.insert(seq);
    }

    /// Up to `most` events to be parked; they are [`parked`](Self::parked) when they stand there.
    pub(crate) fn take_to_park(&mut self, most: usize) -> Vec<ToPark<T>> {
        let taken: Vec<Seq> = self.to_park.iter().take(most).copied().collect();
        let mut events = Vec::with_capacity(taken.len());
        for seq in taken {
            self.to_park.remove(&seq);
            self.parking.insert(seq);
            let Some(entry) = self.entries.get_mut(&seq) else {
                continue;
            };
            if let Place::ToPark { reason } = std::mem::replace(&mut entry.place, Place::Parking) {
                events.push(ToPark {
                    seq,
                    reason,
                    payload: entry.arrival.payload.clone(),
                });
            }
        }
        events
    }

    /// The events stand in the parked stream.
    pub(crate) fn parked(&mut self, written: &[ToPark<T>]) {
        for event in written {
            self.finish(event.seq);
        }
    }

    /// Nothing of the parked stream before a revision is given any more. What a consumer has of it stays with it, and what is parked anew is parked.
    pub(crate) fn give_up_parked(&mut self, before: u64) {
        let is_given_up = |seq: &Seq| {
            let entry = self.entries.get(seq);
            entry.is_some_and(|entry| entry.lane == Lane::Parked && entry.arrival.point < before)
        };
        let given_up: Vec<Seq> = self.retry.iter().copied().filter(is_given_up).collect();
        for seq in given_up {
            self.finish(seq);
        }
        if let Some(last) = before.checked_sub(1) {
            self.pass_parked(last);
        }
    }

    /// Whether events wait to be parked.
    pub(crate) fn has_to_park(&self) -> bool {
        !self.to_park.is_empty()
    }

    fn finish(&mut self, seq: Seq) {
        self.take_back(seq);
        let Some(Entry { arrival, lane, .. }) = self.entries.remove(&seq) else {
            return;
        };
        self.ids.remove(&(arrival.id, seq));
        self.held_bytes -= arrival.bytes;
        match lane {
            Lane::Source => self.source.close(seq),
            Lane::Parked => self.parked.close(seq),
        }
    }
}
