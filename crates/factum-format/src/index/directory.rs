//! Section `DIRECTORY`: all keys by hash, and where their postings are.
//!
//! ```text
//! u8 bits b | 3 zero | u32 count | u32 bucket starts[2^b + 1] | per key: u32 remainder, u32 posting
//! ```
//!
//! Keys are sorted by their 128-bit hash. The top b bits choose the bucket; the 32 bits after them are the remainder.
//! b is chosen so that a bucket holds 4 to 8 keys on average: one line of a processor's cache, and what is found there
//! is there whole. One structure is dictionary and filter: a key that is not there meets an equal remainder once in 540
//! to 1,070 million look-ups.
//!
//! Hashes are cut, so a find is a *candidate*: the caller compares the name, which the posting entry leads to. See
//! `docs/decisions/0002-sorted-hash-directory.md`.

use crate::{
    FormatError,
    bytes::{Cursor, array_at, size_u32, u32_at},
};

const WHAT: &str = "index directory";
/// 2^28 buckets of 4 keys are more than a posting offset can tell apart.
const BITS_MAX: u8 = 28;
const KEYS_PER_BUCKET_MIN: u32 = 4;
const ENTRY_BYTES: usize = 8;

/// Collects keys in any order.
#[derive(Debug, Default)]
pub struct DirectoryBuilder {
    keys: Vec<(u128, u32)>,
}

impl DirectoryBuilder {
    /// No keys yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key by its 128-bit hash, with the offset of its entry in the postings.
    pub fn push(&mut self, hash: u128, posting_offset: u32) {
        self.keys.push((hash, posting_offset));
    }

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// The section.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] when there are more than 2^32 − 1 keys.
    pub fn finish(mut self) -> Result<Vec<u8>, FormatError> {
        let count = size_u32(WHAT, self.keys.len())?;
        self.keys.sort_unstable();
        let bits = bits_for(count);
        let entries_len = self.keys.len().saturating_mul(ENTRY_BYTES);
        let mut out = Vec::with_capacity(
            entries_len
                .saturating_add(starts_len(bits))
                .saturating_add(8),
        );
        out.extend_from_slice(&[bits, 0, 0, 0]);
        out.extend_from_slice(&count.to_le_bytes());
        let mut keys = self
            .keys
            .iter()
            .map(|&(hash, _)| bucket(hash, bits))
            .peekable();
        let mut start = 0_u32;
        for bucket in 0..=(1_u32 << bits) {
            while keys.next_if(|&of_key| of_key < bucket).is_some() {
                start = start.saturating_add(1);
            }
            out.extend_from_slice(&start.to_le_bytes());
        }
        for &(hash, posting) in &self.keys {
            out.extend_from_slice(&remainder(hash, bits).to_le_bytes());
            out.extend_from_slice(&posting.to_le_bytes());
        }
        Ok(out)
    }
}

/// All keys by hash, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Directory<'a> {
    bits: u8,
    starts: &'a [u8],
    entries: &'a [u8],
    count: u32,
}

impl<'a> Directory<'a> {
    /// Reads a section; the checksum is the caller's part.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`] when the structure is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        let [bits, _, _, _] = cursor.array()?;
        let count = cursor.u32()?;
        if bits > BITS_MAX {
            return Err(FormatError::Invalid {
                what: WHAT,
                offset: 0,
            });
        }
        Ok(Self {
            bits,
            starts: cursor.take(starts_len(bits))?,
            entries: cursor.take((count as usize).saturating_mul(ENTRY_BYTES))?,
            count,
        })
    }

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many of the hash's top bits choose the bucket.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// The bytes that a look-up of `hash` reads first, for who wants to have them at hand; not the bucket yet.
    #[must_use]
    pub fn first_bytes(&self, hash: u128) -> &'a [u8] {
        let at = (bucket(hash, self.bits) as usize).saturating_mul(4);
        self.starts.get(at..).unwrap_or_default()
    }

    /// The posting offsets of all keys whose hash begins like `hash`: usually one or none. The caller compares names.
    ///
    /// Damaged bytes yield wrong candidates or none, so the section is to be verified before.
    #[must_use]
    #[inline]
    pub fn candidates(&self, hash: u128) -> Candidates<'a> {
        let bucket = (bucket(hash, self.bits) as usize).saturating_mul(4);
        let start = u32_at(self.starts, bucket).unwrap_or(0) as usize;
        let end = u32_at(self.starts, bucket.saturating_add(4)).unwrap_or(0) as usize;
        let (entries, _) = self.entries.as_chunks::<ENTRY_BYTES>();
        Candidates {
            bucket: entries.get(start..end).unwrap_or_default(),
            wanted: remainder(hash, self.bits),
        }
    }

    /// All keys in order of hash: the hash's first `bits() + 32` bits, at the top of a `u64`, and the posting offset.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> + use<'a> {
        let directory = *self;
        let buckets = 0..(1_u32 << directory.bits);
        // Where the last bucket ended: each key is given once, even if damaged starts go back.
        let mut given = 0;
        buckets.flat_map(move |bucket| {
            let at = (bucket as usize).saturating_mul(4);
            let start = u32_at(directory.starts, at).unwrap_or(0).max(given);
            let end = u32_at(directory.starts, at.saturating_add(4)).unwrap_or(0);
            let end = end.min(directory.count).max(start.min(directory.count));
            given = end;
            (start..end).filter_map(move |key| {
                let at = (key as usize).saturating_mul(ENTRY_BYTES);
                let (remainder, posting) = entry(&array_at(directory.entries, at)?);
                let prefix = (u64::from(bucket) << 32) | u64::from(remainder);
                let shift = 32_u32.saturating_sub(directory.bits.into());
                Some((prefix << shift, posting))
            })
        })
    }
}

/// Iterator over the posting offsets of keys that may be the wanted one.
#[derive(Debug, Clone)]
pub struct Candidates<'a> {
    /// What is left of the bucket. It is small, so a walk is as fast as a search; a large one is damage or 2^32 equal hashes.
    bucket: &'a [[u8; ENTRY_BYTES]],
    wanted: u32,
}

impl<'a> Candidates<'a> {
    /// The bucket as bytes, for who wants to have it at hand before walking it.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bucket.as_flattened()
    }
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while let Some((first, rest)) = self.bucket.split_first() {
            let (remainder, posting) = entry(first);
            if remainder > self.wanted {
                break;
            }
            self.bucket = rest;
            if remainder == self.wanted {
                return Some(posting);
            }
        }
        None
    }
}

/// The remainder of a key, and the offset of its posting.
#[inline]
fn entry(bytes: &[u8; ENTRY_BYTES]) -> (u32, u32) {
    let &[a, b, c, d, e, f, g, h] = bytes;
    (
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    )
}

/// The length of the table of bucket starts.
fn starts_len(bits: u8) -> usize {
    (1_usize << bits).saturating_add(1).saturating_mul(4)
}

/// So many bits that buckets hold 4 to 8 keys on average.
fn bits_for(count: u32) -> u8 {
    let bits = (count / KEYS_PER_BUCKET_MIN).checked_ilog2().unwrap_or(0);
    u8::try_from(bits).unwrap_or(BITS_MAX).min(BITS_MAX)
}

fn bucket(hash: u128, bits: u8) -> u32 {
    let top = u32::try_from(hash >> 96).unwrap_or(u32::MAX);
    top.checked_shr(32_u32.saturating_sub(bits.into()))
        .unwrap_or(0)
}

fn remainder(hash: u128, bits: u8) -> u32 {
    u32::try_from((hash << bits) >> 96).unwrap_or(u32::MAX)
}
