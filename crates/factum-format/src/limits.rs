//! Every maximum and every fixed size of the format, in bytes unless the name says otherwise.
//!
//! These are properties of files already written: raising one is a new format version, lowering one breaks old files.

/// The format version that this release writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;

/// The unit in which a disk writes: old or new, never half. Recovery depends on it.
pub const SECTOR_BYTES: u64 = 512;

/// The segment header; the first frame begins here.
pub const SEGMENT_HEADER_BYTES: u64 = 4096;

/// Frames begin and end on multiples of this.
pub const FRAME_ALIGN: u64 = 64;
/// A frame header, and a frame footer.
pub const FRAME_HEADER_BYTES: u64 = 64;
/// The smallest frame: header and footer without a body.
pub const FRAME_BYTES_MIN: u64 = 128;
/// The largest frame: 16 MiB of records, and slack for definitions and the zero map.
pub const FRAME_BYTES_MAX: u64 = 17 << 20;

/// The fixed part of a record's head.
pub const RECORD_HEAD_FIXED_BYTES: u64 = 32;
/// The smallest record head: the fixed part and six varints of one byte.
pub const RECORD_HEAD_BYTES_MIN: u64 = 38;
/// The largest record head; its length is a `u16`.
pub const RECORD_HEAD_BYTES_MAX: u64 = 65_535;
/// The largest record, with its length field.
pub const RECORD_BYTES_MAX: u64 = 16 << 20;

/// The longest name in a definition.
pub const NAME_BYTES_MAX: u64 = 4096;

/// The largest manifest.
pub const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// Most sections in an index file.
pub const INDEX_SECTIONS_MAX: u16 = 256;

/// What a raw position or a sequence number leaves free above it, so that whoever counts on never meets the end of the numbers.
const NUMBERS_FREE: u64 = 1 << 32;

/// Whether so many records may stand from this raw position on. Numbers from a file are checked once, where they are decoded.
pub(crate) fn is_position(base: u64, count: u64) -> bool {
    base.checked_add(count).is_some_and(is_sequence)
}

/// Whether a frame or a segment may have this number.
pub(crate) fn is_sequence(number: u64) -> bool {
    number <= u64::MAX - NUMBERS_FREE
}

const _: () = {
    assert!(
        FRAME_HEADER_BYTES <= FRAME_ALIGN && SECTOR_BYTES.is_multiple_of(FRAME_ALIGN),
        "a frame header never straddles a sector"
    );
    assert!(SEGMENT_HEADER_BYTES.is_multiple_of(SECTOR_BYTES));
    assert!(RECORD_BYTES_MAX < FRAME_BYTES_MAX);
    assert!(RECORD_HEAD_BYTES_MIN == RECORD_HEAD_FIXED_BYTES + 6);
};
