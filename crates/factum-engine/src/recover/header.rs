//! Whether a segment's file was begun, and what its header says.
//!
//! A header stands twice in its page, in different sectors, and is durable before the first frame is written; soon after, the manifest
//! says the same. Never: takes a segment that holds frames for an empty one.

use factum_format::FormatError;
use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::manifest::{SegmentEntry, SegmentState};
use factum_format::scan::{Area, find_frames_after};
use factum_format::segment::{Copies, SegmentHeader, layout};

use crate::number::to_usize;

/// What stands where the header should.
#[derive(Debug)]
pub(crate) enum HeaderFound {
    /// The segment was begun. Without a good copy, the header is as the manifest remembers it.
    Begun(SegmentHeader, Option<Copies>),
    /// It was only prepared.
    Prepared,
    /// It was begun, and what it was begun with is lost; or a newer release wrote it.
    Unreadable(FormatError),
}

/// Looks at the header of a segment that is not sealed.
pub(crate) fn find_header(entry: &SegmentEntry, realm: [u8; 16], bytes: &[u8]) -> HeaderFound {
    let front = bytes
        .get(..to_usize(SEGMENT_HEADER_BYTES))
        .unwrap_or_default();
    match SegmentHeader::decode(front) {
        Ok((header, copies)) => HeaderFound::Begun(header, Some(copies)),
        Err(error @ FormatError::NewerVersion { .. }) => HeaderFound::Unreadable(error),
        Err(_) if entry.state == SegmentState::Active => {
            HeaderFound::Begun(remembered(entry, realm, bytes.len() as u64), None)
        }
        Err(error) if holds_frames(entry, bytes) => HeaderFound::Unreadable(error),
        Err(_) => HeaderFound::Prepared,
    }
}

fn holds_frames(entry: &SegmentEntry, bytes: &[u8]) -> bool {
    let key = entry.key();
    find_frames_after(&Area::whole(bytes), SEGMENT_HEADER_BYTES - 64, key)
        .next()
        .is_some()
}

fn remembered(entry: &SegmentEntry, realm: [u8; 16], capacity: u64) -> SegmentHeader {
    SegmentHeader {
        layout: layout::FRAMES,
        realm,
        segment: entry.number,
        salt: entry.salt,
        partition: 0,
        flags: 0,
        generation: entry.generation,
        base_position: entry.base_position,
        base_time: entry.base_time,
        created_time: entry.base_time,
        prev_hash: 0,
        first_frame_seq: entry.first_frame_seq,
        capacity,
        epoch: entry.epoch,
    }
}
