//! An answer that one thread gives and a future waits for.
//!
//! Relies on: one lock. Never: waits for a thread that ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Debug)]
enum Slot<T> {
    Empty(Option<Waker>),
    Full(T),
    /// Nobody will give an answer any more, or it was taken.
    Closed,
}

/// Who gives the answer.
#[derive(Debug)]
pub(crate) struct Giver<T>(Arc<Mutex<Slot<T>>>);

/// Who waits for it; gives `None` when the giver is gone.
#[derive(Debug)]
pub(crate) struct Reply<T>(Arc<Mutex<Slot<T>>>);

/// Both ends.
pub(crate) fn reply<T>() -> (Giver<T>, Reply<T>) {
    let slot = Arc::new(Mutex::new(Slot::Empty(None)));
    (Giver(Arc::clone(&slot)), Reply(slot))
}

fn lock<T>(slot: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Giver<T> {
    pub(crate) fn give(self, answer: T) {
        self.put(Slot::Full(answer));
    }

    fn put(&self, new: Slot<T>) {
        let mut slot = lock(&self.0);
        if let Slot::Empty(waker) = &mut *slot {
            let waker = waker.take();
            *slot = new;
            drop(slot);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.put(Slot::Closed);
    }
}

impl<T> Future for Reply<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = lock(&self.0);
        match std::mem::replace(&mut *slot, Slot::Closed) {
            Slot::Empty(_) => {
                *slot = Slot::Empty(Some(context.waker().clone()));
                Poll::Pending
            }
            Slot::Full(answer) => Poll::Ready(Some(answer)),
            Slot::Closed => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::reply;

    #[test]
    fn an_answer_arrives_or_its_absence_does() {
        let (giver, waiting) = reply();
        giver.give(1);
        assert_eq!(pollster::block_on(waiting), Some(1));
        let (giver, waiting) = reply::<i32>();
        drop(giver);
        assert_eq!(pollster::block_on(waiting), None);
    }
}
