//! What of sealed segments stays in memory. Indexes: a clock over all that are loaded, bounded in bytes.
//!
//! Never: keeps more than its budget, except for one index that is larger alone.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use super::ahead::Ahead;
use super::blocks::Blocks;
use super::sealed::Sealed;
use crate::sync::{Mutex, lock};

/// What is kept in memory of sealed segments, all of them together.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) indexes: IndexCache,
    pub(crate) blocks: Blocks,
    pub(crate) ahead: Ahead,
}

/// Bounds the indexes in memory.
#[derive(Debug)]
pub(crate) struct IndexCache {
    budget: u64,
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    bytes: u64,
    order: VecDeque<(Weak<Sealed>, u64)>,
}

impl IndexCache {
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            budget,
            loaded: Mutex::default(),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.loaded).bytes
    }

    /// Takes note of an index; forgets the oldest ones when there are too many.
    pub(crate) fn loaded(&self, sealed: &Arc<Sealed>, bytes: u64) {
        let mut loaded = lock(&self.loaded);
        loaded.bytes += bytes;
        loaded.order.push_back((Arc::downgrade(sealed), bytes));
        let mut leaving = Vec::new();
        while loaded.bytes > self.budget && loaded.order.len() > 1 {
            let Some((oldest, bytes)) = loaded.order.pop_front() else {
                break;
            };
            loaded.bytes -= bytes;
            leaving.push(oldest);
        }
        drop(loaded);
        for sealed in leaving.into_iter().filter_map(|weak| weak.upgrade()) {
            sealed.forget_index();
        }
    }
}
