//! The list of ordinals of a posting, with its skip table.

use crate::{
    FormatError,
    bytes::{size_u32, u32_at},
    varint,
};

const WHAT: &str = "index posting ordinals";
/// How many ordinals an entry of the skip table stands for.
const BLOCK: u32 = 128;
const SKIP_BYTES: usize = 8;

/// Appends the list to `list` and its skip table, if it needs one, to `skips`.
pub(super) fn encode(
    list: &mut Vec<u8>,
    skips: &mut Vec<u8>,
    ordinals: &[u32],
) -> Result<(), FormatError> {
    let skipping = ordinals.len() > BLOCK as usize;
    let mut before = None;
    for (item, &ordinal) in ordinals.iter().enumerate() {
        let delta = match before {
            None => ordinal,
            Some(before) if ordinal > before => ordinal.saturating_sub(before),
            Some(_) => {
                return Err(FormatError::Order {
                    what: WHAT,
                    item: item as u64,
                });
            }
        };
        varint::encode(list, delta.into());
        before = Some(ordinal);
        if skipping && item.is_multiple_of(BLOCK as usize) {
            skips.extend_from_slice(&ordinal.to_le_bytes());
            skips.extend_from_slice(&size_u32(WHAT, list.len())?.to_le_bytes());
        }
    }
    Ok(())
}

/// The length of the skip table for `count` ordinals.
pub(super) fn skips_len(count: u32) -> usize {
    if count <= BLOCK {
        return 0;
    }
    (count.div_ceil(BLOCK) as usize).saturating_mul(SKIP_BYTES)
}

/// Iterator over the ordinals of a posting, ascending; ends after the first error.
#[derive(Debug, Clone)]
pub struct Ordinals<'a> {
    skips: &'a [u8],
    list: &'a [u8],
    count: u32,
    /// The index of the ordinal to yield next.
    index: u32,
    /// What is left of the list after `peeked`.
    rest: &'a [u8],
    /// The ordinal before the next one.
    before: Option<u32>,
    /// An ordinal that was decoded but not yielded yet.
    peeked: Option<u32>,
}

impl<'a> Ordinals<'a> {
    pub(super) fn new(skips: &'a [u8], list: &'a [u8], count: u32) -> Self {
        Self {
            skips,
            list,
            count,
            index: 0,
            rest: list,
            before: None,
            peeked: None,
        }
    }

    /// How many ordinals of the posting come before the one that is next: for a stream, the revision to yield next is
    /// this plus `before`.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Goes on with the `index`-th ordinal of the posting, forward or backward.
    pub(super) fn skip_to_index(&mut self, index: u32) {
        if index >= self.count {
            self.index = self.count;
            return;
        }
        self.jump(index / BLOCK);
        while self.index < index {
            if !matches!(self.next(), Some(Ok(_))) {
                return self.fail_next();
            }
        }
    }

    /// Goes on with the first ordinal that is `ordinal` or more.
    pub(super) fn skip_to_ordinal(&mut self, ordinal: u32) {
        let (blocks, _) = self.skips.as_chunks::<SKIP_BYTES>();
        let first_of = |block: &[u8; SKIP_BYTES]| u32_at(block, 0).unwrap_or(u32::MAX);
        let not_after = blocks.partition_point(|block| first_of(block) <= ordinal);
        self.jump(u32::try_from(not_after.saturating_sub(1)).unwrap_or(0));
        while let Some(found) = self.next() {
            match found {
                Ok(found) if found < ordinal => {}
                Ok(found) => {
                    self.peeked = Some(found);
                    self.index = self.index.saturating_sub(1);
                    return;
                }
                Err(_) => return self.fail_next(),
            }
        }
    }

    /// Damage met while skipping: makes `next` report it, so that it does not pass for the end.
    fn fail_next(&mut self) {
        self.index = self.count.saturating_sub(1);
        self.peeked = None;
        self.rest = &[];
    }

    /// Goes on with the first ordinal of a block of 128.
    fn jump(&mut self, block: u32) {
        *self = Self::new(self.skips, self.list, self.count);
        let at = (block as usize).saturating_mul(SKIP_BYTES);
        let first = u32_at(self.skips, at);
        let rest = u32_at(self.skips, at.saturating_add(4))
            .and_then(|offset| self.list.get(offset as usize..));
        if let (Some(first), Some(rest)) = (first, rest) {
            self.index = block.saturating_mul(BLOCK);
            self.rest = rest;
            self.before = Some(first);
            self.peeked = Some(first);
        }
    }

    fn decode(&mut self) -> Option<u32> {
        let delta = u32::try_from(varint::decode(&mut self.rest)?).ok()?;
        match self.before {
            None => Some(delta),
            Some(_) if delta == 0 => None,
            Some(before) => before.checked_add(delta),
        }
    }
}

impl Iterator for Ordinals<'_> {
    type Item = Result<u32, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.count {
            return None;
        }
        let Some(ordinal) = self.peeked.take().or_else(|| self.decode()) else {
            let error = FormatError::Invalid {
                what: WHAT,
                offset: u64::from(self.index),
            };
            self.index = self.count;
            return Some(Err(error));
        };
        self.before = Some(ordinal);
        self.index = self.index.saturating_add(1);
        Some(Ok(ordinal))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.count.saturating_sub(self.index) as usize))
    }
}
