//! Building a frame.
//!
//! A builder is filled by the sequencer, record by record, and finished by the committer, which knows where the frame
//! will stand. It keeps its buffers: after the first frames it allocates no more.
//!
//! Relies on: records arrive in order of position. Never: writes a frame that [`FrameView`](super::FrameView) refuses.

use super::{FrameFlags, FrameHeader, header::HEADER_BYTES};
use crate::{
    FormatError, SegmentKey,
    bytes::put_at,
    definition::{self, DefinitionKind},
    hash,
    limits::{FRAME_ALIGN, FRAME_BYTES_MAX, FRAME_BYTES_MIN},
    record::{self, RecordHead},
    zero_map,
};

/// Fills the gap between the records and what follows. Not zero, so that no sector which contains filler is zero:
/// see [`zero_map`].
pub(super) const FILLER: u8 = 0x2E;
const ALIGN: usize = 64;
const _: () = assert!(ALIGN as u64 == FRAME_ALIGN && HEADER_BYTES as u64 * 2 == FRAME_BYTES_MIN);

/// The parts of a frame header that the builder cannot know.
#[derive(Debug, Clone, Copy)]
pub struct FrameFields {
    /// What the frame is; the builder adds [`FrameFlags::ZERO_MAP`] where needed.
    pub flags: FrameFlags,
    /// Grows with each cut.
    pub epoch: u16,
    /// Consecutive over all segments of a partition.
    pub frame_seq: u64,
    /// The raw position of the first record.
    pub base_position: u64,
    /// The highest frame sequence known durable now.
    pub durable_seq: u64,
    /// Microseconds since the Unix epoch.
    pub time: i64,
    /// The header hash of the frame before.
    pub prev_hash: u32,
}

/// Collects the definitions and records of one frame.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    definitions: Vec<u8>,
    definition_count: u32,
    records: Vec<u8>,
    record_count: u32,
    first_position: u64,
    zero_runs: Vec<(u64, u64)>,
}

impl FrameBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets definitions and records, keeps the buffers.
    pub fn reset(&mut self) {
        self.definitions.clear();
        self.definition_count = 0;
        self.records.clear();
        self.record_count = 0;
        self.zero_runs.clear();
    }

    /// Adds a definition. `ordinal` is the number of definitions of its kind before it in the segment.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] when the name is too long.
    pub fn define(
        &mut self,
        kind: DefinitionKind,
        ordinal: u32,
        name: &str,
    ) -> Result<(), FormatError> {
        definition::encode(&mut self.definitions, kind, ordinal, name)?;
        self.definition_count = self.definition_count.saturating_add(1);
        Ok(())
    }

    /// Adds a record and returns its length; see [`record::encode`].
    ///
    /// # Errors
    /// - [`FormatError::TooLarge`]: the record, or the frame with it, is over its limit.
    /// - [`FormatError::Order`]: the position does not follow the record before.
    ///
    /// The builder is then as before.
    pub fn record(
        &mut self,
        head: &RecordHead<'_>,
        body: &[u8],
        body_crc: u32,
    ) -> Result<usize, FormatError> {
        let start = self.records.len();
        if self.record_count == 0 {
            self.first_position = head.position;
        } else if self.first_position.checked_add(self.record_count.into()) != Some(head.position) {
            return Err(FormatError::Order {
                what: "frame record",
                item: self.record_count.into(),
            });
        }
        let length = record::encode(&mut self.records, head, body, body_crc)?;
        if let Err(error) = check_frame_len(self.frame_len_max()) {
            self.records.truncate(start);
            return Err(error);
        }
        self.record_count = self.record_count.saturating_add(1);
        Ok(length)
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// How many records there are.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    /// The bytes of all records.
    #[must_use]
    pub fn records_len(&self) -> usize {
        self.records.len()
    }

    /// The bytes of all records; the first one stands at [`records_offset`](Self::records_offset) of the frame.
    #[must_use]
    pub fn records_bytes(&self) -> &[u8] {
        &self.records
    }

    /// Where the first record will stand in the frame. Moves with each definition.
    #[must_use]
    pub fn records_offset(&self) -> usize {
        self.definitions
            .len()
            .saturating_add(HEADER_BYTES + definition::AREA_FIXED_BYTES)
    }

    /// The length of the frame if it needs no zero map, in bytes.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        align(self.content_len())
    }

    /// The length of the frame with the largest zero map that it can need, in bytes.
    #[must_use]
    pub fn frame_len_max(&self) -> usize {
        align(self.content_len().saturating_add(self.zero_map_room()))
    }

    /// Appends the frame to `out` and returns its header. The frame will stand at `file_offset`; where it stands in
    /// `out` does not matter.
    ///
    /// # Errors
    /// - [`FormatError::Invalid`]: `file_offset` is not a multiple of 64, there is no record, or the flags are those
    ///   of a frame without body.
    /// - [`FormatError::Order`]: the base position is not the first record's.
    /// - [`FormatError::TooLarge`]: the definitions make the frame too long.
    ///
    /// `out` is then as before.
    pub fn finish(
        &mut self,
        fields: &FrameFields,
        key: SegmentKey,
        file_offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<FrameHeader, FormatError> {
        if self.is_empty() || fields.flags.bodiless() || !file_offset.is_multiple_of(FRAME_ALIGN) {
            return Err(FormatError::Invalid {
                what: "frame to finish",
                offset: file_offset,
            });
        }
        if fields.base_position != self.first_position {
            return Err(FormatError::Order {
                what: "frame record",
                item: 0,
            });
        }
        check_frame_len(self.frame_len_max())?;
        let start = out.len();
        self.push_front(out)?;
        let records_end = out.len();
        self.push_back(out, start, self.frame_len())?;
        let mut flags = FrameFlags(fields.flags.0 & !FrameFlags::ZERO_MAP.0);
        zero_map::find(
            &mut self.zero_runs,
            out.get(start..).unwrap_or_default(),
            file_offset,
        );
        if !self.zero_runs.is_empty() {
            flags = flags.with(FrameFlags::ZERO_MAP);
            out.truncate(records_end);
            self.push_back_mapped(out, start, file_offset)?;
        }
        let frame = out.get_mut(start..).unwrap_or_default();
        seal(
            frame,
            &FrameFields { flags, ..*fields },
            self.record_count,
            key,
            file_offset,
        )
    }

    /// Appends a frame without body: [`FrameFlags::CHECKPOINT`] or [`FrameFlags::CUT`]. What the builder has
    /// collected stays.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when `file_offset` is not a multiple of 64, or the flags are of a frame with a body.
    pub fn finish_empty(
        fields: &FrameFields,
        key: SegmentKey,
        file_offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<FrameHeader, FormatError> {
        let flags = fields.flags;
        let mapped = flags.contains(FrameFlags::ZERO_MAP);
        if !flags.bodiless() || mapped || !file_offset.is_multiple_of(FRAME_ALIGN) {
            return Err(FormatError::Invalid {
                what: "frame to finish",
                offset: file_offset,
            });
        }
        let start = out.len();
        out.resize(start.saturating_add(HEADER_BYTES * 2), 0);
        seal(
            out.get_mut(start..).unwrap_or_default(),
            fields,
            0,
            key,
            file_offset,
        )
    }

    /// Header (room for it), head definitions, records.
    fn push_front(&self, out: &mut Vec<u8>) -> Result<(), FormatError> {
        out.reserve(self.frame_len());
        out.extend_from_slice(&[0; HEADER_BYTES]);
        definition::push_head_area(out, &self.definitions, self.definition_count)?;
        out.extend_from_slice(&self.records);
        Ok(())
    }

    /// Filler, tail definitions, footer (filler for now), so that the frame gets `frame_len` bytes.
    fn push_back(
        &self,
        out: &mut Vec<u8>,
        start: usize,
        frame_len: usize,
    ) -> Result<(), FormatError> {
        let end = start.saturating_add(frame_len);
        let tail_len = self.tail_area_len().saturating_add(HEADER_BYTES);
        out.resize(end.saturating_sub(tail_len), FILLER);
        definition::push_tail_area(out, &self.definitions, self.definition_count)?;
        out.resize(end, FILLER);
        put_at(out, start, &[FILLER; HEADER_BYTES]);
        Ok(())
    }

    /// As `push_back`, with a zero map before the tail definitions.
    ///
    /// Where the tail stands depends on the map's length, and which of its sectors are zero (a name may hold many NULs)
    /// depends on where it stands. So the room for the largest map is taken first, which fixes all places; then the
    /// sectors are looked at, and the map goes to the end of the room. What it leaves free stays filler.
    fn push_back_mapped(
        &mut self,
        out: &mut Vec<u8>,
        start: usize,
        file_offset: u64,
    ) -> Result<(), FormatError> {
        let frame_len = self.frame_len_max();
        self.push_back(out, start, frame_len)?;
        zero_map::find(
            &mut self.zero_runs,
            out.get(start..).unwrap_or_default(),
            file_offset,
        );
        let mut map = Vec::new();
        zero_map::encode(&mut map, &self.zero_runs);
        let tail_len = self.tail_area_len().saturating_add(HEADER_BYTES);
        let map_end = start.saturating_add(frame_len).saturating_sub(tail_len);
        debug_assert!(
            map.len() < self.zero_map_room(),
            "one filler byte at least remains"
        );
        put_at(out, map_end.saturating_sub(map.len()), &map);
        Ok(())
    }

    fn tail_area_len(&self) -> usize {
        self.definitions
            .len()
            .saturating_add(definition::AREA_FIXED_BYTES)
    }

    /// Header to footer, without filler and zero map.
    fn content_len(&self) -> usize {
        self.records_offset()
            .saturating_add(self.records.len())
            .saturating_add(self.tail_area_len())
            .saturating_add(HEADER_BYTES)
    }

    fn zero_map_room(&self) -> usize {
        zero_map::room(self.content_len())
    }
}

pub(super) fn align(length: usize) -> usize {
    length.checked_next_multiple_of(ALIGN).unwrap_or(usize::MAX)
}

pub(super) fn check_frame_len(length: usize) -> Result<(), FormatError> {
    let size = length as u64;
    if size > FRAME_BYTES_MAX {
        return Err(FormatError::TooLarge {
            what: "frame",
            size,
            max: FRAME_BYTES_MAX,
        });
    }
    Ok(())
}

/// Hashes the body of `frame` and writes header and footer around it.
pub(super) fn seal(
    frame: &mut [u8],
    fields: &FrameFields,
    record_count: u32,
    key: SegmentKey,
    file_offset: u64,
) -> Result<FrameHeader, FormatError> {
    let frame_len = crate::bytes::size_u32("frame", frame.len())?;
    let footer_at = frame.len().saturating_sub(HEADER_BYTES);
    let body = frame.get(HEADER_BYTES..footer_at).unwrap_or_default();
    let mut header = FrameHeader {
        flags: fields.flags,
        epoch: fields.epoch,
        frame_len,
        record_count,
        frame_seq: fields.frame_seq,
        base_position: fields.base_position,
        durable_seq: fields.durable_seq,
        time: fields.time,
        body_hash: hash::keyed(body, key.salt),
        prev_hash: fields.prev_hash,
        header_hash: 0,
    };
    header.header_hash = header.expected_hash(key, file_offset);
    debug_assert!(
        header.is_sound(),
        "the reader refuses this header: {header:?}"
    );
    put_at(frame, 0, &header.encode());
    put_at(frame, footer_at, &header.encode_footer(key, file_offset));
    Ok(header)
}
