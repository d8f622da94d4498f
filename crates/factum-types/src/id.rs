//! The identity of an event.

use std::fmt;
use std::str::FromStr;

use uuid::{Builder, Uuid};

/// The identity of an event: a UUID, independent of where the event stands.
///
/// Retrying an append with the same ids is safe; that is what ids are for. Made by the writer: version 7 when Factum makes it,
/// any version when given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// The id with these sixteen bytes, in the order they are written as text.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The sixteen bytes, in the order they are written as text.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// The id as one number.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0.as_u128()
    }

    /// A version 7 UUID (RFC 9562, section 5.7) from Unix milliseconds and ten random bytes.
    ///
    /// The caller brings time and randomness, because this crate has neither.
    #[must_use]
    pub const fn v7(unix_ms: u64, random: [u8; 10]) -> Self {
        Self(Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event id {text:?} is not a UUID: {reason}")]
pub struct EventIdError {
    text: String,
    reason: String,
}

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|error| EventIdError {
                text: text.chars().take(64).collect(),
                reason: error.to_string(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::EventId;

    #[test]
    fn text_round_trips() {
        let id: EventId = "b5936983-7577-53f7-88e5-5927b89c0422".parse().unwrap();
        assert_eq!(id.to_string(), "b5936983-7577-53f7-88e5-5927b89c0422");
        assert_eq!(EventId::from_bytes(id.to_bytes()), id);
    }

    #[test]
    fn a_wrong_text_is_named() {
        let error = "nonsense".parse::<EventId>().unwrap_err();
        assert!(error.to_string().contains("nonsense"), "{error}");
    }

    #[test]
    fn version_seven_orders_by_time() {
        let early = EventId::v7(1_000, [0xFF; 10]);
        let late = EventId::v7(1_001, [0; 10]);
        assert!(early < late);
        assert_eq!(early.to_string().as_bytes()[14], b'7');
    }
}
