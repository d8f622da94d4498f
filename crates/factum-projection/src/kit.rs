//! The test kit for sinks and projectors: every call fails once, and the read model must come out the same.
//!
//! Relies on: a way to open the sink again. Never: is needed outside of tests.

#![expect(clippy::panic, reason = "a failed expectation of a test is a panic")]

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_store::{EventStore, Source};
use factum_types::{Position, RecordedEvent};
use futures_core::future::BoxFuture;

use crate::error::{Error, Kind};
use crate::projector::Projector;
use crate::runner::Runner;
use crate::sink::{Advance, Lease, Sink, State, Which};

/// What goes wrong at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The runner dies before it.
    KilledBefore,
    /// The runner dies after it, before it hears the answer.
    KilledAfter,
    /// The sink is down before it.
    DownBefore,
    /// The connection is lost after it, and the answer with it.
    DownAfter,
}

/// Which call fails, and how. Cloning counts the same calls.
#[derive(Debug, Clone)]
pub struct Plan {
    calls: Arc<AtomicU64>,
    at: u64,
    fault: Fault,
}

impl Plan {
    /// The call of this number fails, from 0; with [`u64::MAX`] none does.
    #[must_use]
    pub fn new(at: u64, fault: Fault) -> Self {
        Self {
            calls: Arc::default(),
            at,
            fault,
        }
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn next(&self) -> Option<Fault> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        (call == self.at).then_some(self.fault)
    }
}

impl Fault {
    fn before(fault: Option<Self>) -> Result<(), Error> {
        match fault {
            Some(Self::KilledBefore) => Err(Error::new(Kind::Invalid, "killed")),
            Some(Self::DownBefore) => Err(Error::unavailable("down")),
            _ => Ok(()),
        }
    }

    fn after(fault: Option<Self>) -> Result<(), Error> {
        match fault {
            Some(Self::KilledAfter) => Err(Error::new(Kind::Invalid, "killed")),
            Some(Self::DownAfter) => Err(Error::unavailable("connection lost")),
            _ => Ok(()),
        }
    }
}

/// A sink, or a projector, that fails by plan.
#[derive(Debug)]
pub struct Faulty<T> {
    inner: T,
    plan: Plan,
}

impl<T> Faulty<T> {
    /// This, failing by plan.
    pub const fn new(inner: T, plan: Plan) -> Self {
        Self { inner, plan }
    }
}

/// A call to the sink, with what may go wrong before and after.
macro_rules! faulty {
    ($self:ident.$call:ident($($argument:ident),*)) => {
        Box::pin(async move {
            let fault = $self.plan.next();
            Fault::before(fault)?;
            let answer = $self.inner.$call($($argument),*).await;
            // Whatever the answer was, it is not heard.
            Fault::after(fault)?;
            answer
        })
    };
}

impl<S: Sink> Sink for Faulty<S> {
    type Writer = S::Writer;

    fn claim<'a>(
        &'a mut self,
        projection: &'a str,
        which: Which,
    ) -> BoxFuture<'a, Result<Lease, Error>> {
        faulty!(self.claim(projection, which))
    }

    fn look<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<State, Error>> {
        faulty!(self.look(lease))
    }

    fn begin<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        faulty!(self.begin(lease))
    }

    fn writer(&mut self) -> &mut S::Writer {
        self.inner.writer()
    }

    fn commit<'a>(
        &'a mut self,
        lease: &'a Lease,
        advance: &'a Advance,
    ) -> BoxFuture<'a, Result<(), Error>> {
        faulty!(self.commit(lease, advance))
    }

    fn roll_back(&mut self) -> BoxFuture<'_, ()> {
        self.inner.roll_back()
    }

    fn retry_parked<'a>(
        &'a mut self,
        lease: &'a Lease,
        partition: &'a str,
    ) -> BoxFuture<'a, Result<(), Error>> {
        faulty!(self.retry_parked(lease, partition))
    }

    fn skip_parked<'a>(
        &'a mut self,
        lease: &'a Lease,
        position: Position,
    ) -> BoxFuture<'a, Result<(), Error>> {
        faulty!(self.skip_parked(lease, position))
    }
}

impl<W, P: Projector<W>> Projector<W> for Faulty<P> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn source(&self) -> Source {
        self.inner.source()
    }

    fn partition(&self, event: &RecordedEvent) -> String {
        self.inner.partition(event)
    }

    fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
        let fault = self.plan.next();
        Fault::before(fault)?;
        let done = self.inner.project(event, to);
        Fault::after(fault)?;
        done
    }
}

/// Folds what the store has, with a failure at every call to the sink and to the projector in turn, of every kind, and once with none;
/// says how many runs that were.
///
/// `open` opens the sink of a run, again after the runner was killed; `read` reads its read model. Runs must not share one.
///
/// # Panics
/// A read model is another than without failures, or a failure was not noticed.
pub async fn check_exactly_once<S, P, T>(
    store: Arc<dyn EventStore>,
    projector: P,
    batch_events: usize,
    mut open: impl FnMut(u64) -> S,
    mut read: impl FnMut(u64) -> T,
) -> u64
where
    S: Sink,
    P: Projector<S::Writer> + Clone,
    T: PartialEq + Debug,
{
    let mut start = |run: u64, plan: &Plan| {
        let sink = Faulty::new(open(run), plan.clone());
        let projector = Faulty::new(projector.clone(), plan.clone());
        Runner::new(Arc::clone(&store), sink, projector).batch_events(batch_events)
    };
    let calm = Plan::new(u64::MAX, Fault::DownBefore);
    if let Err(error) = start(0, &calm).run_until_caught_up().await {
        panic!("without a failure: {error}");
    }
    let expected = read(0);
    let mut run = 0;
    for at in 0..calm.calls() {
        for fault in [
            Fault::KilledBefore,
            Fault::KilledAfter,
            Fault::DownBefore,
            Fault::DownAfter,
        ] {
            run += 1;
            let plan = Plan::new(at, fault);
            let killed = start(run, &plan).run_until_caught_up().await;
            let kills = matches!(fault, Fault::KilledBefore | Fault::KilledAfter);
            assert_eq!(killed.is_err(), kills, "{fault:?} at call {at}: {killed:?}");
            if killed.is_err() {
                let again = Plan::new(u64::MAX, fault);
                if let Err(error) = start(run, &again).run_until_caught_up().await {
                    panic!("after {fault:?} at call {at}: {error}");
                }
            }
            assert_eq!(read(run), expected, "after {fault:?} at call {at}");
        }
    }
    run + 1
}
