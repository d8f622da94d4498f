//! One batch after another: read, write, commit; and what is parked on the way.
//!
//! Relies on: commits that are all or nothing. Never: leaves out an event; it is applied, parked or, by hand, skipped.

use factum_framework::Stop;
use factum_store::{Kind as Store, ReadFrom, ReadRequest, Source, StoreError};
use factum_types::{Position, RecordedEvent};

use super::ahead::{Events, Lost};
use super::{BATCH_BYTES, Reading, Runner};
use crate::error::{Error, Kind};
use crate::parked::Parked;
use crate::projector::Projector;
use crate::sink::{Advance, Change, Lease, Sink, State};

/// What is read from the store at once, and up to where that leaves nothing behind.
struct Batch {
    events: Vec<RecordedEvent>,
    to: Option<Position>,
    /// Whether nothing was left.
    last: bool,
}

/// What is left after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// There may be more.
    More,
    /// Nothing that the store had.
    Nothing,
    /// The projection is paused.
    Paused,
}

/// What keeps events from being committed together; fewer of them may be.
enum Blocked {
    /// One of them will never be taken.
    Refused(Error),
    /// More of them have to wait than may.
    NoRoom(Error),
}

impl<S: Sink, P: Projector<S::Writer>> Runner<S, P> {
    /// Does what is to be done next; says what is left then. What is parked and to be tried may be much, so it is stopped
    /// between two of that.
    pub(super) async fn step(&mut self, stop: &Stop) -> Result<Left, Error> {
        if self.ready().await?.1.paused {
            return Ok(Left::Paused);
        }
        while let Some(waiting) = self.state.as_ref().and_then(|state| state.parked.due()) {
            if stop.is_asked() {
                return Ok(Left::More);
            }
            let waiting = waiting.clone();
            self.try_parked(waiting).await?;
        }
        let batch = self.next_batch().await?;
        let last = batch.last;
        self.apply(batch.events, batch.to).await?;
        Ok(if last { Left::Nothing } else { Left::More })
    }

    async fn next_batch(&mut self) -> Result<Batch, Error> {
        let done = self.state.as_ref().and_then(|state| state.checkpoint);
        let reading = match &mut self.events {
            Some(reading) => reading,
            None => {
                let head = self.store.head().await?;
                self.monitor.ends(head);
                let request = ReadRequest::forward(self.projector.source()).from(after(done));
                let events = self.store.read(request);
                let events = match &self.ahead {
                    Some(background) => Events::ahead(events, &**background),
                    None => Events::Store(events),
                };
                self.events.insert(Reading { events, head })
            }
        };
        let mut batch = Batch {
            events: Vec::new(),
            to: done,
            last: false,
        };
        let mut bytes = 0;
        while batch.events.len() < self.batch_events && bytes < BATCH_BYTES {
            match reading.events.next().await {
                Ok(Some(Ok(event))) => {
                    batch.to = Some(event.position);
                    bytes += event.data.len();
                    batch.events.push(event);
                }
                Ok(Some(Err(error))) if !is_nothing(&error) => return Err(error.into()),
                Err(Lost) => {
                    // Whatever became of it: the next attempt reads by itself.
                    self.ahead = None;
                    return Err(Error::unavailable("reading ahead was given up"));
                }
                Ok(Some(Err(_)) | None) => {
                    batch.to = batch.to.max(reading.head);
                    batch.last = true;
                    break;
                }
            }
        }
        if batch.last {
            self.events = None;
        }
        Ok(batch)
    }

    /// Applies events in one commit, or in smaller ones when something among them is refused.
    async fn apply(
        &mut self,
        events: Vec<RecordedEvent>,
        to: Option<Position>,
    ) -> Result<(), Error> {
        let (lease, state) = self.ready().await?;
        if events.is_empty() && to <= state.checkpoint {
            return Ok(());
        }
        let mut parts = vec![(events, to)];
        while let Some((mut events, to)) = parts.pop() {
            let Some(blocked) = self.commit_events(&lease, &events, to).await? else {
                continue;
            };
            if events.len() > 1 {
                let rest = events.split_off(events.len() / 2);
                let middle = events.last().map(|event| event.position);
                parts.push((rest, to));
                parts.push((events, middle));
                continue;
            }
            match (blocked, events.first()) {
                (Blocked::Refused(error), Some(event)) => {
                    self.park(&lease, event, to, &error).await?;
                }
                (Blocked::NoRoom(error) | Blocked::Refused(error), _) => return Err(error),
            }
        }
        Ok(())
    }

    /// Commits all of these events, or says what keeps it from that; then nothing is begun.
    async fn commit_events(
        &mut self,
        lease: &Lease,
        events: &[RecordedEvent],
        to: Option<Position>,
    ) -> Result<Option<Blocked>, Error> {
        let (free, changes) = self.sort(events);
        if let Err(error) = self.check_room(lease, &changes) {
            return Ok(Some(Blocked::NoRoom(error)));
        }
        self.sink.begin(lease).await?;
        let written = free
            .into_iter()
            .try_for_each(|event| self.projector.project(event, self.sink.writer(event)));
        let committed = match written {
            Ok(()) => self.commit(lease, to, changes).await,
            Err(error) => Err(error),
        };
        match committed {
            Ok(()) => {
                self.count(events.len() as u64);
                Ok(None)
            }
            Err(error) if error.kind() == Kind::Refused => {
                self.sink.roll_back().await;
                Ok(Some(Blocked::Refused(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// Which events can be applied, and those that wait behind others.
    fn sort<'e>(&self, events: &'e [RecordedEvent]) -> (Vec<&'e RecordedEvent>, Vec<Change>) {
        let (mut free, mut changes) = (Vec::new(), Vec::new());
        for event in events {
            let partition = self.projector.partition(event);
            let state = self.state.as_ref();
            if state.is_some_and(|state| state.parked.first(&partition).is_some()) {
                let reason = "waits behind an event that failed";
                let now = self.world.now();
                let parked = Parked::new(event, partition, reason, 0, now);
                changes.push(Change::Park(parked));
            } else {
                free.push(event);
            }
        }
        (free, changes)
    }

    /// Whether what is parked more would stay within the limit. What is parked already and parked again is no more.
    fn check_room(&self, lease: &Lease, changes: &[Change]) -> Result<(), Error> {
        let Some(State { parked, .. }) = &self.state else {
            return Err(not_looked());
        };
        let more = changes.iter().filter_map(|change| match change {
            Change::Park(entry) => Some(entry),
            Change::Release(_) => None,
        });
        let mut more = more.filter(|entry| parked.get(entry.position).is_none());
        let room = self.parked_max.saturating_sub(parked.len());
        match more.nth(room) {
            None => Ok(()),
            Some(over) => Err(Error::invalid(format!(
                "projection {} stops before event {} of stream {}: {} events are parked, the limit is {}; retry or skip them",
                lease.projection,
                over.revision,
                over.stream,
                parked.len(),
                self.parked_max
            ))),
        }
    }

    async fn park(
        &mut self,
        lease: &Lease,
        event: &RecordedEvent,
        to: Option<Position>,
        error: &Error,
    ) -> Result<(), Error> {
        let partition = self.projector.partition(event);
        let parked = Parked::new(event, partition, error.to_string(), 1, self.world.now());
        let changes = vec![Change::Park(parked)];
        self.check_room(lease, &changes)?;
        self.sink.begin(lease).await?;
        self.commit(lease, to, changes).await?;
        self.count(1);
        Ok(())
    }

    fn count(&mut self, events: u64) {
        self.applied += events;
        self.monitor.applied(events);
    }

    /// Tries the first event that waits in a partition.
    async fn try_parked(&mut self, waiting: Parked) -> Result<(), Error> {
        let (lease, state) = self.ready().await?;
        let to = state.checkpoint;
        // Before anything is begun: a sink may hold a lock from there on.
        let event = self.read_again(&waiting).await?;
        self.sink.begin(&lease).await?;
        let outcome = match event {
            Some(event) => self.projector.project(&event, self.sink.writer(&event)),
            None => Err(Error::refused("the event is not stored any more")),
        };
        let release = vec![Change::Release(waiting.position)];
        let outcome = match outcome {
            Ok(()) => self.commit(&lease, to, release).await,
            Err(error) => Err(error),
        };
        match outcome {
            Err(error) if error.kind() == Kind::Refused => {
                self.sink.roll_back().await;
                let attempts = waiting.attempts.saturating_add(1);
                let again = Parked {
                    reason: error.to_string(),
                    attempts,
                    since: self.world.now(),
                    wanted: false,
                    ..waiting
                };
                self.sink.begin(&lease).await?;
                self.commit(&lease, to, vec![Change::Park(again)]).await
            }
            other => other,
        }
    }

    async fn commit(
        &mut self,
        lease: &Lease,
        to: Option<Position>,
        changes: Vec<Change>,
    ) -> Result<(), Error> {
        let Some(state) = &mut self.state else {
            return Err(not_looked());
        };
        let advance = Advance {
            from: state.checkpoint,
            to,
            edits: state.edits,
            changes,
        };
        self.sink.commit(lease, &advance).await?;
        state.take_up(&advance);
        self.monitor.looked(lease, state);
        Ok(())
    }

    async fn read_again(&self, parked: &Parked) -> Result<Option<RecordedEvent>, Error> {
        let request = ReadRequest::forward(Source::Stream(parked.stream.clone()))
            .from(ReadFrom::Revision(parked.revision))
            .limit(1);
        match self.store.read(request).next().await {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event).filter(|event| event.id == parked.event)),
            Some(Err(error)) if is_nothing(&error) => Ok(None),
            Some(Err(error)) => Err(error.into()),
        }
    }
}

fn not_looked() -> Error {
    Error::unavailable("the sink has to be looked at first")
}

pub(super) fn after(done: Option<Position>) -> ReadFrom {
    match done {
        None => ReadFrom::Start,
        Some(done) => done.next().map_or(ReadFrom::End, ReadFrom::Position),
    }
}

/// A stream that is not there has no events.
pub(crate) fn is_nothing(error: &StoreError) -> bool {
    matches!(error.kind(), Store::NotFound | Store::Deleted)
}
