//! The window of recent event ids: what makes a retry without an exact expectation safe.
//!
//! Keeps a tag of every one of the last so many events (of stream and id, 32 bits beside its place in the table), in two tables: when the
//! newer one is full, the older one is forgotten whole. So inserting touches one line of memory and nothing is ever removed singly.
//! A hit is a suspicion, settled by reading; a miss is certain within the window. Never: grows beyond twice its capacity.

/// Tags of the last events, with their positions.
#[derive(Debug)]
pub(crate) struct IdWindow {
    capacity: usize,
    newer: Table,
    older: Table,
}

impl IdWindow {
    /// A window over at least the last `capacity` events.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            newer: Table::default(),
            older: Table::default(),
        }
    }

    pub(crate) fn insert(&mut self, fingerprint: u64, position: u64) {
        if self.capacity == 0 {
            return;
        }
        if self.newer.count >= self.capacity {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
        }
        self.newer.insert(fingerprint, position, self.capacity);
    }

    /// Brings the places where these go near, so that the waits for memory overlap: inserting one after the other waits for each.
    pub(crate) fn look_ahead(&self, fingerprints: impl Iterator<Item = u64>) {
        if self.newer.slots.is_empty() {
            return;
        }
        let slot = |fingerprint| self.newer.slots[self.newer.home(fingerprint)];
        let all = fingerprints.fold(0, |all, next| all ^ slot(next));
        std::hint::black_box(all);
    }

    /// The last position with this fingerprint, if it is in the window. What was rewound may still be there.
    pub(crate) fn position(&self, fingerprint: u64) -> Option<u64> {
        self.newer
            .position(fingerprint)
            .or_else(|| self.older.position(fingerprint))
    }
}

/// Open addressing with linear probing; half full at most. A slot is a tag and, below it, the position since `base` plus one; 0 is free.
#[derive(Debug, Default)]
struct Table {
    slots: Vec<u64>,
    base: u64,
    count: usize,
}

const TAG: u64 = 0xFFFF_FFFF_0000_0000;

impl Table {
    fn clear(&mut self) {
        self.slots.fill(0);
        self.count = 0;
    }

    fn insert(&mut self, fingerprint: u64, position: u64, capacity: usize) {
        if self.slots.is_empty() {
            // Zeroed memory is only taken from the system as it is touched.
            self.slots = vec![0; (capacity * 2).next_power_of_two()];
        }
        if self.count == 0 {
            self.base = position;
        }
        // A window of ids never spans so many positions; what lies further is not remembered.
        let Ok(since) = u32::try_from(position.saturating_sub(self.base) + 1) else {
            return;
        };
        let tag = fingerprint & TAG;
        let at = self.find(fingerprint);
        self.count += usize::from(self.slots[at] == 0);
        self.slots[at] = tag | u64::from(since);
    }

    fn position(&self, fingerprint: u64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let since = self.slots[self.find(fingerprint)] & !TAG;
        since.checked_sub(1).map(|since| self.base + since)
    }

    /// Where looking for it begins.
    fn home(&self, fingerprint: u64) -> usize {
        crate::number::to_usize(fingerprint & !TAG) & (self.slots.len() - 1)
    }

    /// The slot with this tag, or the free one where it would go.
    fn find(&self, fingerprint: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.home(fingerprint);
        while self.slots[at] != 0 && (self.slots[at] ^ fingerprint) & TAG != 0 {
            at = (at + 1) & mask;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::IdWindow;

    /// Spreads numbers as fingerprints are.
    fn fingerprint(number: u64) -> u64 {
        number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (number << 7)
    }

    #[test]
    fn the_window_holds_what_it_promises_and_slides() {
        for capacity in [1_u64, 3, 1_000] {
            let mut window = IdWindow::new(usize::try_from(capacity).unwrap());
            for position in 0..10 * capacity {
                window.insert(fingerprint(position), position);
                for recent in position.saturating_sub(capacity - 1)..=position {
                    assert_eq!(window.position(fingerprint(recent)), Some(recent));
                }
            }
            let forgotten =
                (0..7 * capacity).filter(|p| window.position(fingerprint(*p)).is_none());
            assert_eq!(
                forgotten.count() as u64,
                7 * capacity,
                "capacity {capacity}"
            );
        }
    }

    #[test]
    fn a_repeated_fingerprint_has_its_last_position() {
        let mut window = IdWindow::new(4);
        window.insert(fingerprint(1), 10);
        window.insert(fingerprint(1), 11);
        assert_eq!(window.position(fingerprint(1)), Some(11));
    }

    #[test]
    fn a_window_of_none_remembers_none() {
        let mut window = IdWindow::new(0);
        window.insert(5, 1);
        assert_eq!(window.position(5), None);
    }
}
