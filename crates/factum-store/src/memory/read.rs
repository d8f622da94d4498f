//! Selecting what a read gives.
//!
//! A read gives what is there when it is asked; it does not see later appends. Never: applies a stream's settings to a read over
//! many streams.

use std::ops::Range;

use factum_types::{RecordKind, RecordedEvent, Revision, StreamName, Timestamp};

use crate::error::{Kind, StoreError};
use crate::read::{Direction, ReadFrom, ReadRequest, Source};
use crate::stream_info::StreamState;

use super::append::tombstoned;
use super::state::{State, StreamLog, index_of};

impl State {
    /// The events of a read, in its order.
    pub(super) fn read(
        &self,
        request: &ReadRequest,
        now: Timestamp,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        request.validate()?;
        let wanted = |event: &&RecordedEvent| {
            (request.control || event.kind == RecordKind::Event)
                && request.source.matches(event)
                && is_on_side(request, event.revision)
        };
        let range = self.range(request);
        let limit = request
            .limit
            .map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        if let Source::Stream(stream) = &request.source {
            let log = self.readable(stream)?;
            let visible = self.visible_from(log, now);
            let events = log
                .within(range)
                .iter()
                .filter_map(|&index| self.shown(index))
                .filter(wanted)
                .filter(|event| event.kind != RecordKind::Event || event.revision >= visible);
            return Ok(directed(events, request.direction)
                .take(limit)
                .cloned()
                .collect());
        }
        let events = range.filter_map(|index| self.shown(index)).filter(wanted);
        Ok(directed(events, request.direction)
            .take(limit)
            .cloned()
            .collect())
    }

    /// The records of a stream that can be read.
    fn readable(&self, stream: &StreamName) -> Result<&StreamLog, StoreError> {
        let missing = || StoreError::new(Kind::NotFound, format!("stream {stream} has no events"));
        let log = self.streams.get(stream).ok_or_else(missing)?;
        match log.heading.state {
            StreamState::Live => Ok(log),
            StreamState::Missing | StreamState::Deleted => Err(missing()),
            StreamState::Tombstoned => Err(tombstoned(stream)),
        }
    }

    /// The first revision that the stream's settings do not hide. What they hide is always a beginning: times do not go backwards.
    pub(super) fn visible_from(&self, log: &StreamLog, now: Timestamp) -> Revision {
        let settings = &log.heading.settings;
        let kept = settings.first_kept(log.heading.next_revision);
        let aged = settings.max_age.map_or(0, |age| {
            let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
            let oldest = Timestamp::from_micros(now.as_micros().saturating_sub(age));
            let too_old = |&index: &usize| self.shown(index).is_some_and(|e| e.time < oldest);
            log.events.partition_point(too_old) as u64
        });
        Revision::new(kept.max(aged))
    }

    /// The indexes on the side of the start that the read goes to.
    fn range(&self, request: &ReadRequest) -> Range<usize> {
        let end = self.records.len();
        match (request.from, request.direction) {
            (ReadFrom::Start, Direction::Forward)
            | (ReadFrom::End, Direction::Backward)
            | (ReadFrom::Revision(_), _) => 0..end,
            (ReadFrom::End, Direction::Forward) => end..end,
            (ReadFrom::Start, Direction::Backward) => 0..0,
            (ReadFrom::Position(from), Direction::Forward) => index_of(from).min(end)..end,
            (ReadFrom::Position(from), Direction::Backward) => {
                0..index_of(from).saturating_add(1).min(end)
            }
        }
    }
}

impl StreamLog {
    /// The indexes of its records within a range of indexes.
    fn within(&self, range: Range<usize>) -> &[usize] {
        let begin = self.records.partition_point(|&index| index < range.start);
        let end = self.records.partition_point(|&index| index < range.end);
        self.records.get(begin..end).unwrap_or_default()
    }
}

fn is_on_side(request: &ReadRequest, revision: Revision) -> bool {
    match (request.from, request.direction) {
        (ReadFrom::Revision(from), Direction::Forward) => revision >= from,
        (ReadFrom::Revision(from), Direction::Backward) => revision <= from,
        _ => true,
    }
}

fn directed<'a>(
    events: impl DoubleEndedIterator<Item = &'a RecordedEvent> + 'a,
    direction: Direction,
) -> Box<dyn Iterator<Item = &'a RecordedEvent> + 'a> {
    match direction {
        Direction::Forward => Box::new(events),
        Direction::Backward => Box::new(events.rev()),
    }
}
