//! The work on an application: how much of each kind is scheduled and under way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Phase, Task};

/// One kind of work. Numbers count what happened since the beginning, but for `under_way`.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// How often it was put on a list.
    pub scheduled: u32,
    /// How many are at it now.
    pub under_way: u32,
    /// How often somebody put it down.
    pub completed: u32,
}

/// All work on an application; as JSON, an object of the kinds that there were.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(from = "BTreeMap<Task, Work>", into = "BTreeMap<Task, Work>")]
pub struct Works([Work; Task::ALL.len()]);

impl Work {
    pub(crate) fn take(&mut self, phase: Phase) {
        match phase {
            Phase::Schedule => self.scheduled += 1,
            Phase::Start => self.under_way += 1,
            Phase::Complete => {
                self.under_way = self.under_way.saturating_sub(1);
                self.completed += 1;
            }
        }
    }
}

impl Works {
    /// The work of this kind.
    #[must_use]
    pub const fn of(&self, task: Task) -> &Work {
        &self.0[task as usize]
    }

    pub(crate) const fn of_mut(&mut self, task: Task) -> &mut Work {
        &mut self.0[task as usize]
    }
}

impl From<BTreeMap<Task, Work>> for Works {
    fn from(map: BTreeMap<Task, Work>) -> Self {
        let mut works = Self::default();
        for (task, work) in map {
            *works.of_mut(task) = work;
        }
        works
    }
}

impl From<Works> for BTreeMap<Task, Work> {
    fn from(works: Works) -> Self {
        let all = Task::ALL.into_iter().zip(works.0);
        all.filter(|(_, work)| *work != Work::default()).collect()
    }
}
