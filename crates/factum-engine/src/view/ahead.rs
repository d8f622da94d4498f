//! Reading ahead: a thread that tells the system what will be read soon.
//!
//! Saying so costs the time of finding memory for it and of asking the device, and whoever goes through everything has better things to do.
//! Advice only: what is not said, or not heeded, is read when it is needed. Never: makes a reader wait; holds more than a few wishes.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::sealed::Sealed;
use crate::sync::{Condvar, Mutex, lock, wait};

/// So many wishes wait at most; what more is wished for is not read ahead.
const WISHES_MAX: usize = 64;
/// So much is asked for with one call. Systems heed no more than some MiB of each.
const CALL_BYTES: u64 = 1 << 20;

/// Bytes of a segment that will be read soon.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) sealed: Arc<Sealed>,
    pub(crate) bytes: Range<u64>,
}

/// What readers wish to be read ahead.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wishes: VecDeque<Wish>,
    /// Whether there is a thread that takes them.
    is_running: bool,
    is_closed: bool,
}

impl Ahead {
    /// Takes a wish up; says whether it did.
    pub(crate) fn wish(&self, wish: Wish) -> bool {
        let mut state = lock(&self.state);
        if !state.is_running || state.wishes.len() >= WISHES_MAX {
            return false;
        }
        state.wishes.push_back(wish);
        drop(state);
        self.changed.notify_one();
        true
    }

    /// Gives up what waits.
    pub(crate) fn forget(&self) {
        lock(&self.state).wishes.clear();
    }

    /// Ends the thread after the call under way.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.is_running = false;
        state.wishes.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// The thread: passes wishes on until it is closed.
    pub(crate) fn run(&self) {
        let mut state = lock(&self.state);
        state.is_running = !state.is_closed;
        while !state.is_closed {
            let Some(Wish { sealed, bytes }) = state.wishes.pop_front() else {
                state = wait(&self.changed, state);
                continue;
            };
            drop(state);
            let mut at = bytes.start;
            while at < bytes.end {
                let end = bytes.end.min(at + CALL_BYTES);
                sealed.expect_reads(at, end - at);
                at = end;
            }
            drop(sealed);
            state = lock(&self.state);
        }
    }
}
