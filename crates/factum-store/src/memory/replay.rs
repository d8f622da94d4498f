//! Recognising a retry: the same events, already there.
//!
//! Relies on: ids are compared within one stream only. Never: writes.

use factum_types::{EventId, ExpectedRevision, NewEvent, Position, RecordedEvent, Revision};

use crate::append::{AppendBatch, Receipt, StreamReceipt, StreamWrite};
use crate::error::StoreError;

use super::state::{State, StreamLog, position_of};

/// Where the events of one write were found: from the revision `begin`, and the indexes of their records.
struct Found<'a> {
    begin: usize,
    records: &'a [usize],
}

impl State {
    /// The first receipt, when all events of the batch are already where the batch would have put them; `None` when they are not.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): the ids are there, with other content.
    pub(super) fn replay(&self, batch: &AppendBatch) -> Result<Option<Receipt>, StoreError> {
        let Some(found) = self.find_all(batch) else {
            return Ok(None);
        };
        for (write, found) in batch.writes.iter().zip(&found) {
            let Some(found) = found else { continue };
            let stored = found.records.iter().filter_map(|&index| self.shown(index));
            for (given, stored) in write.change.events().iter().zip(stored) {
                if !is_same(given, stored) {
                    return Err(other_content(stored));
                }
            }
        }
        Ok(Some(self.receipt(batch, &found)))
    }

    /// Where the events of each write are, `None` for a change without; nothing unless all were found and there are any.
    fn find_all(&self, batch: &AppendBatch) -> Option<Vec<Option<Found<'_>>>> {
        let mut all = Vec::with_capacity(batch.writes.len());
        for write in &batch.writes {
            let found = if write.change.events().is_empty() {
                None
            } else {
                Some(self.find(write)?)
            };
            all.push(found);
        }
        all.iter().any(Option::is_some).then_some(all)
    }

    fn find(&self, write: &StreamWrite) -> Option<Found<'_>> {
        let log = self.streams.get(&write.stream)?;
        let events = write.change.events();
        let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
        log.begins(write.expected, *ids.first()?)
            .into_iter()
            .flatten()
            .find_map(|begin| {
                let end = begin.checked_add(ids.len())?;
                let records = log.events.get(begin..end)?;
                let stored = records
                    .iter()
                    .filter_map(|&index| self.shown(index))
                    .map(|e| e.id);
                stored
                    .eq(ids.iter().copied())
                    .then_some(Found { begin, records })
            })
    }

    /// The receipt of events that were found. A change without events is put where it stood beside them, its place not being kept.
    fn receipt(&self, batch: &AppendBatch, found: &[Option<Found<'_>>]) -> Receipt {
        let leading = found.iter().take_while(|found| found.is_none()).count();
        let first_event = found
            .iter()
            .flatten()
            .next()
            .and_then(|found| found.records.first())
            .copied();
        let mut next = first_event.unwrap_or(0).saturating_sub(leading);
        let mut positions: Vec<Position> = vec![position_of(next)];
        let mut writes = Vec::with_capacity(batch.writes.len());
        for (number, (write, found_here)) in batch.writes.iter().zip(found).enumerate() {
            let (last_revision, last) = match found_here {
                Some(Found { begin, records }) => {
                    positions.extend(records.iter().map(|&index| position_of(index)));
                    let last = records.last().copied().unwrap_or(next);
                    (revision_before(begin + records.len()), last)
                }
                None => (self.revision_beside(batch, found, number), next),
            };
            positions.push(position_of(last));
            next = last.saturating_add(1);
            let position = position_of(last);
            writes.push(StreamReceipt {
                stream: write.stream.clone(),
                last_revision,
                position,
            });
        }
        let first = positions.iter().min().copied().unwrap_or_default();
        let last = positions.iter().max().copied().unwrap_or_default();
        Receipt {
            first,
            last,
            writes,
            replayed: true,
        }
    }

    /// The last revision of a stream at a change without events: from the events of the same batch when it has some for the stream.
    fn revision_beside(
        &self,
        batch: &AppendBatch,
        found: &[Option<Found<'_>>],
        number: usize,
    ) -> Option<Revision> {
        let stream = &batch.writes.get(number)?.stream;
        let of_stream = |(write, found): (&StreamWrite, &Option<Found<'_>>)| {
            let found = found.as_ref().filter(|_| write.stream == *stream)?;
            Some((found.begin, found.begin + found.records.len()))
        };
        let pairs = || batch.writes.iter().zip(found);
        if let Some((_, end)) = pairs().take(number).rev().find_map(of_stream) {
            return revision_before(end);
        }
        match pairs().skip(number).find_map(of_stream) {
            Some((begin, _)) => revision_before(begin),
            None => self.heading(stream).last_revision(),
        }
    }
}

impl StreamLog {
    /// The revisions at which events appended under this expectation could have begun, the likeliest first.
    fn begins(&self, expected: ExpectedRevision, first: EventId) -> [Option<usize>; 2] {
        let index = |number: u64| usize::try_from(number).ok();
        match expected {
            ExpectedRevision::Exactly(known) => {
                [known.number().checked_add(1).and_then(index), None]
            }
            ExpectedRevision::NoStream => [self.heading.deleted_before.and_then(index), Some(0)],
            ExpectedRevision::Any | ExpectedRevision::StreamExists => {
                [self.ids.get(&first).copied(), None]
            }
        }
    }
}

fn revision_before(end: usize) -> Option<Revision> {
    end.checked_sub(1).map(|last| Revision::new(last as u64))
}

/// Whether an event repeats a recorded one. The memory store's module says what is left out, and why.
fn is_same(given: &NewEvent, stored: &RecordedEvent) -> bool {
    given.event_type == stored.event_type
        && given.data == stored.data
        && given.content_type == stored.content_type
        && given.schema_version == stored.schema_version
        && given.metadata == stored.metadata
}

fn other_content(stored: &RecordedEvent) -> StoreError {
    let RecordedEvent {
        id,
        stream,
        revision,
        ..
    } = stored;
    StoreError::invalid(format!(
        "event id {id} was used before with other content, at revision {revision} of stream {stream}"
    ))
}
