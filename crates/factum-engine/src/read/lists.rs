//! Where the lists of one stream stand in sealed segments: each segment is asked once, several of them in step.
//!
//! A look-up is a chain of reads from memory that no cache holds. Segments asked one after the other wait for each link of each chain;
//! asked in step, they wait together. What was found on the way to a stream's tail serves the read that follows.
//! Relies on: a sealed segment never changes. Never: keeps more than a few indexes in memory, for a reader who may pause for long.

use std::sync::Arc;

use factum_format::index::Losses;
use factum_store::StoreError;
use smallvec::SmallVec;

use crate::key::KeyHash;
use crate::view::index::{Expected, IN_STEP, PostingAt, find_streams};
use crate::view::{Index, Sealed};

/// The list of a stream in one segment, and the index that it stands in.
pub(crate) type List = (Arc<Index>, PostingAt);

/// A segment that was asked, the list that it has, and what it has lost.
type Asked = (Arc<Sealed>, Option<List>, Option<Losses>);

/// Which stream's lists are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: KeyHash,
}

/// What was found, in the order of reading.
#[derive(Debug)]
pub(crate) struct Lists {
    found: SmallVec<[Asked; 2]>,
    /// How many of them have been used.
    used: usize,
    /// How many segments are asked next.
    step: usize,
    /// Whether what was used is kept, to be used again.
    kept: bool,
}

impl Lists {
    /// For reading on through many segments.
    pub(crate) fn of_many() -> Self {
        Self {
            found: SmallVec::new(),
            used: 0,
            step: IN_STEP,
            kept: false,
        }
    }

    /// For finding the last list, and then reading from it on.
    pub(crate) fn of_last() -> Self {
        Self {
            found: SmallVec::new(),
            used: 0,
            step: 1,
            kept: true,
        }
    }

    /// The list in the first of these segments, which come in the order of reading; `None` when it has none.
    ///
    /// # Errors
    /// When the index of that segment cannot be used. Of the others that is told in their turn.
    pub(crate) fn next<'a>(
        &mut self,
        segments: impl Iterator<Item = &'a Arc<Sealed>> + Clone,
        wanted: Wanted<'_>,
    ) -> Result<Option<List>, StoreError> {
        let Some(first) = segments.clone().next() else {
            return Ok(None);
        };
        // What stands before it was passed over, or its segment was replaced since.
        while let Some((sealed, list, _)) = self.found.get_mut(self.used) {
            self.used += 1;
            if Arc::ptr_eq(sealed, first) {
                return Ok(hand_out(list, self.kept));
            }
        }
        if !self.kept {
            self.found.clear();
        }
        self.used = self.found.len();
        self.ask(segments, wanted)?;
        self.used += 1;
        let found = self.found.get_mut(self.used - 1);
        Ok(found.and_then(|(_, list, _)| hand_out(list, self.kept)))
    }

    /// What the segment that was asked last has lost, as far as nobody can tell whose it was.
    pub(crate) fn losses(&self) -> Option<Losses> {
        let (_, _, losses) = self.found.get(self.used.checked_sub(1)?)?;
        *losses
    }

    /// The index of the segment that was asked last, when the stream's list is in it and is kept.
    pub(crate) fn index(&self) -> Option<&Arc<Index>> {
        let (_, list, _) = self.found.get(self.used.checked_sub(1)?)?;
        list.as_ref().map(|(index, _)| index)
    }

    /// Begins again with the first segment that was asked; nothing is kept from now on.
    pub(crate) const fn rewind(&mut self) {
        (self.used, self.kept) = (0, false);
    }

    fn ask<'a>(
        &mut self,
        segments: impl Iterator<Item = &'a Arc<Sealed>> + Clone,
        wanted: Wanted<'_>,
    ) -> Result<(), StoreError> {
        let begin = self.found.len();
        let mut indexes = SmallVec::<[_; IN_STEP]>::new();
        let mut bad = None;
        for sealed in segments.clone().take(self.step) {
            match sealed.index() {
                Ok(index) => indexes.push(index),
                Err(error) => {
                    bad = Some(error);
                    break;
                }
            }
        }
        self.step = IN_STEP;
        self.found.reserve(indexes.len());
        let mut of = segments.zip(&indexes);
        let expected = if self.kept {
            Expected::Last
        } else {
            Expected::First
        };
        find_streams(&indexes, (wanted.key, wanted.name), expected, |posting| {
            let Some((sealed, index)) = of.next() else {
                return false;
            };
            match posting {
                Ok(posting) => {
                    let list = posting.map(|posting| (Arc::clone(index), posting));
                    self.found.push((Arc::clone(sealed), list, index.losses));
                    true
                }
                Err(error) => {
                    bad = Some(sealed.bad_index(&error));
                    false
                }
            }
        });
        // What is wrong with one of the others is told when it is its turn.
        match bad {
            Some(error) if self.found.len() == begin => Err(error),
            _ => Ok(()),
        }
    }
}

/// What is not kept is given away, so that a reader who pauses holds no index that the cache has forgotten.
fn hand_out(list: &mut Option<List>, kept: bool) -> Option<List> {
    if kept { list.clone() } else { list.take() }
}
