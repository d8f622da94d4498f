//! How far a sequence of events is done, when they are finished in any order.
//!
//! Holds what is open, not what is done: an event that is never answered costs one entry, whatever comes after it.

use std::collections::BTreeMap;

use super::Seq;

/// A place in the sequence: the last point up to there, and how many events that are worth a checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) point: Option<u64>,
    pub(super) count: u64,
}

#[derive(Debug, Default)]
pub(super) struct Progress {
    /// For each event that is not done: what stands before it.
    open: BTreeMap<Seq, Mark>,
    seen: Mark,
    written: Mark,
}

impl Progress {
    pub(super) fn new(after: Option<u64>) -> Self {
        let mark = Mark {
            point: after,
            count: 0,
        };
        Self {
            open: BTreeMap::new(),
            seen: mark,
            written: mark,
        }
    }

    /// An event to be done. Points only grow.
    pub(super) fn open(&mut self, seq: Seq, point: u64) {
        debug_assert!(
            self.seen.point.is_none_or(|seen| seen < point),
            "point {point} after {:?}",
            self.seen.point
        );
        self.open.insert(seq, self.seen);
        self.pass(point, true);
    }

    /// Nothing is to be done up to this point.
    pub(super) fn pass(&mut self, point: u64, counted: bool) {
        self.seen.point = Some(self.seen.point.map_or(point, |seen| seen.max(point)));
        self.seen.count += u64::from(counted);
    }

    pub(super) fn close(&mut self, seq: Seq) {
        let was_open = self.open.remove(&seq);
        debug_assert!(was_open.is_some(), "{seq:?} was done twice");
    }

    /// Up to where everything is done.
    pub(super) fn done(&self) -> Mark {
        self.open
            .first_key_value()
            .map_or(self.seen, |(_, before)| *before)
    }

    /// How many events were done since the last checkpoint.
    pub(super) fn unwritten(&self) -> u64 {
        self.done().count - self.written.count
    }

    /// Notes that a checkpoint at this mark was written.
    pub(super) fn wrote(&mut self, mark: Mark) {
        self.written = mark;
    }

    pub(super) const fn written(&self) -> Option<u64> {
        self.written.point
    }

    pub(super) const fn seen(&self) -> Option<u64> {
        self.seen.point
    }

    pub(super) fn open_seqs(&self) -> impl Iterator<Item = Seq> {
        self.open.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Progress, Seq};

    #[test]
    fn everything_before_the_first_open_one_is_done() {
        let mut progress = Progress::new(Some(4));
        for (seq, point) in [(0, 5), (1, 7), (2, 9)] {
            progress.open(Seq(seq), point);
        }
        let done = |progress: &Progress| (progress.done().point, progress.unwritten());
        assert_eq!(done(&progress), (Some(4), 0));
        progress.close(Seq(1));
        assert_eq!(done(&progress), (Some(4), 0));
        progress.close(Seq(0));
        assert_eq!(done(&progress), (Some(7), 2));
        progress.pass(20, false);
        assert_eq!(done(&progress), (Some(7), 2));
        progress.close(Seq(2));
        assert_eq!(done(&progress), (Some(20), 3));
    }
}
