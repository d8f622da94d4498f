//! Where the answers to requests go: each to its caller, or those of a group together.
//!
//! A group has one caller, who is woken once. Relies on: whoever has a reply answers it or drops it. Never: keeps anybody waiting for a reply that
//! was dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Outcome;
use crate::sync::{Mutex, lock};

/// Where the answer to one request goes.
#[derive(Debug)]
pub(crate) enum Reply {
    One(oneshot::Sender<Outcome>),
    /// The answer with this number.
    Of(Arc<Group>, usize),
}

/// What becomes of the requests of a group: of each its answer, `None` where its reply was dropped.
pub(crate) type Outcomes = Vec<Option<Outcome>>;

/// Requests that were handed over together. The last one that is answered, or dropped, tells of all.
#[derive(Debug)]
pub(crate) struct Group {
    /// Whether one of them was sent back to be judged again. Those behind it are not judged before it.
    is_sent_back: AtomicBool,
    outcomes: Mutex<Outcomes>,
    told: Option<oneshot::Sender<Outcomes>>,
}

impl Reply {
    /// Replies for so many requests, and what comes of all of them.
    pub(crate) fn group(count: usize) -> (impl Iterator<Item = Self>, oneshot::Receiver<Outcomes>) {
        let (told, telling) = oneshot::channel();
        let outcomes = std::iter::repeat_with(|| None).take(count).collect();
        let group = Arc::new(Group {
            is_sent_back: AtomicBool::new(false),
            outcomes: Mutex::new(outcomes),
            told: Some(told),
        });
        let replies = (0..count).map(move |number| Self::Of(Arc::clone(&group), number));
        (replies, telling)
    }

    /// Takes note that this request is sent back, to be judged again.
    pub(crate) fn send_back(&self) {
        if let Self::Of(group, _) = self {
            group.is_sent_back.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a request before this one, of the same group, was sent back.
    pub(crate) fn is_behind_one_sent_back(&self) -> bool {
        matches!(self, Self::Of(group, _) if group.is_sent_back.load(Ordering::Relaxed))
    }

    /// Sends an answer. Whoever asked may have gone; then nobody wants it.
    pub(crate) fn send(self, outcome: Outcome) {
        match self {
            Self::One(reply) => drop(reply.send(outcome)),
            Self::Of(group, number) => lock(&group.outcomes)[number] = Some(outcome),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What a lost thread left in it is whole: an answer is there, or is not.
        let outcomes = match self.outcomes.get_mut() {
            Ok(outcomes) => outcomes,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some(told) = self.told.take() {
            drop(told.send(std::mem::take(outcomes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Reply};
    use crate::errors::closed;

    #[test]
    fn the_last_one_tells_of_all() {
        let (replies, telling) = Reply::group(3);
        let mut replies: Vec<_> = replies.collect();
        replies.remove(2).send(Outcome::Failed(closed()));
        assert!(telling.try_recv().is_err(), "two are to come");
        replies.remove(0).send(Outcome::Failed(closed()));
        assert!(telling.try_recv().is_err(), "one is to come");
        drop(replies);
        let outcomes = telling.try_recv().unwrap();
        let answered: Vec<_> = outcomes.iter().map(Option::is_some).collect();
        assert_eq!(answered, [true, false, true]);
    }
}
