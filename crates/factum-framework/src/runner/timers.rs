//! The timers of one owner that are pending, in the order they become due.
//!
//! Relies on: notes in the owners' streams; the list is made anew from them after a restart. Never: fires; it says what is due.

use std::collections::{BTreeMap, BTreeSet};

use factum_store::{ReadFrom, ReadRequest, Source};
use factum_types::{Position, Query, QueryItem, RecordedEvent, Revision, StreamName, Timestamp};

use crate::error::Error;
use crate::inputs::item;
use crate::note::{Note, OWNER, TIMER_NOTES};
use crate::repository::Repository;

/// How many timers of one owner may be pending.
pub(crate) const PENDING_MAX: usize = 1_000_000;

/// When a timer is due, and where it was set; timers that are due at one time go in the order they were set.
type Due = (Timestamp, Position);

/// A timer by its stream and name.
type Name = (StreamName, String);

/// The timers of one owner.
#[derive(Debug)]
pub(crate) struct Timers {
    query: QueryItem,
    /// The last position read.
    pub(crate) read: Option<Position>,
    by_due: BTreeMap<Due, (Name, Revision)>,
    by_name: BTreeMap<Name, Due>,
    positions: BTreeSet<Position>,
}

impl Timers {
    /// The timers of an owner, of which those set up to `done` are known to be settled.
    pub(crate) fn new(owner: &str, done: Option<Position>) -> Result<Self, Error> {
        Ok(Self {
            query: item(TIMER_NOTES, Some((OWNER, owner)))?,
            read: done,
            by_due: BTreeMap::new(),
            by_name: BTreeMap::new(),
            positions: BTreeSet::new(),
        })
    }

    /// Takes up what was stored since.
    pub(crate) async fn refresh(&mut self, repository: &Repository) -> Result<(), Error> {
        let query = Query {
            items: vec![self.query.clone()],
        };
        let request = ReadRequest::forward(Source::Query(query)).from(after(self.read));
        let mut events = repository.store.read(request);
        while let Some(event) = events.next().await {
            let event = event?;
            self.take(&event)?;
            self.read = Some(event.position);
        }
        Ok(())
    }

    fn take(&mut self, event: &RecordedEvent) -> Result<(), Error> {
        match Note::read(event)? {
            Some(Note::TimerSet { timer, at_us }) => {
                let name = (event.stream.clone(), timer);
                self.remove(&name);
                if self.by_due.len() >= PENDING_MAX {
                    return Err(Error::invalid(format!(
                        "more than {PENDING_MAX} timers are pending; the one that event {} of stream {} sets has no room",
                        event.revision, event.stream
                    )));
                }
                let due = (Timestamp::from_micros(at_us), event.position);
                self.by_name.insert(name.clone(), due);
                self.by_due.insert(due, (name, event.revision));
                self.positions.insert(event.position);
            }
            Some(Note::TimerCancelled { timer } | Note::TimerFired { timer, .. }) => {
                self.remove(&(event.stream.clone(), timer));
            }
            Some(Note::ProcessEnded) => self.remove_all(&event.stream),
            _ => (),
        }
        Ok(())
    }

    fn remove(&mut self, name: &Name) {
        if let Some(due) = self.by_name.remove(name) {
            self.by_due.remove(&due);
            self.positions.remove(&due.1);
        }
    }

    fn remove_all(&mut self, stream: &StreamName) {
        let first = (stream.clone(), String::new());
        let names = self.by_name.range(first..).map(|(name, _)| name.clone());
        let names: Vec<_> = names.take_while(|name| name.0 == *stream).collect();
        for name in &names {
            self.remove(name);
        }
    }

    /// When the next timer is due.
    pub(crate) fn next(&self) -> Option<Due> {
        self.by_due.first_key_value().map(|(due, _)| *due)
    }

    /// The event that set the next timer, if it is still stored.
    pub(crate) async fn event(
        &self,
        repository: &Repository,
    ) -> Result<Option<RecordedEvent>, Error> {
        let Some((_, ((stream, _), revision))) = self.by_due.first_key_value() else {
            return Ok(None);
        };
        event_at(repository, stream.clone(), *revision).await
    }

    /// The next timer is dealt with.
    pub(crate) fn pop(&mut self) {
        if let Some((due, (name, _))) = self.by_due.pop_first() {
            self.by_name.remove(&name);
            self.positions.remove(&due.1);
        }
    }

    /// The position up to which all timers are settled.
    pub(crate) fn settled(&self) -> Option<Position> {
        match self.positions.first() {
            Some(first) => first.previous(),
            None => self.read,
        }
    }
}

/// Where reading goes on after this position.
pub(crate) fn after(position: Option<Position>) -> ReadFrom {
    match position {
        None => ReadFrom::Start,
        Some(position) => position.next().map_or(ReadFrom::End, ReadFrom::Position),
    }
}

/// The event with this revision, if the stream still has it.
pub(crate) async fn event_at(
    repository: &Repository,
    stream: StreamName,
    revision: Revision,
) -> Result<Option<RecordedEvent>, Error> {
    let request = ReadRequest::stream(stream)
        .from(ReadFrom::Revision(revision))
        .limit(1);
    match repository.store.read(request).collect().await {
        Err(error)
            if matches!(
                error.kind(),
                factum_store::Kind::NotFound | factum_store::Kind::Deleted
            ) =>
        {
            Ok(None)
        }
        events => Ok(events?.into_iter().find(|event| event.revision == revision)),
    }
}
