//! Waiting with an end: the suite's executor.
//!
//! Never: waits longer than told, unless a store blocks inside a poll; `run` has a watch on that.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

struct Signal {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// What the future gives, or `None` when it takes longer than the limit.
pub(crate) fn block_on<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    block_on_while(limit, future, || {})
}

/// The same, with `meanwhile` done after the first poll when that does not give anything.
///
/// A future is polled again only when it has woken its waker: one that forgets to is never found out by polling just in case.
pub(crate) fn block_on_while<T>(
    limit: Duration,
    future: impl Future<Output = T>,
    meanwhile: impl FnOnce(),
) -> Option<T> {
    let mut future = pin!(future);
    let signal = Arc::new(Signal {
        thread: thread::current(),
        woken: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    let deadline = now() + limit;
    let mut meanwhile = Some(meanwhile);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        if let Some(meanwhile) = meanwhile.take() {
            meanwhile();
        }
        while !signal.woken.swap(false, Ordering::SeqCst) {
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                return None;
            }
            thread::park_timeout(left);
        }
    }
}

/// Polls once; what the future gives if it is ready.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "bounds the waits of a test; decides no result"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::block_on;
    use std::task::Poll;
    use std::time::Duration;

    #[test]
    fn a_future_that_never_ends_is_given_up() {
        assert_eq!(
            block_on(Duration::from_millis(5), std::future::pending::<()>()),
            None
        );
        assert_eq!(
            block_on(Duration::from_secs(5), std::future::ready(1)),
            Some(1)
        );
    }

    #[test]
    fn a_future_that_does_not_wake_is_given_up() {
        let mut polls = 0;
        let forgetful = std::future::poll_fn(|_| {
            polls += 1;
            if polls > 1 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        assert_eq!(block_on(Duration::from_millis(5), forgetful), None);
    }
}
