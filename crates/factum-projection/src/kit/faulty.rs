//! A sink and a projector that fail by plan.
//!
//! Relies on: the one inside. Never: changes what a call that does not fail does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_store::Source;
use factum_types::RecordedEvent;
use futures_core::future::BoxFuture;

use crate::error::{Error, Kind};
use crate::projector::Projector;
use crate::sink::{Advance, Claim, Lease, Sink, State};

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

    fn claim<'a>(&'a mut self, claim: Claim<'a>) -> BoxFuture<'a, Result<Lease, Error>> {
        faulty!(self.claim(claim))
    }

    fn look<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<State, Error>> {
        faulty!(self.look(lease))
    }

    fn begin<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        faulty!(self.begin(lease))
    }

    fn writer(&mut self, event: &RecordedEvent) -> &mut S::Writer {
        self.inner.writer(event)
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

    fn finish_bulk<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        faulty!(self.finish_bulk(lease))
    }
}

impl<W, P: Projector<W>> Projector<W> for Faulty<P> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn version(&self) -> &str {
        self.inner.version()
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
