//! Running until caught up, and for as long as an application does.
//!
//! Relies on: a subscription as the bell. Never: takes its events from the subscription, so that a lost bell costs time and nothing else.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use factum_framework::Stop;
use factum_store::{SubscribeFrom, SubscribeRequest, Subscription, SubscriptionItem};
use futures_core::Stream;
use futures_core::future::BoxFuture;

use super::batch::Left;
use super::{CaughtUp, Runner, is_passing};
use crate::error::{Error, Kind};
use crate::projector::Projector;
use crate::sink::Sink;

/// How often a runner at rest asks the sink whether something is to be retried, or whether it was fenced.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many items of the subscription one ring of the bell may stand for.
const RING_MAX: usize = 4_096;

/// What a runner at rest waits by.
struct Waiting {
    /// `None` for a stream that is closed for ever.
    bell: Option<Subscription>,
    alarm: Option<BoxFuture<'static, ()>>,
}

/// Why a runner goes on.
enum Woken {
    Stop,
    Bell,
    Alarm,
}

impl<S: Sink, P: Projector<S::Writer>> Runner<S, P> {
    /// Applies everything up to what the store has now, and what is parked and to be tried again.
    ///
    /// It waits for a sink or a store that is down, and while the projection is paused. The runner can be used again.
    ///
    /// # Errors
    /// - [`Kind::Fenced`]: another runner claimed the projection.
    /// - [`Kind::Unavailable`]: waiting did not help as often as [`backoff`](Self::backoff) says; by default it waits for ever.
    /// - [`Kind::Invalid`]: too many events are parked, or the sink cannot hold the projection.
    /// - [`Kind::Denied`]: the sink does not let us in, or not do this.
    /// - [`Kind::Outdated`]: the generation was filled by another version, or with other tables.
    /// - [`Kind::Store`]: the store does not do what it should; [`Corrupt`](factum_store::Kind::Corrupt) names the event.
    ///
    /// # Cancel safety
    /// It may be dropped at any point; what was not committed is done again.
    pub async fn run_until_caught_up(&mut self) -> Result<CaughtUp, Error> {
        self.catch_up(&Stop::new()).await
    }

    /// The same, or less when it is told to stop: it stops after the batch, or the parked event, it is at.
    ///
    /// # Errors
    /// As for [`run_until_caught_up`](Self::run_until_caught_up).
    ///
    /// # Cancel safety
    /// It may be dropped at any point; what was not committed is done again.
    pub async fn catch_up(&mut self, stop: &Stop) -> Result<CaughtUp, Error> {
        self.applied = 0;
        self.state = None;
        self.steps(stop).await?;
        let state = self.state.as_ref();
        Ok(CaughtUp {
            applied: self.applied,
            parked: state.map_or(0, |state| state.parked.len()),
            checkpoint: state.and_then(|state| state.checkpoint),
        })
    }

    /// Applies what there is, then what comes, until it is told to stop: after the batch, or the parked event, it is at.
    ///
    /// # Errors
    /// As for [`run_until_caught_up`](Self::run_until_caught_up). Nothing is lost; act, and call it again.
    ///
    /// # Cancel safety
    /// It may be dropped at any point; what was not committed is done again.
    pub async fn run(&mut self, stop: &Stop) -> Result<(), Error> {
        self.state = None;
        let mut waiting = Waiting {
            bell: None,
            alarm: None,
        };
        // How often in a row the bell failed, and whether it has to be made again.
        let (mut failures, mut deaf) = (0, true);
        while !stop.is_asked() {
            if deaf {
                // Made before looking: what comes after that rings.
                waiting.bell = Some(self.bell());
                deaf = false;
            }
            self.steps(stop).await?;
            if waiting.alarm.is_none() {
                waiting.alarm = Some(self.world.timer.wait(LOOK_EVERY));
            }
            match std::future::poll_fn(|context| waiting.poll(context, stop)).await {
                Ok(Woken::Stop) => break,
                Ok(Woken::Bell) => failures = 0,
                Ok(Woken::Alarm) => {
                    failures = 0;
                    self.state = None;
                }
                Err(error) => {
                    failures += 1;
                    self.monitor.trouble(&error, failures);
                    if !is_passing(&error) || failures >= self.backoff.attempts {
                        return Err(error);
                    }
                    self.wait(&error, failures, stop).await;
                    deaf = true;
                }
            }
        }
        Ok(())
    }

    /// Steps until nothing is left that the store had at the beginning.
    async fn steps(&mut self, stop: &Stop) -> Result<(), Error> {
        let mut failures = 0;
        while !stop.is_asked() {
            match self.step(stop).await {
                Ok(left) => {
                    failures = 0;
                    self.monitor.fine();
                    match left {
                        Left::More => (),
                        Left::Nothing => break,
                        // The store is not read meanwhile, and nothing of it kept.
                        Left::Paused => {
                            self.events = None;
                            stop.wait(&self.world, LOOK_EVERY).await;
                            self.state = None;
                        }
                    }
                }
                // What was done by hand is seen by looking again.
                Err(error) if error.kind() == Kind::Changed => drop(self.forget(&error).await),
                Err(error) => {
                    failures += 1;
                    self.monitor.trouble(&error, failures);
                    if !self.forget(&error).await || failures >= self.backoff.attempts {
                        return Err(error);
                    }
                    self.wait(&error, failures, stop).await;
                }
            }
        }
        Ok(())
    }

    /// Does something with the sink until it is not down; `None` when it was stopped before.
    pub(crate) async fn persist<T>(
        &mut self,
        stop: &Stop,
        mut work: impl AsyncFnMut(&mut S) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let mut failures = 0;
        while !stop.is_asked() {
            match work(&mut self.sink).await {
                Ok(done) => {
                    self.monitor.fine();
                    return Ok(Some(done));
                }
                Err(error) => {
                    failures += 1;
                    self.monitor.trouble(&error, failures);
                    let helps = error.kind() == Kind::Unavailable;
                    if !helps || failures >= self.backoff.attempts {
                        return Err(error);
                    }
                    self.wait(&error, failures, stop).await;
                }
            }
        }
        Ok(None)
    }

    /// Ends the bulk of the generation that is claimed; `None` when it was stopped before.
    pub(crate) async fn finish(&mut self, stop: &Stop) -> Result<Option<()>, Error> {
        let lease = self.ready().await?.0;
        let done = async |sink: &mut S| sink.finish_bulk(&lease).await;
        let done = self.persist(stop, done).await?;
        // Claimed again without, if ever.
        self.bulk &= done.is_none();
        Ok(done)
    }

    pub(crate) async fn rest(&self, error: &Error, stop: &Stop) {
        self.wait(error, 1, stop).await;
    }

    async fn wait(&self, error: &Error, failures: u32, stop: &Stop) {
        self.monitor.trouble(error, failures);
        let delay = self.backoff.delay(failures, self.world.random.next_u64());
        stop.wait(&self.world, delay).await;
    }

    fn bell(&self) -> Subscription {
        let request = SubscribeRequest::new(self.projector.source()).from(SubscribeFrom::End);
        self.store.subscribe(request)
    }
}

impl Waiting {
    fn poll(&mut self, context: &mut Context<'_>, stop: &Stop) -> Poll<Result<Woken, Error>> {
        if std::pin::pin!(stop.asked()).poll(context).is_ready() {
            return Poll::Ready(Ok(Woken::Stop));
        }
        let rung = match self.ring(context) {
            Ok(rung) => rung,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if rung {
            return Poll::Ready(Ok(Woken::Bell));
        }
        let alarm = self.alarm.as_mut();
        if alarm.is_some_and(|wait| wait.as_mut().poll(context).is_ready()) {
            self.alarm = None;
            return Poll::Ready(Ok(Woken::Alarm));
        }
        Poll::Pending
    }

    /// Takes what the subscription has; whether an event was among it.
    fn ring(&mut self, context: &mut Context<'_>) -> Result<bool, Error> {
        let Some(bell) = &mut self.bell else {
            return Ok(false);
        };
        let mut rung = false;
        for _ in 0..RING_MAX {
            match Pin::new(&mut *bell).poll_next(context) {
                Poll::Pending => return Ok(rung),
                Poll::Ready(Some(Ok(item))) => rung |= matches!(item, SubscriptionItem::Event(_)),
                Poll::Ready(Some(Err(error))) if super::batch::is_nothing(&error) => {
                    self.bell = None;
                    return Ok(rung);
                }
                Poll::Ready(Some(Err(error))) => return Err(error.into()),
                Poll::Ready(None) => {
                    let kind = Kind::Store(factum_store::Kind::Unavailable);
                    return Err(Error::new(kind, "the subscription ended"));
                }
            }
        }
        Ok(true)
    }
}
