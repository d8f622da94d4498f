//! Definitions: names, written once per segment.
//!
//! ```text
//! u8 kind | varint ordinal | varint length | UTF-8 name | u32 CRC-32C of all before
//! ```
//!
//! The k-th definition of a kind in a segment has ordinal k, from 0. It is written although it could be counted: when a
//! frame is lost, counting would give the names of all later frames the wrong ordinals. A frame carries the definitions that its records are the first to use, in two areas, one after its header and one before its footer:
//!
//! ```text
//! head area:  u32 crc | u32 bytes | u32 count | definitions
//! tail area:  definitions | u32 count | u32 bytes | u32 crc
//! ```
//!
//! Both hold the same values. `crc` is CRC-32C of `bytes` ‖ `count` ‖ definitions, in this order, in both areas, so
//! that the areas carry the same checksum. `bytes` and `count` are of the definitions alone. The tail area is read
//! backwards from the frame's end.

use crate::{FormatError, bytes, bytes::Cursor, hash, limits, varint};

/// The bytes of an area beside its definitions.
pub const AREA_FIXED_BYTES: usize = 12;

/// What is named. Any byte is a kind; those that this release knows are constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DefinitionKind(pub u8);

impl DefinitionKind {
    /// A stream.
    pub const STREAM: Self = Self(1);
    /// An event type.
    pub const TYPE: Self = Self(2);
    /// A tag.
    pub const TAG: Self = Self(3);
}

/// One name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition<'a> {
    /// What is named.
    pub kind: DefinitionKind,
    /// The name's number among those of its kind in the segment, from 0.
    pub ordinal: u32,
    /// The name.
    pub name: &'a str,
}

/// Appends one definition to `out`.
///
/// # Errors
/// [`FormatError::TooLarge`] when the name is longer than [`limits::NAME_BYTES_MAX`]; `out` is then as before.
pub fn encode(
    out: &mut Vec<u8>,
    kind: DefinitionKind,
    ordinal: u32,
    name: &str,
) -> Result<(), FormatError> {
    let size = name.len() as u64;
    if size > limits::NAME_BYTES_MAX {
        return Err(FormatError::TooLarge {
            what: "name",
            size,
            max: limits::NAME_BYTES_MAX,
        });
    }
    let start = out.len();
    out.push(kind.0);
    varint::encode(out, ordinal.into());
    varint::encode(out, size);
    out.extend_from_slice(name.as_bytes());
    let crc = hash::crc(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// The definitions of one frame, in order.
#[derive(Debug, Clone, Copy)]
pub struct Definitions<'a> {
    bytes: &'a [u8],
    count: u32,
}

impl<'a> Definitions<'a> {
    /// Reads the area at the front of `body` and verifies it; `body` is a frame without header and footer.
    pub(crate) fn head_area(body: &'a [u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new("head definitions", body);
        let crc = cursor.u32()?;
        let length = cursor.u32()?;
        let count = cursor.u32()?;
        Self::verified(
            "head definitions",
            cursor.take(length as usize)?,
            count,
            crc,
        )
    }

    /// Reads the area at the end of `body` and verifies it.
    pub(crate) fn tail_area(body: &'a [u8]) -> Result<Self, FormatError> {
        let what = "tail definitions";
        let truncated = FormatError::Truncated {
            what,
            offset: 0,
            need: 0,
        };
        let at = body
            .len()
            .checked_sub(AREA_FIXED_BYTES)
            .ok_or(truncated.clone())?;
        let (before, fixed) = body.split_at_checked(at).ok_or(truncated.clone())?;
        let mut cursor = Cursor::new(what, fixed);
        let count = cursor.u32()?;
        let length = cursor.u32()?;
        let crc = cursor.u32()?;
        let start = before.len().checked_sub(length as usize).ok_or(truncated)?;
        Self::verified(what, before.get(start..).unwrap_or_default(), count, crc)
    }

    pub(crate) fn empty() -> Self {
        Self {
            bytes: &[],
            count: 0,
        }
    }

    fn verified(
        what: &'static str,
        bytes: &'a [u8],
        count: u32,
        crc: u32,
    ) -> Result<Self, FormatError> {
        if area_crc(bytes, count) != crc {
            return Err(FormatError::Checksum { what, offset: 0 });
        }
        Ok(Self { bytes, count })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The definitions in order; ends after the first error.
    #[must_use]
    pub fn iter(&self) -> DefinitionIter<'a> {
        DefinitionIter {
            cursor: Cursor::new("definition", self.bytes),
            left: self.count,
        }
    }

    /// The bytes of the definitions, without the area's own fields.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> IntoIterator for Definitions<'a> {
    type Item = Result<Definition<'a>, FormatError>;
    type IntoIter = DefinitionIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterator over definitions.
#[derive(Debug, Clone)]
pub struct DefinitionIter<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl<'a> DefinitionIter<'a> {
    fn definition(&mut self) -> Result<Definition<'a>, FormatError> {
        let whole = self.cursor.rest();
        let start = self.cursor.offset();
        let kind = DefinitionKind(self.cursor.u8()?);
        let ordinal = self.cursor.varint_u32()?;
        let name = self.cursor.prefixed()?;
        let offset = self.cursor.offset();
        let covered = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
        if self.cursor.u32()? != hash::crc(whole.get(..covered).unwrap_or_default()) {
            return Err(FormatError::Checksum {
                what: "definition",
                offset,
            });
        }
        let name = std::str::from_utf8(name).or(Err(FormatError::Invalid {
            what: "definition name",
            offset: start,
        }))?;
        Ok(Definition {
            kind,
            ordinal,
            name,
        })
    }
}

impl<'a> Iterator for DefinitionIter<'a> {
    type Item = Result<Definition<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let definition = self.definition();
        if definition.is_err() {
            self.left = 0;
        }
        Some(definition)
    }
}

/// Appends the head area.
pub(crate) fn push_head_area(
    out: &mut Vec<u8>,
    definitions: &[u8],
    count: u32,
) -> Result<(), FormatError> {
    let length = bytes::size_u32("definitions", definitions.len())?;
    out.extend_from_slice(&area_crc(definitions, count).to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(definitions);
    Ok(())
}

/// Appends the tail area.
pub(crate) fn push_tail_area(
    out: &mut Vec<u8>,
    definitions: &[u8],
    count: u32,
) -> Result<(), FormatError> {
    let length = bytes::size_u32("definitions", definitions.len())?;
    out.extend_from_slice(definitions);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&area_crc(definitions, count).to_le_bytes());
    Ok(())
}

fn area_crc(definitions: &[u8], count: u32) -> u32 {
    // The length was bounded by the caller; a truncated one would not verify.
    let length = u32::try_from(definitions.len()).unwrap_or(u32::MAX);
    let crc = hash::crc_append(hash::crc(&length.to_le_bytes()), &count.to_le_bytes());
    hash::crc_append(crc, definitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area() -> (Vec<u8>, u32) {
        let mut out = Vec::new();
        encode(&mut out, DefinitionKind::STREAM, 0, "order-1").unwrap();
        encode(&mut out, DefinitionKind::TYPE, 300, "").unwrap();
        encode(&mut out, DefinitionKind::TAG, 0, "größe:7").unwrap();
        (out, 3)
    }

    #[test]
    fn both_areas_hold_the_same() {
        let (definitions, count) = area();
        let mut head = Vec::new();
        push_head_area(&mut head, &definitions, count).unwrap();
        head.extend_from_slice(b"records");
        let mut tail = b"records".to_vec();
        push_tail_area(&mut tail, &definitions, count).unwrap();
        for found in [
            Definitions::head_area(&head).unwrap(),
            Definitions::tail_area(&tail).unwrap(),
        ] {
            let names: Vec<_> = found
                .iter()
                .map(|d| d.map(|d| (d.kind.0, d.ordinal, d.name)).unwrap())
                .collect();
            assert_eq!(names, [(1, 0, "order-1"), (2, 300, ""), (3, 0, "größe:7")]);
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let (definitions, count) = area();
        let mut tail = Vec::new();
        push_tail_area(&mut tail, &definitions, count).unwrap();
        for bit in 0..tail.len() * 8 {
            let mut bad = tail.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Definitions::tail_area(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_long_name_is_refused_and_leaves_no_trace() {
        let mut out = vec![1];
        let name = "x".repeat(4097);
        assert!(encode(&mut out, DefinitionKind::STREAM, 0, &name).is_err());
        assert_eq!(out, [1]);
    }
}
