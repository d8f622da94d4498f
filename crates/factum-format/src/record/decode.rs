//! Reading a record.
//!
//! Three depths: [`decode_unverified`] when the frame's body hash has been verified already, [`decode_head`] when only
//! the head is wanted, [`decode`] for a single random read. All check the structure; none allocates.

use super::{RecordFlags, RecordKind, encode::head_crc};
use crate::{
    FormatError,
    bytes::{Cursor, array_at, u32_at},
    hash, limits,
    section::{self, SectionType, Sections},
    varint,
};

/// One record, borrowed from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Where the record stands.
    pub position: u64,
    /// What the record is.
    pub kind: RecordKind,
    /// Its flags.
    pub flags: RecordFlags,
    /// The event id.
    pub id: [u8; 16],
    /// The stream's ordinal among the segment's stream definitions.
    pub stream_ref: u32,
    /// The event's number in its stream.
    pub revision: u64,
    /// The event type's ordinal among the segment's type definitions.
    pub type_ref: u32,
    /// The version of the data's schema.
    pub schema_version: u32,
    /// Microseconds after the segment's base time.
    pub time_delta: i64,
    /// How many tags there are.
    pub tag_count: u32,
    /// CRC-32C of the body.
    pub body_crc: u32,
    tags: &'a [u8],
    bytes: &'a [u8],
    body: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// What is to be kept to have the record again without decoding it.
    #[must_use]
    pub fn shape(&self) -> RecordShape {
        // A head's length has 16 bits, and a record's 32.
        let head_len = self.bytes.len().saturating_sub(self.body.len());
        let tags_at = head_len.saturating_sub(self.tags.len());
        RecordShape {
            position: self.position,
            id: self.id,
            revision: self.revision,
            time_delta: self.time_delta,
            stream_ref: self.stream_ref,
            type_ref: self.type_ref,
            schema_version: self.schema_version,
            tag_count: self.tag_count,
            body_crc: self.body_crc,
            length: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            head_len: u16::try_from(head_len).unwrap_or(u16::MAX),
            tags_at: u16::try_from(tags_at).unwrap_or(u16::MAX),
            kind: self.kind,
            flags: self.flags,
        }
    }

    /// The tags' ordinals among the segment's tag definitions, in the order given by the user.
    #[must_use]
    pub fn tag_refs(&self) -> TagRefs<'a> {
        TagRefs {
            rest: self.tags,
            left: self.tag_count,
        }
    }

    /// All sections in order.
    #[must_use]
    pub fn sections(&self) -> Sections<'a> {
        section::sections(self.body)
    }

    /// The first section of this type; `None` when there is none, or when the sections before it are damaged.
    #[must_use]
    pub fn section(&self, wanted: SectionType) -> Option<&'a [u8]> {
        let found = self
            .sections()
            .find(|section| !matches!(section, Ok((kind, _)) if *kind != wanted.0));
        found.and_then(Result::ok).map(|(_, bytes)| bytes)
    }

    /// The payload, exactly as given; `None` when the record has none.
    #[must_use]
    pub fn data(&self) -> Option<&'a [u8]> {
        self.section(SectionType::DATA)
    }

    /// All sections, as bytes.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The whole record, as bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the body matches its checksum.
    #[must_use]
    pub fn body_is_good(&self) -> bool {
        hash::crc(self.body) == self.body_crc
    }
}

/// What decoding found out about a record, without its bytes: small enough to keep for each of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordShape {
    position: u64,
    id: [u8; 16],
    revision: u64,
    time_delta: i64,
    stream_ref: u32,
    type_ref: u32,
    schema_version: u32,
    tag_count: u32,
    body_crc: u32,
    length: u32,
    head_len: u16,
    tags_at: u16,
    kind: RecordKind,
    flags: RecordFlags,
}

impl RecordShape {
    /// The stream's ordinal among the segment's stream definitions.
    #[must_use]
    pub const fn stream_ref(&self) -> u32 {
        self.stream_ref
    }

    /// The record again, from the bytes that it was decoded from; they may go on behind it. `None` when there are fewer.
    #[must_use]
    #[inline]
    pub fn view<'a>(&self, bytes: &'a [u8]) -> Option<RecordView<'a>> {
        let bytes = bytes.get(..self.length as usize)?;
        let (head, body) = bytes.split_at_checked(self.head_len.into())?;
        Some(RecordView {
            position: self.position,
            kind: self.kind,
            flags: self.flags,
            id: self.id,
            stream_ref: self.stream_ref,
            revision: self.revision,
            type_ref: self.type_ref,
            schema_version: self.schema_version,
            time_delta: self.time_delta,
            tag_count: self.tag_count,
            body_crc: self.body_crc,
            tags: head.get(self.tags_at.into()..)?,
            bytes,
            body,
        })
    }
}

/// Iterator over tag ordinals.
#[derive(Debug, Clone)]
pub struct TagRefs<'a> {
    rest: &'a [u8],
    left: u32,
}

impl Iterator for TagRefs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        varint::decode(&mut self.rest).and_then(|tag| u32::try_from(tag).ok())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left as usize))
    }
}

/// Decodes the record at the front of `bytes`, which stands at `position`, and verifies both checksums.
///
/// Returns the record and its whole length; what follows in `bytes` is not looked at.
///
/// # Errors
/// [`FormatError::Truncated`], [`FormatError::Invalid`] or [`FormatError::Checksum`]: there is no such record here.
pub fn decode(bytes: &[u8], position: u64) -> Result<(RecordView<'_>, usize), FormatError> {
    let (record, length) = decode_head(bytes, position)?;
    if !record.body_is_good() {
        return Err(FormatError::Checksum {
            what: "record body",
            offset: 8,
        });
    }
    Ok((record, length))
}

/// As [`decode`], but verifies the head only.
///
/// # Errors
/// As [`decode`]; a wrong body is not noticed.
pub fn decode_head(bytes: &[u8], position: u64) -> Result<(RecordView<'_>, usize), FormatError> {
    let record = parse(bytes, position)?;
    if !head_matches(&record, position) {
        return Err(FormatError::Checksum {
            what: "record head",
            offset: 4,
        });
    }
    Ok((record, record.bytes.len()))
}

/// As [`decode`], but verifies no checksum: for bytes whose frame or file has been verified.
///
/// # Errors
/// [`FormatError::Truncated`] or [`FormatError::Invalid`] when the structure does not hold.
#[inline]
pub fn decode_unverified(
    bytes: &[u8],
    position: u64,
) -> Result<(RecordView<'_>, usize), FormatError> {
    let record = parse(bytes, position)?;
    Ok((record, record.bytes.len()))
}

/// The whole length that the record at the front of `bytes` claims, from its first four bytes; not verified.
///
/// `None` when there are fewer than four bytes, or the length is one that no record has.
#[must_use]
pub fn record_bytes(bytes: &[u8]) -> Option<u32> {
    let length = u32_at(bytes, 0)?.checked_add(4)?;
    (limits::RECORD_HEAD_BYTES_MIN..=limits::RECORD_BYTES_MAX)
        .contains(&length.into())
        .then_some(length)
}

/// Whether the head verifies at `position`.
pub(crate) fn head_matches(record: &RecordView<'_>, position: u64) -> bool {
    let head_len = record.bytes.len().saturating_sub(record.body.len());
    let head = record.bytes.get(..head_len).unwrap_or_default();
    u32_at(head, 4) == Some(head_crc(position, head))
}

/// The structure of the record at the front of `bytes`, nothing verified.
#[inline]
pub(crate) fn parse(bytes: &[u8], position: u64) -> Result<RecordView<'_>, FormatError> {
    let Some(length) = record_bytes(bytes) else {
        return Err(FormatError::Invalid {
            what: "record length",
            offset: 0,
        });
    };
    let record = Cursor::new("record", bytes).take(length as usize)?;
    let fixed: [u8; 32] = array_at(record, 0).ok_or(FormatError::Invalid {
        what: "record length",
        offset: 0,
    })?;
    let [
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        c0,
        c1,
        c2,
        c3,
        kind,
        flags,
        h0,
        h1,
        id @ ..,
    ] = fixed;
    let head_len = u16::from_le_bytes([h0, h1]);
    let invalid_head = FormatError::Invalid {
        what: "record head length",
        offset: 14,
    };
    if u64::from(head_len) < limits::RECORD_HEAD_BYTES_MIN {
        return Err(invalid_head);
    }
    let (head, body) = record
        .split_at_checked(head_len.into())
        .ok_or(invalid_head)?;
    let view = RecordView {
        position,
        kind: RecordKind(kind),
        flags: RecordFlags(flags),
        id,
        stream_ref: 0,
        revision: 0,
        type_ref: 0,
        schema_version: 0,
        time_delta: 0,
        tag_count: 0,
        body_crc: u32::from_le_bytes([c0, c1, c2, c3]),
        tags: &[],
        bytes: record,
        body,
    };
    let varints = head.get(fixed.len()..).unwrap_or_default();
    with_varints(view, varints).ok_or(FormatError::Invalid {
        what: "record head",
        offset: 32,
    })
}

/// The view with the fields after the fixed part; future fields that follow them are skipped.
#[inline]
fn with_varints<'a>(mut view: RecordView<'a>, mut rest: &'a [u8]) -> Option<RecordView<'a>> {
    view.stream_ref = varint_u32(&mut rest)?;
    view.revision = varint::decode(&mut rest)?;
    view.type_ref = varint_u32(&mut rest)?;
    view.schema_version = varint_u32(&mut rest)?;
    view.time_delta = varint::unzigzag(varint::decode(&mut rest)?);
    view.tag_count = varint_u32(&mut rest)?;
    view.tags = rest;
    // Each tag takes a byte at least, so a false count ends this loop at the head's end.
    for _ in 0..view.tag_count {
        varint_u32(&mut rest)?;
    }
    Some(view)
}

fn varint_u32(rest: &mut &[u8]) -> Option<u32> {
    u32::try_from(varint::decode(rest)?).ok()
}
