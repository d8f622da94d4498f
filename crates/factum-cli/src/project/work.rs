//! Runners at work, each on a thread of its own, watched from here.
//!
//! Relies on: runners that may be dropped at any point. Never: ends a runner in the middle of a commit.

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
    ended: Arc<Mutex<Option<Ended>>>,
}

/// What a runner ended with; nothing caught up when it was told to stop.
type Ended = Result<Option<CaughtUp>, Error>;

struct Run {
    store: Arc<dyn EventStore>,
    until: Until,
    stop: Stop,
    ended: Arc<Mutex<Option<Ended>>>,
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
            *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
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
        let ended = Arc::default();
        let job = Run {
            store,
            until,
            stop: stop.clone(),
            ended: Arc::clone(&ended),
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
        self.ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
