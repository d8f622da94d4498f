//! Room for what was made of answers and waits in connections that do not take it.
//!
//! An answer is made piece by piece, each when the connection takes the one before. A piece may have an event of megabytes in it, and a thousand
//! clients that never read would each have one waiting. So large pieces have room together: where it is taken, nothing more is read for
//! anybody until one was sent. A connection that has not taken a large piece for long, while others wait for its room, is ended.
//! Never: makes answers wait that are no reads.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::conduct::Conduct;

/// A piece of more bytes is a large one.
const LARGE_BYTES: usize = 64 << 10;
/// What large pieces have room for together; the last may go beyond.
const ROOM_BYTES: usize = 64 << 20;
/// How long one may wait while there is no room for others.
const PATIENCE: Duration = Duration::from_secs(10);

/// What waits in all connections.
#[derive(Debug, Default)]
pub(super) struct Sending {
    bytes: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The oldest first.
    pieces: BTreeMap<u64, Piece>,
    next: u64,
    waiting: Vec<Waker>,
}

#[derive(Debug)]
struct Piece {
    bytes: usize,
    until: Instant,
    conduct: Arc<Conduct>,
    /// Whether its connection was told to end.
    is_ended: bool,
}

/// The room of a piece, until it is taken.
#[derive(Debug)]
pub(super) struct Held {
    sending: Arc<Sending>,
    number: u64,
}

/// When a piece that waits for room looks again whether another has waited too long.
pub(super) type Timer = Option<Pin<Box<Sleep>>>;

impl Sending {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) < ROOM_BYTES
    }

    /// Ready when the next piece may be made.
    pub(super) fn poll_room(&self, timer: &mut Timer, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.has_room() {
                *timer = None;
                return Poll::Ready(());
            }
            let mut state = self.state();
            state.wait(context.waker());
            // What was given back before that has woken nobody here.
            if self.has_room() {
                continue;
            }
            let Some(until) = state.end_the_late() else {
                return Poll::Pending;
            };
            drop(state);
            let sleep = timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if sleep.deadline() != until {
                sleep.as_mut().reset(until);
            }
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// A piece was made; `None` for a small one.
    pub(super) fn hold(self: &Arc<Self>, bytes: usize, conduct: &Arc<Conduct>) -> Option<Held> {
        if bytes <= LARGE_BYTES {
            return None;
        }
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        let piece = Piece {
            bytes,
            until: Instant::now() + PATIENCE,
            conduct: Arc::clone(conduct),
            is_ended: false,
        };
        state.pieces.insert(number, piece);
        Some(Held {
            sending: Arc::clone(self),
            number,
        })
    }
}

impl State {
    fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|other| other.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }

    /// Ends the connections of pieces that have waited too long; when the next one will have, if there is one.
    fn end_the_late(&mut self) -> Option<Instant> {
        let now = Instant::now();
        for piece in self.pieces.values_mut().filter(|piece| !piece.is_ended) {
            if piece.until > now {
                return Some(piece.until);
            }
            piece.is_ended = true;
            piece.conduct.stalls();
        }
        None
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.sending.state();
        if let Some(piece) = state.pieces.remove(&self.number) {
            self.sending.bytes.fetch_sub(piece.bytes, Ordering::SeqCst);
        }
        if self.sending.has_room() {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::{LARGE_BYTES, PATIENCE, ROOM_BYTES, Sending, Timer};
    use crate::listen::conduct::Conduct;

    async fn room(sending: &Sending) {
        let mut timer = Timer::None;
        poll_fn(|context| sending.poll_room(&mut timer, context)).await;
    }

    async fn has_room(sending: &Sending) -> bool {
        timeout(Duration::ZERO, room(sending)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn large_pieces_wait_for_room_and_small_ones_take_none() {
        let (sending, conduct) = (Arc::<Sending>::default(), Arc::new(Conduct::new(1)));
        assert!(sending.hold(LARGE_BYTES, &conduct).is_none());
        let first = sending.hold(ROOM_BYTES - 1, &conduct);
        assert!(has_room(&sending).await);
        let second = sending.hold(LARGE_BYTES + 1, &conduct);
        assert!(!has_room(&sending).await);
        let waits = tokio::spawn({
            let sending = Arc::clone(&sending);
            async move { room(&sending).await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(second);
        assert!(waits.await.is_ok());
        drop(first);
        assert_eq!(sending.bytes.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_ended_when_others_wait() {
        let sending = Arc::<Sending>::default();
        let [silent, later] = [(); 2].map(|()| Arc::new(Conduct::new(1)));
        let held = sending.hold(ROOM_BYTES, &silent);
        // Nobody waits.
        sleep(2 * PATIENCE).await;
        assert!(timeout(Duration::ZERO, silent.enough()).await.is_err());
        let other = sending.hold(ROOM_BYTES, &later);
        let waits = tokio::spawn({
            let sending = Arc::clone(&sending);
            async move { room(&sending).await }
        });
        tokio::task::yield_now().await;
        assert!(timeout(Duration::ZERO, silent.enough()).await.is_ok());
        assert!(timeout(Duration::ZERO, later.enough()).await.is_err());
        drop(held);
        tokio::task::yield_now().await;
        assert!(!waits.is_finished(), "the other one has its time, too");
        sleep(2 * PATIENCE).await;
        assert!(timeout(Duration::ZERO, later.enough()).await.is_ok());
        drop(other);
        assert!(waits.await.is_ok());
    }
}
