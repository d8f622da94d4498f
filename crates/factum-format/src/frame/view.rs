//! Reading a frame.
//!
//! Relies on: the header has verified. Never: allocates, except to unpack names.

use super::{FrameHeader, FrameNames, header::HEADER_BYTES};
use crate::{
    FormatError, SegmentKey,
    bytes::array_at,
    definition::{AREA_FIXED_BYTES, Definitions},
    hash,
    record::{self, RecordView},
    zero_map::ZeroMap,
};

/// A frame whose header (or footer) has verified, borrowed from its bytes.
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    header: FrameHeader,
    bytes: &'a [u8],
}

/// What to verify of each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Both checksums.
    Checksums,
    /// The structure only; right when the frame's body hash has verified.
    Structure,
}

/// A record and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordAt<'a> {
    /// The record's number in its frame, from 0.
    pub ordinal: u32,
    /// Where it begins, from the start of the frame.
    pub offset: u32,
    /// The record.
    pub record: RecordView<'a>,
}

impl<'a> FrameView<'a> {
    /// Reads and verifies the whole frame that begins at `file_offset`; `bytes` begins there too, and may go on.
    ///
    /// # Errors
    /// What is wrong with the header, the body or the footer.
    pub fn decode(bytes: &'a [u8], key: SegmentKey, file_offset: u64) -> Result<Self, FormatError> {
        let header = FrameHeader::decode(bytes, key, file_offset)?;
        let frame = Self::new(header, bytes)?;
        if !frame.body_is_good(key) {
            return Err(FormatError::Checksum {
                what: "frame body",
                offset: 48,
            });
        }
        if !frame.footer_is_good(key, file_offset) {
            let offset = u64::from(header.frame_len).saturating_sub(HEADER_BYTES as u64);
            return Err(FormatError::Checksum {
                what: "frame footer",
                offset,
            });
        }
        Ok(frame)
    }

    /// A frame with a header that has verified, its body and footer unverified. `bytes` begins with the frame.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] when `bytes` is shorter than the frame.
    pub fn new(header: FrameHeader, bytes: &'a [u8]) -> Result<Self, FormatError> {
        let length = header.frame_len as usize;
        let bytes = bytes.get(..length).ok_or(FormatError::Truncated {
            what: "frame",
            offset: bytes.len() as u64,
            need: length.saturating_sub(bytes.len()) as u64,
        })?;
        Ok(Self { header, bytes })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The whole frame.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All between header and footer.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        let end = self.bytes.len().saturating_sub(HEADER_BYTES);
        self.bytes.get(HEADER_BYTES..end).unwrap_or_default()
    }

    /// Whether the body matches its hash.
    #[must_use]
    pub fn body_is_good(&self, key: SegmentKey) -> bool {
        hash::keyed(self.body(), key.salt) == self.header.body_hash
    }

    /// Whether the footer is the one that belongs to the header.
    #[must_use]
    pub fn footer_is_good(&self, key: SegmentKey, file_offset: u64) -> bool {
        let at = self.bytes.len().saturating_sub(HEADER_BYTES);
        array_at(self.bytes, at) == Some(self.header.encode_footer(key, file_offset))
    }

    /// The frame's definitions, from the head area or, when that is damaged, from the tail area.
    ///
    /// # Errors
    /// When both areas are damaged. A frame without body has none, which is no error, nor has one of packed names.
    pub fn definitions(&self) -> Result<Definitions<'a>, FormatError> {
        let flags = self.header.flags;
        if flags.bodiless() || flags.contains(super::FrameFlags::NAMES) {
            return Ok(Definitions::empty());
        }
        let body = self.body();
        Definitions::head_area(body).or_else(|_| Definitions::tail_area(body))
    }

    /// The frame's packed names; `None` when it has definitions and records.
    ///
    /// # Errors
    /// When both copies of what is needed to read them are damaged.
    pub fn names(&self) -> Result<Option<FrameNames<'a>>, FormatError> {
        let has_names = self.header.flags.contains(super::FrameFlags::NAMES);
        has_names.then(|| FrameNames::read(self.body())).transpose()
    }

    /// Where the records begin, from the start of the frame.
    ///
    /// # Errors
    /// As [`definitions`](Self::definitions).
    pub fn records_offset(&self) -> Result<usize, FormatError> {
        let definitions = self.definitions()?;
        Ok(definitions
            .byte_len()
            .saturating_add(HEADER_BYTES + AREA_FIXED_BYTES))
    }

    /// The records in order; ends after the first error. With damage, [`salvage_records`](super::salvage_records)
    /// finds more.
    #[must_use]
    pub fn records(&self, verify: Verify) -> Records<'a> {
        match self.records_offset() {
            Ok(offset) => Records {
                frame: *self,
                verify,
                offset,
                ordinal: 0,
                failed: None,
            },
            Err(error) => Records {
                frame: *self,
                verify,
                offset: 0,
                ordinal: 0,
                failed: Some(error),
            },
        }
    }

    /// The zero map; `None` when the header says that there is none.
    ///
    /// # Errors
    /// When the map, or both definition areas, are damaged.
    pub fn zero_map(&self) -> Result<Option<ZeroMap<'a>>, FormatError> {
        if !self.header.flags.contains(super::FrameFlags::ZERO_MAP) {
            return Ok(None);
        }
        let tail_len = self
            .definitions()?
            .byte_len()
            .saturating_add(AREA_FIXED_BYTES);
        let body = self.body();
        let end = body.len().saturating_sub(tail_len);
        ZeroMap::decode_back(body.get(..end).unwrap_or_default()).map(Some)
    }
}

/// Iterator over the records of a frame.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    frame: FrameView<'a>,
    verify: Verify,
    offset: usize,
    ordinal: u32,
    failed: Option<FormatError>,
}

impl<'a> Records<'a> {
    #[inline]
    fn record(&mut self) -> Result<RecordAt<'a>, FormatError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let end = self.frame.bytes.len().saturating_sub(HEADER_BYTES);
        let offset = self.offset as u64;
        let invalid = || FormatError::Invalid {
            what: "frame records",
            offset,
        };
        let bytes = self.frame.bytes.get(self.offset..end).ok_or_else(invalid)?;
        let position = self
            .frame
            .header
            .base_position
            .saturating_add(self.ordinal.into());
        let (record, length) = match self.verify {
            Verify::Checksums => record::decode(bytes, position)?,
            Verify::Structure => record::decode_unverified(bytes, position)?,
        };
        if self.verify == Verify::Structure {
            look_ahead(bytes, length);
        }
        let offset = u32::try_from(self.offset).or(Err(invalid()))?;
        let found = RecordAt {
            ordinal: self.ordinal,
            offset,
            record,
        };
        self.offset = self.offset.saturating_add(length);
        self.ordinal = self.ordinal.saturating_add(1);
        Ok(found)
    }
}

/// So many records further on, the next ones are asked for.
const RECORDS_AHEAD: usize = 12;
const LINE_BYTES: usize = 64;

/// Asks for the memory of a record further on, as far as it can be told where that is: records of a frame are often of one length. Where only heads are
/// read, each would be waited for otherwise, as its place is known only when the one before it was read.
#[inline]
fn look_ahead(bytes: &[u8], length: usize) {
    let ahead = length.saturating_mul(RECORDS_AHEAD);
    let head = bytes.get(ahead).copied();
    let rest = bytes.get(ahead.saturating_add(LINE_BYTES)).copied();
    std::hint::black_box((head, rest));
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordAt<'a>, FormatError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ordinal >= self.frame.header.record_count {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.ordinal = u32::MAX;
        }
        Some(record)
    }
}
