//! Sections: the typed parts of a record after its head.
//!
//! ```text
//! u8 type | varint length | bytes        … repeated to the end of the record
//! u8 0    | bytes                        the data, all that is left of the record
//! ```
//!
//! The record knows its length, so what comes last needs none of its own: the writer puts the data there.
//!
//! Relies on: the record's checksums. Unknown types are carried and ignored, so that old readers survive new writers.
//! The fields of the metadata and settings sections have the same shape and are read by the same iterator.

use crate::{FormatError, bytes::Cursor, varint};

/// What a section holds. Any byte is a type; those that this release knows are constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionType(pub u8);

impl SectionType {
    /// The payload, to the end of the record. Readers see it as [`DATA`](Self::DATA).
    const DATA_LAST: Self = Self(0);
    /// The payload, exactly as given.
    pub const DATA: Self = Self(1);
    /// Standard metadata; see [`metadata`](crate::metadata).
    pub const METADATA: Self = Self(2);
    /// The user's own metadata.
    pub const CUSTOM_METADATA: Self = Self(3);
    /// Sealed envelopes with personal data; removable.
    pub const PERSONAL: Self = Self(4);
    /// Salts and commitments (tamper evidence).
    pub const INTEGRITY: Self = Self(5);
    /// Stream settings; see [`settings`](crate::settings).
    pub const SETTINGS: Self = Self(6);
    /// The key of a snapshot; its state is the data section.
    pub const SNAPSHOT: Self = Self(7);
    /// What a store must know of a snapshot; see [`snapshot`](crate::snapshot).
    pub const SNAPSHOT_NOTE: Self = Self(8);
}

/// Appends one section to a record body.
pub fn push(out: &mut Vec<u8>, section: SectionType, bytes: &[u8]) {
    out.push(section.0);
    varint::encode(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends the payload as the last section of a record body.
pub fn push_data_last(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&DATA_MARK);
    out.extend_from_slice(bytes);
}

/// What stands before the payload as the last section: all that follows in the body is the payload.
pub const DATA_MARK: [u8; 1] = [SectionType::DATA_LAST.0];

/// How many bytes [`push`] appends for a section of `length` bytes.
#[must_use]
pub fn len(length: usize) -> usize {
    varint::len(length as u64)
        .saturating_add(length)
        .saturating_add(1)
}

/// The sections of a record body, in order.
#[must_use]
pub fn sections(body: &[u8]) -> Sections<'_> {
    Sections {
        cursor: Cursor::new("section", body),
        has_last: true,
    }
}

/// The fields of a metadata or settings section, in order: of the shape of sections, each with its length.
pub(crate) fn fields(bytes: &[u8]) -> Sections<'_> {
    Sections {
        has_last: false,
        ..sections(bytes)
    }
}

/// Iterator over typed parts; ends after the first error.
#[derive(Debug, Clone)]
pub struct Sections<'a> {
    cursor: Cursor<'a>,
    /// Whether type 0 means the data, to the end.
    has_last: bool,
}

impl<'a> Sections<'a> {
    fn section(&mut self) -> Result<(u8, &'a [u8]), FormatError> {
        let kind = self.cursor.u8()?;
        if self.has_last && kind == SectionType::DATA_LAST.0 {
            let data = self.cursor.take(self.cursor.rest().len())?;
            return Ok((SectionType::DATA.0, data));
        }
        Ok((kind, self.cursor.prefixed()?))
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = Result<(u8, &'a [u8]), FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let section = self.section();
        if section.is_err() {
            self.cursor = Cursor::new("section", &[]);
        }
        Some(section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_come_back_in_order_and_unknown_ones_are_carried() {
        let mut body = Vec::new();
        push(&mut body, SectionType::DATA, b"data");
        push(&mut body, SectionType(200), &[7; 300]);
        push(&mut body, SectionType::PERSONAL, b"");
        assert_eq!(body.len(), len(4) + len(300) + len(0));
        let all: Vec<_> = sections(&body).map(Result::unwrap).collect();
        assert_eq!(
            all,
            [(1, &b"data"[..]), (200, &[7; 300][..]), (4, &b""[..])]
        );
    }

    #[test]
    fn data_may_come_last_without_a_length() {
        for data in [&b""[..], b"data", &[0; 300]] {
            let mut body = Vec::new();
            push(&mut body, SectionType::METADATA, b"who");
            push_data_last(&mut body, data);
            let all: Vec<_> = sections(&body).map(Result::unwrap).collect();
            assert_eq!(all, [(2, &b"who"[..]), (1, data)]);
        }
        let field: Vec<_> = fields(&[0, 1, b'x']).map(Result::unwrap).collect();
        assert_eq!(field, [(0, &b"x"[..])], "no field is like that");
    }

    #[test]
    fn a_length_past_the_end_is_an_error_once() {
        let all: Vec<_> = sections(&[1, 5, b'x']).collect();
        assert_eq!(
            all,
            [Err(FormatError::Truncated {
                what: "section",
                offset: 3,
                need: 4
            })]
        );
    }
}
