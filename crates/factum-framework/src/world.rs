//! What the framework is given of the world: time, chance, waiting, and work in the background.
//!
//! Relies on: factum-io. Never: needs an async runtime; whoever has one gives its timer and its spawner through the traits here.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use factum_io::{Clock, Random, Spawner};
use factum_types::Timestamp;
use futures_core::future::BoxFuture;

/// Waits between attempts.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use factum_framework::{World, world::Timer};
/// use futures_core::future::BoxFuture;
///
/// /// For tests that have no time. With a runtime, this would be its sleep.
/// struct AtOnce;
///
/// impl Timer for AtOnce {
///     fn wait(&self, _: Duration) -> BoxFuture<'static, ()> { Box::pin(async {}) }
/// }
///
/// let world = World { timer: Arc::new(AtOnce), ..World::real() };
/// pollster::block_on(world.timer.wait(Duration::from_secs(3_600)));
/// ```
pub trait Timer: Send + Sync {
    /// Is ready after `duration`.
    fn wait(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Takes work that nobody waits for.
///
/// ```
/// use std::sync::Arc;
///
/// use factum_framework::{World, world::Background};
/// use futures_core::future::BoxFuture;
///
/// /// Does it in the foreground. With a runtime, this would be its spawn.
/// struct Foreground;
///
/// impl Background for Foreground {
///     fn start(&self, task: BoxFuture<'static, ()>) { pollster::block_on(task) }
/// }
///
/// let world = World { background: Arc::new(Foreground), ..World::real() };
/// world.background.start(Box::pin(async {}));
/// ```
pub trait Background: Send + Sync {
    /// Sees to it that `task` is run, some time, or drops it; it is never needed for a correct answer.
    fn start(&self, task: BoxFuture<'static, ()>);
}

/// Time, chance, waiting and the background, as a repository sees them. Cloning shares them.
///
/// ```
/// use factum_framework::World;
///
/// let world = World::real();
/// assert!(world.now().as_micros() > 0);
/// ```
#[derive(Clone)]
pub struct World {
    /// Wall clock and monotonic clock.
    pub clock: Arc<dyn Clock>,
    /// For ids and jitter.
    pub random: Arc<dyn Random>,
    /// For waiting between attempts.
    pub timer: Arc<dyn Timer>,
    /// For taking snapshots.
    pub background: Arc<dyn Background>,
}

impl World {
    /// The operating system's clocks, randomness and threads.
    #[must_use]
    pub fn real() -> Self {
        let env = factum_io::Env::real();
        let threads = Arc::new(Threads {
            clock: Arc::clone(&env.clock),
            spawner: env.spawner,
        });
        Self {
            clock: env.clock,
            random: env.random,
            timer: Arc::clone(&threads) as Arc<dyn Timer>,
            background: threads,
        }
    }

    /// What the calendar says.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.now_us())
    }

    pub(crate) fn elapsed_since(&self, start_ns: u64) -> Duration {
        Duration::from_nanos(self.clock.monotonic_ns().saturating_sub(start_ns))
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

/// Waiting and background work on threads of their own, one for each wait and each task.
#[derive(Debug)]
struct Threads {
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
}

impl Timer for Threads {
    fn wait(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let alarm = Arc::new(Mutex::new(Alarm::default()));
        let (clock, rung) = (Arc::clone(&self.clock), Arc::clone(&alarm));
        let started = self.spawner.spawn(
            "factum-timer",
            Box::new(move || {
                clock.sleep(duration);
                let waker = {
                    let mut alarm = rung.lock().unwrap_or_else(PoisonError::into_inner);
                    alarm.rung = true;
                    alarm.waker.take()
                };
                if let Some(waker) = waker {
                    waker.wake();
                }
            }),
        );
        if started.is_err() {
            // Without a thread the wait is left out: the next attempt comes early, which is allowed.
            alarm.lock().unwrap_or_else(PoisonError::into_inner).rung = true;
        }
        Box::pin(Waiting(alarm))
    }
}

impl Background for Threads {
    fn start(&self, task: BoxFuture<'static, ()>) {
        let body = Box::new(move || run_here(task));
        // No thread, no snapshot: the next load is slower, and nothing else.
        drop(self.spawner.spawn("factum-background", body));
    }
}

#[derive(Debug, Default)]
struct Alarm {
    rung: bool,
    waker: Option<Waker>,
}

struct Waiting(Arc<Mutex<Alarm>>);

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut alarm = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if alarm.rung {
            return Poll::Ready(());
        }
        alarm.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end on this thread.
pub(crate) fn run_here<F: Future>(task: F) -> F::Output {
    let mut task = pin!(task);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(done) = task.as_mut().poll(&mut context) {
            return done;
        }
        std::thread::park();
    }
}
