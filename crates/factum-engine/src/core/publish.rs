//! Publishing: frames become visible in their order, whatever order they became durable in.
//!
//! The third stage. Relies on: frames handed in are durable. Never: shows a frame before the one before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Held, Job};
use crate::buffers::WORTH_BYTES;
use crate::log::Placed;
use crate::mutant::{Mutant, on};
use crate::reader::Reader;
use crate::view::{Unsealed, UnsealedHead};
use factum_format::frame::FrameHeader;

/// How the head of a new segment is found when its first frame is published.
pub(crate) type HeadOf = Box<dyn Fn(u64) -> Option<UnsealedHead> + Send + Sync>;

/// Puts frames into their order.
pub(crate) struct Publisher {
    published_seq: u64,
    waiting: BTreeMap<u64, Job>,
    held: BTreeMap<u64, Vec<Held>>,
    current: Arc<Unsealed>,
    head_of: HeadOf,
    /// Called when a segment has got its last frame.
    on_rolled: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("published_seq", &self.published_seq)
            .finish_non_exhaustive()
    }
}

impl Publisher {
    pub(crate) fn new(
        published_seq: u64,
        current: Arc<Unsealed>,
        head_of: HeadOf,
        on_rolled: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            published_seq,
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            current,
            head_of,
            on_rolled,
        }
    }

    pub(crate) const fn published_seq(&self) -> u64 {
        self.published_seq
    }

    pub(crate) fn add(&mut self, job: Job) {
        self.waiting.insert(job.placed.header.frame_seq, job);
    }

    /// The next frame in order, if it is durable.
    pub(crate) fn next(&mut self) -> Option<Job> {
        if on(Mutant::PublishedOutOfOrder) {
            let (seq, job) = self.waiting.pop_first()?;
            self.published_seq = seq.max(self.published_seq);
            return Some(job);
        }
        let job = self.waiting.remove(&(self.published_seq + 1))?;
        self.published_seq += 1;
        Some(job)
    }

    /// Another writer's frame without records stands here.
    pub(crate) fn pass_over(&mut self, header: &FrameHeader) {
        assert_eq!(
            header.frame_seq,
            self.published_seq + 1,
            "frames are published in order"
        );
        assert_eq!(
            header.record_count, 0,
            "nobody else writes records into this log"
        );
        self.published_seq = header.frame_seq;
    }

    pub(crate) fn hold(&mut self, seq: u64, held: Vec<Held>) {
        self.held.entry(seq).or_default().extend(held);
    }

    /// The answers held until this frame.
    pub(crate) fn take_held(&mut self, seq: u64) -> Vec<Held> {
        let later = match seq.checked_add(1) {
            Some(next) => self.held.split_off(&next),
            None => BTreeMap::new(),
        };
        std::mem::replace(&mut self.held, later)
            .into_values()
            .flatten()
            .collect()
    }

    /// The frames that wait for one before them.
    pub(crate) fn take_waiting(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// Applies a frame to the segment it stands in, which may keep the pages. Gives one more than the position of its last record that readers may be
    /// shown.
    pub(crate) fn apply(&mut self, reader: &Reader, placed: &mut Placed) -> Option<u64> {
        self.begin_segment_of(reader, placed);
        let within = placed.within();
        // Pages that fill less than two fifths of their buffer would keep more memory than they are worth.
        let is_loose = within.len() / 2 * 5 < placed.pages.capacity();
        let applied = if is_loose || within.len() < WORTH_BYTES {
            let bytes = &placed.pages.as_slice()[within];
            self.current
                .apply(&placed.header, placed.offset, bytes, true)
        } else {
            let pages = std::mem::take(&mut placed.pages);
            self.current
                .apply_written(&placed.header, placed.offset, pages, &within)
        };
        applied.shown_end
    }

    /// Planted bugs only: as [`apply`](Self::apply), before the frame is written.
    pub(crate) fn apply_early(&mut self, reader: &Reader, placed: &Placed) -> Option<u64> {
        self.begin_segment_of(reader, placed);
        let applied = self
            .current
            .apply(&placed.header, placed.offset, placed.bytes(), true);
        applied.shown_end
    }

    fn begin_segment_of(&mut self, reader: &Reader, placed: &Placed) {
        let seq = placed.header.frame_seq;
        if !on(Mutant::ShownBeforeDurable) && !on(Mutant::IndexedBeforeDurable) {
            self.published_seq = self.published_seq.max(seq);
        }
        if placed.segment != self.current.head.number {
            let Some(head) = (self.head_of)(placed.segment) else {
                unreachable!("segment {} was begun before it was written", placed.segment)
            };
            let next = Arc::new(Unsealed::new(head, reader.keyer.clone()));
            next.keep_in(&reader.buffers);
            reader
                .published
                .change(|view| view.unsealed.push(Arc::clone(&next)));
            self.current = next;
            (self.on_rolled)();
        }
    }
}
