//! The three checksums, and the key of a segment.
//!
//! - CRC-32C for records and definitions: finds every error burst of up to 32 bits.
//! - XXH3-64, *keyed* by the segment's secret salt, for frames: bytes that a client chose cannot pass for a frame.
//! - XXH3-64 and XXH3-128 without a key for headers, manifests, index sections and whole files.
//!
//! None of them resists somebody who may write to the disk; that is the integrity section's work.

use xxhash_rust::xxh3;

/// What the keyed hashes of a segment need: they bind a frame to its file and its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentKey {
    /// The secret random number of the segment header.
    pub salt: u64,
    /// The segment's number.
    pub segment: u64,
}

/// CRC-32C of `bytes`.
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// CRC-32C of what `crc` covers, followed by `bytes`.
#[must_use]
pub fn crc_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

/// XXH3-64 of `bytes`, without a key.
#[must_use]
pub fn xxh3_64(bytes: &[u8]) -> u64 {
    xxh3::xxh3_64(bytes)
}

/// XXH3-128 of `bytes`, without a key.
#[must_use]
pub fn xxh3_128(bytes: &[u8]) -> u128 {
    xxh3::xxh3_128(bytes)
}

/// XXH3-64 of `bytes`, keyed by `salt`.
#[must_use]
pub fn keyed(bytes: &[u8], salt: u64) -> u64 {
    xxh3::xxh3_64_with_seed(bytes, salt)
}

/// XXH3-128 of a file, piece by piece.
///
/// ```
/// use factum_format::hash::{FileHasher, xxh3_128};
/// let mut hasher = FileHasher::default();
/// hasher.update(b"once upon ");
/// hasher.update(b"a time");
/// assert_eq!(hasher.finish(), xxh3_128(b"once upon a time"));
/// ```
#[derive(Clone, Default)]
pub struct FileHasher(xxh3::Xxh3Default);

impl FileHasher {
    /// Continues with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes so far.
    #[must_use]
    pub fn finish(&self) -> u128 {
        self.0.digest128()
    }
}

impl std::fmt::Debug for FileHasher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FileHasher").finish_non_exhaustive()
    }
}
