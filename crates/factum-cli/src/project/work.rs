//! Runners at work, each on a thread of its own, watched from here.
//!
//! Relies on: runners that may be dropped at any point. Never: ends a runner in the middle of a commit; waits for a thread that is gone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use factum_framework::Stop;
use factum_projection::memory::MemoryWriter;
use factum_projection::{CaughtUp, Error, Manage, Monitor, Projector, ReadBack, Runner, Sink};
use factum_store::EventStore;

use super::file::Project;
use super::target::Job;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// How often a runner is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a runner goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// It has applied what there is.
    CaughtUp,
    /// It is told to stop.
    Stopped,
}

/// A projection that is being kept.
pub(crate) struct Running {
    /// Which.
    pub(crate) project: Project,
    /// How far it is.
    pub(crate) monitor: Monitor,
    ended: End<Option<CaughtUp>>,
}

/// What a runner ended with; nothing caught up when it was told to stop.
type Ended = Result<Option<CaughtUp>, Error>;

/// Where a thread puts what it ended with, and whoever waits for it looks.
#[derive(Debug)]
pub(crate) struct End<T>(Arc<Mutex<Option<Result<T, Error>>>>);

/// The side of the thread: dropped without a word, as when it panics, it leaves an error.
#[derive(Debug)]
pub(crate) struct Ending<T>(End<T>);

impl<T> Clone for End<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> End<T> {
    /// Of a thread that is still to be started, and what that thread is given.
    pub(crate) fn new() -> (Self, Ending<T>) {
        let end = Self(Arc::default());
        (end.clone(), Ending(end))
    }

    /// What it ended with, if it has; only once.
    pub(crate) fn take(&self) -> Option<Result<T, Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What it ended with, if it has.
    pub(crate) fn look(&self) -> Option<Result<T, Error>>
    where
        T: Clone,
    {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended.clone()
    }

    fn put(&self, ended: Result<T, Error>) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        place.get_or_insert(ended);
    }
}

impl<T> Ending<T> {
    /// The thread has done its work.
    pub(crate) fn with(self, ended: Result<T, Error>) {
        self.0.put(ended);
    }
}

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        // Nothing changes what was said before.
        self.0.put(Err(Error::invalid(
            "the thread of the projection ended in the middle of its work: please report it, with what was printed above",
        )));
    }
}

struct Run {
    store: Arc<dyn EventStore>,
    until: Until,
    stop: Stop,
    ending: Ending<Option<CaughtUp>>,
    spawner: Arc<dyn factum_io::Spawner>,
}

impl Job for Run {
    type Given = std::io::Result<Monitor>;

    fn with<S, P>(self, sink: S, projector: P) -> Self::Given
    where
        S: Sink + Manage + ReadBack + 'static,
        P: Projector<S::Writer> + Projector<MemoryWriter> + Clone + 'static,
    {
        let mut runner = Runner::new(self.store, sink, projector);
        let monitor = runner.monitor();
        let work = move || {
            let ended = pollster::block_on(run(&mut runner, self.until, &self.stop));
            self.ending.with(ended);
        };
        // It is told to stop and then waited for by `ended`.
        drop(self.spawner.spawn("projection", Box::new(work))?);
        Ok(monitor)
    }
}

async fn run<S, P>(runner: &mut Runner<S, P>, until: Until, stop: &Stop) -> Ended
where
    S: Sink + Manage,
    P: Projector<S::Writer>,
{
    if until == Until::Stopped {
        return runner.run(stop).await.map(|()| None);
    }
    let caught_up = runner.catch_up(stop).await?;
    Ok(Some(caught_up).filter(|_| !stop.is_asked()))
}

impl Running {
    /// Begins to keep a projection.
    pub(crate) fn start(
        project: Project,
        store: Arc<dyn EventStore>,
        until: Until,
        stop: &Stop,
        context: &Context,
    ) -> Outcome<Self> {
        let (ended, ending) = End::new();
        let job = Run {
            store,
            until,
            stop: stop.clone(),
            ending,
            spawner: Arc::clone(&context.env.spawner),
        };
        let monitor = project.target.with(&project.declared, job)?;
        let monitor = monitor.map_err(|error| Failure::io("cannot start a thread", &error))?;
        Ok(Self {
            project,
            monitor,
            ended,
        })
    }

    /// What it ended with, if it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended.look()
    }

    /// An error of it, as a failure that names it.
    pub(crate) fn failed(&self, error: &Error) -> Failure {
        let mut failure = self.project.target.failed(error);
        if let Some(hint) = &mut failure.hint {
            *hint = hint.replace("FILE", &self.project.path.display().to_string());
        }
        failure.while_doing(self.project.path.display())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::End;

    #[test]
    fn a_thread_that_panics_is_not_waited_for() {
        let (end, ending) = End::<u32>::new();
        assert!(end.look().is_none());
        let work = move || {
            let _held = &ending;
            panic!("as a bug would");
        };
        assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
        let error = end.take().unwrap().unwrap_err();
        assert!(error.to_string().contains("in the middle of its work"));
    }

    #[test]
    fn what_a_thread_says_stays() {
        let (end, ending) = End::new();
        ending.with(Ok(7));
        assert_eq!(end.look().unwrap().unwrap(), 7);
        assert_eq!(end.take().unwrap().unwrap(), 7);
    }
}
