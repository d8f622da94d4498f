//! What a group does beside giving events out: it parks, notes checkpoints, replays and truncates. One job of each kind at a time.

use std::sync::Arc;

use factum_store::{AppendBatch, Receipt, StoreError};
use factum_types::Revision;

use super::replay::Page;
use super::trouble::Work;
use super::{PAUSE, Runner, Surroundings};
use crate::persistent::checkpoint;
use crate::persistent::command::{Reply, answer};
use crate::persistent::delivered::Delivered;
use crate::persistent::error::SubscriptionError;
use crate::persistent::group::{Checkpoint, ToPark};
use crate::persistent::parked;

/// How many events are parked with one append.
const PARKED_AT_ONCE: usize = 64;
/// How many may wait until parked events are given up.
const GIVING_UP_MAX: usize = 64;
/// How many replayed events are done before the parked stream is truncated, unless all are.
const TRUNCATED_AT_ONCE: u64 = 64;

/// Which kinds of job are under way.
#[derive(Debug, Default)]
pub(super) struct Busy {
    parking: bool,
    checkpoint: bool,
    pub(super) page: bool,
    truncating: bool,
}

type Parking = Vec<ToPark<Arc<Delivered>>>;

/// How a job ended.
pub(super) enum Done {
    Parked {
        events: Parking,
        batch: AppendBatch,
        outcome: Result<Receipt, StoreError>,
    },
    Checkpoint {
        checkpoint: Checkpoint,
        outcome: Result<(), StoreError>,
    },
    Page(Result<Page, StoreError>),
    Truncated {
        before: u64,
        outcome: Result<(), StoreError>,
    },
    Paused,
}

impl Runner {
    /// Begins what is to be done and is not under way.
    pub(super) fn begin_jobs(&mut self) {
        self.begin_parking();
        let now = self.around.world.now();
        if let Some(checkpoint) = self.group.checkpoint_due(now) {
            self.begin_checkpoint(checkpoint);
        }
        self.begin_page();
        self.begin_truncating();
    }

    fn begin_parking(&mut self) {
        if self.busy.parking || !self.group.has_to_park() {
            return;
        }
        let events = self.group.take_to_park(PARKED_AT_ONCE);
        let batch = parked::batch(&self.around.world, &self.streams.parked, &events);
        self.park(events, batch);
    }

    fn park(&mut self, events: Parking, batch: AppendBatch) {
        self.busy.parking = true;
        let store = Arc::clone(&self.around.store);
        self.job(async move {
            let outcome = or_pause(store.append(batch.clone()).await).await;
            Done::Parked {
                events,
                batch,
                outcome,
            }
        });
    }

    /// Notes where the group is, whether that is due or not.
    pub(super) fn begin_last_checkpoint(&mut self) {
        if self.busy.parking {
            return;
        }
        if let Some(checkpoint) = self.group.checkpoint() {
            self.begin_checkpoint(checkpoint);
        }
    }

    fn begin_checkpoint(&mut self, checkpoint: Checkpoint) {
        if std::mem::replace(&mut self.busy.checkpoint, true) {
            return;
        }
        let Surroundings { store, world, .. } = self.around.clone();
        let stream = self.streams.checkpoint.clone();
        let text = self.key.source.show(checkpoint.point);
        self.job(async move {
            let saved = checkpoint::save(&*store, &world, &stream, &text).await;
            Done::Checkpoint {
                checkpoint,
                outcome: or_pause(saved).await,
            }
        });
    }

    fn begin_truncating(&mut self) {
        let done = self.group.replayed().map_or(0, |done| done + 1);
        let before = done.max(self.given_up);
        let is_all = self.group.has_replayed_all() || self.given_up > self.truncated;
        let is_worth_it = if self.ending || is_all {
            before > self.truncated
        } else {
            before > self.truncated + TRUNCATED_AT_ONCE
        };
        if self.busy.truncating || !is_worth_it {
            return;
        }
        self.busy.truncating = true;
        let store = Arc::clone(&self.around.store);
        let stream = self.streams.parked.clone();
        self.job(async move {
            let outcome = parked::truncate(&*store, &stream, before).await;
            Done::Truncated {
                before,
                outcome: or_pause(outcome).await,
            }
        });
    }

    /// Gives up what was parked before a revision. Whoever asked is told when it is gone.
    pub(super) fn give_up(&mut self, before: u64, reply: Reply<()>) {
        if before <= self.truncated {
            return answer(reply, Ok(()));
        }
        if self.giving_up.len() >= GIVING_UP_MAX {
            return answer(reply, Err(SubscriptionError::NotReady));
        }
        self.given_up = self.given_up.max(before);
        self.replay_next = self.replay_next.max(before);
        self.group.give_up_parked(before);
        self.giving_up.push((before, reply));
    }

    /// Tells those whose parked events are gone, or could not be given up, by a truncation before this revision.
    fn gave_up(&mut self, before: u64, error: Option<&StoreError>) {
        let waiting = std::mem::take(&mut self.giving_up);
        let (told, later) = waiting.into_iter().partition(|(asked, _)| *asked <= before);
        self.giving_up = later;
        for (_, reply) in told {
            let outcome = error.map_or(Ok(()), |error| Err(error.clone().into()));
            answer(reply, outcome);
        }
    }

    /// After a pause the feed is followed again.
    pub(super) fn begin_pause(&mut self) {
        self.job(async {
            tokio::time::sleep(PAUSE).await;
            Done::Paused
        });
    }

    pub(super) fn job(&self, job: impl Future<Output = Done> + Send + 'static) {
        self.jobs.push(Box::pin(job));
    }

    /// Does what follows from a job that ended.
    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Parked {
                events,
                batch,
                outcome,
            } => self.parked(events, batch, outcome),
            Done::Checkpoint {
                checkpoint,
                outcome,
            } => {
                self.busy.checkpoint = false;
                let now = self.around.world.now();
                if self.heard(outcome, Work::Checkpoint).is_some() {
                    self.group.checkpointed(checkpoint, now);
                } else {
                    self.group.checkpoint_failed(now);
                }
            }
            Done::Page(page) => {
                self.busy.page = false;
                if let Some(page) = self.heard(page, Work::Replay) {
                    self.replay(page);
                }
            }
            Done::Truncated { before, outcome } => {
                self.busy.truncating = false;
                self.gave_up(before, outcome.as_ref().err());
                if self.heard(outcome, Work::Truncation).is_some() {
                    self.truncated = before;
                }
            }
            Done::Paused => self.follow(),
        }
    }

    /// The same batch is tried until it is there: an event that is neither parked nor with a consumer would be lost.
    fn parked(
        &mut self,
        events: Parking,
        batch: AppendBatch,
        outcome: Result<Receipt, StoreError>,
    ) {
        let Some(receipt) = self.heard(outcome, Work::Parking) else {
            return self.park(events, batch);
        };
        self.busy.parking = false;
        self.group.parked(&events);
        let last = receipt.writes.first().and_then(|write| write.last_revision);
        self.parked_next = last.map_or(self.parked_next, |last| Revision::number(last) + 1);
    }

    fn heard<T>(&mut self, outcome: Result<T, StoreError>, work: Work) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.troubles.end(work);
                Some(value)
            }
            Err(error) => {
                self.troubles.begin(work, &error);
                None
            }
        }
    }
}

/// The outcome, after a pause when it is an error, so that what follows from it is not tried again at once.
pub(super) async fn or_pause<T>(outcome: Result<T, StoreError>) -> Result<T, StoreError> {
    if outcome.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
    outcome
}
