//! The record: one event, as bytes.
//!
//! | offset | size | field            | meaning                                                              |
//! |-------:|-----:|------------------|----------------------------------------------------------------------|
//! |      0 |    4 | length           | bytes after this field                                               |
//! |      4 |    4 | head checksum    | CRC-32C of position (u64) ‖ bytes 0..4 ‖ bytes 8..head length        |
//! |      8 |    4 | body checksum    | CRC-32C of bytes head length..end                                    |
//! |     12 |    1 | kind             | [`RecordKind`]                                                       |
//! |     13 |    1 | flags            | [`RecordFlags`]                                                      |
//! |     14 |    2 | head length      | from offset 0 to the end of the head                                 |
//! |     16 |   16 | event id         |                                                                      |
//! |     32 |    … | varints          | stream, revision, type, schema version, time (zigzag), tag count, tags |
//! |      … |    … | future head fields | skipped up to the head length                                      |
//! |   head |    … | body             | [`section`](crate::section)s                                         |
//!
//! The position is not stored. It is the frame's base position and the record's ordinal in the frame, and the head
//! checksum covers it: a record in the wrong place does not verify.
//!
//! Relies on: the caller has bounded the slice. Never: allocates while decoding, interprets the data section.
//! Checked in pairs: [`encode`] refuses what [`decode`] rejects.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{
    RecordShape, RecordView, TagRefs, decode, decode_head, decode_unverified, record_bytes,
};
pub(crate) use decode::{head_matches, parse as decode_structure};
pub use encode::{RecordHead, encode, encode_parts, head_len_max};

/// What a record is. Any byte is a kind; those that this release knows are constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKind(pub u8);

impl RecordKind {
    /// A fact.
    pub const EVENT: Self = Self(0);
    /// Ends a stream for ever.
    pub const TOMBSTONE: Self = Self(1);
    /// Stream settings; see [`settings`](crate::settings).
    pub const SETTINGS: Self = Self(2);
    /// A cached fold of a stream; the last one counts.
    pub const SNAPSHOT: Self = Self(3);
    /// Deletes a stream, which may be opened again.
    pub const DELETE: Self = Self(4);
    /// A consumer's place; the last one counts.
    pub const CHECKPOINT: Self = Self(5);
}

/// What happened to a record since, and what its data is. Unknown bits are carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RecordFlags(pub u8);

impl RecordFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The data was removed.
    pub const REDACTED: Self = Self(1);
    /// The data was replaced.
    pub const REWRITTEN: Self = Self(1 << 1);
    /// The personal section was removed.
    pub const PERSONAL_REMOVED: Self = Self(1 << 2);
    /// The data is JSON; otherwise its form is the user's affair.
    pub const JSON: Self = Self(1 << 3);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
