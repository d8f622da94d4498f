//! Positions and revisions as numbers of the wire.

use factum_types::{Position, Revision};

/// The revision of a tombstone, and of nothing else.
pub(crate) const TOMBSTONE_REVISION: u64 = i64::MAX as u64;

/// A position on the wire: one more than in the store, so that 0 is before everything (decision 0030).
pub(crate) const fn to_wire(position: Position) -> u64 {
    position.raw().saturating_add(1)
}

/// The position in the store, `None` for the one before everything.
pub(crate) const fn from_wire(wire: u64) -> Option<Position> {
    match wire.checked_sub(1) {
        Some(raw) => Some(Position::from_raw(raw)),
        None => None,
    }
}

/// Whether a number means the end: some clients send the greatest there is.
pub(crate) const fn is_end(wire: u64) -> bool {
    wire >= TOMBSTONE_REVISION
}

/// A revision as a signed number, as texts of the protocol have it; -1 is none.
pub(crate) fn signed(revision: Option<Revision>) -> i64 {
    revision.map_or(-1, |revision| {
        i64::try_from(revision.number()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::{from_wire, is_end, to_wire};
    use factum_types::Position;

    #[test]
    fn zero_is_before_the_first_event() {
        assert_eq!(from_wire(0), None);
        assert_eq!(from_wire(to_wire(Position::START)), Some(Position::START));
        assert_eq!(to_wire(Position::START), 1);
        assert!(is_end(u64::MAX) && is_end(i64::MAX as u64) && !is_end(12));
    }
}
