//! One life of the store: opened, driven step by step, and ended by a power cut, a kill, or a close.
//!
//! Every answer goes into the history; whatever readers and subscribers are shown does too.
//! Relies on: `factum_engine::step`. Never: runs a thread.

use std::path::Path;

use factum_engine::step::{Frame, Steps, Written};
use factum_engine::verify::{VerifyDepth, VerifyReport, verify};
use factum_engine::{Engine, Options};
use factum_io::sim::{SimDisk, SimEnv};
use factum_store::{
    CheckpointStore, ConflictReason, EventStore, Kind, Receipt, SnapshotStore, StoreError,
    SubscribeRequest, Subscription, SubscriptionItem,
};
use factum_types::{ExpectedRevision, RecordedEvent};

use crate::history::{History, Request};
use crate::poll::{self, Owned};
use crate::violation::{Checked, Violation, ensure, short};

/// The data directory on the simulated disk.
pub const DIRECTORY: &str = "/db";

/// How stores are opened here.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Size of new segments, in bytes.
    pub segment_bytes: u64,
    /// How many streams' tails are kept.
    pub streams_in_memory: usize,
    /// Whether a loss is accepted.
    pub accept_loss: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 10,
            streams_in_memory: 1 << 20,
            accept_loss: false,
        }
    }
}

impl Settings {
    /// The engine's options.
    #[must_use]
    pub fn options(&self) -> Options {
        Options::new(DIRECTORY)
            .segment_bytes(self.segment_bytes)
            .streams_in_memory(self.streams_in_memory)
            .accept_loss(self.accept_loss)
            // Those that forget streams keep blocks.
            .block_cache_bytes(if self.streams_in_memory < 100 {
                2 << 20
            } else {
                0
            })
    }
}

/// A future that answers a request.
struct Waiting {
    ticket: u64,
    answer: Owned<Result<Option<Receipt>, StoreError>>,
    /// It was asked after the log had failed.
    after_failure: bool,
}

/// A frame under way.
struct UnderWay {
    frame: Frame,
    written: Option<Written>,
}

/// A subscriber, and what it got.
struct Follower {
    subscription: Subscription,
    source: factum_store::Source,
    got: Vec<RecordedEvent>,
    ended: bool,
}

/// One life of the store.
///
/// When a check panics, the store is not closed: its locks may be held by the step that panicked.
pub struct Session {
    /// Its world.
    pub world: SimEnv,
    /// The store.
    pub engine: Engine,
    steps: Steps,
    waiting: Vec<Waiting>,
    frames: Vec<UnderWay>,
    followers: Vec<Follower>,
    /// The kinds of errors that appends were answered with.
    pub refusals: Vec<Kind>,
    /// How many appends were acknowledged.
    pub acknowledged: usize,
    /// Whether calls of the disk are made to fail, so that errors are no surprise.
    pub may_fail: bool,
    dark: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // One handle stays, so that nothing closes the store.
            Box::leak(Box::new(self.engine.clone()));
        }
    }
}

impl Session {
    /// Opens the store on a disk.
    ///
    /// # Errors
    /// As the engine says.
    pub fn open(disk: SimDisk, seed: u64, settings: &Settings) -> Result<Self, StoreError> {
        Self::open_in(SimEnv::on(disk, seed), settings)
    }

    /// Opens the store in a world.
    ///
    /// # Errors
    /// As the engine says.
    pub fn open_in(world: SimEnv, settings: &Settings) -> Result<Self, StoreError> {
        let (engine, steps) = Steps::open(&settings.options(), world.env())?;
        Ok(Self {
            world,
            engine,
            steps,
            waiting: Vec::new(),
            frames: Vec::new(),
            followers: Vec::new(),
            refusals: Vec::new(),
            acknowledged: 0,
            may_fail: false,
            dark: false,
        })
    }

    /// Whether the store can be written.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.steps.is_writable()
    }

    /// Asks the store to write something.
    ///
    /// # Errors
    /// When the answer, if it comes at once, is wrong.
    pub fn ask(&mut self, history: &mut History, request: Request) -> Checked<u64> {
        let ticket = history.ask(request.clone());
        let engine = self.engine.clone();
        let answer: Owned<_> = match request {
            // Both ways in, as the ticket has it.
            Request::Append(batch) if ticket.is_multiple_of(2) => Box::pin(async move {
                let answers = engine.append_each(vec![batch]).await;
                let mut answers = answers.into_iter();
                answers.next().transpose()
            }),
            Request::Append(batch) => Box::pin(async move { engine.append(batch).await.map(Some) }),
            Request::Snapshot(snapshot) => {
                Box::pin(async move { engine.save_snapshot(snapshot).await.map(|()| None) })
            }
            Request::Checkpoint(consumer, checkpoint) => Box::pin(async move {
                engine
                    .save_checkpoint(consumer, checkpoint)
                    .await
                    .map(|()| None)
            }),
        };
        let after_failure = self.poisoned();
        self.waiting.push(Waiting {
            ticket,
            answer,
            after_failure,
        });
        self.collect(history)?;
        Ok(ticket)
    }

    /// Whether the log has failed, as far as anybody was told.
    #[must_use]
    pub fn poisoned(&self) -> bool {
        self.refusals.contains(&Kind::Unknown)
    }

    /// Builds a frame, if fewer than two are under way and something waits.
    ///
    /// # Errors
    /// When an answer that it gives is wrong.
    pub fn build(&mut self, history: &mut History) -> Checked<bool> {
        if self.frames.len() >= 2 {
            return Ok(false);
        }
        let built = self.steps.build();
        let any = built.is_some();
        self.frames.extend(built.map(|frame| UnderWay {
            frame,
            written: None,
        }));
        self.collect(history)?;
        Ok(any)
    }

    /// Builds a frame that only says what is durable.
    pub fn build_checkpoint(&mut self) -> bool {
        let built = if self.frames.is_empty() {
            self.steps.build_checkpoint()
        } else {
            None
        };
        let any = built.is_some();
        self.frames.extend(built.map(|frame| UnderWay {
            frame,
            written: None,
        }));
        any
    }

    /// Writes one of the frames under way, chosen by a number.
    pub fn write(&mut self, which: usize) -> bool {
        let unwritten: Vec<usize> = (0..self.frames.len())
            .filter(|n| self.frames[*n].written.is_none())
            .collect();
        let Some(&at) = unwritten.get(which % unwritten.len().max(1)) else {
            return false;
        };
        let under_way = &mut self.frames[at];
        under_way.written = self.steps.write(&under_way.frame);
        true
    }

    /// Completes one of the frames that were written, chosen by a number.
    ///
    /// # Errors
    /// When an answer that it gives is wrong.
    pub fn complete(&mut self, history: &mut History, which: usize) -> Checked<bool> {
        let written: Vec<usize> = (0..self.frames.len())
            .filter(|n| self.frames[*n].written.is_some())
            .collect();
        let Some(&at) = written.get(which % written.len().max(1)) else {
            return Ok(false);
        };
        let under_way = self.frames.remove(at);
        if let Some(written) = under_way.written {
            self.steps.complete(under_way.frame, written);
        }
        self.collect(history)?;
        Ok(true)
    }

    /// Works everything off: what waits is built, written, completed and answered.
    ///
    /// # Errors
    /// When an answer is wrong, or never comes.
    pub fn drain(&mut self, history: &mut History) -> Checked {
        const ROUNDS_MAX: usize = 10_000;
        for _ in 0..ROUNDS_MAX {
            let mut worked = self.write(0);
            worked |= self.complete(history, 0)?;
            worked |= self.build(history)?;
            if !worked && self.frames.is_empty() && (self.steps.is_idle() || self.is_off()) {
                let stuck = self.waiting.len();
                let off = self.is_off();
                return ensure(stuck == 0 || off, || {
                    format!("{stuck} appends are never answered")
                });
            }
        }
        Err(Violation::new("the store never comes to rest"))
    }

    /// Builds, writes and completes one frame, whoever waits for it.
    pub fn run_one(&self) {
        if let Some(frame) = self.steps.build()
            && let Some(written) = self.steps.write(&frame)
        {
            self.steps.complete(frame, written);
        }
    }

    /// Puts the frames under way that were not written on the disk without making them durable.
    pub fn begin_writes(&mut self) {
        for under_way in self.frames.iter().filter(|frame| frame.written.is_none()) {
            // Without power there is nothing to begin.
            drop(under_way.frame.begin_write());
        }
    }

    /// Does one thing in the background.
    ///
    /// # Errors
    /// As files fail.
    pub fn maintain(&self) -> std::io::Result<bool> {
        self.steps.maintain()
    }

    /// Whether power has been lost.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.dark || has_no_power(&self.world.disk)
    }

    /// The next process found no power.
    pub const fn lose_power(&mut self) {
        self.dark = true;
    }

    /// Forgets an answer before it came: its outcome is unknown to whoever asked.
    pub fn abandon(&mut self, which: usize) {
        if !self.waiting.is_empty() {
            let which = which % self.waiting.len();
            drop(self.waiting.remove(which));
        }
    }

    /// Polls every answer that is waited for.
    fn collect(&mut self, history: &mut History) -> Checked {
        let mut still = Vec::new();
        for mut waiting in std::mem::take(&mut self.waiting) {
            match poll::poll(waiting.answer.as_mut()) {
                None => still.push(waiting),
                Some(answer) => self.answered(history, &waiting, answer)?,
            }
        }
        self.waiting = still;
        Ok(())
    }

    fn answered(
        &mut self,
        history: &mut History,
        waiting: &Waiting,
        answer: Result<Option<Receipt>, StoreError>,
    ) -> Checked {
        if self.is_off() {
            // Nobody is there to be answered.
            return Ok(());
        }
        match answer {
            Ok(Some(receipt)) if receipt.replayed => {
                self.check_replay(history, waiting.ticket, &receipt)?;
                history.refuse(waiting.ticket);
            }
            Ok(receipt) => {
                ensure(!waiting.after_failure, || {
                    "an append was acknowledged after the log had failed".into()
                })?;
                self.acknowledged += 1;
                history.acknowledge(waiting.ticket, receipt);
            }
            Err(error) => {
                self.refusals.push(error.kind());
                if error.kind() != Kind::Unknown {
                    check_conflict(history, waiting.ticket, &error)?;
                    history.refuse(waiting.ticket);
                }
            }
        }
        Ok(())
    }

    /// A repetition must be of events that are where the receipt says.
    fn check_replay(&self, history: &History, ticket: u64, receipt: &Receipt) -> Checked {
        let scan = crate::compare::scan(&self.engine, receipt.first.raw())?;
        let Some(batch) = history.batch(ticket) else {
            return Ok(());
        };
        for write in &batch.writes {
            for event in write.change.events() {
                let seen = scan
                    .iter()
                    .find(|e| e.id == event.id && e.stream == write.stream);
                let right = seen
                    .is_some_and(|seen| seen.data == event.data && seen.position <= receipt.last);
                ensure(right, || {
                    format!(
                        "a repetition was acknowledged that is not one: {}",
                        short(&seen)
                    )
                })?;
            }
        }
        Ok(())
    }

    /// Follows a source from its beginning.
    pub fn subscribe(&mut self, source: factum_store::Source) {
        let subscription = self.engine.subscribe(SubscribeRequest::new(source.clone()));
        self.followers.push(Follower {
            subscription,
            source,
            got: Vec::new(),
            ended: false,
        });
    }

    /// Lets every subscriber take what there is.
    ///
    /// # Errors
    /// When one is shown something else than was shown before.
    pub fn poll_followers(&mut self, history: &mut History) -> Checked {
        for follower in &mut self.followers {
            while !follower.ended {
                match poll::poll(std::pin::pin!(follower.subscription.next())) {
                    None => break,
                    Some(Some(Ok(SubscriptionItem::Event(event)))) => {
                        history.show(&event)?;
                        follower.got.push(*event);
                    }
                    Some(Some(Ok(_))) => {}
                    Some(None | Some(Err(_))) => follower.ended = true,
                }
            }
        }
        Ok(())
    }

    /// What each subscriber of everything got must be all there is, in order; for the others, their part of it.
    ///
    /// # Errors
    /// When a subscriber missed something, or got it twice or out of order.
    pub fn check_followers(&mut self, history: &mut History) -> Checked {
        self.poll_followers(history)?;
        let scan = crate::compare::scan(&self.engine, 0)?;
        for follower in self.followers.iter().filter(|follower| !follower.ended) {
            let wanted = |event: &&RecordedEvent| match &follower.source {
                factum_store::Source::Category(category) => {
                    event.stream.category() == Some(category.as_str())
                }
                factum_store::Source::Query(query) => query.matches(&event.event_type, &event.tags),
                factum_store::Source::Stream(stream) => event.stream == *stream,
                _ => true,
            };
            let events = scan
                .iter()
                .filter(|event| event.kind == factum_types::RecordKind::Event);
            let due: Vec<&RecordedEvent> = events.filter(wanted).collect();
            let same = due.len() == follower.got.len()
                && due.iter().zip(&follower.got).all(|(a, b)| **a == *b);
            ensure(same, || {
                let count = follower.got.len();
                format!(
                    "a subscriber of {:?} got {count} events of {}",
                    follower.source,
                    due.len()
                )
            })?;
        }
        Ok(())
    }

    /// Settles the history by what is published now.
    ///
    /// # Errors
    /// When the store does not hold what it must.
    pub fn settle(&self, history: &mut History) -> Checked {
        let end = crate::compare::end(&self.engine)?;
        let scan = crate::compare::scan(&self.engine, history.end)?;
        history.settle(&scan, end, false)
    }

    /// Closes the store; what was not answered stays open.
    ///
    /// # Errors
    /// As the engine says.
    pub fn close(mut self) -> Result<SimEnv, StoreError> {
        self.frames.clear();
        self.waiting.clear();
        self.followers.clear();
        let closed = self.engine.close();
        closed.map(|()| self.world.clone())
    }

    /// Ends the process without closing: its writes stay as they are.
    #[must_use]
    pub fn kill(self) -> SimEnv {
        self.replace_world()
    }

    /// The world as it is for the next process, when this one is killed now.
    #[must_use]
    pub fn replace_world(&self) -> SimEnv {
        SimEnv {
            disk: self.world.disk.fork(),
            ..self.world.clone()
        }
    }
}

/// A conflict must be true, and what it tells is shown.
fn check_conflict(history: &mut History, ticket: u64, error: &StoreError) -> Checked {
    let Some(conflict) = error.as_conflict() else {
        return Ok(());
    };
    for event in &conflict.events {
        history.show(event)?;
    }
    match &conflict.reason {
        ConflictReason::Revision {
            stream,
            expected,
            actual,
        } => {
            // Deleting needs a live stream, whatever is expected; and of a closed stream no condition holds.
            let special = history.batch(ticket).is_some_and(|batch| {
                let deletes = |w: &factum_store::StreamWrite| {
                    matches!(w.change, factum_store::Change::Delete)
                };
                !batch.conditions.is_empty() || batch.writes.iter().any(deletes)
            });
            let holds = !special
                && match (expected, actual) {
                    (ExpectedRevision::Exactly(expected), Some(actual)) => expected == actual,
                    (ExpectedRevision::Any, _) => true,
                    _ => false,
                };
            ensure(!holds, || format!("a conflict about nothing: {error}"))?;
            // Of a stream that the batch itself writes twice, the conflict may be with its own first write, which was not made.
            let writes = history.batch(ticket).map_or(0, |batch| {
                batch.writes.iter().filter(|w| w.stream == *stream).count()
            });
            if let Some(actual) = actual
                && writes < 2
            {
                history.tell(stream, actual.number());
            }
        }
        ConflictReason::Match { .. } => {}
        _ => {}
    }
    Ok(())
}

/// Whether a disk has lost its power.
#[must_use]
pub fn has_no_power(disk: &SimDisk) -> bool {
    use factum_io::Disk;
    let root = disk.exists(Path::new("/"));
    root.is_err_and(|error| factum_io::sim::is_power_loss(&error))
}

/// Looks at every byte of the store on a disk.
///
/// # Errors
/// When that cannot be done.
pub fn verify_full(world: &SimEnv) -> Checked<VerifyReport> {
    verify(
        Path::new(DIRECTORY),
        VerifyDepth::Full,
        &world.env(),
        &mut |_, _| {},
    )
    .map_err(|error| Violation::new(format!("verifying: {error}")))
}
