//! Judging a batch and writing it.
//!
//! Everything is judged on copies of the streams' headings, so that a later write sees an earlier one; only a batch that holds as a
//! whole is written, and writing cannot fail.
//! Never: changes the state before the whole batch has been judged.

use std::collections::{BTreeMap, BTreeSet};

use factum_types::{
    EventId, ExpectedRevision, NewEvent, Position, Query, RecordKind, RecordedEvent, Revision,
    StreamName, StreamSettings, Timestamp, limits::CONFLICT_EVENTS_MAX,
};

use crate::append::{AppendBatch, Change, Condition, Receipt, StreamReceipt, StreamWrite};
use crate::error::{Conflict, ConflictReason, Kind, StoreError};
use crate::read::{ReadFrom, ReadRequest};
use crate::stream_info::StreamState;

use super::control::Control;
use super::state::{Heading, State, index_of, position_of};

impl State {
    /// Appends a batch, all or nothing. `now` is not before the last record.
    pub(super) fn append(
        &mut self,
        batch: AppendBatch,
        now: Timestamp,
    ) -> Result<Receipt, StoreError> {
        batch.validate()?;
        check_ids_differ(&batch)?;
        if let Err(error) = self.judge(&batch, now) {
            return match error.kind() {
                Kind::Conflict => self.replay(&batch)?.ok_or(error),
                _ => Err(error),
            };
        }
        if let Some(error) = self.id_in_use(&batch) {
            return self.replay(&batch)?.ok_or(error);
        }
        let times = self.times(&batch, now)?;
        Ok(self.write(batch, now, times))
    }

    /// Whether all conditions and expectations hold.
    fn judge(&self, batch: &AppendBatch, now: Timestamp) -> Result<(), StoreError> {
        for (number, condition) in batch.conditions.iter().enumerate() {
            match condition {
                Condition::Stream { stream, expected } => {
                    let heading = self.heading(stream);
                    if !heading.is(*expected) {
                        return Err(self.conflict(stream, *expected, &heading, now));
                    }
                }
                Condition::NoMatch { query, after } => {
                    self.judge_no_match(number, query, *after)?;
                }
            }
        }
        let mut headings = BTreeMap::new();
        for write in &batch.writes {
            let heading = headings
                .entry(&write.stream)
                .or_insert_with(|| self.heading(&write.stream));
            self.judge_write(write, heading, now)?;
            heading.apply(&write.change);
        }
        Ok(())
    }

    fn judge_write(
        &self,
        write: &StreamWrite,
        heading: &Heading,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let stream = &write.stream;
        if heading.state == StreamState::Tombstoned {
            return Err(tombstoned(stream));
        }
        let deletable =
            !matches!(write.change, Change::Delete) || heading.state == StreamState::Live;
        if heading.is(write.expected) && deletable {
            return Ok(());
        }
        Err(self.conflict(stream, write.expected, heading, now))
    }

    fn judge_no_match(
        &self,
        condition: usize,
        query: &Query,
        after: Option<Position>,
    ) -> Result<(), StoreError> {
        let begin = after.map_or(0, |position| index_of(position).saturating_add(1));
        let matching: Vec<_> = (begin..self.records.len())
            .filter_map(|index| self.shown(index))
            .filter(|event| is_match(query, event))
            .collect();
        let Some(last) = matching.last() else {
            return Ok(());
        };
        let reason = ConflictReason::Match {
            condition,
            position: Some(last.position),
        };
        let events = matching
            .into_iter()
            .take(CONFLICT_EVENTS_MAX)
            .cloned()
            .collect();
        Err(StoreError::conflict(Conflict { reason, events }))
    }

    /// The error for a stream that is not as expected, with what reading it again would give.
    fn conflict(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        heading: &Heading,
        now: Timestamp,
    ) -> StoreError {
        let from = match expected {
            ExpectedRevision::Exactly(known) => known
                .number()
                .checked_add(1)
                .map(|next| ReadFrom::Revision(Revision::new(next))),
            ExpectedRevision::NoStream => Some(ReadFrom::Start),
            ExpectedRevision::StreamExists | ExpectedRevision::Any => None,
        };
        let request = from.map(|from| {
            ReadRequest::stream(stream.clone())
                .from(from)
                .limit(CONFLICT_EVENTS_MAX as u64)
        });
        // A stream that cannot be read has nothing to show.
        let events = request
            .and_then(|request| self.read(&request, now).ok())
            .unwrap_or_default();
        let stream = stream.clone();
        let actual = heading.last_revision();
        let reason = ConflictReason::Revision {
            stream,
            expected,
            actual,
        };
        StoreError::conflict(Conflict { reason, events })
    }

    /// The error for the first id of an `Any` or `StreamExists` write that its stream already has.
    fn id_in_use(&self, batch: &AppendBatch) -> Option<StoreError> {
        let searched = |e| matches!(e, ExpectedRevision::Any | ExpectedRevision::StreamExists);
        batch.writes.iter().filter(|write| searched(write.expected)).find_map(|write| {
            let log = self.streams.get(&write.stream)?;
            write.change.events().iter().find_map(|event| {
                let revision = log.ids.get(&event.id)?;
                let (id, stream) = (event.id, &write.stream);
                Some(StoreError::invalid(format!(
                    "event id {id} is already in stream {stream} at revision {revision}, and the append is not a repetition of that one"
                )))
            })
        })
    }

    /// The time of each event of the batch, in order.
    fn times(&self, batch: &AppendBatch, now: Timestamp) -> Result<Vec<Timestamp>, StoreError> {
        let mut last = self.last_time;
        let mut times = Vec::with_capacity(batch.event_count());
        for write in &batch.writes {
            for event in write.change.events() {
                let time = event.time.unwrap_or(now);
                check_time(event, &write.stream, time, last, now)?;
                last = Some(time);
                times.push(time);
            }
            if write.change.events().is_empty() {
                last = Some(now);
            }
        }
        Ok(times)
    }

    /// Writes what has been judged.
    fn write(&mut self, batch: AppendBatch, now: Timestamp, times: Vec<Timestamp>) -> Receipt {
        let first = position_of(self.records.len());
        let mut times = times.into_iter();
        let mut writes = Vec::with_capacity(batch.writes.len());
        for StreamWrite { stream, change, .. } in batch.writes {
            let mut heading = self.heading(&stream);
            heading.apply(&change);
            match change {
                Change::Events(events) => {
                    for (event, time) in events.into_iter().zip(times.by_ref()) {
                        self.write_event(stream.clone(), event, time);
                    }
                }
                Change::Settings(_) => {
                    self.write_control(&stream, &Control::Settings(heading.settings), now);
                }
                Change::Delete => self.write_control(&stream, &Control::Delete, now),
                Change::Tombstone => self.write_control(&stream, &Control::Tombstone, now),
            }
            self.streams.entry(stream.clone()).or_default().heading = heading;
            writes.push(StreamReceipt {
                stream,
                last_revision: heading.last_revision(),
                position: position_of(self.records.len() - 1),
            });
        }
        Receipt {
            first,
            last: position_of(self.records.len() - 1),
            writes,
            replayed: false,
        }
    }

    fn write_event(&mut self, stream: StreamName, event: NewEvent, time: Timestamp) {
        let index = self.records.len();
        let log = self.streams.entry(stream.clone()).or_default();
        let revision = log.events.len();
        log.events.push(index);
        log.records.push(index);
        log.ids.insert(event.id, revision);
        let revision = Revision::new(revision as u64);
        self.records.push(Some(recorded(
            event,
            stream,
            revision,
            position_of(index),
            time,
        )));
        self.last_time = Some(time);
    }

    fn write_control(&mut self, stream: &StreamName, control: &Control, time: Timestamp) {
        let index = self.records.len();
        let log = self.streams.entry(stream.clone()).or_default();
        log.records.push(index);
        let revision = Revision::new(log.events.len() as u64);
        let record = control.record(stream.clone(), revision, position_of(index), time);
        self.records.push(Some(record));
        self.last_time = Some(time);
    }
}

impl Heading {
    /// What the change makes of the stream.
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Events(events) => {
                self.next_revision += events.len() as u64;
                self.state = StreamState::Live;
            }
            Change::Settings(settings) => self.settings = self.settings_kept(*settings),
            Change::Delete => {
                self.state = StreamState::Deleted;
                self.deleted_before = Some(self.next_revision);
                self.settings.truncate_before = Some(Revision::new(self.next_revision));
            }
            Change::Tombstone => self.state = StreamState::Tombstoned,
        }
    }

    /// The settings, but what was deleted stays hidden.
    fn settings_kept(&self, mut settings: StreamSettings) -> StreamSettings {
        let deleted = self.deleted_before.map(Revision::new);
        settings.truncate_before = settings.truncate_before.max(deleted);
        settings
    }
}

/// Whether an event, as opposed to a control record, is meant by the query.
fn is_match(query: &Query, event: &RecordedEvent) -> bool {
    event.kind == RecordKind::Event && query.matches(&event.event_type, &event.tags)
}

/// The error for a stream with a tombstone.
pub(super) fn tombstoned(stream: &StreamName) -> StoreError {
    StoreError::new(
        Kind::Deleted,
        format!("stream {stream} was closed for ever"),
    )
}

fn check_ids_differ(batch: &AppendBatch) -> Result<(), StoreError> {
    let mut seen: BTreeSet<(&StreamName, EventId)> = BTreeSet::new();
    for write in &batch.writes {
        for event in write.change.events() {
            if !seen.insert((&write.stream, event.id)) {
                let (id, stream) = (event.id, &write.stream);
                let message = format!("event id {id} is given twice for stream {stream}");
                return Err(StoreError::invalid(message));
            }
        }
    }
    Ok(())
}

fn check_time(
    event: &NewEvent,
    stream: &StreamName,
    time: Timestamp,
    last: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = event.id;
    if last.is_some_and(|last| time < last) {
        let message =
            format!("event {id} for stream {stream} has a time before that of the last record");
        return Err(StoreError::invalid(message));
    }
    if time > now {
        let message = format!("event {id} for stream {stream} has a time in the future");
        return Err(StoreError::invalid(message));
    }
    Ok(())
}

fn recorded(
    event: NewEvent,
    stream: StreamName,
    revision: Revision,
    position: Position,
    time: Timestamp,
) -> RecordedEvent {
    RecordedEvent {
        id: event.id,
        stream,
        revision,
        position,
        time,
        event_type: event.event_type,
        data: event.data,
        content_type: event.content_type,
        schema_version: event.schema_version,
        tags: event.tags,
        metadata: event.metadata,
        personal: event.personal,
        kind: RecordKind::Event,
    }
}
