//! Building a frame.
//!
//! A builder is filled by the sequencer, record by record, and finished by the committer, which knows where the frame
//! will stand. Records are encoded where they will be written from, so that a payload is copied once. It keeps its
//! buffers: after the first frames it allocates no more.
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
///
/// Records are laid down where they will stay: behind room for the header and an empty head area, which is most frames' only one.
#[derive(Debug)]
pub struct FrameBuilder {
    /// What was there before the frame, room for its front, the records.
    out: Vec<u8>,
    /// Where the frame begins in `out`.
    start: usize,
    definitions: Vec<u8>,
    definition_count: u32,
    record_count: u32,
    first_position: u64,
    zero_runs: Vec<(u64, u64)>,
}

/// Header and head area of a frame that defines nothing.
const FRONT: [u8; HEADER_BYTES + definition::AREA_FIXED_BYTES] =
    [FILLER; HEADER_BYTES + definition::AREA_FIXED_BYTES];

impl Default for FrameBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        let mut builder = Self {
            out: Vec::new(),
            start: 0,
            definitions: Vec::new(),
            definition_count: 0,
            record_count: 0,
            first_position: 0,
            zero_runs: Vec::new(),
        };
        builder.begin(Vec::new());
        builder
    }

    /// Forgets what was collected, and collects the next frame behind what `before` holds.
    pub fn begin(&mut self, before: Vec<u8>) {
        self.start = before.len();
        self.out = before;
        self.reset();
    }

    /// Gives the buffer up: what was there before the frame, and the frame if it was finished in place. [`begin`](Self::begin) must
    /// follow before anything else is collected.
    #[must_use]
    pub fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Forgets definitions and records, keeps the buffers.
    pub fn reset(&mut self) {
        self.definitions.clear();
        self.definition_count = 0;
        self.out.truncate(self.start);
        self.out.extend_from_slice(&FRONT);
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
        self.record_parts(head, [body, &[]], body_crc)
    }

    /// As [`record`](Self::record), of a body that lies in two places.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn record_parts(
        &mut self,
        head: &RecordHead<'_>,
        body: [&[u8]; 2],
        body_crc: u32,
    ) -> Result<usize, FormatError> {
        let before = self.out.len();
        if self.record_count == 0 {
            self.first_position = head.position;
        } else if self.first_position.checked_add(self.record_count.into()) != Some(head.position) {
            return Err(FormatError::Order {
                what: "frame record",
                item: self.record_count.into(),
            });
        }
        let length = record::encode_parts(&mut self.out, head, body, body_crc)?;
        if let Err(error) = check_frame_len(self.frame_len_max()) {
            self.out.truncate(before);
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
        self.out
            .len()
            .saturating_sub(self.start)
            .saturating_sub(FRONT.len())
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

    /// Appends the frame to `out`, returns its header, and forgets what was collected. The frame will stand at
    /// `file_offset`; where it stands in `out` does not matter.
    ///
    /// # Errors
    /// As [`finish_in_place`](Self::finish_in_place). `out` and the builder are then as before.
    pub fn finish(
        &mut self,
        fields: &FrameFields,
        key: SegmentKey,
        file_offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<FrameHeader, FormatError> {
        let header = self.finish_in_place(fields, key, file_offset)?;
        out.extend_from_slice(self.out.get(self.start..).unwrap_or_default());
        self.reset();
        Ok(header)
    }

    /// Finishes the frame in the buffer that was given to [`begin`](Self::begin); [`take_buffer`](Self::take_buffer) gives it out.
    /// The frame will stand at `file_offset` of its segment.
    ///
    /// # Errors
    /// - [`FormatError::Invalid`]: `file_offset` is not a multiple of 64, there is no record, or the flags are those
    ///   of a frame without body.
    /// - [`FormatError::Order`]: the base position is not the first record's.
    /// - [`FormatError::TooLarge`]: the definitions make the frame too long.
    ///
    /// The builder is then as before.
    pub fn finish_in_place(
        &mut self,
        fields: &FrameFields,
        key: SegmentKey,
        file_offset: u64,
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
        let (frame_len, frame_len_max) = (self.frame_len(), self.frame_len_max());
        let map_room = self.zero_map_room();
        self.lay_front()?;
        let records_end = self.out.len();
        self.lay_back(frame_len)?;
        let mut flags = FrameFlags(fields.flags.0 & !FrameFlags::ZERO_MAP.0);
        self.find_zero_runs(file_offset);
        if !self.zero_runs.is_empty() {
            flags = flags.with(FrameFlags::ZERO_MAP);
            self.out.truncate(records_end);
            self.lay_back_mapped(frame_len_max, map_room, file_offset)?;
        }
        let count = self.record_count;
        seal(
            self.out.get_mut(self.start..).unwrap_or_default(),
            &FrameFields { flags, ..*fields },
            count,
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

    /// Puts the head area before the records, which give way if it is not empty.
    fn lay_front(&mut self) -> Result<(), FormatError> {
        let mut area = Vec::with_capacity(self.tail_area_len());
        definition::push_head_area(&mut area, &self.definitions, self.definition_count)?;
        let defined = self.definitions.len();
        if defined > 0 {
            let records = self.start.saturating_add(FRONT.len());
            let end = self.out.len();
            self.out.resize(end.saturating_add(defined), FILLER);
            self.out
                .copy_within(records..end, records.saturating_add(defined));
        }
        put_at(
            &mut self.out,
            self.start.saturating_add(HEADER_BYTES),
            &area,
        );
        Ok(())
    }

    /// Filler, tail definitions, footer (filler for now), so that the frame gets `frame_len` bytes.
    fn lay_back(&mut self, frame_len: usize) -> Result<(), FormatError> {
        let end = self.start.saturating_add(frame_len);
        let tail_len = self.tail_area_len().saturating_add(HEADER_BYTES);
        self.out.resize(end.saturating_sub(tail_len), FILLER);
        definition::push_tail_area(&mut self.out, &self.definitions, self.definition_count)?;
        self.out.resize(end, FILLER);
        Ok(())
    }

    /// As `lay_back`, with a zero map before the tail definitions.
    ///
    /// Where the tail stands depends on the map's length, and which of its sectors are zero (a name may hold many NULs)
    /// depends on where it stands. So the room for the largest map is taken first, which fixes all places; then the
    /// sectors are looked at, and the map goes to the end of the room. What it leaves free stays filler.
    fn lay_back_mapped(
        &mut self,
        frame_len: usize,
        map_room: usize,
        file_offset: u64,
    ) -> Result<(), FormatError> {
        self.lay_back(frame_len)?;
        self.find_zero_runs(file_offset);
        let mut map = Vec::new();
        zero_map::encode(&mut map, &self.zero_runs);
        let tail_len = self.tail_area_len().saturating_add(HEADER_BYTES);
        let map_end = self
            .start
            .saturating_add(frame_len)
            .saturating_sub(tail_len);
        debug_assert!(map.len() < map_room, "one filler byte at least remains");
        put_at(&mut self.out, map_end.saturating_sub(map.len()), &map);
        Ok(())
    }

    fn find_zero_runs(&mut self, file_offset: u64) {
        let frame = self.out.get(self.start..).unwrap_or_default();
        zero_map::find(&mut self.zero_runs, frame, file_offset);
    }

    fn tail_area_len(&self) -> usize {
        self.definitions
            .len()
            .saturating_add(definition::AREA_FIXED_BYTES)
    }

    /// Header to footer, without filler and zero map, while records are collected.
    fn content_len(&self) -> usize {
        FRONT
            .len()
            .saturating_add(self.definitions.len())
            .saturating_add(self.records_len())
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
