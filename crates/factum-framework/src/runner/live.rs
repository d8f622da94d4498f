//! Running for as long as an application does: everything that happens is handled when it happens.
//!
//! Relies on: a subscription as the bell, and the world's timer as the alarm clock. Never: takes its events from the subscription; what is
//! handled is read from where progress says, so that a lost bell costs time and nothing else.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use factum_store::{
    Source, StoreError, SubscribeFrom, SubscribeRequest, Subscription, SubscriptionItem,
};
use factum_types::{Query, QueryItem, Timestamp, limits};
use futures_core::Stream;
use futures_core::future::BoxFuture;

use super::{Idle, Runner};
use crate::error::{Error, Kind};
use crate::inputs::item;
use crate::note::{OWNER, TIMER_NOTES};
use crate::retry::Retry;
use crate::world::World;

/// The longest wait for a timer: clocks are set, and waits cannot be shortened.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How many items of the subscription one ring of the bell may stand for.
const RING_MAX: usize = 4_096;
/// How long to wait when the store is busy; the number of attempts does not count.
const BUSY: Retry = Retry {
    attempts: u32::MAX,
    delay_first: Duration::from_millis(50),
    delay_max: Duration::from_secs(10),
};

/// Tells runners to stop. Cloning gives another handle on the same.
///
/// ```
/// use factum_framework::Stop;
///
/// let stop = Stop::new();
/// let elsewhere = stop.clone();
/// elsewhere.stop();
/// assert!(stop.is_asked());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    asked: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Stop {
    /// Nobody asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks runners to stop after the event they are at.
    pub fn stop(&self) {
        self.0.asked.store(true, Ordering::SeqCst);
        let mut wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = std::mem::take(&mut *wakers);
        drop(wakers);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Whether someone asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// Is ready when someone asks, at once when someone has.
    ///
    /// # Cancel safety
    /// It may be dropped at any point.
    pub async fn asked(&self) {
        std::future::poll_fn(|context| self.poll(context)).await;
    }

    /// Waits so long, but not longer than until someone asks, which [`is_asked`](Self::is_asked) says.
    ///
    /// # Cancel safety
    /// It may be dropped at any point.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use factum_framework::{Stop, World};
    ///
    /// # pollster::block_on(async {
    /// let (world, stop) = (World::real(), Stop::new());
    /// stop.wait(&world, Duration::from_millis(1)).await;
    /// assert!(!stop.is_asked());
    ///
    /// stop.clone().stop();
    /// stop.wait(&world, Duration::from_secs(3_600)).await;
    /// assert!(stop.is_asked());
    /// # });
    /// ```
    pub async fn wait(&self, world: &World, duration: Duration) {
        if duration.is_zero() || self.is_asked() {
            return;
        }
        let mut over = world.timer.wait(duration);
        std::future::poll_fn(|context| {
            if self.poll(context).is_ready() {
                return Poll::Ready(());
            }
            over.as_mut().poll(context)
        })
        .await;
    }

    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_asked() {
            return Poll::Ready(());
        }
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// What a runner waits by.
struct Waiting {
    bell: Subscription,
    alarm: Option<(Timestamp, BoxFuture<'static, ()>)>,
}

impl Runner {
    /// Handles what there is, then what comes, until it is told to stop. It stops between two events, and stores how far it is.
    ///
    /// A store that is busy is waited for, but not when it is told to stop. When it ends with an error, nothing is lost: act, and call it again.
    ///
    /// # Errors
    /// As for [`run_until_idle`](Runner::run_until_idle), without [`Kind::NeverIdle`].
    ///
    /// # Cancel safety
    /// It may be dropped at any point.
    pub async fn run(&mut self, stop: &Stop) -> Result<(), Error> {
        self.check()?;
        self.desk.stop = stop.clone();
        let mut waiting = None;
        let mut busy = 0;
        while !stop.is_asked() {
            match self.go_on(&mut waiting, stop).await {
                Ok(()) => busy = 0,
                Err(error) if is_passing(&error) => {
                    // The bell may be broken too.
                    waiting = None;
                    busy += 1;
                    let world = &self.desk.repository.world;
                    let delay = BUSY.delay(busy, world.random.next_u64());
                    stop.wait(world, delay).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Once until idle, and then until there is something to do.
    async fn go_on(&mut self, waiting: &mut Option<Waiting>, stop: &Stop) -> Result<(), Error> {
        if waiting.is_none() {
            // Made before looking: what comes after that rings.
            *waiting = Some(Waiting {
                bell: self.bell()?,
                alarm: None,
            });
        }
        let idle = self.drive(u64::MAX).await?;
        if let Some(waiting) = waiting {
            self.set_alarm(waiting, idle);
            std::future::poll_fn(|context| waiting.poll(context, stop)).await?;
        }
        Ok(())
    }

    fn bell(&self) -> Result<Subscription, Error> {
        let mut items: Vec<QueryItem> =
            vec![item(["factum.RetryAsked", "factum.EventSkipped"], None)?];
        for consumer in &self.consumers {
            items.extend(consumer.items()?);
            if let Some(owner) = consumer.owner() {
                items.push(item(TIMER_NOTES, Some((OWNER, owner)))?);
            }
        }
        let source = if items.len() <= limits::QUERY_ITEMS_MAX {
            Source::Query(Query { items })
        } else {
            Source::All
        };
        let request = SubscribeRequest::new(source).from(SubscribeFrom::End);
        Ok(self.desk.repository.store.subscribe(request))
    }

    /// Waits cannot be ended, so one that rings early is kept.
    fn set_alarm(&self, waiting: &mut Waiting, idle: Idle) {
        let Some(at) = idle.next_timer.into_iter().chain(idle.elsewhere).min() else {
            return;
        };
        let world = &self.desk.repository.world;
        let now = world.now();
        let wait = u64::try_from(at.as_micros().saturating_sub(now.as_micros())).unwrap_or(0);
        let wait = Duration::from_micros(wait).min(WAIT_MAX);
        let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        let at = Timestamp::from_micros(now.as_micros().saturating_add(micros));
        if waiting.alarm.as_ref().is_none_or(|(set, _)| *set > at) {
            waiting.alarm = Some((at, world.timer.wait(wait)));
        }
    }
}

impl Waiting {
    fn poll(&mut self, context: &mut Context<'_>, stop: &Stop) -> Poll<Result<(), StoreError>> {
        if stop.poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let rung = match self.ring(context) {
            Ok(rung) => rung,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let alarm = self.alarm.as_mut();
        let due = alarm.is_some_and(|(_, wait)| wait.as_mut().poll(context).is_ready());
        if due {
            self.alarm = None;
        }
        if rung || due {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Takes what the subscription has; whether an event was among it.
    fn ring(&mut self, context: &mut Context<'_>) -> Result<bool, StoreError> {
        let mut rung = false;
        for _ in 0..RING_MAX {
            match Pin::new(&mut self.bell).poll_next(context) {
                Poll::Pending => return Ok(rung),
                Poll::Ready(Some(Ok(item))) => {
                    rung |= matches!(item, SubscriptionItem::Event(_));
                }
                Poll::Ready(Some(Err(error))) => return Err(error),
                Poll::Ready(None) => {
                    let what = "the subscription ended";
                    return Err(StoreError::new(factum_store::Kind::Unavailable, what));
                }
            }
        }
        Ok(true)
    }
}

/// Whether waiting helps.
fn is_passing(error: &Error) -> bool {
    use factum_store::Kind as Store;
    matches!(
        error.kind(),
        Kind::Conflict | Kind::Store(Store::Unavailable | Store::Unknown)
    )
}
