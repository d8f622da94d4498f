//! What is known about an event beside what happened.

use bytes::Bytes;

use crate::limits::{EVENT_METADATA_BYTES_MAX, METADATA_FIELD_BYTES_MAX};

/// What is known about an event beside what happened: who, in which conversation, caused by what, and anything of the user's own.
///
/// The four ids are texts of at most [`METADATA_FIELD_BYTES_MAX`] bytes; `custom` is exact bytes, by convention a JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The conversation that the event belongs to; the same for all that one request set off.
    pub correlation_id: Option<String>,
    /// The command or event that directly caused this one.
    pub causation_id: Option<String>,
    /// Who did it.
    pub user_id: Option<String>,
    /// W3C Trace Context `traceparent` of the span that appended it.
    pub traceparent: Option<String>,
    /// The user's own, kept byte for byte; empty when there is none.
    pub custom: Bytes,
}

impl Metadata {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.custom.is_empty() && self.fields().all(|(_, value)| value.is_none())
    }

    /// The four texts with their names, in a fixed order.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        [
            ("correlation_id", self.correlation_id.as_deref()),
            ("causation_id", self.causation_id.as_deref()),
            ("user_id", self.user_id.as_deref()),
            ("traceparent", self.traceparent.as_deref()),
        ]
        .into_iter()
    }

    /// Bytes that count towards the limits of an append.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.custom.len()
            + self
                .fields()
                .filter_map(|(_, v)| v)
                .map(str::len)
                .sum::<usize>()
    }

    /// What is over its limit, if anything: its name, its size and the limit, in bytes.
    #[must_use]
    pub fn over_limit(&self) -> Option<(&'static str, usize, usize)> {
        if self.custom.len() > EVENT_METADATA_BYTES_MAX {
            return Some((
                "custom metadata",
                self.custom.len(),
                EVENT_METADATA_BYTES_MAX,
            ));
        }
        self.fields()
            .filter_map(|(name, value)| value.map(|v| (name, v.len(), METADATA_FIELD_BYTES_MAX)))
            .find(|(_, len, limit)| len > limit)
    }
}
