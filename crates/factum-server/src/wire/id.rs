//! The two ways in which a UUID is written on the wire.

use factum_proto::kurrent::{Uuid as WireUuid, uuid};
use factum_types::EventId;
use tonic::Status;

/// How a client wants ids to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum IdKind {
    /// Two numbers of 64 bits.
    Structured,
    /// Text.
    #[default]
    Text,
}

/// The id that was given.
///
/// # Errors
/// `INVALID_ARGUMENT`: there is none, or the text is no UUID.
pub(crate) fn read(given: Option<WireUuid>) -> Result<EventId, Status> {
    match given.and_then(|given| given.value) {
        Some(uuid::Value::Structured(two)) => {
            let mut bytes = [0; 16];
            let (most, least) = bytes.split_at_mut(8);
            most.copy_from_slice(&two.most_significant_bits.to_be_bytes());
            least.copy_from_slice(&two.least_significant_bits.to_be_bytes());
            Ok(EventId::from_bytes(bytes))
        }
        Some(uuid::Value::String(text)) => text
            .parse::<EventId>()
            .map_err(|error| Status::invalid_argument(format!("{error}"))),
        None => Err(Status::invalid_argument("an id is missing")),
    }
}

/// An id, written as asked.
pub(crate) fn write(id: EventId, kind: IdKind) -> WireUuid {
    let value = match kind {
        IdKind::Text => uuid::Value::String(id.to_string()),
        IdKind::Structured => {
            let number = id.as_u128();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "each half of the bits is wanted"
            )]
            #[expect(
                clippy::cast_possible_wrap,
                reason = "the wire has the bits as signed numbers"
            )]
            let (most, least) = ((number >> 64) as u64 as i64, number as u64 as i64);
            uuid::Value::Structured(uuid::Structured {
                most_significant_bits: most,
                least_significant_bits: least,
            })
        }
    };
    WireUuid { value: Some(value) }
}

#[cfg(test)]
mod tests {
    use super::{IdKind, read, write};
    use factum_types::EventId;

    #[test]
    fn both_ways_come_back() {
        let id: EventId = "b5936983-7577-53f7-88e5-5927b89c0422".parse().unwrap();
        for kind in [IdKind::Structured, IdKind::Text] {
            assert_eq!(read(Some(write(id, kind))).unwrap(), id, "{kind:?}");
        }
        assert!(read(None).is_err());
    }
}
