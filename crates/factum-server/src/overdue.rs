//! Waiting for no longer than a time, for the many that hardly ever wait that long.
//!
//! A timer for each would be put into the runtime's wheel and taken out again, and the first of them wakes its driver. Here one task rings
//! while anybody waits, and all who wait look at the clock: so a time may be exceeded by a ring.
//!
//! Relies on: a runtime of tokio. Never: ends what is asked sooner than its time.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Between two rings.
const RING: Duration = Duration::from_millis(50);

/// The least time that has as many rings and is not shorter: whoever waits for one waits as well for the other.
pub(crate) fn up_to_a_ring(time: Duration) -> Duration {
    let rings = u32::try_from(time.as_nanos().div_ceil(RING.as_nanos())).unwrap_or(u32::MAX);
    RING.saturating_mul(rings)
}

/// The time was over before there was an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it took longer than it may")]
pub(crate) struct Late;

/// Looks at a future once; what it gives if it is ready then. It is woken for by whoever waits next.
pub(crate) async fn first_look<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| match Pin::new(&mut *future).poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Who waits, and the task that rings for them, which ends with this.
#[derive(Debug)]
pub(crate) struct Overdue {
    shared: Arc<Shared>,
    ringing: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    bell: Notify,
    /// Somebody waits, after nobody did.
    begun: Notify,
}

impl Overdue {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let ringing = tokio::spawn(ring(Arc::clone(&shared)));
        Self { shared, ringing }
    }

    /// What the work gives, if it gives it within the time. It is looked at when this is first looked at, whatever else that task did before.
    pub(crate) async fn within<T>(
        &self,
        time: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Late> {
        let mut work = pin!(work);
        // `select!` looks at nothing at all in a task that has done its share for now.
        if let Some(done) = first_look(&mut work).await {
            return Ok(done);
        }
        let shared = &*self.shared;
        let _here = Here::among(shared);
        let began = Instant::now();
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = shared.bell.notified() => if began.elapsed() >= time {
                    return Err(Late);
                },
            }
        }
    }
}

impl Drop for Overdue {
    fn drop(&mut self) {
        self.ringing.abort();
    }
}

/// One that waits.
struct Here<'a>(&'a Shared);

impl<'a> Here<'a> {
    fn among(shared: &'a Shared) -> Self {
        if shared.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            shared.begun.notify_one();
        }
        Self(shared)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn ring(shared: Arc<Shared>) {
    loop {
        if shared.waiting.load(Ordering::Relaxed) == 0 {
            shared.begun.notified().await;
        }
        tokio::time::sleep(RING).await;
        shared.bell.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::{Late, Overdue, RING};

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_late_soon_after_its_time_and_not_before() {
        let overdue = Overdue::start();
        for millis in [0, 1, 49, 50, 51, 1_000] {
            let time = Duration::from_millis(millis);
            let began = Instant::now();
            assert_eq!(overdue.within(time, pending::<()>()).await, Err(Late));
            let took = began.elapsed();
            assert!(
                took >= time && took <= time + 2 * RING + RING / 50,
                "{took:?}"
            );
            // After nobody waited for a while.
            advance(Duration::from_secs(3)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_wait_each_for_their_own_time() {
        let overdue = Overdue::start();
        let began = Instant::now();
        let waiting = (1..=100_u64).map(|number| {
            let overdue = &overdue;
            async move {
                let time = Duration::from_millis(number * 10);
                let work = tokio::time::sleep(Duration::from_millis(500));
                let answer = overdue.within(time, work).await;
                (number, answer, began.elapsed())
            }
        });
        for (number, answer, took) in futures_util::future::join_all(waiting).await {
            match answer {
                Ok(()) => assert!(number * 10 > 380, "{number}"),
                Err(Late) => {
                    assert!(number * 10 <= 500, "{number}");
                    assert!(
                        took >= Duration::from_millis(number * 10),
                        "{number}: {took:?}"
                    );
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_although_its_task_has_done_its_share() {
        let overdue = Overdue::start();
        let mut looked = false;
        {
            let work = poll_fn(|_| {
                looked = true;
                Poll::<()>::Pending
            });
            let mut waiting = pin!(overdue.within(Duration::from_secs(1), work));
            poll_fn(|context| {
                // More than a task may do before it lets others run.
                while pin!(tokio::task::coop::consume_budget())
                    .poll(context)
                    .is_ready()
                {}
                assert!(waiting.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        assert!(looked);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_at_once_is_not_waited_for() {
        let overdue = Overdue::start();
        assert_eq!(overdue.within(Duration::ZERO, ready(7)).await, Ok(7));
        let long = overdue.within(
            Duration::MAX,
            tokio::time::sleep(Duration::from_secs(3_600)),
        );
        assert_eq!(long.await, Ok(()));
    }
}
