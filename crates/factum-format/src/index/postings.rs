//! Section `POSTINGS`: where each key occurs.
//!
//! ```text
//! u8 kind + 16 · few | varint name | varint before | varint count, if few = 15 | skip table, if count > 128 | ordinals
//! ```
//!
//! | field  | meaning                                                                                          |
//! |--------|--------------------------------------------------------------------------------------------------|
//! | kind   | 1 stream, 2 type, 3 tag, 4 category, 5 snapshot, 6 control of a stream, 7 of a category's streams  |
//! | name   | ordinal in the names section of the kind (5 and 6: of streams, 7: of categories)                                 |
//! | before | streams: revision of the first event here; types, categories: number of such events before       |
//! | count  | ordinals; *few* is the count if that is less than 15                                             |
//!
//! The ordinals ascend: the first as it is, the others as differences. A 0 after the first begins a run: a varint says how
//! many ordinals follow that are each one more than the one before. The skip table has an entry for every 128 ordinals:
//! `u32` ordinal number 128 i, `u32` byte offset in the list at which the one after it begins; no run goes past it.

use super::posting_list::{self, Ordinals};
use crate::{
    FormatError,
    bytes::{Cursor, size_u32},
    varint,
};

const WHAT: &str = "index posting";

/// In the place of a count: it follows, because it is not small.
const MANY: u8 = 15;
const KIND_BITS: u8 = 4;
const KIND_MASK: u8 = 15;

/// What a posting is of. Any number up to 15 is a kind; those that this release knows are constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PostingKind(pub u8);

impl PostingKind {
    /// A stream's events.
    pub const STREAM: Self = Self(1);
    /// An event type's events.
    pub const TYPE: Self = Self(2);
    /// A tag's events.
    pub const TAG: Self = Self(3);
    /// A category's events.
    pub const CATEGORY: Self = Self(4);
    /// A stream's snapshots.
    pub const SNAPSHOT: Self = Self(5);
    /// The records that change a stream: settings, deletes, tombstones.
    pub const CONTROL: Self = Self(6);
    /// The records that change the streams of a category.
    pub const CATEGORY_CONTROL: Self = Self(7);
}

/// The fields of a posting beside its ordinals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostingHead {
    /// What the posting is of.
    pub kind: PostingKind,
    /// The name's ordinal in the names section of the kind.
    pub name: u32,
    /// Streams: the revision of the first event here. Types and categories: how many such events are before.
    pub before: u64,
}

/// Collects postings.
#[derive(Debug, Default)]
pub struct PostingsBuilder {
    out: Vec<u8>,
    list: Vec<u8>,
    count: u32,
}

impl PostingsBuilder {
    /// No postings yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a posting and returns its offset, for the directory. `ordinals` ascend; there may be none.
    ///
    /// # Errors
    /// [`FormatError::Order`] when they do not ascend, [`FormatError::TooLarge`] over 4 GiB, [`FormatError::Invalid`] for a
    /// kind over 15. The builder is then as before.
    pub fn push(&mut self, head: &PostingHead, ordinals: &[u32]) -> Result<u32, FormatError> {
        let offset = size_u32("index postings", self.out.len())?;
        let count = size_u32("index posting ordinals", ordinals.len())?;
        let mut skips = Vec::new();
        self.list.clear();
        posting_list::encode(&mut self.list, &mut skips, ordinals)?;
        let few = u8::try_from(count).map_or(MANY, |count| count.min(MANY));
        if head.kind.0 > KIND_MASK {
            return Err(FormatError::Invalid {
                what: WHAT,
                offset: offset.into(),
            });
        }
        self.out.push(head.kind.0 | (few << KIND_BITS));
        varint::encode(&mut self.out, head.name.into());
        varint::encode(&mut self.out, head.before);
        if few == MANY {
            varint::encode(&mut self.out, count.into());
        }
        self.out.extend_from_slice(&skips);
        self.out.extend_from_slice(&self.list);
        self.count = self.count.saturating_add(1);
        Ok(offset)
    }

    /// How many postings there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The section.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// One posting, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct PostingEntry<'a> {
    /// The fields beside the ordinals.
    pub head: PostingHead,
    /// How many ordinals there are.
    pub count: u32,
    skips: &'a [u8],
    list: &'a [u8],
}

impl<'a> PostingEntry<'a> {
    /// Reads the posting at `offset` of the section; the checksum is the caller's part.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`] when there is no posting.
    pub fn parse(section: &'a [u8], offset: u32) -> Result<Self, FormatError> {
        let invalid = FormatError::Invalid {
            what: WHAT,
            offset: offset.into(),
        };
        let bytes = section.get(offset as usize..).ok_or(invalid.clone())?;
        let mut cursor = Cursor::new(WHAT, bytes);
        let first = cursor.u8()?;
        let (kind, few) = (PostingKind(first & KIND_MASK), first >> KIND_BITS);
        let name = cursor.varint_u32()?;
        let before = cursor.varint()?;
        let count = match few {
            MANY => cursor.varint_u32()?,
            few => few.into(),
        };
        let skips = cursor.take(posting_list::skips_len(count))?;
        let list = cursor.rest();
        // A false count is refused here, not only where the list ends.
        if count as usize > posting_list::count_max(list) {
            return Err(invalid);
        }
        let head = PostingHead { kind, name, before };
        Ok(Self {
            head,
            count,
            skips,
            list,
        })
    }

    /// All ordinals, ascending; ends after the first error.
    #[must_use]
    pub fn ordinals(&self) -> Ordinals<'a> {
        Ordinals::new(self.skips, self.list, self.count)
    }

    /// The ordinals from the `index`-th on, counted from 0.
    #[must_use]
    pub fn ordinals_from(&self, index: u32) -> Ordinals<'a> {
        let mut ordinals = self.ordinals();
        ordinals.skip_to_index(index);
        ordinals
    }

    /// The ordinals from `ordinal` (inclusive) on. [`Ordinals::index`] tells how many came before.
    #[must_use]
    pub fn seek(&self, ordinal: u32) -> Ordinals<'a> {
        let mut ordinals = self.ordinals();
        ordinals.skip_to_ordinal(ordinal);
        ordinals
    }

    /// All ordinals, ascending.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when the list is damaged.
    pub fn to_vec(&self) -> Result<Vec<u32>, FormatError> {
        // Runs make more ordinals than bytes; for these it grows as they come.
        let mut all = Vec::with_capacity((self.count as usize).min(self.list.len()));
        for ordinal in self.ordinals() {
            all.push(ordinal?);
        }
        Ok(all)
    }
}
