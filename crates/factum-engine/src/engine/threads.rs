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
