//! Appends of one call that are under way, and how much memory they take.
//!
//! Relies on: an append is handed to the store when its future is first looked at. Never: limits anything; the call does.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

/// Answers to come, as they come.
pub(crate) struct Flight<A> {
    running: FuturesUnordered<Running<A>>,
    bytes: usize,
}

/// One of them, and what it takes, in bytes.
struct Running<A> {
    answer: BoxFuture<'static, A>,
    bytes: usize,
}

impl<A> Flight<A> {
    pub(crate) fn new() -> Self {
        Self {
            running: FuturesUnordered::new(),
            bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Begins an append that takes so many bytes; its answer when it has one at once.
    pub(crate) fn begin(
        &mut self,
        mut answer: BoxFuture<'static, A>,
        bytes: usize,
        context: &mut Context<'_>,
    ) -> Option<A> {
        // The first look at a future is what hands its append over. It has to be now, or a later one might be first.
        if let Poll::Ready(answer) = answer.as_mut().poll(context) {
            return Some(answer);
        }
        self.bytes += bytes;
        self.running.push(Running { answer, bytes });
        None
    }

    /// The next answer; `None` when none is to come.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<A>> {
        let next = ready!(self.running.poll_next_unpin(context));
        Poll::Ready(next.map(|(answer, bytes)| {
            self.bytes -= bytes;
            answer
        }))
    }
}

impl<A> Future for Running<A> {
    type Output = (A, usize);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<(A, usize)> {
        let answer = ready!(self.answer.as_mut().poll(context));
        Poll::Ready((answer, self.bytes))
    }
}

/// What is being found out, if anything is. Once it is known, nothing is.
pub(crate) fn poll_asked<T>(
    asking: &mut Option<BoxFuture<'static, T>>,
    context: &mut Context<'_>,
) -> Option<Poll<T>> {
    let asked = asking.as_mut()?.as_mut().poll(context);
    if asked.is_ready() {
        *asking = None;
    }
    Some(asked)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::task::Poll;

    use super::{Flight, poll_asked};

    #[tokio::test]
    async fn what_is_under_way_takes_its_bytes_until_it_is_answered() {
        let mut flight = Flight::new();
        let (tell, told) = tokio::sync::oneshot::channel();
        poll_fn(|context| {
            assert_eq!(
                flight.begin(Box::pin(ready(Ok(1))), 10, context),
                Some(Ok(1))
            );
            assert_eq!((flight.len(), flight.bytes()), (0, 0), "it was answered");
            Poll::Ready(())
        })
        .await;
        let mut told = Some(told);
        poll_fn(|context| {
            if let Some(told) = told.take() {
                assert_eq!(flight.begin(Box::pin(told), 20, context), None);
            }
            assert_eq!(flight.begin(Box::pin(pending()), 3, context), None);
            assert_eq!((flight.len(), flight.bytes()), (2, 23));
            assert!(flight.poll_next(context).is_pending());
            Poll::Ready(())
        })
        .await;
        tell.send(7).unwrap();
        let answer = poll_fn(|context| flight.poll_next(context)).await;
        assert_eq!(answer, Some(Ok(7)));
        assert_eq!((flight.len(), flight.bytes()), (1, 3));
    }

    #[tokio::test]
    async fn what_was_found_out_is_not_asked_again() {
        let mut asking = None;
        poll_fn(|context| {
            assert!(poll_asked::<u8>(&mut asking, context).is_none());
            asking = Some(Box::pin(ready(5)));
            assert_eq!(poll_asked(&mut asking, context), Some(Poll::Ready(5)));
            assert!(asking.is_none());
            asking = Some(Box::pin(pending()));
            assert_eq!(poll_asked(&mut asking, context), Some(Poll::Pending));
            assert!(asking.is_some());
            Poll::Ready(())
        })
        .await;
    }
}
