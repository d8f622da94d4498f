//! What waits in a generation, found by position and by partition.
//!
//! Relies on: one entry for each position. Never: goes through all that waits to find one.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use factum_types::Position;

use crate::parked::Parked;

/// Parked events, by position.
///
/// ```
/// use factum_projection::{Lot, Parked};
/// # use factum_types::*;
/// # fn parked() -> Result<Parked, Box<dyn std::error::Error>> {
/// # Ok(Parked {
/// #     partition: "order-1".to_owned(), position: Position::from_raw(7), event: EventId::from_bytes([1; 16]),
/// #     stream: StreamName::new("order-1")?, revision: Revision::new(0), event_type: EventType::new("Placed")?,
/// #     reason: "no amount".to_owned(), attempts: 1, since: Timestamp::from_micros(0), wanted: false,
/// # })
/// # }
///
/// let mut lot = Lot::default();
/// lot.park(parked()?);
/// assert!(lot.due().is_none());
/// assert_eq!(lot.want("order-1"), 1);
/// assert_eq!(lot.due(), lot.first("order-1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lot {
    entries: BTreeMap<Position, Parked>,
    lines: BTreeMap<String, Line>,
    /// The heads of the lines that are to be tried.
    due: BTreeSet<(Why, Position)>,
}

/// What waits in a partition, one behind another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Line {
    positions: BTreeSet<Position>,
    wanted: usize,
}

/// Why a line is to be tried; what was asked for comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Asked,
    /// What its head waited for is gone.
    Freed,
}

impl Lot {
    /// How many events wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What waits, by position.
    pub fn iter(&self) -> btree_map::Values<'_, Position, Parked> {
        self.entries.values()
    }

    /// The event at this position, if it waits.
    #[must_use]
    pub fn get(&self, position: Position) -> Option<&Parked> {
        self.entries.get(&position)
    }

    /// The event that the others of a partition wait behind; `None` when nothing waits there.
    #[must_use]
    pub fn first(&self, partition: &str) -> Option<&Parked> {
        let head = self.lines.get(partition)?.positions.first()?;
        self.entries.get(head)
    }

    /// The event to be tried next: the first of a partition that someone asked for, or else of one where what it waited behind is gone.
    #[must_use]
    pub fn due(&self) -> Option<&Parked> {
        self.entries.get(&self.due.first()?.1)
    }

    /// Takes an event in, in place of what waits at its position.
    ///
    /// One that was tried takes back what was asked for its whole partition, or it would be tried for ever.
    pub fn park(&mut self, parked: Parked) {
        if parked.attempts > 0 {
            self.mark(&parked.partition, false);
        }
        self.insert(parked);
    }

    /// Lets the event at this position go; `None` when it does not wait.
    pub fn release(&mut self, position: Position) -> Option<Parked> {
        let partition = self.entries.get(&position)?.partition.clone();
        self.change(&partition, |entries, line| {
            let released = entries.remove(&position)?;
            line.positions.remove(&position);
            line.wanted -= usize::from(released.wanted);
            Some(released)
        })
    }

    /// Marks all that waits in a partition as wanted, and says how much that is.
    pub fn want(&mut self, partition: &str) -> usize {
        self.mark(partition, true)
    }

    fn insert(&mut self, parked: Parked) {
        self.release(parked.position);
        let partition = parked.partition.clone();
        self.change(&partition, |entries, line| {
            line.positions.insert(parked.position);
            line.wanted += usize::from(parked.wanted);
            entries.insert(parked.position, parked);
        });
    }

    fn mark(&mut self, partition: &str, wanted: bool) -> usize {
        let Some(line) = self.lines.get(partition) else {
            return 0;
        };
        let marked = if wanted { line.positions.len() } else { 0 };
        if line.wanted == marked {
            return marked;
        }
        self.change(partition, |entries, line| {
            for position in &line.positions {
                if let Some(entry) = entries.get_mut(position) {
                    entry.wanted = wanted;
                }
            }
            line.wanted = marked;
            marked
        })
    }

    /// Changes a line, and with it what is due.
    fn change<T>(
        &mut self,
        partition: &str,
        change: impl FnOnce(&mut BTreeMap<Position, Parked>, &mut Line) -> T,
    ) -> T {
        if let Some(due) = self.due_in(partition) {
            self.due.remove(&due);
        }
        let line = self.lines.entry(partition.to_owned()).or_default();
        let changed = change(&mut self.entries, line);
        if line.positions.is_empty() {
            self.lines.remove(partition);
        }
        self.due.extend(self.due_in(partition));
        changed
    }

    fn due_in(&self, partition: &str) -> Option<(Why, Position)> {
        let line = self.lines.get(partition)?;
        let head = *line.positions.first()?;
        let untried = self.entries.get(&head)?.attempts == 0;
        let freed = untried.then_some((Why::Freed, head));
        if line.wanted > 0 {
            Some((Why::Asked, head))
        } else {
            freed
        }
    }
}

/// As a sink has them stored, marks included.
impl FromIterator<Parked> for Lot {
    fn from_iter<I: IntoIterator<Item = Parked>>(parked: I) -> Self {
        let mut lot = Self::default();
        for entry in parked {
            lot.insert(entry);
        }
        lot
    }
}

impl<'a> IntoIterator for &'a Lot {
    type Item = &'a Parked;
    type IntoIter = btree_map::Values<'a, Position, Parked>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use factum_types::{EventId, EventType, Revision, StreamName, Timestamp};

    use super::*;

    fn parked(partition: u64, position: u64, attempts: u32, wanted: bool) -> Parked {
        Parked {
            partition: format!("p{partition}"),
            position: Position::from_raw(position),
            event: EventId::from_bytes([1; 16]),
            stream: StreamName::new("order-1").unwrap(),
            revision: Revision::new(position),
            event_type: EventType::new("Placed").unwrap(),
            reason: String::new(),
            attempts,
            since: Timestamp::from_micros(0),
            wanted,
        }
    }

    /// The definition: everything is looked through.
    fn first<'a>(all: &'a [Parked], partition: &str) -> Option<&'a Parked> {
        all.iter().find(|entry| entry.partition == partition)
    }

    fn due(all: &[Parked]) -> Option<&Parked> {
        let heads = || {
            all.iter()
                .filter(|entry| first(all, &entry.partition) == Some(entry))
        };
        let asked = |head: &&Parked| {
            let mut line = all.iter().filter(|it| it.partition == head.partition);
            line.any(|entry| entry.wanted)
        };
        let freed = |head: &&Parked| head.attempts == 0;
        heads().find(asked).or_else(|| heads().find(freed))
    }

    #[test]
    fn it_finds_what_looking_through_everything_finds() {
        for seed in 1..300_u64 {
            let mut random = seed;
            let mut next = |below: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % below
            };
            let (mut lot, mut all) = (Lot::default(), Vec::<Parked>::new());
            for _ in 0..60 {
                let (partition, position) = (next(4), next(16));
                let name = format!("p{partition}");
                match next(4) {
                    0 => {
                        let at = all.iter().position(|it| it.position.raw() == position);
                        let released = lot.release(Position::from_raw(position));
                        assert_eq!(released, at.map(|at| all.remove(at)), "seed {seed}");
                    }
                    1 => {
                        let line = all.iter_mut().filter(|it| it.partition == name);
                        let count = line.map(|entry| entry.wanted = true).count();
                        assert_eq!(lot.want(&name), count, "seed {seed}");
                    }
                    _ => {
                        let attempts = u32::try_from(next(3)).unwrap();
                        let entry = parked(partition, position, attempts, next(8) == 0);
                        lot.park(entry.clone());
                        for it in &mut all {
                            it.wanted &= attempts == 0 || it.partition != name;
                        }
                        all.retain(|it| it.position != entry.position);
                        all.push(entry);
                        all.sort_by_key(|it| it.position);
                    }
                }
                let stored: Lot = all.iter().rev().cloned().collect();
                assert_eq!(lot, stored, "seed {seed}");
                assert!(lot.iter().eq(&all), "seed {seed}");
                assert_eq!(lot.len(), all.len(), "seed {seed}");
                assert_eq!(lot.due(), due(&all), "seed {seed}");
                for partition in ["p0", "p1", "p2", "p3"] {
                    assert_eq!(lot.first(partition), first(&all, partition), "seed {seed}");
                }
            }
        }
    }
}
