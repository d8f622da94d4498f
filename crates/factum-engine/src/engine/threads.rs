//! The threads of a store: committers, dispatcher, background.

use std::sync::Arc;
use std::time::Duration;

use factum_store::{Kind, StoreError};

use super::Inner;
use crate::core::{COMMITTERS, Core, Job};
use crate::errors;
use crate::maintain::Maintenance;
use crate::sync::{let_others_run, lock};

/// When nothing was written for so long, the log is told what is durable, so that recovery knows.
const IDLE: Duration = Duration::from_millis(3);

impl Inner {
    pub(super) fn spawn(self: &Arc<Self>) -> std::io::Result<()> {
        let mut threads = lock(&self.threads);
        let spawner = &self.env.spawner;
        let reader = Arc::clone(&self.reader);
        threads
            .others
            .push(spawner.spawn("factum-dispatch", Box::new(move || reader.waiters.run()))?);
        if let Some(sealer) = &self.sealer {
            let kept = Arc::clone(&sealer.kept);
            let run = move || kept.ahead.run();
            threads
                .others
                .push(spawner.spawn("factum-ahead", Box::new(run))?);
        }
        let Some(core) = &self.core else {
            return Ok(());
        };
        for number in 0..COMMITTERS {
            let core = Arc::clone(core);
            let maintenance = self.maintenance.clone();
            let run = move || commit_loop(&core, number, maintenance.as_deref());
            let name = format!("factum-commit-{number}");
            threads
                .committers
                .push(spawner.spawn(&name, Box::new(run))?);
        }
        if let Some(maintenance) = &self.maintenance {
            let (core, maintenance) = (Arc::clone(core), Arc::clone(maintenance));
            maintenance.want();
            let run = move || maintenance.run(&core);
            threads
                .others
                .push(spawner.spawn("factum-maintain", Box::new(run))?);
        }
        Ok(())
    }

    pub(super) fn close(&self) -> Result<(), StoreError> {
        let mut threads = lock(&self.threads);
        if threads.closed {
            return Ok(());
        }
        threads.closed = true;
        if let Some(core) = &self.core {
            core.queue.close();
        }
        let mut panicked = false;
        for committer in threads.committers.drain(..) {
            panicked |= committer.join().is_err();
        }
        if let Some(core) = &self.core
            && !panicked
            && core.poison().is_none()
            && let Some(job) = core.build_checkpoint()
        {
            core.run(job);
        }
        if let Some(maintenance) = &self.maintenance {
            maintenance.stop();
        }
        self.reader.waiters.close();
        if let Some(sealer) = &self.sealer {
            sealer.kept.ahead.close();
        }
        for other in threads.others.drain(..) {
            panicked |= other.join().is_err();
        }
        if let (Some(core), Some(maintenance)) = (&self.core, &self.maintenance)
            && !panicked
            && core.poison().is_none()
        {
            maintenance.seal_rest(core);
        }
        drop(threads.lock.take());
        drop(threads);
        match self.core.as_ref().and_then(|core| core.poison()) {
            Some(why) => Err(errors::unknown(&why)),
            None if panicked => Err(StoreError::new(
                Kind::Internal,
                "a thread of the store panicked",
            )),
            None => Ok(()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever cares about the outcome calls `close`.
        drop(self.close());
    }
}

/// When nothing was written for so long, buffers go back to the system.
const COOL: Duration = Duration::from_secs(10);

/// A committer: makes frames and makes them durable, until the queue is closed and empty.
fn commit_loop(core: &Core, number: usize, maintenance: Option<&Maintenance>) {
    let _last_will = LastWill(core);
    let mut is_shared = false;
    // Whether the log may not know yet that the last frame of this thread is durable.
    let mut is_unsaid = true;
    // Whether it has written since buffers went back to the system.
    let mut is_warm = false;
    loop {
        if let Some(maintenance) = maintenance {
            maintenance.hold_back(core);
        }
        if is_shared && core.queue.is_short() {
            // Where processors are short, a writer that was about to hand something over does so, and a commit has more than a few requests.
            // Where one is free, this costs nothing: nobody waits for a time.
            let_others_run();
        }
        if let Some(job) = build_what_is_worth_it(core) {
            is_shared = job.request_count() > 1;
            core.run(job);
            core.queue.end_frame();
            (is_unsaid, is_warm) = (true, true);
            if let Some(maintenance) = maintenance {
                maintenance.want_if_filling(core);
            }
            continue;
        }
        if is_unsaid && !core.queue.wait_a_while(number, IDLE) {
            // If the other one has a frame under way, it is the one who says so.
            is_unsaid = false;
            if let Some(job) = core.build_checkpoint() {
                // Whoever recovers this log will know that everything up to here was durable.
                core.run(job);
                continue;
            }
        }
        if is_warm && !core.queue.wait_a_while(number, COOL) {
            is_warm = false;
            core.reader.buffers.release();
        }
        if !core.queue.wait_for_work(number) {
            return;
        }
    }
}

/// Makes a frame of what waits, if it is worth one.
fn build_what_is_worth_it(core: &Core) -> Option<Job> {
    if !core.queue.begin_frame() {
        return None;
    }
    let job = core.build();
    if job.is_none() {
        core.queue.end_frame();
    }
    job
}

/// If the committer panics, nobody is left waiting for it.
struct LastWill<'a>(&'a Core);

impl Drop for LastWill<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0
                .abandon("a thread of the writer panicked; please report this");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use factum_format::frame::{FrameBuilder, FrameHeader};
    use factum_io::Env;
    use factum_io::sim::SimEnv;
    use factum_store::{AppendBatch, Kind, Receipt, StoreError};
    use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};

    use super::LastWill;
    use crate::core::Core;
    use crate::engine::assemble::assemble_memory;
    use crate::log::{Commit, FrameLog, LoggedFrame, MemoryLog, NoPlace, Placed, Trouble};
    use crate::sequence::SegmentContext;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A log in memory that ends the thread which tells it of a durable frame, once it is told to.
    #[derive(Debug)]
    struct Trap {
        log: MemoryLog,
        reached: Sender<()>,
        end: Mutex<Receiver<()>>,
    }

    impl FrameLog for Trap {
        fn durable(&self, _: Placed) {
            self.reached.send(()).unwrap();
            self.end.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            panic!("a thread that is lost, as this test wants it");
        }

        fn room(&self) -> u64 {
            self.log.room()
        }

        fn room_max(&self) -> u64 {
            self.log.room_max()
        }

        fn roll(&self, base_position: u64, now: i64) -> Result<SegmentContext, NoPlace> {
            self.log.roll(base_position, now)
        }

        fn begin(&self, frame: &mut FrameBuilder) {
            self.log.begin(frame);
        }

        fn place(&self, frame: &mut FrameBuilder, base_position: u64, time: i64) -> Placed {
            self.log.place(frame, base_position, time)
        }

        fn place_checkpoint(&self, base_position: u64, time: i64) -> Option<Placed> {
            self.log.place_checkpoint(base_position, time)
        }

        fn commit(&self, placed: &Placed) -> Commit {
            self.log.commit(placed)
        }

        fn takes_back(&self) -> bool {
            self.log.takes_back()
        }

        fn read_from(&self, seq: u64) -> io::Result<Vec<LoggedFrame>> {
            self.log.read_from(seq)
        }

        fn rewind(&self, seq: u64, previous: Option<&FrameHeader>) {
            self.log.rewind(seq, previous);
        }
    }

    type Append<'a> = Pin<Box<dyn Future<Output = Result<Receipt, StoreError>> + 'a>>;

    /// An append of one event.
    fn append(core: &Core, number: u8) -> Append<'_> {
        let stream = StreamName::new(format!("stream-{number}")).unwrap();
        let event_type = EventType::new("Placed").unwrap();
        let event = NewEvent::json(EventId::from_bytes([number; 16]), event_type, "{}");
        let batch = AppendBatch::events(stream, ExpectedRevision::NoStream, vec![event]);
        Box::pin(core.append_prepared(core.prepare(batch).unwrap()))
    }

    /// How it fails; `None` while it has no answer.
    fn failure(append: &mut Append<'_>) -> Option<Kind> {
        match append
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Pending => None,
            Poll::Ready(answer) => Some(answer.unwrap_err().kind()),
        }
    }

    #[test]
    fn what_others_left_with_a_lost_thread_is_answered() {
        let (reached, reaching) = channel();
        let (ending, end) = channel();
        let trap = Trap {
            log: MemoryLog::new(7, Trouble::default()),
            reached,
            end: Mutex::new(end),
        };
        let parts = assemble_memory(SimEnv::new(7).env(), Box::new(trap));
        let core: Arc<Core> = parts.core.unwrap();
        let (mut first, mut second) = (append(&core, 1), append(&core, 2));
        let frames = [&mut first, &mut second].map(|append| {
            assert_eq!(failure(append), None);
            core.build().unwrap()
        });
        let [brought, left] = frames;
        let lost = Arc::clone(&core);
        let run = move || {
            let _last_will = LastWill(&lost);
            lost.run(brought);
        };
        let spawner = Env::real().spawner;
        let lost = spawner.spawn("lost", Box::new(run)).unwrap();
        reaching.recv_timeout(PATIENCE).unwrap();
        core.run(left);
        assert_eq!(failure(&mut second), None, "it is left to the other thread");
        ending.send(()).unwrap();
        assert!(lost.join().is_err());
        assert_eq!(failure(&mut second), Some(Kind::Unknown));
        assert_eq!(failure(&mut first), Some(Kind::Unknown));
        assert!(
            failure(&mut append(&core, 3)).is_some(),
            "nothing is accepted"
        );
    }
}
