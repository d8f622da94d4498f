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
/// In the place of a difference: a run follows.
const RUN: u64 = 0;
/// A shorter run takes no less room than its differences.
const RUN_MIN: u32 = 3;
/// The most ordinals that two bytes of a list stand for.
const RUN_MAX: u32 = BLOCK - 1;

/// Appends the list to `list` and its skip table, if it needs one, to `skips`.
pub(super) fn encode(
    list: &mut Vec<u8>,
    skips: &mut Vec<u8>,
    ordinals: &[u32],
) -> Result<(), FormatError> {
    check_order(ordinals)?;
    let skipping = ordinals.len() > BLOCK as usize;
    let mut before = None;
    for block in ordinals.chunks(BLOCK as usize) {
        let Some((&first, others)) = block.split_first() else {
            continue;
        };
        varint::encode(
            list,
            before.map_or(first, |b| first.saturating_sub(b)).into(),
        );
        if skipping {
            skips.extend_from_slice(&first.to_le_bytes());
            skips.extend_from_slice(&size_u32(WHAT, list.len())?.to_le_bytes());
        }
        before = Some(encode_block(list, first, others));
    }
    Ok(())
}

fn check_order(ordinals: &[u32]) -> Result<(), FormatError> {
    let pairs = ordinals.iter().zip(ordinals.iter().skip(1));
    match (1_u64..).zip(pairs).find(|(_, (a, b))| a >= b) {
        Some((item, _)) => Err(FormatError::Order { what: WHAT, item }),
        None => Ok(()),
    }
}

/// Appends what follows a block's first ordinal, and returns the last one.
fn encode_block(list: &mut Vec<u8>, first: u32, others: &[u32]) -> u32 {
    let mut before = first;
    for group in others.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        let next = before.checked_add(1);
        // A group may go on where the one before it ended, if that was the first ordinal.
        let (jump, run) = match group.split_first() {
            Some((first, rest)) if Some(*first) != next => (Some(*first), rest),
            _ => (None, group),
        };
        if let Some(jump) = jump {
            varint::encode(list, jump.saturating_sub(before).into());
        }
        let length = u32::try_from(run.len()).unwrap_or(RUN_MAX);
        if length < RUN_MIN {
            run.iter().for_each(|_| varint::encode(list, 1));
        } else {
            varint::encode(list, RUN);
            varint::encode(list, length.into());
        }
        before = group.last().copied().unwrap_or(before);
    }
    before
}

/// The most ordinals that a list may hold.
pub(super) fn count_max(list: &[u8]) -> usize {
    list.len().saturating_mul(RUN_MAX as usize)
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
    /// How many of the next ordinals are each one more than the one before.
    run: u32,
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
            run: 0,
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
        self.run = 0;
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
        if let Some(left) = self.run.checked_sub(1) {
            self.run = left;
            return self.before?.checked_add(1);
        }
        let delta = varint::decode(&mut self.rest)?;
        match self.before {
            None => u32::try_from(delta).ok(),
            Some(before) if delta == RUN => {
                let length = u32::try_from(varint::decode(&mut self.rest)?).ok()?;
                self.run = length.checked_sub(1).filter(|_| length <= RUN_MAX)?;
                before.checked_add(1)
            }
            Some(before) => before.checked_add(u32::try_from(delta).ok()?),
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
