//! Where an event stands: in its stream, and in the order of all.

use std::fmt;

/// Where an event stands in its partition's order, from 0.
///
/// Shape: the partition in the top 16 bits, the number in the low 48; with one partition it is a plain count. Dense when written,
/// never reused; records that readers do not see (snapshots, settings) take positions too, so what a reader sees may skip.
/// Only stores make one; an application keeps and compares them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(u64);

impl Position {
    /// The first position of partition 0.
    pub const START: Self = Self(0);
    /// How many bits hold the number within the partition.
    pub const NUMBER_BITS: u32 = 48;
    /// The greatest number within a partition.
    pub const NUMBER_MAX: u64 = (1 << Self::NUMBER_BITS) - 1;

    /// The position that a store wrote as this number.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The whole position as one number, partition included.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The partition, 0 in a store with one.
    #[must_use]
    pub const fn partition(self) -> u16 {
        (self.0 >> Self::NUMBER_BITS) as u16
    }

    /// The number within the partition.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0 & Self::NUMBER_MAX
    }

    /// The next position of the same partition, `None` after the last.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        if self.number() == Self::NUMBER_MAX {
            None
        } else {
            Some(Self(self.0 + 1))
        }
    }

    /// The position before this one in the same partition, `None` before the first.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        if self.number() == 0 {
            None
        } else {
            Some(Self(self.0 - 1))
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// An event's number in its stream, from 0 and without gaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(u64);

impl Revision {
    /// The revision of a stream's first event.
    pub const FIRST: Self = Self(0);

    /// The revision with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// What an append expects of a stream: the optimistic lock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ExpectedRevision {
    /// Nothing: append wherever the stream stands.
    #[default]
    Any,
    /// That the stream holds no event to read: it never had one, or it was deleted (then revisions go on).
    NoStream,
    /// That the stream holds at least one event to read.
    StreamExists,
    /// That the stream's last event has this revision.
    Exactly(Revision),
}

impl fmt::Display for ExpectedRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::NoStream => f.write_str("no stream"),
            Self::StreamExists => f.write_str("stream exists"),
            Self::Exactly(revision) => write!(f, "revision {revision}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn one_partition_counts_plainly() {
        assert_eq!(Position::from_raw(41).next(), Some(Position::from_raw(42)));
        assert_eq!(Position::START.previous(), None);
    }

    #[test]
    fn partitions_do_not_run_into_each_other() {
        let last = Position::from_raw((3 << 48) | Position::NUMBER_MAX);
        assert_eq!((last.partition(), last.next()), (3, None));
        let first = Position::from_raw(3 << 48);
        assert_eq!((first.number(), first.previous()), (0, None));
    }
}
