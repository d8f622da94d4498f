//! The window of recent event ids: what makes a retry without an exact expectation safe.
//!
//! Keeps the fingerprints (stream and id, 64 bits) of the last so many events. A hit is a suspicion, settled by reading; a miss is
//! certain within the window. Never: grows beyond its capacity.

use std::collections::VecDeque;

use factum_types::FixedMap;

/// Fingerprints of the last events, with their positions.
#[derive(Debug)]
pub(crate) struct IdWindow {
    capacity: usize,
    positions: FixedMap<u64, u64>,
    order: VecDeque<(u64, u64)>,
}

impl IdWindow {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            positions: FixedMap::default(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn insert(&mut self, fingerprint: u64, position: u64) {
        if self.capacity == 0 {
            return;
        }
        if self.order.len() == self.capacity {
            self.forget_oldest();
        }
        self.positions.insert(fingerprint, position);
        self.order.push_back((fingerprint, position));
    }

    /// The last position with this fingerprint, if it is in the window.
    pub(crate) fn position(&self, fingerprint: u64) -> Option<u64> {
        self.positions.get(&fingerprint).copied()
    }

    /// Forgets everything at this position and after.
    pub(crate) fn rewind(&mut self, position: u64) {
        while let Some(&(fingerprint, at)) = self.order.back() {
            if at < position {
                break;
            }
            self.order.pop_back();
            self.remove(fingerprint, at);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((fingerprint, position)) = self.order.pop_front() {
            self.remove(fingerprint, position);
        }
    }

    fn remove(&mut self, fingerprint: u64, position: u64) {
        if self.positions.get(&fingerprint) == Some(&position) {
            self.positions.remove(&fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::IdWindow;

    #[test]
    fn the_window_slides_and_rewinds() {
        let mut window = IdWindow::new(3);
        for n in 0..5 {
            window.insert(100 + n, n);
        }
        assert_eq!(window.position(101), None);
        assert_eq!(window.position(102), Some(2));
        window.rewind(4);
        assert_eq!(window.position(104), None);
        assert_eq!(window.position(103), Some(3));
    }

    #[test]
    fn a_repeated_fingerprint_keeps_its_last_position() {
        let mut window = IdWindow::new(2);
        window.insert(1, 10);
        window.insert(1, 11);
        window.insert(2, 12);
        assert_eq!(window.position(1), Some(11));
    }
}
