//! The snapshot note of a record: what a store must know of a snapshot besides its key and its state.
//!
//! ```text
//! u8 field | varint length | value        … repeated; absent fields are not written
//! ```
//!
//! | field | value  | meaning                                                                        |
//! |------:|--------|--------------------------------------------------------------------------------|
//! |     1 | varint | `keep`: how many snapshots of this stream and key are kept, this one included  |
//! |     2 | UTF-8  | a data subject inside; repeated                                                |
//! |     3 | empty  | no snapshot at all: those before it are dropped                                |
//!
//! Unknown fields are skipped.

use crate::{FormatError, bytes::Cursor, section, varint};

/// What a store must know of a snapshot besides its key and its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotNote {
    /// How many snapshots of this stream and key are kept, this one included; `None` keeps all.
    pub keep: Option<u64>,
    /// Whom the state has personal data of.
    pub subjects: Vec<String>,
    /// This is no snapshot: those before it are dropped.
    pub dropped: bool,
}

impl SnapshotNote {
    /// Whether nothing is noted, so that no section is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Appends the content of the section to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Some(keep) = self.keep {
            out.push(1);
            varint::encode(out, varint::len(keep) as u64);
            varint::encode(out, keep);
        }
        for subject in &self.subjects {
            out.push(2);
            varint::encode(out, subject.len() as u64);
            out.extend_from_slice(subject.as_bytes());
        }
        if self.dropped {
            out.extend_from_slice(&[3, 0]);
        }
    }

    /// Reads the content of the section.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`] when the bytes are no such section.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut note = Self::default();
        for field in section::fields(bytes) {
            let (field, value) = field?;
            let mut cursor = Cursor::new("snapshot note", value);
            match field {
                1 => note.keep = Some(cursor.varint()?),
                2 => {
                    let subject = std::str::from_utf8(value);
                    let invalid = cursor.invalid();
                    note.subjects
                        .push(subject.map_err(|_not_utf8| invalid)?.to_owned());
                }
                3 => note.dropped = true,
                _ => {}
            }
        }
        Ok(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(note: &SnapshotNote) {
        let mut out = Vec::new();
        note.encode(&mut out);
        assert_eq!(SnapshotNote::decode(&out).as_ref(), Ok(note));
        assert_eq!(out.is_empty(), note.is_empty());
    }

    #[test]
    fn notes_come_back() {
        check(&SnapshotNote::default());
        check(&SnapshotNote {
            keep: Some(300),
            subjects: vec!["ann".into(), String::new(), "é".into()],
            dropped: false,
        });
        check(&SnapshotNote {
            dropped: true,
            ..SnapshotNote::default()
        });
    }

    #[test]
    fn what_is_no_note_is_an_error_and_what_is_new_is_skipped() {
        for bad in [&[1, 0][..], &[2, 1, 0xff], &[2, 9, 0], &[7]] {
            assert!(SnapshotNote::decode(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            SnapshotNote::decode(&[200, 1, 7]),
            Ok(SnapshotNote::default())
        );
    }
}
