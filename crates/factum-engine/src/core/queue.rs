//! The queue of requests: bounded in number and bytes, in order.
//!
//! Two committers wait here. The first one is woken when it is idle; the second only when more than a little waits while the first is busy, so
//! that a lone writer always meets the same warm thread. Never: waits for a time to gather more.

use std::collections::VecDeque;

use factum_store::{Kind, StoreError};

use super::{Outcome, Pending};
use crate::sync::{Condvar, Mutex, lock, wait, wait_timeout};

/// What waits for a frame with so much room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Nothing,
    Taken,
    /// The next request needs up to so many bytes.
    TooLarge(u64),
}

/// Bounds of the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueLimits {
    pub(crate) requests: usize,
    pub(crate) bytes: usize,
}

/// The queue of requests.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: QueueLimits,
    state: Mutex<State>,
    work: [Condvar; COMMITTERS],
}

/// How many frames may be under way at once.
pub(crate) const COMMITTERS: usize = 2;

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<Pending>,
    bytes: usize,
    idle: [bool; COMMITTERS],
    /// How many frames are under way.
    frames: usize,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            work: std::array::from_fn(|_| Condvar::new()),
        }
    }

    /// Puts requests in, in their order, with nothing between them. Those that find no room are answered.
    pub(crate) fn push(&self, requests: impl IntoIterator<Item = Pending>) {
        let mut refused = Vec::new();
        let mut state = lock(&self.state);
        for pending in requests {
            match state.room_for(&pending, self.limits) {
                None => {
                    state.bytes += pending.request.bytes;
                    state.requests.push_back(pending);
                }
                Some(why) => refused.push((pending, why)),
            }
        }
        self.wake(state);
        for (pending, why) in refused {
            pending.reply.send(Outcome::Failed(why.into()));
        }
    }

    /// Puts requests back to the front, in order; limits do not count for what was let in once.
    pub(crate) fn put_back(&self, requests: Vec<Pending>) {
        let mut state = lock(&self.state);
        for pending in requests.into_iter().rev() {
            state.bytes += pending.request.bytes;
            state.requests.push_front(pending);
        }
    }

    /// Takes requests, in order, as long as all of them together fit into so many bytes, and ends at the target. A frame that is empty
    /// takes its first request whatever the target. If it is the only one under way, it leaves the other committer half of what is more than a
    /// little: that half is sequenced while the first is written (decision 0035).
    pub(crate) fn take(
        &self,
        room: u64,
        target: u64,
        (empty, used): (bool, u64),
        taken: &mut Vec<Pending>,
    ) -> Waited {
        let mut state = lock(&self.state);
        let (mut needed, mut all) = (0, 0);
        let share = state.share(empty, used);
        while let Some(next) = state.requests.front() {
            let bytes = next.request.bytes as u64;
            let needs = bytes + FRAME_SLACK_BYTES + bytes / 128;
            all += bytes;
            let first = empty && taken.is_empty();
            let is_enough = needed + needs > target || all > share;
            if needed + needs > room || (is_enough && !first) {
                return if taken.is_empty() {
                    Waited::TooLarge(needs)
                } else {
                    Waited::Taken
                };
            }
            needed += needs;
            taken.extend(state.pop());
        }
        if taken.is_empty() {
            Waited::Nothing
        } else {
            Waited::Taken
        }
    }

    pub(crate) fn take_any(&self) -> Option<Pending> {
        lock(&self.state).pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.state).requests.is_empty()
    }

    /// Whether a commit of what waits would have few requests for what it costs.
    pub(crate) fn is_short(&self) -> bool {
        lock(&self.state).requests.len() < SHORT
    }

    /// Wakes every committer.
    pub(crate) fn notify(&self) {
        self.work.iter().for_each(Condvar::notify_all);
    }

    fn wake(&self, state: crate::sync::MutexGuard<'_, State>) {
        let is_worth = state.is_worth_a_frame();
        let idle = state.idle.iter().position(|idle| *idle && is_worth);
        drop(state);
        if let Some(idle) = idle {
            self.work[idle].notify_one();
        }
    }

    /// Begins a frame, if what waits is worth one; it is to be ended.
    pub(crate) fn begin_frame(&self) -> bool {
        let mut state = lock(&self.state);
        let begins = state.is_worth_a_frame();
        state.frames += usize::from(begins);
        begins
    }

    /// Wakes an idle committer, if what waits is worth a frame.
    pub(crate) fn wake_for_rest(&self) {
        self.wake(lock(&self.state));
    }

    /// A frame is no longer under way. Whoever ended it looks for more.
    pub(crate) fn end_frame(&self) {
        lock(&self.state).frames -= 1;
    }

    /// Waits until there may be work for a committer; says whether there ever will be.
    pub(crate) fn wait_for_work(&self, committer: usize) -> bool {
        let mut state = lock(&self.state);
        while !state.is_worth_a_frame() && !state.closed {
            state.idle[committer] = true;
            state = wait(&self.work[committer], state);
            state.idle[committer] = false;
        }
        !(state.closed && state.requests.is_empty())
    }

    /// Waits for work, but not for long; says whether there is some.
    pub(crate) fn wait_a_while(&self, committer: usize, limit: std::time::Duration) -> bool {
        let mut state = lock(&self.state);
        if !state.is_worth_a_frame() && !state.closed {
            state.idle[committer] = true;
            state = wait_timeout(&self.work[committer], state, limit);
            state.idle[committer] = false;
        }
        !state.requests.is_empty() || state.closed
    }

    /// Lets nothing more in; what waits is still worked off.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.notify();
    }

    /// Answers everything that waits with an error.
    pub(crate) fn fail_all(&self, error: impl Fn() -> StoreError) {
        let mut state = lock(&self.state);
        let requests = std::mem::take(&mut state.requests);
        state.bytes = 0;
        drop(state);
        for pending in requests {
            pending.reply.send(Outcome::Failed(error()));
        }
        self.notify();
    }
}

/// Why a request is not let in.
enum NoRoom {
    Closed,
    /// So many are waiting, with so many bytes.
    Full(usize, usize),
}

impl From<NoRoom> for StoreError {
    fn from(why: NoRoom) -> Self {
        match why {
            NoRoom::Closed => crate::errors::closed(),
            NoRoom::Full(requests, bytes) => {
                let message =
                    format!("{requests} appends ({bytes} bytes) are waiting already; try again");
                Self::new(Kind::Unavailable, message)
            }
        }
    }
}

impl State {
    /// Whether what waits is worth a frame. If none is under way, anything is; beside another one it has to be more than a little.
    fn is_worth_a_frame(&self) -> bool {
        let is_much = self.requests.len() >= SECOND_REQUESTS || self.bytes >= SECOND_BYTES;
        !self.requests.is_empty() && (self.frames == 0 || is_much || self.closed)
    }

    /// How many bytes of what waits are for a frame that has so many: all, if the rest would not be worth a frame of its own.
    fn share(&self, empty: bool, used: u64) -> u64 {
        let is_worth = |times: usize| {
            self.requests.len() >= times * SECOND_REQUESTS || self.bytes >= times * SECOND_BYTES
        };
        if empty && self.frames <= 1 && is_worth(2) {
            (self.bytes as u64 / 2).max(ALONE_BYTES)
        } else if !empty && is_worth(1) {
            ALONE_BYTES.saturating_sub(used)
        } else {
            u64::MAX
        }
    }

    /// Why there is no room for a request, if there is none.
    fn room_for(&self, pending: &Pending, limits: QueueLimits) -> Option<NoRoom> {
        if self.closed {
            return Some(NoRoom::Closed);
        }
        let bytes = self.bytes + pending.request.bytes;
        let is_full = self.requests.len() >= limits.requests
            || (bytes > limits.bytes && !self.requests.is_empty());
        is_full.then_some(NoRoom::Full(self.requests.len(), self.bytes))
    }

    fn pop(&mut self) -> Option<Pending> {
        let pending = self.requests.pop_front()?;
        self.bytes = self.bytes.saturating_sub(pending.request.bytes);
        Some(pending)
    }
}

/// A commit of fewer requests costs more than it carries out.
const SHORT: usize = 128;

/// As many requests, or bytes, are worth a frame beside another one. Of fewer, each would wait for a disk that is busy; they are better off together,
/// in the next frame (decision 0035).
const SECOND_REQUESTS: usize = 4;
const SECOND_BYTES: usize = 256 << 10;

/// A frame of so many bytes takes up no more of what comes while it is built than is not worth a frame of its own, and no more than half of what waits when
/// it is begun.
const ALONE_BYTES: u64 = 128 << 10;

/// What a frame needs besides its requests.
const FRAME_SLACK_BYTES: u64 = 512;

#[cfg(test)]
mod tests {
    use super::{ALONE_BYTES, Pending, Queue, QueueLimits, SECOND_REQUESTS, Waited};
    use crate::core::Reply;
    use crate::request::Prepared;

    const KIB: usize = 1 << 10;
    const TARGET: u64 = 4 << 20;

    /// A queue in which so many requests wait, each with so many bytes.
    fn queue(requests: usize, bytes: usize) -> Queue {
        let queue = Queue::new(QueueLimits {
            requests: 1_000,
            bytes: usize::MAX,
        });
        push(&queue, requests, bytes);
        queue
    }

    fn push(queue: &Queue, requests: usize, bytes: usize) {
        queue.push((0..requests).map(|_| Pending {
            request: Box::new(Prepared::of_bytes(bytes)),
            reply: Reply::One(oneshot::channel().0),
        }));
    }

    /// How many requests a frame with so many bytes takes up now.
    fn take(queue: &Queue, used: u64) -> usize {
        let mut taken = Vec::new();
        let waited = queue.take(TARGET * 4, TARGET - used, (used == 0, used), &mut taken);
        assert_eq!(waited == Waited::Taken, !taken.is_empty());
        taken.len()
    }

    #[test]
    fn a_frame_alone_leaves_half_of_much() {
        let queue = queue(64, 10 * KIB);
        assert!(queue.begin_frame());
        assert_eq!(take(&queue, 0), 32);
        assert!(queue.begin_frame(), "the rest is worth another");
        assert_eq!(take(&queue, 0), 32, "and that one takes it whole");
    }

    #[test]
    fn a_frame_alone_takes_all_of_little() {
        let few = queue(2 * SECOND_REQUESTS - 1, 10 * KIB);
        assert!(few.begin_frame());
        assert_eq!(take(&few, 0), 2 * SECOND_REQUESTS - 1);
        let small = queue(200, 100);
        assert!(small.begin_frame());
        let half_would_be = 100;
        assert!(
            take(&small, 0) > half_would_be,
            "all fit into {ALONE_BYTES} bytes"
        );
    }

    #[test]
    fn a_frame_takes_up_what_comes_only_while_it_is_small() {
        let queue = queue(1, 10 * KIB);
        assert!(queue.begin_frame());
        assert_eq!(take(&queue, 0), 1);
        push(&queue, 8, 20 * KIB);
        let used = 10 * KIB as u64;
        assert_eq!(take(&queue, used), 5, "up to {ALONE_BYTES} bytes");
        assert_eq!(
            take(&queue, ALONE_BYTES),
            3,
            "what is left is not worth a frame"
        );
        push(&queue, SECOND_REQUESTS, 20 * KIB);
        assert_eq!(take(&queue, ALONE_BYTES), 0);
    }

    #[test]
    fn no_frame_goes_beyond_its_target_but_for_its_first_request() {
        let queue = queue(3, 3 << 20);
        assert!(queue.begin_frame() && queue.begin_frame());
        assert_eq!(take(&queue, 0), 1);
        assert_eq!(take(&queue, 3 << 20), 0);
        push(&queue, 1, 6 << 20);
        assert_eq!(
            (take(&queue, 0), take(&queue, 0), take(&queue, 0)),
            (1, 1, 1)
        );
        assert!(queue.is_empty());
    }

    #[test]
    fn little_beside_a_frame_is_worth_none() {
        let queue = queue(1, KIB);
        assert!(queue.begin_frame());
        assert_eq!(take(&queue, 0), 1);
        push(&queue, SECOND_REQUESTS - 1, KIB);
        assert!(!queue.begin_frame());
        push(&queue, 1, KIB);
        assert!(queue.begin_frame());
    }
}
