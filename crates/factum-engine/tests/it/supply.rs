//! Appends beside the preparation of the next segment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use factum_engine::{Engine, Options};
use factum_io::{Clock, Env};
use factum_types::ExpectedRevision;

use crate::support::{TempDir, append, event};

const SEGMENT_BYTES: u64 = 1 << 20;
/// So many are three quarters of a segment at most.
const EVENTS_MAX: u64 = 3_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A clock whose pauses last until they are ended.
#[derive(Debug)]
struct Paused {
    real: Arc<dyn Clock>,
    over: Mutex<bool>,
    changed: Condvar,
    began: AtomicBool,
}

impl Paused {
    fn end(&self) {
        *self.over.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn has_begun(&self) -> bool {
        self.began.load(Ordering::SeqCst)
    }
}

impl Clock for Paused {
    fn now_us(&self) -> i64 {
        self.real.now_us()
    }

    fn monotonic_ns(&self) -> u64 {
        self.real.monotonic_ns()
    }

    fn sleep(&self, _: Duration) {
        self.began.store(true, Ordering::SeqCst);
        let over = self.over.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(over, PATIENCE, |over| !*over);
        drop(waited.unwrap());
    }
}

/// Zeroing shares the device with commits: while it pauses, appends are answered.
#[test]
fn a_segment_that_is_being_prepared_holds_nobody_up() {
    let (dir, real) = (TempDir::new(), Env::real());
    let clock = Arc::new(Paused {
        real: Arc::clone(&real.clock),
        over: Mutex::new(false),
        changed: Condvar::new(),
        began: AtomicBool::new(false),
    });
    let env = Env {
        clock: Arc::clone(&clock) as _,
        ..real
    };
    let options = Options::new(dir.path().join("data")).segment_bytes(SEGMENT_BYTES);
    let store = Engine::open(options, env).unwrap();
    let add = |number| {
        append(&store, "orders", ExpectedRevision::Any, vec![event(number)]).unwrap();
    };
    // More than a segment holds would wait for the next one.
    let until_begun = (0..EVENTS_MAX).take_while(|_| !clock.has_begun());
    let begun = until_begun.inspect(|number| add(*number)).count() as u64;
    assert!(clock.has_begun(), "nothing is prepared ahead");
    let (done, answered) = channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            (begun..begun + begun / 2).for_each(add);
            done.send(()).unwrap();
        });
        let answered = answered.recv_timeout(PATIENCE / 2);
        clock.end();
        answered.unwrap();
    });
    (2 * begun..5 * begun).for_each(add);
    store.close().unwrap();
}
