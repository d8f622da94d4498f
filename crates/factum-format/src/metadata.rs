//! The standard metadata section of a record.
//!
//! ```text
//! u8 field | varint length | UTF-8 bytes        … repeated; absent fields are not written
//! ```
//!
//! | field | meaning          |
//! |------:|------------------|
//! |     1 | `correlation_id` |
//! |     2 | `causation_id`   |
//! |     3 | `user_id`        |
//! |     4 | `traceparent`    |
//!
//! Unknown fields are skipped. A field given twice counts the last time.

use crate::{FormatError, section, varint};

/// The standard metadata of one event; absent is `None`, which differs from empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StandardMetadata<'a> {
    /// What this event belongs to.
    pub correlation_id: Option<&'a str>,
    /// What caused this event.
    pub causation_id: Option<&'a str>,
    /// Who did it.
    pub user_id: Option<&'a str>,
    /// W3C trace context.
    pub traceparent: Option<&'a str>,
}

impl<'a> StandardMetadata<'a> {
    /// Whether no field is set; no section is written then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Appends the content of the section to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let fields = [
            (1, self.correlation_id),
            (2, self.causation_id),
            (3, self.user_id),
            (4, self.traceparent),
        ];
        for (field, value) in fields {
            let Some(value) = value else { continue };
            out.push(field);
            varint::encode(out, value.len() as u64);
            out.extend_from_slice(value.as_bytes());
        }
    }

    /// Reads the content of the section.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`] when the bytes are no such section.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut metadata = Self::default();
        for field in section::fields(bytes) {
            let (field, value) = field?;
            let target = match field {
                1 => &mut metadata.correlation_id,
                2 => &mut metadata.causation_id,
                3 => &mut metadata.user_id,
                4 => &mut metadata.traceparent,
                _ => continue,
            };
            let text = std::str::from_utf8(value).or(Err(FormatError::Invalid {
                what: "standard metadata",
                offset: 0,
            }))?;
            *target = Some(text);
        }
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(metadata: StandardMetadata<'_>) {
        let mut out = Vec::new();
        metadata.encode(&mut out);
        assert_eq!(out.is_empty(), metadata.is_empty());
        assert_eq!(StandardMetadata::decode(&out), Ok(metadata));
    }

    #[test]
    fn every_combination_round_trips() {
        for mask in 0..16 {
            let set = |bit: u32, text| (mask >> bit & 1 == 1).then_some(text);
            check(StandardMetadata {
                correlation_id: set(0, "order 7"),
                causation_id: set(1, ""),
                user_id: set(2, "zoë"),
                traceparent: set(3, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            });
        }
    }

    #[test]
    fn unknown_fields_are_skipped_and_bad_text_is_refused() {
        assert_eq!(
            StandardMetadata::decode(&[9, 1, 255]),
            Ok(StandardMetadata::default())
        );
        assert!(StandardMetadata::decode(&[1, 1, 255]).is_err());
        assert!(StandardMetadata::decode(&[1]).is_err());
    }
}
