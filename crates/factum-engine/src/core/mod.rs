//! The core: takes requests through the three stages, one step at a time.
//!
//! [`Core::build`] sequences what waits into a frame, [`FrameLog::commit`] makes it durable, [`Core::complete`] publishes frames in order and
//! answers. Threads call these in a loop; the simulator calls them one by one, in any interleaving, with the same result.
//! Lock order: stage, then queue or publisher; never the other way. What arrived durable is locked last.
//! Never: shows or answers anything that is not durable, except that nothing can be.

mod hints;
mod publish;
mod queue;
mod reply;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use factum_format::frame::{FrameBuilder, FrameHeader};
use factum_io::clock::Clock;
use factum_store::StoreError;
use smallvec::SmallVec;

use crate::errors;
use crate::log::{Commit, FrameLog, NoPlace, Placed};
use crate::mutant::{Mutant, on};
use crate::reader::Reader;
use crate::request::Prepared;
use crate::sequence::{Bounce, Judgement, Landed, Refusal, Sequencer, Undo};
use crate::sync::{Condvar, Mutex, lock, wait};
use hints::Hints;
pub(crate) use publish::HeadOf;
pub(crate) use publish::Publisher;
pub(crate) use queue::{COMMITTERS, Queue, QueueLimits, Waited};
pub(crate) use reply::Reply;

/// A frame is ended when it has this many bytes of requests, unless its first request is larger. A write of 4 MiB costs a third less than four of
/// 1 MiB, into space that was never written (decision 0035).
const FRAME_TARGET_BYTES: u64 = 4 << 20;
/// No frame is longer than this.
const FRAME_ROOM_BYTES: u64 = factum_format::limits::FRAME_BYTES_MAX - (64 << 10);

/// When so many durable frames wait to be published, nobody begins another.
const ARRIVED_MAX: usize = 2;

/// The memory of a request is asked for when so many are between.
const REQUESTS_AHEAD: usize = 4;

/// Lists of answers are used again unless they are longer than this.
const LANDED_KEPT_MAX: usize = 1 << 13;

/// A request on its way, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) request: Box<Prepared>,
    pub(crate) reply: Reply,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Landed(Box<Prepared>, Landed),
    Refused(Box<Prepared>, Refusal),
    Bounced(Box<Prepared>, Bounce),
    Failed(StoreError),
}

/// A frame that has been sequenced, and who waits for it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) placed: Placed,
    landed: Vec<(Pending, Landed)>,
    /// Answers that would reveal something that is not durable before the frame is.
    held: Vec<Held>,
    /// One more than the position of its last record.
    end: u64,
}

/// A frame that is published: what is answered.
#[derive(Debug)]
struct Done {
    landed: Vec<(Pending, Landed)>,
    held: Vec<Held>,
}

impl Done {
    fn answer(&mut self) {
        for (pending, landed) in self.landed.drain(..) {
            answer((pending, Outcome2::Landed(landed)));
        }
        self.held.drain(..).map(Held::answer).for_each(answer);
    }
}

/// An answer that waits until what it was judged against is durable.
#[derive(Debug)]
pub(crate) struct Held {
    pending: Pending,
    judgement: Judgement,
}

/// The first stage and what it needs.
#[derive(Debug)]
struct Stage {
    sequencer: Sequencer,
    builder: FrameBuilder,
    /// What to undo, for every frame that is not published, oldest first.
    undo: VecDeque<(u64, Undo)>,
    /// The last frame sequenced.
    last_seq: u64,
    /// Frames that were not the next one, until all that were under way have come back.
    stalled: Vec<Job>,
    under_way: usize,
    /// Lists to be used again.
    taken: Vec<Pending>,
    landed: SmallVec<[Vec<(Pending, Landed)>; COMMITTERS]>,
}

impl Stage {
    /// Takes an empty list back, to be used again.
    fn give_back(&mut self, landed: Vec<(Pending, Landed)>) {
        if self.landed.len() < COMMITTERS && landed.capacity() <= LANDED_KEPT_MAX {
            self.landed.push(landed);
        }
    }
}

/// Durable frames that nobody has published yet.
#[derive(Debug, Default)]
struct Arrived {
    jobs: Vec<Job>,
    /// Whether somebody is publishing, and will look here again.
    is_watched: bool,
}

/// Takes requests through the three stages.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) log: Box<dyn FrameLog>,
    pub(crate) queue: Queue,
    pub(crate) reader: Arc<Reader>,
    publisher: Mutex<Publisher>,
    arrived: Mutex<Arrived>,
    /// What arrived durable is taken up to be published.
    taken_up: Condvar,
    stage: Mutex<Stage>,
    unstalled: Condvar,
    clock: Arc<dyn Clock>,
    pub(crate) hints: Hints,
    /// As the sequencer counts them; for callers, without its lock.
    evictions: AtomicU64,
    poisoned: AtomicBool,
    poison: Mutex<Option<String>>,
}

impl Core {
    pub(crate) fn new(
        log: Box<dyn FrameLog>,
        reader: Arc<Reader>,
        sequencer: Sequencer,
        publisher: Publisher,
        queue: Queue,
    ) -> Self {
        let stage = Stage {
            sequencer,
            builder: FrameBuilder::new(),
            undo: VecDeque::new(),
            last_seq: publisher.published_seq(),
            stalled: Vec::new(),
            under_way: 0,
            taken: Vec::new(),
            landed: SmallVec::new(),
        };
        Self {
            log,
            queue,
            clock: Arc::clone(&reader.clock),
            reader,
            publisher: Mutex::new(publisher),
            arrived: Mutex::default(),
            taken_up: Condvar::new(),
            stage: Mutex::new(stage),
            unstalled: Condvar::new(),
            hints: Hints::new(),
            evictions: AtomicU64::new(0),
            poisoned: AtomicBool::new(false),
            poison: Mutex::new(None),
        }
    }

    /// Why the store stopped writing, if it did.
    pub(crate) fn poison(&self) -> Option<String> {
        if !self.poisoned.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.poison).clone()
    }

    /// How often the sequencer has forgotten streams; a caller notes it before it looks for a tail.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Acquire)
    }

    pub(crate) fn streams_known(&self) -> usize {
        lock(&self.stage).sequencer.streams_known()
    }

    /// The last position of an event with this fingerprint, in the window of recent ids.
    pub(crate) fn id_position(&self, fingerprint: u64) -> Option<u64> {
        lock(&self.stage).sequencer.id_position(fingerprint)
    }

    /// Puts requests into the queue, in their order, with nothing between them. Those that find no room are answered.
    pub(crate) fn submit(&self, requests: impl IntoIterator<Item = Pending>) {
        if let Some(why) = self.poison() {
            for pending in requests {
                pending.reply.send(Outcome::Failed(errors::poisoned(&why)));
            }
            return;
        }
        self.queue.push(requests);
        if let Some(why) = self.poison() {
            // It broke in between: nobody may come to look at the queue any more.
            self.queue.fail_all(|| errors::poisoned(&why));
        }
    }

    /// Sequences what waits into the next frame; `None` when nothing that waits makes one.
    ///
    /// While frames turned out not to be the next ones, waits until that is sorted out.
    pub(crate) fn build(&self) -> Option<Job> {
        let mut stage = lock(&self.stage);
        while !stage.stalled.is_empty() {
            stage = wait(&self.unstalled, stage);
        }
        let mut now = if on(Mutant::TimeGoesBack) {
            i64::MIN
        } else {
            stage.sequencer.last_time()
        };
        let undo = stage.sequencer.begin_frame(self.log.takes_back());
        let mut frame = Draft::new(undo, stage.landed.pop().unwrap_or_default());
        self.log.begin(&mut stage.builder);
        let mut answers = Vec::new();
        let mut taken = std::mem::take(&mut stage.taken);
        while !self.fail_if_poisoned()
            && self.take(&mut stage, &mut frame, &mut taken, &mut answers)
        {
            // After they came: no event is recorded as earlier than the call that appends it.
            now = self.clock.now_us().max(now);
            // Others have written these, and their memory comes from them: it is asked for while those before are sequenced.
            taken.reverse();
            while let Some(pending) = taken.pop() {
                let later = taken.len().checked_sub(REQUESTS_AHEAD);
                if let Some(later) = later.and_then(|later| taken.get(later)) {
                    later.request.look_ahead();
                }
                self.sequence(&mut stage, &mut frame, pending, now, &mut answers);
            }
        }
        stage.taken = taken;
        let held = std::mem::take(&mut frame.held);
        let built = if frame.landed.is_empty() {
            stage.give_back(frame.landed);
            self.hold(&stage, held, &mut answers);
            None
        } else {
            let job = self.place(&mut stage, frame, held, now);
            self.show_early(&job);
            Some(job)
        };
        drop(stage);
        answers.into_iter().for_each(answer);
        // What did not fit goes into the next frame, which the other committer may begin now.
        self.queue.wake_for_rest();
        built
    }

    /// Places a frame that only says what is durable, if that says anything new. It need not be waited for.
    pub(crate) fn build_checkpoint(&self) -> Option<Job> {
        let mut stage = lock(&self.stage);
        if !stage.stalled.is_empty() || stage.under_way > 0 {
            return None;
        }
        let end = stage.sequencer.next_position();
        let placed = self
            .log
            .place_checkpoint(end, stage.sequencer.last_time())?;
        stage.last_seq = placed.header.frame_seq;
        stage.under_way += 1;
        let undo = stage.sequencer.begin_frame(self.log.takes_back());
        stage.undo.push_back((placed.header.frame_seq, undo));
        Some(Job {
            placed,
            landed: Vec::new(),
            held: Vec::new(),
            end,
        })
    }

    /// Takes the next requests that fit into the frame; begins a new segment if the frame is empty and there is no room. Says whether there are
    /// any.
    fn take(
        &self,
        stage: &mut Stage,
        frame: &mut Draft,
        taken: &mut Vec<Pending>,
        answers: &mut Vec<(Pending, Outcome2)>,
    ) -> bool {
        loop {
            let room = self.log.room().min(FRAME_ROOM_BYTES);
            let used = stage.builder.frame_len_max() as u64;
            let empty = frame.landed.is_empty();
            let waited = self.queue.take(
                room.saturating_sub(used),
                FRAME_TARGET_BYTES.saturating_sub(used),
                (empty, used),
                taken,
            );
            match waited {
                Waited::Nothing => return false,
                Waited::Taken => return true,
                Waited::TooLarge(_) if !empty => return false,
                Waited::TooLarge(bytes) => {
                    if let Err(outcome) = self.roll(stage, frame, bytes + used) {
                        let Some(pending) = self.queue.take_any() else {
                            return false;
                        };
                        answers.push((pending, outcome));
                    }
                    if self.fail_if_poisoned() {
                        return false;
                    }
                }
            }
        }
    }

    /// Ends the segment, so that a request of so many bytes fits.
    fn roll(&self, stage: &mut Stage, frame: &mut Draft, bytes: u64) -> Result<(), Outcome2> {
        let room = self.log.room_max().min(FRAME_ROOM_BYTES);
        if bytes > room {
            let message =
                format!("the append needs up to {bytes} bytes, more than the {room} of one frame");
            return Err(Outcome2::Failed(StoreError::invalid(message)));
        }
        let sequencer = &mut stage.sequencer;
        match self.log.roll(
            sequencer.next_position(),
            sequencer.last_time().max(self.clock.now_us()),
        ) {
            Ok(context) => {
                sequencer.begin_segment(context);
                sequencer.evict(self.reader.published.view().sealed_end());
                self.evictions
                    .store(sequencer.evictions(), Ordering::Release);
                frame.undo = sequencer.begin_frame(self.log.takes_back());
                self.log.begin(&mut stage.builder);
                Ok(())
            }
            Err(NoPlace::Full(error)) => Err(Outcome2::Failed(errors::full(&error))),
            Err(NoPlace::Broken(error)) => {
                let error = error.to_string();
                self.set_poison(&error);
                Err(Outcome2::Failed(errors::poisoned(&error)))
            }
        }
    }

    fn sequence(
        &self,
        stage: &mut Stage,
        frame: &mut Draft,
        mut pending: Pending,
        now: i64,
        answers: &mut Vec<(Pending, Outcome2)>,
    ) {
        if pending.reply.is_behind_one_sent_back() {
            // Its turn comes after that one's.
            answers.push((pending, Outcome2::Bounced(Bounce::Evaluate)));
            return;
        }
        let Stage {
            sequencer, builder, ..
        } = stage;
        match sequencer.sequence(&mut pending.request, now, builder, &mut frame.undo) {
            Judgement::Accepted(landed) => frame.landed.push((pending, landed)),
            Judgement::Bounced(bounce @ (Bounce::Resolve | Bounce::Evaluate)) => {
                pending.reply.send_back();
                answers.push((pending, Outcome2::Bounced(bounce)));
            }
            Judgement::Refused(refusal) if on(Mutant::ConflictNotHeld) => {
                answers.push((pending, Outcome2::Refused(refusal)));
            }
            judgement => frame.held.push(Held { pending, judgement }),
        }
    }

    fn place(&self, stage: &mut Stage, frame: Draft, held: Vec<Held>, now: i64) -> Job {
        stage.sequencer.end_frame();
        let time = now.max(frame.undo_time());
        let placed = self
            .log
            .place(&mut stage.builder, frame.base_position(), time);
        stage.last_seq = placed.header.frame_seq;
        stage.undo.push_back((placed.header.frame_seq, frame.undo));
        stage.under_way += 1;
        Job {
            placed,
            landed: frame.landed,
            held,
            end: stage.sequencer.next_position(),
        }
    }

    /// Keeps answers back until the last frame they were judged against is durable.
    fn hold(&self, stage: &Stage, held: Vec<Held>, answers: &mut Vec<(Pending, Outcome2)>) {
        if held.is_empty() {
            return;
        }
        let mut publisher = lock(&self.publisher);
        if publisher.published_seq() >= stage.last_seq {
            answers.extend(held.into_iter().map(Held::answer));
        } else if let Some(why) = self.poison() {
            // Whoever failed has been here already, and nobody will come for these.
            let failed = |held: Held| (held.pending, Outcome2::Failed(errors::poisoned(&why)));
            answers.extend(held.into_iter().map(failed));
        } else {
            publisher.hold(stage.last_seq, held);
        }
    }

    /// Makes a frame durable and publishes what can be published.
    pub(crate) fn run(&self, job: Job) {
        let commit = self.log.commit(&job.placed);
        self.complete(job, commit);
    }

    /// Takes a frame back from the log.
    pub(crate) fn complete(&self, job: Job, commit: Commit) {
        match commit {
            Commit::Durable => self.publish(job),
            Commit::Broken(error) => {
                let error = error.to_string();
                self.set_poison(&error);
                self.fail(job, &error);
            }
            Commit::Conflict | Commit::Unknown => self.stall(job),
        }
    }

    /// Publishes a frame, or leaves it to whoever is publishing at the moment, if that one has not got much to do already.
    fn publish(&self, job: Job) {
        let mut arrived = lock(&self.arrived);
        arrived.jobs.push(job);
        if arrived.is_watched {
            while arrived.jobs.len() >= ARRIVED_MAX && arrived.is_watched {
                arrived = wait(&self.taken_up, arrived);
            }
            return;
        }
        arrived.is_watched = true;
        loop {
            let jobs = std::mem::take(&mut arrived.jobs);
            if jobs.is_empty() {
                arrived.is_watched = false;
                return;
            }
            drop(arrived);
            self.taken_up.notify_all();
            self.publish_all(jobs);
            arrived = lock(&self.arrived);
        }
    }

    fn publish_all(&self, jobs: Vec<Job>) {
        let count = jobs.len();
        let mut publisher = lock(&self.publisher);
        let mut done = SmallVec::<[Done; COMMITTERS]>::new();
        let mut answers = Vec::new();
        jobs.into_iter().for_each(|job| publisher.add(job));
        while let Some(job) = publisher.next() {
            done.push(self.publish_one(&mut publisher, job));
        }
        if let Some(why) = self.poison() {
            // A frame before these failed, so they will never be shown.
            for job in publisher.take_waiting() {
                answers.extend(job.into_answers(|| Outcome2::Failed(errors::unknown(&why))));
            }
        }
        let published = publisher.published_seq();
        drop(publisher);
        // Before the stage is asked for, which the other committer may hold for a while.
        done.iter_mut().for_each(Done::answer);
        answers.into_iter().for_each(answer);
        let mut stage = lock(&self.stage);
        for done in done {
            stage.give_back(done.landed);
        }
        stage.under_way = stage.under_way.saturating_sub(count);
        while stage.undo.front().is_some_and(|(seq, _)| *seq <= published) {
            stage.undo.pop_front();
        }
        let resolve = !stage.stalled.is_empty() && stage.under_way == 0;
        drop(stage);
        if resolve {
            self.resolve();
        }
    }

    /// Planted bugs only: readers see a frame that is not durable, in full or in the indexes.
    fn show_early(&self, job: &Job) {
        if on(Mutant::ShownBeforeDurable) || on(Mutant::IndexedBeforeDurable) {
            let shown_end = lock(&self.publisher).apply_early(&self.reader, &job.placed);
            if on(Mutant::ShownBeforeDurable) {
                self.reader.published.set_end(job.end, shown_end);
            }
        }
    }

    fn publish_one(&self, publisher: &mut Publisher, mut job: Job) -> Done {
        let early = on(Mutant::ShownBeforeDurable) || on(Mutant::IndexedBeforeDurable);
        let shown_end = if early {
            Some(job.end)
        } else {
            publisher.apply(&self.reader, &mut job.placed)
        };
        self.reader.published.set_end(job.end, shown_end);
        self.reader.waiters.publish(job.end);
        let seq = job.placed.header.frame_seq;
        let mut held = job.held;
        held.extend(publisher.take_held(seq));
        self.log.durable(job.placed);
        Done {
            landed: job.landed,
            held,
        }
    }

    /// Takes back a frame that was not the next one. When nothing is under way any more, finds out what happened.
    fn stall(&self, job: Job) {
        let mut stage = lock(&self.stage);
        stage.under_way -= 1;
        stage.stalled.push(job);
        let resolve = stage.under_way == 0;
        drop(stage);
        if resolve {
            self.resolve();
        }
    }

    /// Reads what the log holds instead, publishes it, and puts back what must be sequenced again.
    fn resolve(&self) {
        let mut stage = lock(&self.stage);
        if stage.stalled.is_empty() || stage.under_way > 0 {
            return;
        }
        let mut stalled = std::mem::take(&mut stage.stalled);
        let mut publisher = lock(&self.publisher);
        let next = publisher.published_seq() + 1;
        let logged = match self.log.read_from(next) {
            Ok(logged) => logged,
            Err(error) => {
                drop(publisher);
                drop(stage);
                let error = error.to_string();
                self.set_poison(&error);
                self.unstalled.notify_all();
                stalled.into_iter().for_each(|job| self.fail(job, &error));
                return;
            }
        };
        let mut done = Vec::new();
        // Frames whose answer came in order, but behind one whose answer did not, are among them too.
        stalled.extend(publisher.take_waiting());
        stalled.sort_by_key(|job| job.placed.header.frame_seq);
        let mut ours = stalled.into_iter().peekable();
        for frame in &logged {
            match ours.next_if(|job| job.placed.header == frame.header) {
                Some(job) => {
                    done.push(self.publish_one(&mut publisher, job));
                    // Published frames are the oldest of those that could be undone.
                    stage.undo.pop_front();
                }
                None => publisher.pass_over(&frame.header),
            }
        }
        let published = publisher.published_seq();
        let mut again: Vec<Pending> = Vec::new();
        for job in ours {
            again.extend(job.landed.into_iter().map(|(pending, _)| pending));
            again.extend(job.held.into_iter().map(|held| held.pending));
        }
        again.extend(
            publisher
                .take_held(u64::MAX)
                .into_iter()
                .map(|held| held.pending),
        );
        drop(publisher);
        self.rewind(
            &mut stage,
            published,
            logged.last().map(|frame| &frame.header),
        );
        self.queue.put_back(again);
        drop(stage);
        self.unstalled.notify_all();
        done.iter_mut().for_each(Done::answer);
        self.queue.notify();
    }

    /// Takes back every frame that is not published. Another's frame may stand in its place.
    fn rewind(&self, stage: &mut Stage, published: u64, last: Option<&FrameHeader>) {
        while let Some((_, undo)) = stage.undo.pop_back() {
            stage.sequencer.undo(undo);
        }
        stage.last_seq = published;
        self.log.rewind(published + 1, last);
    }

    pub(crate) fn set_poison(&self, error: &str) {
        let mut poison = lock(&self.poison);
        poison.get_or_insert_with(|| error.to_owned());
        drop(poison);
        self.poisoned.store(true, Ordering::Release);
    }

    /// Answers everybody in the queue if the store stopped writing; says whether it did.
    fn fail_if_poisoned(&self) -> bool {
        let Some(why) = self.poison() else {
            return false;
        };
        self.queue.fail_all(|| errors::poisoned(&why));
        true
    }

    /// Answers everybody who waits for a frame that may or may not be durable, and everybody in the queue.
    fn fail(&self, job: Job, error: &str) {
        let mut publisher = lock(&self.publisher);
        let mut answers = job.into_answers(|| Outcome2::Failed(errors::unknown(error)));
        for held in publisher.take_held(u64::MAX) {
            answers.push((held.pending, Outcome2::Failed(errors::poisoned(error))));
        }
        for job in publisher.take_waiting() {
            answers.extend(job.into_answers(|| Outcome2::Failed(errors::unknown(error))));
        }
        drop(publisher);
        let mut stage = lock(&self.stage);
        stage.under_way = stage.under_way.saturating_sub(1);
        drop(stage);
        answers.into_iter().for_each(answer);
        self.queue.fail_all(|| errors::poisoned(error));
    }

    /// Answers everybody when a thread of the writer is gone: nobody would come to do it.
    pub(crate) fn abandon(&self, why: &str) {
        self.set_poison(why);
        // A lock that the lost thread held may be poisoned; what is taken out here is whole.
        let publisher = self.publisher.lock();
        let mut publisher = publisher.unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut answers = Vec::new();
        for held in publisher.take_held(u64::MAX) {
            answers.push((held.pending, Outcome2::Failed(errors::poisoned(why))));
        }
        let arrived = self.arrived.lock();
        let mut arrived = arrived.unwrap_or_else(std::sync::PoisonError::into_inner);
        // It may have been the lost thread that watched; whoever comes now finds out what became of the store.
        arrived.is_watched = false;
        for job in publisher
            .take_waiting()
            .into_iter()
            .chain(arrived.jobs.drain(..))
        {
            answers.extend(job.into_answers(|| Outcome2::Failed(errors::unknown(why))));
        }
        drop((publisher, arrived));
        self.taken_up.notify_all();
        answers.into_iter().for_each(answer);
        self.queue.fail_all(|| errors::poisoned(why));
    }

    /// Whether nothing waits and nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.stage).under_way == 0 && self.queue.is_empty()
    }

    /// How many frames are under way.
    pub(crate) fn under_way(&self) -> usize {
        lock(&self.stage).under_way
    }
}

/// An outcome without its request, which goes back with it.
#[derive(Debug)]
pub(crate) enum Outcome2 {
    Landed(Landed),
    Refused(Refusal),
    Bounced(Bounce),
    Failed(StoreError),
}

/// Sends an answer.
fn answer((pending, outcome): (Pending, Outcome2)) {
    let Pending { request, reply } = pending;
    let outcome = match outcome {
        Outcome2::Landed(landed) => Outcome::Landed(request, landed),
        Outcome2::Refused(refusal) => Outcome::Refused(request, refusal),
        Outcome2::Bounced(bounce) => Outcome::Bounced(request, bounce),
        Outcome2::Failed(error) => Outcome::Failed(error),
    };
    reply.send(outcome);
}

impl Held {
    fn answer(self) -> (Pending, Outcome2) {
        let outcome = match self.judgement {
            Judgement::Accepted(landed) => Outcome2::Landed(landed),
            Judgement::Refused(refusal) => Outcome2::Refused(refusal),
            Judgement::Bounced(bounce) => Outcome2::Bounced(bounce),
        };
        (self.pending, outcome)
    }
}

impl Job {
    /// How many requests it carries out.
    pub(crate) const fn request_count(&self) -> usize {
        self.landed.len()
    }

    fn into_answers(self, outcome: impl Fn() -> Outcome2) -> Vec<(Pending, Outcome2)> {
        let landed = self.landed.into_iter().map(|(pending, _)| pending);
        let held = self.held.into_iter().map(|held| held.pending);
        landed
            .chain(held)
            .map(|pending| (pending, outcome()))
            .collect()
    }
}

/// A frame being put together.
#[derive(Debug)]
struct Draft {
    undo: Undo,
    landed: Vec<(Pending, Landed)>,
    held: Vec<Held>,
}

impl Draft {
    const fn new(undo: Undo, landed: Vec<(Pending, Landed)>) -> Self {
        Self {
            undo,
            landed,
            held: Vec::new(),
        }
    }

    const fn base_position(&self) -> u64 {
        self.undo.first_position()
    }

    const fn undo_time(&self) -> i64 {
        self.undo.last_time()
    }
}
