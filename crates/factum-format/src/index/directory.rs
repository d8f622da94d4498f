//! Sections `DENSE_DIRECTORY` and `DIRECTORY`: all keys by hash, and where their postings are.
//!
//! ```text
//! u8 bits b | u8 r | u8 p | 1 zero | u32 count | u32 bucket starts[2^b + 1] | per key: remainder of r bytes, posting of p bytes
//! ```
//!
//! Keys are sorted by their 128-bit hash. The top b bits choose the bucket; the 8 r bits after them are the remainder. In a `DIRECTORY`, which is
//! read and not written any more, r and p stand as 0 and are 4. In a `DENSE_DIRECTORY` r is 2, and p what the last posting needs; b is chosen so
//! that a bucket holds 8 to 16 keys on average: one or two lines of a processor's cache, and what is found there is there whole. One structure is
//! dictionary and filter: a key that is not there meets an equal remainder once in 4,000 to 8,000 look-ups.
//!
//! Hashes are cut, so a find is a *candidate*: the caller compares the name, which the posting entry leads to. See
//! `docs/decisions/0002-sorted-hash-directory.md`.

use crate::{
    FormatError,
    bytes::{Cursor, size_u32, u32_at},
};

const WHAT: &str = "index directory";
/// 2^28 buckets of 8 keys are 2^31 keys; postings take more than two bytes each, so an offset cannot lead to as many.
const BITS_MAX: u8 = 28;
const KEYS_PER_BUCKET_MIN: u32 = 8;
/// No remainder and no posting is longer.
const FIELD_BYTES_MAX: usize = 4;

/// How long the two fields of an entry are, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Widths {
    remainder: usize,
    posting: usize,
}

impl Widths {
    /// Of a section that does not say.
    const WHOLE: Self = Self {
        remainder: FIELD_BYTES_MAX,
        posting: FIELD_BYTES_MAX,
    };

    /// For postings up to this one.
    fn dense(last_posting: u32) -> Self {
        let bits = u32::BITS.saturating_sub(last_posting.leading_zeros());
        Self {
            remainder: 2,
            posting: (bits.div_ceil(8) as usize).clamp(1, FIELD_BYTES_MAX),
        }
    }

    /// As a section says it; `None` if no section may.
    fn read(remainder: u8, posting: u8) -> Option<Self> {
        if (remainder, posting) == (0, 0) {
            return Some(Self::WHOLE);
        }
        let widths = Self {
            remainder: remainder.into(),
            posting: posting.into(),
        };
        let allowed = 1..=FIELD_BYTES_MAX;
        let is_allowed = allowed.contains(&widths.remainder) && allowed.contains(&widths.posting);
        is_allowed.then_some(widths)
    }

    const fn entry(self) -> usize {
        self.remainder.saturating_add(self.posting)
    }

    /// The remainder of a key, and the offset of its posting.
    #[inline]
    fn split(self, entry: &[u8]) -> (u32, u32) {
        let (remainder, posting) = entry.split_at_checked(self.remainder).unwrap_or_default();
        (number(remainder), number(posting))
    }
}

/// A number of at most four bytes.
#[inline]
fn number(bytes: &[u8]) -> u32 {
    let shifted = |number: u32, byte: &u8| (number << 8) | u32::from(*byte);
    bytes.iter().rev().fold(0, shifted)
}

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

    /// The `DENSE_DIRECTORY`.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] when there are more than 2^32 − 1 keys.
    pub fn finish(mut self) -> Result<Vec<u8>, FormatError> {
        let count = size_u32(WHAT, self.keys.len())?;
        self.keys.sort_unstable();
        let bits = bits_for(count);
        let last = self.keys.iter().map(|&(_, posting)| posting).max();
        let widths = Widths::dense(last.unwrap_or(0));
        let entries_len = self.keys.len().saturating_mul(widths.entry());
        let mut out = Vec::with_capacity(
            entries_len
                .saturating_add(starts_len(bits))
                .saturating_add(8),
        );
        let [r, p] =
            [widths.remainder, widths.posting].map(|width| u8::try_from(width).unwrap_or(0));
        out.extend_from_slice(&[bits, r, p, 0]);
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
            let remainder = remainder(hash, bits, widths).to_le_bytes();
            out.extend_from_slice(remainder.get(..widths.remainder).unwrap_or_default());
            let posting = posting.to_le_bytes();
            out.extend_from_slice(posting.get(..widths.posting).unwrap_or_default());
        }
        Ok(out)
    }
}

/// All keys by hash, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Directory<'a> {
    bits: u8,
    widths: Widths,
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
        let [bits, r, p, _] = cursor.array()?;
        let count = cursor.u32()?;
        let invalid = FormatError::Invalid {
            what: WHAT,
            offset: 0,
        };
        let widths = Widths::read(r, p).filter(|_| bits <= BITS_MAX);
        let widths = widths.ok_or(invalid)?;
        Ok(Self {
            bits,
            widths,
            starts: cursor.take(starts_len(bits))?,
            entries: cursor.take((count as usize).saturating_mul(widths.entry()))?,
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

    /// How many bits of the hash after those are kept.
    #[must_use]
    pub fn remainder_bits(&self) -> u8 {
        // At most 32.
        u8::try_from(self.widths.remainder.saturating_mul(8)).unwrap_or(u8::MAX)
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
        let width = self.widths.entry();
        let byte_at = |start: usize| {
            let entry = u32_at(self.starts, start).unwrap_or(0) as usize;
            entry.saturating_mul(width)
        };
        let bucket = byte_at(bucket)..byte_at(bucket.saturating_add(4));
        Candidates {
            bucket: self.entries.get(bucket).unwrap_or_default(),
            widths: self.widths,
            wanted: remainder(hash, self.bits, self.widths),
        }
    }

    /// All keys in order of hash: the hash's first `bits()` and `remainder_bits()`, at the top of a `u64`, and the posting offset.
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
            let width = directory.widths.entry();
            let remainder_bits = u32::from(directory.remainder_bits());
            let kept = remainder_bits.saturating_add(directory.bits.into());
            (start..end).filter_map(move |key| {
                let at = (key as usize).saturating_mul(width);
                let entry = directory.entries.get(at..at.saturating_add(width))?;
                let (remainder, posting) = directory.widths.split(entry);
                let prefix = (u64::from(bucket) << remainder_bits) | u64::from(remainder);
                Some((prefix << u64::BITS.saturating_sub(kept), posting))
            })
        })
    }
}

/// Iterator over the posting offsets of keys that may be the wanted one.
#[derive(Debug, Clone)]
pub struct Candidates<'a> {
    /// What is left of the bucket. It is small, so a walk is as fast as a search; a large one is damage or 2^32 equal hashes.
    bucket: &'a [u8],
    widths: Widths,
    wanted: u32,
}

impl<'a> Candidates<'a> {
    /// The bucket as bytes, for who wants to have it at hand before walking it.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bucket
    }
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while let Some((first, rest)) = self.bucket.split_at_checked(self.widths.entry()) {
            let (remainder, posting) = self.widths.split(first);
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

/// The length of the table of bucket starts.
fn starts_len(bits: u8) -> usize {
    (1_usize << bits).saturating_add(1).saturating_mul(4)
}

/// So many bits that buckets hold 8 to 16 keys on average.
fn bits_for(count: u32) -> u8 {
    let bits = (count / KEYS_PER_BUCKET_MIN).checked_ilog2().unwrap_or(0);
    u8::try_from(bits).unwrap_or(BITS_MAX).min(BITS_MAX)
}

fn bucket(hash: u128, bits: u8) -> u32 {
    let top = u32::try_from(hash >> 96).unwrap_or(u32::MAX);
    top.checked_shr(32_u32.saturating_sub(bits.into()))
        .unwrap_or(0)
}

fn remainder(hash: u128, bits: u8, widths: Widths) -> u32 {
    let after = u32::try_from((hash << bits) >> 96).unwrap_or(u32::MAX);
    let dropped = FIELD_BYTES_MAX.saturating_sub(widths.remainder);
    after >> u32::try_from(dropped.saturating_mul(8)).unwrap_or(0)
}
