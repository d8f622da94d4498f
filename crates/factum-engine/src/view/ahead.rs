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
/// So much of a wish is passed on at most, whatever a file says of its length.
const WISH_BYTES_MAX: u64 = 16 << 20;
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
            let Some(wish) = state.wishes.pop_front() else {
                state = wait(&self.changed, state);
                continue;
            };
            drop(state);
            wish.pass_on();
            state = lock(&self.state);
        }
    }
}

impl Wish {
    fn pass_on(self) {
        let Self { sealed, bytes } = self;
        let mut at = bytes.start;
        let all = bytes.end.min(at.saturating_add(WISH_BYTES_MAX));
        while at < all {
            let end = all.min(at.saturating_add(CALL_BYTES));
            sealed.expect_reads(at, end - at);
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use factum_format::manifest::SegmentEntry;
    use factum_io::disk::Open;
    use factum_io::sim::SimEnv;

    use super::{Ahead, CALL_BYTES, WISHES_MAX, Wish};
    use crate::key::Keyer;
    use crate::paths::Paths;
    use crate::view::{Blocks, IndexCache, Kept, Sealed};

    /// A sealed segment of a store whose wishes nobody takes.
    fn sealed(env: &SimEnv) -> Arc<Sealed> {
        let kept = Kept {
            indexes: IndexCache::new(0),
            blocks: Blocks::new(0).unwrap(),
            ahead: Ahead::default(),
        };
        let with = (env.env(), Paths::new("/data"), Keyer::new([0; 16]));
        let entry = SegmentEntry {
            number: 1,
            ..SegmentEntry::default()
        };
        Arc::new(Sealed::new(entry, [0; 16], with, Arc::new(kept)))
    }

    fn wish(sealed: &Arc<Sealed>) -> Wish {
        Wish {
            sealed: Arc::clone(sealed),
            bytes: 0..CALL_BYTES + 1,
        }
    }

    #[test]
    fn wishes_are_taken_only_where_somebody_works_them_off() {
        let (ahead, sealed) = (Ahead::default(), sealed(&SimEnv::new(1)));
        assert!(!ahead.wish(wish(&sealed)), "nobody does yet");
        ahead.close();
        ahead.run();
        assert!(!ahead.wish(wish(&sealed)), "nobody does any more");
        assert_eq!(Arc::strong_count(&sealed), 1, "nothing is kept");
    }

    #[test]
    fn the_system_is_told_of_all_that_is_wished() {
        let env = SimEnv::new(1);
        let disk = env.env().disk;
        for made in ["/data", "/data/segments"] {
            disk.create_dir(Path::new(made)).unwrap();
        }
        let path = Path::new("/data/segments/0000000001.seg");
        drop(disk.open(path, Open::create_new()).unwrap());
        env.disk.set_trace(true);
        wish(&sealed(&env)).pass_on();
        let trace = env.disk.trace();
        let told = trace.iter().filter(|call| call.contains("advise"));
        assert_eq!(told.count(), 2, "in two calls: {trace:?}");

        env.disk.set_trace(true);
        let sealed = sealed(&env);
        for bytes in [0..u64::MAX, u64::MAX - 1..u64::MAX] {
            let sealed = Arc::clone(&sealed);
            Wish { sealed, bytes }.pass_on();
        }
        assert!(env.disk.trace().len() < 100, "no wish takes for ever");
    }

    #[test]
    fn they_are_few_and_may_be_given_up() {
        let (ahead, sealed) = (Ahead::default(), sealed(&SimEnv::new(1)));
        ahead.state.lock().unwrap().is_running = true;
        let taken = (0..2 * WISHES_MAX).filter(|_| ahead.wish(wish(&sealed)));
        assert_eq!(taken.count(), WISHES_MAX);
        ahead.forget();
        assert_eq!(Arc::strong_count(&sealed), 1);
        assert!(ahead.wish(wish(&sealed)), "there is room again");
    }
}
