//! The last event of a stream, and nothing else: what is asked before most decisions, so it goes without a cursor and a page.
//!
//! Only the plain case is answered here: a stream without settings whose last event is there and verifies. Everything else is read as any
//! other stream is, which also finds the words for what is wrong.
//! Relies on: [`stream_tail`]. Never: gives out what a read from the end would not give.

use factum_format::record::{self, RecordKind, RecordView};
use factum_store::{Direction, ReadFrom, ReadRequest, Source};
use factum_types::{RecordedEvent, StreamName};
use smallvec::SmallVec;

use super::event::{EventRef, Names};
use super::lookup::{Place, stream_tail};
use super::{Lists, Wanted};
use crate::key::KeyKind;
use crate::reader::Reader;
use crate::view::sealed::is_possible;
use crate::view::{Index, Sealed, Unsealed};

/// A record of no more bytes is read onto the stack.
const STACK_BYTES: usize = 512;

impl Reader {
    /// The one event that is asked for, if it is a stream's last and there is nothing special about it; `None` says no more than that.
    pub(crate) fn read_last(&self, request: &ReadRequest) -> Option<RecordedEvent> {
        let name = asked_for(request)?;
        let wanted = Wanted {
            name: name.as_str(),
            key: self.keyer.stream(name.as_str()),
        };
        let control = self.keyer.hash(KeyKind::Control, name.as_str());
        let mut lists = Lists::of_last();
        // The end first: what lies before it is in the view that is taken afterwards.
        let end = self.published.end();
        let view = self.published.view();
        let found = stream_tail((&view, end), wanted, control, &mut lists).ok()?;
        let place = found.last.filter(|_| found.tail.control.is_none())?;
        let last = match view.sealed.get(place.segment) {
            Some(sealed) => of_sealed((sealed, lists.index()?), place, name),
            None => {
                let number = place.segment - view.sealed.len();
                of_unsealed(view.unsealed.get(number)?, place, name)
            }
        }?;
        let revision = last.revision.number().checked_add(1);
        (revision == Some(found.tail.next_revision)).then_some(last)
    }
}

/// The stream whose last event is asked for, if that is what is asked.
fn asked_for(request: &ReadRequest) -> Option<&StreamName> {
    let last = request.direction == Direction::Backward
        && request.from == ReadFrom::End
        && request.limit == Some(1)
        && !request.control;
    match &request.source {
        Source::Stream(name) if last => Some(name),
        _ => None,
    }
}

fn of_sealed(
    (sealed, index): (&Sealed, &Index),
    place: Place,
    name: &StreamName,
) -> Option<RecordedEvent> {
    let extent = index.offsets().ok()?.locate(place.ordinal).ok()?;
    let (offset, length) = extent.filter(|extent| is_possible(*extent))?;
    let mut bytes = SmallVec::<[u8; STACK_BYTES]>::from_elem(0, length as usize);
    sealed.read(offset, &mut bytes).ok()?;
    let position = sealed.entry.base_position + u64::from(place.ordinal);
    let record = event_in(&bytes, position)?;
    if !index.knows(record.stream_ref, record.type_ref) {
        return None;
    }
    let event = EventRef {
        record,
        time: sealed.entry.base_time.saturating_add(record.time_delta),
        names: Names::Index(index),
    };
    event.to_recorded(Some(name), None)
}

fn of_unsealed(unsealed: &Unsealed, place: Place, name: &StreamName) -> Option<RecordedEvent> {
    let content = unsealed.read();
    let position = unsealed.head.base_position + u64::from(place.ordinal);
    let record = event_in(content.record_bytes(place.ordinal)?, position)?;
    let tags = record.tag_refs();
    let tags: SmallVec<[_; 4]> = tags
        .map(|tag| content.tags[tag as usize].name.clone())
        .collect();
    let event = EventRef {
        record,
        time: unsealed.head.base_time.saturating_add(record.time_delta),
        names: Names::Known {
            stream: name,
            event_type: &content.types[record.type_ref as usize].name,
            tags: &tags,
        },
    };
    event.to_recorded(None, None)
}

/// The event that begins these bytes, verified.
fn event_in(bytes: &[u8], position: u64) -> Option<RecordView<'_>> {
    let (record, _) = record::decode(bytes, position).ok()?;
    (record.kind == RecordKind::EVENT).then_some(record)
}
