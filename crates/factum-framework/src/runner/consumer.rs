//! One consumer of a runner: it is given its events in order, retries what fails, and parks what goes on failing.
//!
//! Relies on: handlers that may be repeated. Never: leaves out an event; it is handled, parked or, by hand, skipped.

use std::collections::BTreeSet;

use factum_store::{ReadRequest, Source};
use factum_types::{EventId, Position, Query, QueryItem, RecordedEvent, Timestamp};

use super::desk::{Desk, Handled, Hosted, Trouble};
use super::lot::Lot;
use super::progress::{Progress, StartFrom};
use super::timers::{Timers, after, event_at};
use crate::error::{Error, Kind};
use crate::note::{Note, ParkedNote};
use crate::retry::Retry;

/// How many events are handled before another consumer has its turn.
const BATCH: usize = 64;
/// After how many events a checkpoint is saved, at the latest.
const SAVE_EVERY: u32 = 256;
/// How many events of one consumer may be parked unless said otherwise.
pub(crate) const PARKED_MAX: usize = 10_000;

/// What all consumers of a runner are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) retry: Retry,
    pub(crate) parked_max: usize,
}

/// Something hosted, and how far it is.
pub(crate) struct Consumer {
    hosted: Box<dyn Hosted>,
    name: String,
    start: StartFrom,
    state: Option<State>,
    /// Until when another runner is at the next event, at most.
    pub(crate) elsewhere: Option<Timestamp>,
}

struct State {
    items: Vec<QueryItem>,
    progress: Progress,
    lot: Lot,
    timers: Option<Timers>,
    /// The last position that was dealt with.
    done: Option<Position>,
    unsaved: u32,
}

/// What became of an event that was offered.
enum Offered {
    Settled,
    Elsewhere(Timestamp),
}

impl Consumer {
    pub(crate) fn new(hosted: Box<dyn Hosted>, start: StartFrom) -> Self {
        Self {
            name: hosted.name(),
            hosted,
            start,
            state: None,
            elsewhere: None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The events that it waits for: its own, and what is asked of its parked ones by hand.
    pub(crate) fn items(&self) -> Result<Vec<QueryItem>, Error> {
        self.hosted.items()
    }

    pub(crate) fn owner(&self) -> Option<&str> {
        self.hosted.owner()
    }

    /// How many of its events are parked.
    pub(crate) fn parked(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.lot.len())
    }

    /// When its next timer is due.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        let timers = self.state.as_ref()?.timers.as_ref()?;
        timers.next().map(|(at, _)| at)
    }

    async fn ready(&mut self, desk: &Desk) -> Result<(), Error> {
        if self.state.is_some() {
            return Ok(());
        }
        let items = self.hosted.items()?;
        let progress = Progress::load(desk, &self.name, self.start).await?;
        let timers = match self.hosted.owner() {
            Some(owner) => Some(Timers::new(owner, progress.timers)?),
            None => None,
        };
        self.state = Some(State {
            items,
            done: progress.position,
            progress,
            lot: Lot::new(&self.name)?,
            timers,
            unsaved: 0,
        });
        Ok(())
    }

    /// Handles some of what there is, and says how much that was.
    pub(crate) async fn step(&mut self, desk: &Desk, rules: &Rules) -> Result<u64, Error> {
        self.ready(desk).await?;
        self.elsewhere = None;
        let Some(state) = &mut self.state else {
            return Ok(0);
        };
        state.lot.refresh(&desk.repository).await?;
        if let Some(timers) = &mut state.timers {
            timers.refresh(&desk.repository).await?;
        }
        let again = self.retry_parked(desk, rules).await?;
        let fed = self.feed(desk, rules).await?;
        Ok(again + fed)
    }

    /// Tries the parked events again that someone wants to be.
    async fn retry_parked(&mut self, desk: &Desk, rules: &Rules) -> Result<u64, Error> {
        let Self {
            hosted,
            state: Some(state),
            elsewhere,
            ..
        } = self
        else {
            return Ok(0);
        };
        let mut tried = 0;
        while let Some(partition) = state.lot.wanted()
            && !desk.stop.is_asked()
        {
            let Some(entry) = state.lot.first(&partition).cloned() else {
                break;
            };
            let outcome = match read_again(desk, &entry.note).await? {
                Some(event) => attempt(&**hosted, desk, rules, &event).await?,
                None => Attempted::Failed(0, "the event is not stored any more".to_owned()),
            };
            let note = match outcome {
                Attempted::Done => Note::EventReleased {
                    partition: partition.clone(),
                    position: entry.note.position,
                },
                Attempted::Elsewhere(until) => {
                    *elsewhere = Some(until);
                    break;
                }
                Attempted::Failed(attempts, reason) => Note::EventParked(ParkedNote {
                    reason,
                    attempts: entry.note.attempts + attempts,
                    ..entry.note.clone()
                }),
            };
            let position = entry.note.position;
            let first = |lot: &Lot| {
                lot.first(&partition)
                    .is_some_and(|first| first.note.position == position)
            };
            let id = desk.new_id();
            state.lot.note(&desk.repository, id, &note, first).await?;
            tried += 1;
        }
        Ok(tried)
    }

    /// Handles the events after the last one that was dealt with.
    async fn feed(&mut self, desk: &Desk, rules: &Rules) -> Result<u64, Error> {
        let Self {
            hosted,
            name,
            state: Some(state),
            elsewhere,
            ..
        } = self
        else {
            return Ok(0);
        };
        let query = Query {
            items: state.items.clone(),
        };
        let request = ReadRequest::forward(Source::Query(query))
            .from(after(state.done))
            .limit(BATCH as u64);
        let mut events = desk.repository.store.read(request);
        let mut fed = 0;
        while let Some(event) = events.next().await {
            let event = event?;
            if desk.stop.is_asked() {
                break;
            }
            let offered = offer(&**hosted, name, &mut state.lot, desk, rules, &event).await?;
            match offered {
                Offered::Settled => (),
                Offered::Elsewhere(until) => {
                    *elsewhere = Some(until);
                    break;
                }
            }
            state.done = Some(event.position);
            state.unsaved += 1;
            fed += 1;
        }
        drop(events);
        if state.unsaved >= SAVE_EVERY {
            self.save(desk).await?;
        }
        Ok(fed)
    }

    /// Wakes the owner of the next timer, if that is due; says whether there was one.
    pub(crate) async fn fire(&mut self, desk: &Desk, rules: &Rules) -> Result<bool, Error> {
        let Self {
            hosted,
            name,
            state: Some(state),
            elsewhere,
            ..
        } = self
        else {
            return Ok(false);
        };
        let Some(timers) = &mut state.timers else {
            return Ok(false);
        };
        let now = desk.repository.world.now();
        if timers.next().is_none_or(|(at, _)| at > now) {
            return Ok(false);
        }
        if let Some(event) = timers.event(&desk.repository).await? {
            let offered = offer(&**hosted, name, &mut state.lot, desk, rules, &event).await?;
            if let Offered::Elsewhere(until) = offered {
                *elsewhere = Some(until);
                return Ok(false);
            }
        }
        timers.pop();
        state.unsaved += 1;
        Ok(true)
    }

    /// Stores how far it is, if it is further than what is stored.
    pub(crate) async fn save(&mut self, desk: &Desk) -> Result<(), Error> {
        let Some(state) = &mut self.state else {
            return Ok(());
        };
        if state.unsaved == 0 {
            return Ok(());
        }
        let timers = state.timers.as_ref().and_then(Timers::settled);
        state.progress.save(desk, state.done, timers).await?;
        // Another runner may be further; what it settled need not be looked at.
        state.done = state.done.max(state.progress.position);
        state.unsaved = 0;
        Ok(())
    }
}

/// Gives an event to a handler, unless it has to wait behind another; parks it when it has to, or when it fails.
async fn offer(
    hosted: &dyn Hosted,
    consumer: &str,
    lot: &mut Lot,
    desk: &Desk,
    rules: &Rules,
    event: &RecordedEvent,
) -> Result<Offered, Error> {
    if lot.holds(event.position) {
        return Ok(Offered::Settled);
    }
    let stream = event.stream.as_str();
    let (mut partitions, unreadable) = match hosted.partitions(event) {
        Ok(partitions) => (partitions, None),
        // What cannot be read waits with the events of its stream.
        Err(error) => (vec![stream.to_owned()], Some(error.to_string())),
    };
    let Some(first) = partitions.first().cloned() else {
        return Ok(Offered::Settled);
    };
    let mut parking = Parking {
        consumer,
        lot,
        desk,
        rules,
    };
    if parking.lot.is_blocked(stream) {
        partitions.push(stream.to_owned());
    }
    if let Some(queue) = parking.lot.behind(&partitions) {
        let reason = "waits behind an event that failed".to_owned();
        return parking.park(queue, partitions, event, 0, reason).await;
    }
    if let Some(reason) = unreadable {
        return parking.park(first, partitions, event, 1, reason).await;
    }
    match attempt(hosted, desk, rules, event).await? {
        Attempted::Done => Ok(Offered::Settled),
        Attempted::Elsewhere(until) => Ok(Offered::Elsewhere(until)),
        Attempted::Failed(attempts, reason) => {
            parking
                .park(first, partitions, event, attempts, reason)
                .await
        }
    }
}

/// What is needed to park an event.
struct Parking<'a> {
    consumer: &'a str,
    lot: &'a mut Lot,
    desk: &'a Desk,
    rules: &'a Rules,
}

impl Parking<'_> {
    /// Parks an event in the queue of one partition; what comes later in any of its partitions waits behind it.
    async fn park(
        &mut self,
        queue: String,
        partitions: Vec<String>,
        event: &RecordedEvent,
        attempts: u32,
        reason: String,
    ) -> Result<Offered, Error> {
        if self.lot.len() >= self.rules.parked_max {
            let (consumer, parked) = (self.consumer, self.lot.len());
            let stream = &event.stream;
            return Err(Error::new(
                Kind::Invalid,
                format!(
                    "{consumer} stops before event {} of stream {stream}: {parked} events are parked, which is the limit; retry or skip them",
                    event.revision
                ),
            ));
        }
        let others: BTreeSet<_> = partitions.into_iter().collect();
        let note = Note::EventParked(ParkedNote {
            also: others.into_iter().filter(|it| *it != queue).collect(),
            partition: queue,
            position: event.position.raw(),
            event: event.id.to_string(),
            stream: event.stream.to_string(),
            revision: event.revision.number(),
            event_type: event.event_type.to_string(),
            reason: shortened(reason),
            attempts,
        });
        let id = self.desk.new_id();
        let position = event.position;
        let repository = &self.desk.repository;
        self.lot
            .note(repository, id, &note, |lot| !lot.holds(position))
            .await?;
        Ok(Offered::Settled)
    }
}

/// A reason that fits beside others.
fn shortened(mut reason: String) -> String {
    /// Longer reasons are cut.
    const BYTES_MAX: usize = 4 << 10;
    if reason.len() > BYTES_MAX {
        let end = (0..=BYTES_MAX)
            .rev()
            .find(|end| reason.is_char_boundary(*end));
        reason.truncate(end.unwrap_or(0));
        reason.push('…');
    }
    reason
}

/// What came of some attempts.
enum Attempted {
    Done,
    Elsewhere(Timestamp),
    Failed(u32, String),
}

/// Handles an event, again and again as long as that may help.
async fn attempt(
    hosted: &dyn Hosted,
    desk: &Desk,
    rules: &Rules,
    event: &RecordedEvent,
) -> Result<Attempted, Error> {
    let mut attempts = 1;
    loop {
        let reason = match hosted.handle(desk, event).await {
            Ok(Handled::Done) => return Ok(Attempted::Done),
            Ok(Handled::Elsewhere(until)) => return Ok(Attempted::Elsewhere(until)),
            Err(Trouble::Stop(error)) => return Err(error),
            Err(Trouble::Park(reason)) => return Ok(Attempted::Failed(attempts, reason)),
            Err(Trouble::Again(reason)) => reason,
        };
        if attempts >= rules.retry.attempts {
            return Ok(Attempted::Failed(attempts, reason));
        }
        desk.repository.pause(rules.retry, attempts).await;
        attempts += 1;
    }
}

async fn read_again(desk: &Desk, note: &ParkedNote) -> Result<Option<RecordedEvent>, Error> {
    let stream = factum_types::StreamName::new(&note.stream)?;
    let revision = factum_types::Revision::new(note.revision);
    let event = event_at(&desk.repository, stream, revision).await?;
    let id: Option<EventId> = note.event.parse().ok();
    Ok(event.filter(|event| Some(event.id) == id))
}
