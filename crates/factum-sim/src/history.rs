//! What was asked of the store, what it answered, and what must therefore be in it: the memory of the oracle.
//!
//! The *log* is every batch that is known to be in the store, in order, without holes; it only grows, whatever crashes. What was asked and
//! has no outcome yet is *open*: after a crash each of these is there whole or not at all.
//! Relies on: event ids that are used once. Never: looks into the data directory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use factum_store::{
    AppendBatch, Change, Checkpoint, CheckpointStore, EventStore, MemoryStore, Receipt, Snapshot,
    SnapshotStore,
};
use factum_types::{EventId, RecordKind, RecordedEvent, StreamName, Timestamp};

use crate::poll;
use crate::violation::{Checked, Violation, ensure, short};

/// Something asked of the store that writes.
#[derive(Debug, Clone)]
pub enum Request {
    /// A batch.
    Append(AppendBatch),
    /// A snapshot.
    Snapshot(Snapshot),
    /// A consumer's checkpoint.
    Checkpoint(String, Checkpoint),
}

impl Request {
    /// How many records it writes.
    #[must_use]
    pub fn records(&self) -> u64 {
        match self {
            Self::Append(batch) => batch.writes.iter().map(|w| change_records(&w.change)).sum(),
            Self::Snapshot(_) | Self::Checkpoint(..) => 1,
        }
    }

    /// Whether the record at this place of it is shown to readers as this event.
    fn wrote(&self, number: u64, seen: &RecordedEvent) -> bool {
        let Self::Append(batch) = self else {
            return false;
        };
        let mut first = 0;
        for write in &batch.writes {
            let records = change_records(&write.change);
            if number < first + records {
                return write.stream == seen.stream
                    && match &write.change {
                        Change::Events(events) => {
                            let within = usize::try_from(number - first).unwrap_or(usize::MAX);
                            events.get(within).is_some_and(|event| is_same(event, seen))
                        }
                        Change::Settings(_) => seen.kind == RecordKind::Settings,
                        Change::Delete => seen.kind == RecordKind::Delete,
                        Change::Tombstone => seen.kind == RecordKind::Tombstone,
                        _ => false,
                    };
            }
            first += records;
        }
        false
    }
}

fn is_same(given: &factum_types::NewEvent, seen: &RecordedEvent) -> bool {
    seen.kind == RecordKind::Event
        && given.id == seen.id
        && given.event_type == seen.event_type
        && given.data == seen.data
        && given.content_type == seen.content_type
        && given.schema_version == seen.schema_version
        && given.metadata == seen.metadata
}

fn change_records(change: &Change) -> u64 {
    match change {
        Change::Events(events) => events.len() as u64,
        _ => 1,
    }
}

/// A batch that is in the store.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The position of its first record.
    pub first: u64,
    /// When it was recorded.
    pub time: Timestamp,
    /// What was asked.
    pub request: Request,
}

/// What is not settled yet.
#[derive(Debug, Clone)]
struct Open {
    ticket: u64,
    request: Request,
    /// Where it is said to stand; none yet, or not told.
    receipt: Option<Receipt>,
    /// It was acknowledged, so it must be there.
    acknowledged: bool,
}

/// What was asked, answered and shown so far.
#[derive(Debug, Clone, Default)]
pub struct History {
    next_ticket: u64,
    open: Vec<Open>,
    /// Everything known to be in the store, in order.
    pub log: Vec<Entry>,
    /// One more than the last position of `log`.
    pub end: u64,
    /// What anybody was shown, by position.
    shown: BTreeMap<u64, RecordedEvent>,
    /// The last revision of a stream that a conflict told of.
    told: BTreeMap<StreamName, u64>,
}

impl History {
    /// Takes note of a request; gives its number.
    pub fn ask(&mut self, request: Request) -> u64 {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.open.push(Open {
            ticket,
            request,
            receipt: None,
            acknowledged: false,
        });
        ticket
    }

    /// Whether a request that reads do not show is open; a second one could not be told from it.
    #[must_use]
    pub fn hidden_is_open(&self) -> bool {
        self.open
            .iter()
            .any(|open| !matches!(open.request, Request::Append(_)))
    }

    /// The request was acknowledged, with where it stands if it was told.
    pub fn acknowledge(&mut self, ticket: u64, receipt: Option<Receipt>) {
        if let Some(open) = self.open.iter_mut().find(|open| open.ticket == ticket) {
            open.acknowledged = true;
            open.receipt = receipt;
        }
    }

    /// The request was refused, so nothing of it may ever be there.
    pub fn refuse(&mut self, ticket: u64) {
        self.open.retain(|open| open.ticket != ticket);
    }

    /// The batch of a request that is open.
    #[must_use]
    pub fn batch(&self, ticket: u64) -> Option<&AppendBatch> {
        let open = self.open.iter().find(|open| open.ticket == ticket)?;
        match &open.request {
            Request::Append(batch) => Some(batch),
            _ => None,
        }
    }

    /// How many acknowledged requests have not been seen in the store yet.
    #[must_use]
    pub fn acknowledged_open(&self) -> usize {
        self.open.iter().filter(|open| open.acknowledged).count()
    }

    /// Somebody was shown an event.
    ///
    /// # Errors
    /// When another one was shown at its position before.
    pub fn show(&mut self, event: &RecordedEvent) -> Checked {
        let position = event.position.raw();
        match self.shown.get(&position) {
            Some(before) => ensure(before == event, || {
                format!(
                    "position {position} was shown as {}, now {}",
                    short(before),
                    short(event)
                )
            }),
            None => {
                self.shown.insert(position, event.clone());
                Ok(())
            }
        }
    }

    /// Somebody was told that a stream has got so far.
    pub fn tell(&mut self, stream: &StreamName, revision: u64) {
        let told = self.told.entry(stream.clone()).or_default();
        *told = revision.max(*told);
    }

    /// Settles what is open by what is in the store: `scan` is everything shown from `self.end` on, control records included, `end` one
    /// more than the last position. With `all`, what is open and not there is given up: it never will be.
    ///
    /// # Errors
    /// Something is there that nobody asked for, in part only, changed, twice; or something acknowledged is not there.
    pub fn settle(&mut self, scan: &[RecordedEvent], end: u64, all: bool) -> Checked {
        ensure(end >= self.end, || {
            format!(
                "the store ends at position {end}, but had shown records up to {}",
                self.end
            )
        })?;
        let by_position: BTreeMap<u64, &RecordedEvent> = scan
            .iter()
            .map(|event| (event.position.raw(), event))
            .collect();
        while self.end < end {
            self.settle_one(&by_position, end)?;
        }
        let lost = self.open.iter().find(|open| open.acknowledged);
        ensure(lost.is_none(), || {
            format!(
                "acknowledged, and not in the store of {end} records: {}",
                short(&lost)
            )
        })?;
        if all {
            self.open.clear();
        }
        Ok(())
    }

    fn settle_one(&mut self, scan: &BTreeMap<u64, &RecordedEvent>, end: u64) -> Checked {
        let first = self.end;
        let found = match scan.get(&first) {
            // The same may have been asked twice; whoever was told this place comes first.
            Some(seen) => {
                let told = |open: &Open| {
                    open.receipt
                        .as_ref()
                        .is_some_and(|r| r.first.raw() == first)
                };
                let wrote = |open: &&Open| open.request.wrote(0, seen);
                let found = self.open.iter().position(|open| told(open) && wrote(&open));
                found.or_else(|| self.open.iter().position(|open| wrote(&open)))
            }
            None => self
                .open
                .iter()
                .position(|open| !matches!(open.request, Request::Append(_))),
        };
        let Some(found) = found else {
            let seen = scan.get(&first);
            return Err(Violation::new(format!(
                "position {first} holds what nobody asked for, or asked for once only: {}",
                short(&seen)
            )));
        };
        let open = self.open.remove(found);
        let records = open.request.records();
        ensure(first + records <= end, || {
            format!("a batch of {records} records stands at {first}, and the store ends at {end}")
        })?;
        for number in 0..records {
            let seen = scan.get(&(first + number));
            let hidden = !matches!(open.request, Request::Append(_));
            let right = seen.map_or(hidden, |seen| open.request.wrote(number, seen));
            ensure(right, || {
                format!(
                    "record {number} of a batch at {first} should stand at {}: {}; asked: {}",
                    first + number,
                    short(&seen),
                    short(&open.request)
                )
            })?;
        }
        if let Some(receipt) = &open.receipt {
            let right = receipt.first.raw() == first && receipt.last.raw() == first + records - 1;
            ensure(right, || {
                format!("a batch stands at {first}, its receipt: {receipt:?}")
            })?;
        }
        let known = self
            .log
            .last()
            .map_or(Timestamp::default(), |entry| entry.time);
        let time = scan.get(&first).map_or(known, |event| event.time);
        self.log.push(Entry {
            first,
            time,
            request: open.request,
        });
        self.end += records;
        Ok(())
    }

    /// Checks that what was shown or told is still so in a store that holds `scan` from its beginning.
    ///
    /// # Errors
    /// When something shown or implied has disappeared or changed.
    pub fn check_shown(&self, scan: &[RecordedEvent]) -> Checked {
        let mut last: BTreeMap<&StreamName, u64> = BTreeMap::new();
        let mut by_position = BTreeMap::new();
        for event in scan {
            by_position.insert(event.position.raw(), event);
            if event.kind == RecordKind::Event {
                last.insert(&event.stream, event.revision.number());
            }
        }
        for (position, event) in &self.shown {
            let now = by_position.get(position);
            ensure(now.is_some_and(|now| *now == event), || {
                format!(
                    "position {position} was shown as {}, now it is {}",
                    short(event),
                    short(&now)
                )
            })?;
        }
        for (stream, told) in &self.told {
            let now = last.get(stream);
            ensure(now.is_some_and(|now| now >= told), || {
                format!("a conflict told of revision {told} of {stream}; its last one is {now:?}")
            })?;
        }
        Ok(())
    }

    /// The ids of all events in the log with their streams; for asking again.
    #[must_use]
    pub fn batch_of(&self, id: EventId) -> Option<&AppendBatch> {
        self.log
            .iter()
            .rev()
            .find_map(|entry| match &entry.request {
                Request::Append(batch) => {
                    let mut events = batch.writes.iter().flat_map(|write| write.change.events());
                    events.any(|event| event.id == id).then_some(batch)
                }
                _ => None,
            })
    }
}

/// The memory store with the same log: what every answer must be compared with.
#[derive(Debug)]
pub struct Model {
    /// The store.
    pub store: MemoryStore,
    clock: Arc<AtomicI64>,
    entries: usize,
}

impl Default for Model {
    fn default() -> Self {
        let clock = Arc::new(AtomicI64::new(0));
        let hand = Arc::clone(&clock);
        let now = move || Timestamp::from_micros(hand.load(Ordering::Relaxed));
        Self {
            store: MemoryStore::with_clock(Arc::new(now)),
            clock,
            entries: 0,
        }
    }
}

impl Model {
    /// Takes up what the log holds in addition.
    ///
    /// # Errors
    /// When the contract would not have accepted a batch of the log at its place, or would have placed it elsewhere.
    pub fn follow(&mut self, log: &[Entry]) -> Checked {
        for entry in log.iter().skip(self.entries) {
            self.clock.store(entry.time.as_micros(), Ordering::Relaxed);
            let outcome = self.write(&entry.request)?;
            let refused = |why: String| {
                let request = short(&entry.request);
                Violation::new(format!(
                    "the batch at {} should have been refused ({why}): {request}",
                    entry.first
                ))
            };
            let first = outcome.map_err(|error| refused(error.to_string()))?;
            if let Some(receipt) = first {
                ensure(!receipt.replayed, || {
                    format!(
                        "the batch at {} is a repetition, written twice: {}",
                        entry.first,
                        short(&entry.request)
                    )
                })?;
                ensure(receipt.first.raw() == entry.first, || {
                    format!("the batch at {} belongs at {}", entry.first, receipt.first)
                })?;
            }
            self.entries += 1;
        }
        Ok(())
    }

    /// Moves the model's clock.
    pub fn set_now(&self, now_us: i64) {
        self.clock.store(now_us, Ordering::Relaxed);
    }

    fn write(
        &self,
        request: &Request,
    ) -> Checked<Result<Option<Receipt>, factum_store::StoreError>> {
        let store = &self.store;
        Ok(match request {
            Request::Append(batch) => {
                poll::now("the model", store.append(batch.clone()))?.map(Some)
            }
            Request::Snapshot(snapshot) => {
                poll::now("the model", store.save_snapshot(snapshot.clone()))?.map(|()| None)
            }
            Request::Checkpoint(consumer, checkpoint) => {
                let saved = store.save_checkpoint(consumer.clone(), checkpoint.clone());
                poll::now("the model", saved)?.map(|()| None)
            }
        })
    }
}
