//! What readers see: the sealed and unsealed segments at one moment, and how far they are published.
//!
//! A reader takes the current [`View`] and keeps it as long as it likes; the writer and the background replace it by a new one. Nothing
//! in a sealed segment changes, and an unsealed one only grows, by published frames.
//! Never: waits for the writer.

mod ahead;
mod blocks;
pub(crate) mod cache;
pub(crate) mod image;
pub(crate) mod index;
mod losses;
pub(crate) mod sealed;
pub(crate) mod unsealed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use ahead::Ahead;
pub(crate) use blocks::Blocks;
pub(crate) use cache::{IndexCache, Kept};
pub(crate) use index::Index;
pub(crate) use sealed::Sealed;
pub(crate) use unsealed::{Unsealed, UnsealedHead};

use crate::sync::{RwLock, read, write};

/// The segments at one moment, oldest first; every sealed one is older than every unsealed one.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) sealed: Vec<Arc<Sealed>>,
    pub(crate) unsealed: Vec<Arc<Unsealed>>,
}

/// One segment of a view.
#[derive(Debug, Clone)]
pub(crate) enum Segment {
    Sealed(Arc<Sealed>),
    Unsealed(Arc<Unsealed>),
}

impl Segment {
    pub(crate) fn base_position(&self) -> u64 {
        match self {
            Self::Sealed(sealed) => sealed.entry.base_position,
            Self::Unsealed(unsealed) => unsealed.head.base_position,
        }
    }

    pub(crate) fn end_position(&self) -> u64 {
        match self {
            Self::Sealed(sealed) => sealed.end_position(),
            Self::Unsealed(unsealed) => unsealed.end_position(),
        }
    }
}

impl View {
    pub(crate) fn len(&self) -> usize {
        self.sealed.len() + self.unsealed.len()
    }

    /// One more than the last position that is sealed.
    pub(crate) fn sealed_end(&self) -> u64 {
        self.sealed.last().map_or(0, |sealed| sealed.end_position())
    }

    /// Whether nothing was lost in or between the segments that are not sealed.
    pub(crate) fn unsealed_is_whole(&self) -> bool {
        let whole = |unsealed: &Arc<Unsealed>| unsealed.read().losses.losses().is_none();
        let follows = |pair: &[Arc<Unsealed>]| pair[0].end_position() == pair[1].head.base_position;
        self.unsealed.iter().all(whole) && self.unsealed.windows(2).all(follows)
    }

    pub(crate) fn segment(&self, number: usize) -> Option<Segment> {
        match self.sealed.get(number) {
            Some(sealed) => Some(Segment::Sealed(Arc::clone(sealed))),
            None => {
                let unsealed = self.unsealed.get(number - self.sealed.len())?;
                Some(Segment::Unsealed(Arc::clone(unsealed)))
            }
        }
    }

    /// The number of the last segment that begins at this position or before; 0 when there is none.
    pub(crate) fn segment_at(&self, position: u64) -> usize {
        let sealed = self
            .sealed
            .partition_point(|s| s.entry.base_position <= position);
        let unsealed = self
            .unsealed
            .partition_point(|u| u.head.base_position <= position);
        (sealed + unsealed).saturating_sub(1)
    }
}

/// The current view, and how far it is published.
#[derive(Debug)]
pub(crate) struct Published {
    view: RwLock<Arc<View>>,
    /// One more than the position of the last published record.
    end: AtomicU64,
    /// One more than the position of the last published record that readers may be shown.
    shown_end: AtomicU64,
}

impl Published {
    pub(crate) fn new(view: View, end: u64) -> Self {
        let shown_end = AtomicU64::new(end);
        Self {
            view: RwLock::new(Arc::new(view)),
            end: AtomicU64::new(end),
            shown_end,
        }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&read(&self.view))
    }

    /// One more than the position of the last published record.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// One more than the position of the last published record that readers may be shown: snapshots are not.
    pub(crate) fn shown_end(&self) -> u64 {
        self.shown_end.load(Ordering::Acquire)
    }

    /// Moves the end; what lies before it must be in the view already.
    pub(crate) fn set_end(&self, end: u64, shown_end: Option<u64>) {
        if let Some(shown_end) = shown_end {
            self.shown_end.store(shown_end, Ordering::Release);
        }
        let before = self.end.swap(end, Ordering::AcqRel);
        assert!(
            before <= end,
            "published events were taken back: {before} to {end}"
        );
    }

    /// Replaces the view by a changed one.
    pub(crate) fn change(&self, change: impl FnOnce(&mut View)) {
        let mut slot = write(&self.view);
        let mut next = View::clone(&slot);
        change(&mut next);
        *slot = Arc::new(next);
    }
}
