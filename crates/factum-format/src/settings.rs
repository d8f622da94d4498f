//! The settings section of a record: what a stream keeps.
//!
//! ```text
//! u8 field | varint length | value        … repeated; absent fields are not written
//! ```
//!
//! | field | value  | meaning                                              |
//! |------:|--------|------------------------------------------------------|
//! |     1 | varint | `max_count`: newest events kept                      |
//! |     2 | varint | `max_age`, in microseconds                           |
//! |     3 | varint | `truncate_before`: first revision kept               |
//! |     4 | u8     | state: 0 live, 1 deleted (may be reopened), 2 tombstoned |
//! |     5 | varint | `deleted_before`: the revision at which it was last deleted |
//!
//! Unknown fields are skipped. A field given twice counts the last time.

use crate::{FormatError, bytes::Cursor, section, varint};

/// Whether a stream may be read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    /// An ordinary stream.
    Live,
    /// Deleted; the next append opens it again.
    Deleted,
    /// Deleted for ever.
    Tombstoned,
}

/// The settings of one stream; `None` leaves a setting unset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamSettings {
    /// How many of the newest events are kept.
    pub max_count: Option<u64>,
    /// How long events are kept, in microseconds.
    pub max_age: Option<u64>,
    /// The first revision that is kept.
    pub truncate_before: Option<u64>,
    /// Whether the stream may be read and written.
    pub state: Option<StreamState>,
    /// The revision that the stream's next event had when it was last deleted.
    pub deleted_before: Option<u64>,
}

impl StreamSettings {
    /// Appends the content of the section to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for (field, value) in [
            (1, self.max_count),
            (2, self.max_age),
            (3, self.truncate_before),
            (5, self.deleted_before),
        ] {
            let Some(value) = value else { continue };
            out.push(field);
            varint::encode(out, varint::len(value) as u64);
            varint::encode(out, value);
        }
        if let Some(state) = self.state {
            let state = match state {
                StreamState::Live => 0,
                StreamState::Deleted => 1,
                StreamState::Tombstoned => 2,
            };
            out.extend_from_slice(&[4, 1, state]);
        }
    }

    /// Reads the content of the section.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`] when the bytes are no such section.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut settings = Self::default();
        for field in section::fields(bytes) {
            let (field, value) = field?;
            let mut value = Cursor::new("stream settings", value);
            match field {
                1 => settings.max_count = Some(value.varint()?),
                2 => settings.max_age = Some(value.varint()?),
                3 => settings.truncate_before = Some(value.varint()?),
                4 => settings.state = Some(decode_state(&mut value)?),
                5 => settings.deleted_before = Some(value.varint()?),
                _ => {}
            }
        }
        Ok(settings)
    }
}

fn decode_state(value: &mut Cursor<'_>) -> Result<StreamState, FormatError> {
    let invalid = value.invalid();
    match value.u8()? {
        0 => Ok(StreamState::Live),
        1 => Ok(StreamState::Deleted),
        2 => Ok(StreamState::Tombstoned),
        _ => Err(invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: StreamSettings) {
        let mut out = Vec::new();
        settings.encode(&mut out);
        assert_eq!(StreamSettings::decode(&out), Ok(settings));
    }

    #[test]
    fn settings_round_trip() {
        check(StreamSettings::default());
        for state in [
            StreamState::Live,
            StreamState::Deleted,
            StreamState::Tombstoned,
        ] {
            check(StreamSettings {
                max_count: Some(0),
                max_age: Some(u64::MAX),
                truncate_before: Some(300),
                state: Some(state),
                deleted_before: Some(7),
            });
        }
    }

    #[test]
    fn unknown_fields_are_skipped_and_unknown_states_are_refused() {
        assert_eq!(
            StreamSettings::decode(&[77, 2, 1, 1]),
            Ok(StreamSettings::default())
        );
        assert!(StreamSettings::decode(&[4, 1, 3]).is_err());
        assert!(StreamSettings::decode(&[1, 0]).is_err());
    }
}
