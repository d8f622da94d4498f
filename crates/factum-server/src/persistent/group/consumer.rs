//! One consumer as its group sees it: how much it may be given, what it has, how fast it answers.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::{Moment, Seq};

/// How many answers the measurements are made from.
const OBSERVED_MAX: usize = 1_000;

/// Which consumer of a group; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConsumerId(pub(crate) u64);

/// Who a consumer is, for those who look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its address.
    pub from: String,
    /// Who it authenticated as; empty for nobody.
    pub user: String,
    /// What it calls its connection; may be empty.
    pub connection: String,
}

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) identity: Identity,
    /// How many events it may have unanswered.
    pub(super) credit: usize,
    /// How many it can be sent now, whatever its credit.
    pub(super) window: usize,
    pub(super) in_flight: BTreeSet<Seq>,
    /// It is given nothing more, and ends when it has nothing more.
    pub(super) stopping: bool,
    pub(super) since: Moment,
    pub(super) total: u64,
    pub(super) total_before: u64,
    observed: Option<VecDeque<Duration>>,
}

impl Consumer {
    pub(super) fn new(identity: Identity, credit: usize, observe: bool, now: Moment) -> Self {
        Self {
            identity,
            credit,
            window: 0,
            in_flight: BTreeSet::new(),
            stopping: false,
            since: now,
            total: 0,
            total_before: 0,
            observed: observe.then(VecDeque::new),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        if self.stopping {
            return 0;
        }
        let slots = self.credit.saturating_sub(self.in_flight.len());
        slots.min(self.window)
    }

    /// Whether it would be given more if more could be sent.
    pub(super) fn is_starved(&self) -> bool {
        !self.stopping && self.window == 0 && self.in_flight.len() < self.credit
    }

    pub(super) fn observe(&mut self, took: Duration) {
        if let Some(observed) = &mut self.observed {
            if observed.len() == OBSERVED_MAX {
                observed.pop_front();
            }
            observed.push_back(took);
        }
    }

    /// How long answers took, in milliseconds, under the names that clients show; nothing unless asked for.
    pub(super) fn measurements(&self) -> Vec<(&'static str, i64)> {
        let Some(observed) = self.observed.as_ref().filter(|all| !all.is_empty()) else {
            return Vec::new();
        };
        let mut sorted: Vec<i64> = observed.iter().map(|took| millis(*took)).collect();
        sorted.sort_unstable();
        let count = i64::try_from(sorted.len()).unwrap_or(i64::MAX);
        let at = |permille: usize| {
            let index = (sorted.len() * permille / 1_000).min(sorted.len() - 1);
            sorted.get(index).copied().unwrap_or_default()
        };
        vec![
            ("Mean", sorted.iter().sum::<i64>() / count),
            ("Median", at(500)),
            ("Fastest", at(0)),
            ("Quintile 1", at(200)),
            ("Quintile 2", at(400)),
            ("Quintile 3", at(600)),
            ("Quintile 4", at(800)),
            ("Quintile 5", at(1_000)),
            ("90%", at(900)),
            ("95%", at(950)),
            ("99%", at(990)),
            ("99.5%", at(995)),
            ("99.9%", at(999)),
            ("Highest", at(1_000)),
        ]
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
