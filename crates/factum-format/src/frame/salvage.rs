//! Saving the good records of a frame whose body hash is wrong.
//!
//! Records are walked one by one with both checksums. A record with a good head and a bad body is passed over by its
//! length. A record with a bad head is passed over by its length too, if a record with the right position follows
//! there; otherwise the next record is searched for byte by byte.
//!
//! The search trusts no single find. Record checksums are not keyed, and positions can be guessed, so a payload may
//! contain what looks like the records that follow. But the position is part of the checksum: where such a chain ends,
//! the true record stands with a position that the chain has used up. A find whose chain ends at a record of an
//! earlier position is refused. (Two damaged records in a row, the first with a payload made for the purpose, could
//! still deceive; the first record's writer would gain a false record in place of the second.)
//!
//! Relies on: the frame's header has verified, so that count and base position are right. Never: yields a record that
//! does not verify at its position.

use super::{FrameHeader, FrameView, header::HEADER_BYTES};
use crate::{
    bytes::array_at,
    definition::AREA_FIXED_BYTES,
    limits::RECORD_HEAD_BYTES_MIN,
    record::{self, record_bytes},
};

/// The longest head that is found by searching: it bounds the work that a payload made for the purpose can cause.
const SEARCH_HEAD_BYTES_MAX: u16 = 4096;

/// How many head checksums one salvage may compute while searching: about a second of work.
const SEARCH_CHECKS_MAX: u64 = 1 << 24;

/// Where a record stands in its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordExtent {
    /// Where it begins, from the start of the frame.
    pub offset: u32,
    /// Its whole length, in bytes.
    pub len: u32,
}

/// Finds the good records of a damaged frame, by ordinal: `record_count` entries, `None` for each one lost.
///
/// `frame` begins with the frame and may go on; a shorter one loses the records at the end.
#[must_use]
pub fn salvage_records(frame: &[u8], header: &FrameHeader) -> Vec<Option<RecordExtent>> {
    // Bounded: the header has verified, and the count with it.
    let mut found = vec![None; header.record_count as usize];
    let end = (header.frame_len as usize)
        .saturating_sub(HEADER_BYTES)
        .min(frame.len());
    let records = frame.get(..end).unwrap_or_default();
    let mut salvage = Salvage {
        header,
        records,
        checks_left: SEARCH_CHECKS_MAX,
    };
    let first_offset = FrameView::new(*header, frame).and_then(|frame| frame.records_offset());
    let mut next = match first_offset {
        Ok(offset) => Some(Place { offset, ordinal: 0 }),
        // Both definition areas are damaged: search from where the first record may begin at the earliest.
        Err(_) => salvage.search(HEADER_BYTES + AREA_FIXED_BYTES, 0),
    };
    while let Some(place) = next {
        let (extent, following) = salvage.step(place);
        if let Some(entry) = found.get_mut(place.ordinal as usize) {
            *entry = extent;
        }
        next = following.filter(|place| place.ordinal < header.record_count);
    }
    found
}

#[derive(Debug, Clone, Copy)]
struct Place {
    offset: usize,
    ordinal: u32,
}

impl Place {
    fn after(self, length: usize) -> Self {
        Self {
            offset: self.offset.saturating_add(length),
            ordinal: self.ordinal.saturating_add(1),
        }
    }
}

struct Salvage<'a> {
    header: &'a FrameHeader,
    /// From the frame's start to the footer.
    records: &'a [u8],
    checks_left: u64,
}

/// What stands at a place.
enum Found {
    /// A record, all good; its length.
    Good(usize),
    /// A record with a good head and a bad body; its length.
    BadBody(usize),
    /// Nothing that verifies.
    BadHead,
}

impl Salvage<'_> {
    /// The record at `place` if it is good, and where the next one stands, if that is known.
    fn step(&mut self, place: Place) -> (Option<RecordExtent>, Option<Place>) {
        match self.look(place) {
            Found::Good(length) => (extent(place, length), Some(place.after(length))),
            Found::BadBody(length) => (None, Some(place.after(length))),
            Found::BadHead => (None, self.resume(place)),
        }
    }

    /// Where to go on after a record with a bad head.
    fn resume(&mut self, bad: Place) -> Option<Place> {
        let by_length = record_bytes(self.records.get(bad.offset..)?);
        if let Some(length) = by_length {
            let next = bad.after(length as usize);
            let follows = next.ordinal < self.header.record_count
                && !matches!(self.look(next), Found::BadHead)
                && !self.is_contradicted(next, next.ordinal);
            if follows {
                return Some(next);
            }
        }
        self.search(bad.offset.saturating_add(1), bad.ordinal.saturating_add(1))
    }

    fn look(&self, place: Place) -> Found {
        let bytes = self.records.get(place.offset..).unwrap_or_default();
        match record::decode_head(bytes, self.position(place.ordinal)) {
            Ok((record, length)) if record.body_is_good() => Found::Good(length),
            Ok((_, length)) => Found::BadBody(length),
            Err(_) => Found::BadHead,
        }
    }

    fn position(&self, ordinal: u32) -> u64 {
        self.header.base_position.saturating_add(ordinal.into())
    }

    /// The first good record at or after `from` with an ordinal of `lowest` or more, whose chain is not contradicted.
    fn search(&mut self, from: usize, lowest: u32) -> Option<Place> {
        if lowest >= self.header.record_count {
            return None;
        }
        for offset in from..self.records.len() {
            let bytes = self.records.get(offset..).unwrap_or_default();
            let head_len = array_at(bytes, 14).map(u16::from_le_bytes);
            if head_len.is_none_or(|length| length > SEARCH_HEAD_BYTES_MAX) {
                continue;
            }
            let Ok(record) = record::decode_structure(bytes, 0) else {
                continue;
            };
            // So many records fit between, at the most.
            let passed =
                offset.saturating_sub(from).saturating_add(1) as u64 / RECORD_HEAD_BYTES_MIN;
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            let highest = lowest.saturating_add(passed).saturating_add(1);
            for ordinal in lowest..highest.min(self.header.record_count) {
                self.checks_left = self.checks_left.checked_sub(1)?;
                let matches = record::head_matches(&record, self.position(ordinal));
                let place = Place { offset, ordinal };
                if matches && record.body_is_good() && !self.is_contradicted(place, lowest) {
                    return Some(place);
                }
            }
        }
        None
    }

    /// Whether the chain of records from `place` ends at a record with an ordinal from `lowest` up to the chain's end.
    fn is_contradicted(&mut self, place: Place, lowest: u32) -> bool {
        let mut next = place;
        while next.ordinal < self.header.record_count {
            match self.look(next) {
                Found::Good(length) | Found::BadBody(length) => next = next.after(length),
                Found::BadHead => break,
            }
        }
        let walked = next.ordinal.saturating_sub(lowest);
        self.checks_left = self.checks_left.saturating_sub(walked.into());
        (lowest..next.ordinal)
            .any(|ordinal| !matches!(self.look(Place { ordinal, ..next }), Found::BadHead))
    }
}

fn extent(place: Place, length: usize) -> Option<RecordExtent> {
    Some(RecordExtent {
        offset: u32::try_from(place.offset).ok()?,
        len: u32::try_from(length).ok()?,
    })
}
