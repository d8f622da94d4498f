//! Why bytes were refused.
//!
//! One type for the crate. Offsets count from the start of the structure named, unless the function says otherwise;
//! the caller knows the file and adds it. Never: carries payload bytes, which may be personal.

use thiserror::Error;

/// Bytes that are not what they should be, or values that do not fit the format.
///
/// What to do: [`NewerVersion`](Self::NewerVersion) means use a newer release. [`TooLarge`](Self::TooLarge) and
/// [`Order`](Self::Order) come from encoding and are for the writer to fix. All others are damage: quarantine, repair
/// or rebuild, and never trust the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end before the structure does.
    #[error("{what}: ends early, {need} more bytes expected at offset {offset}")]
    Truncated {
        /// The structure.
        what: &'static str,
        /// Where the missing bytes should have begun.
        offset: u64,
        /// How many bytes are missing.
        need: u64,
    },
    /// A checksum does not match what it covers.
    #[error("{what}: checksum at offset {offset} does not match")]
    Checksum {
        /// The structure.
        what: &'static str,
        /// Where the checksum stands.
        offset: u64,
    },
    /// The structure does not begin with its magic number: something else, or nothing, was written here.
    #[error("{what}: no magic number at offset {offset}")]
    Magic {
        /// The structure.
        what: &'static str,
        /// Where the magic number should stand.
        offset: u64,
    },
    /// A newer release wrote this. The bytes are good; this release cannot read them.
    #[error(
        "{what}: format version {found} is newer than {supported}, the newest that this release reads"
    )]
    NewerVersion {
        /// The structure.
        what: &'static str,
        /// The version found.
        found: u16,
        /// The newest version that this release reads.
        supported: u16,
    },
    /// A value that no writer of this version produces.
    #[error("{what}: invalid value at offset {offset}")]
    Invalid {
        /// The structure and field.
        what: &'static str,
        /// Where the value stands.
        offset: u64,
    },
    /// More than the format can hold.
    #[error("{what}: {size} is over the limit of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The size asked for.
        size: u64,
        /// The largest size.
        max: u64,
    },
    /// Items were given in the wrong order, or with a gap, while encoding.
    #[error("{what}: item {item} is out of order")]
    Order {
        /// The structure.
        what: &'static str,
        /// Which item, from 0.
        item: u64,
    },
}
