//! The conformance suite, on the engine over segments and on the engine over a log that makes trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use factum_conformance::{BoxFuture, Factory, Knobs, TestStore};
use factum_engine::{Engine, Options};
use factum_io::{Clock, Env};

use crate::support::TempDir;

/// The real clock, moved forward by hand.
#[derive(Debug)]
struct MovedClock {
    real: Arc<dyn Clock>,
    ahead_us: Arc<AtomicI64>,
}

impl Clock for MovedClock {
    fn now_us(&self) -> i64 {
        self.real.now_us() + self.ahead_us.load(Ordering::Relaxed)
    }

    fn monotonic_ns(&self) -> u64 {
        self.real.monotonic_ns()
    }

    fn sleep(&self, duration: Duration) {
        self.real.sleep(duration);
    }
}

fn moved_env(ahead_us: &Arc<AtomicI64>) -> Env {
    let real = Env::real();
    let clock = MovedClock { real: Arc::clone(&real.clock), ahead_us: Arc::clone(ahead_us) };
    Env { clock: Arc::new(clock), ..real }
}

fn knobs(ahead_us: &Arc<AtomicI64>) -> Knobs {
    let ahead_us = Arc::clone(ahead_us);
    let advance = move |by: Duration| {
        let by = i64::try_from(by.as_micros()).unwrap();
        ahead_us.fetch_add(by, Ordering::Relaxed);
    };
    Knobs { advance_time: Some(Arc::new(advance)), patience: Duration::from_secs(60), ..Knobs::default() }
}

/// Stores in segments so small that sealing and rolling happen all the time.
struct Segments {
    dir: TempDir,
    next: AtomicU64,
    ahead_us: Arc<AtomicI64>,
}

impl Segments {
    fn new() -> Self {
        Self { dir: TempDir::new(), next: AtomicU64::new(0), ahead_us: Arc::default() }
    }
}

impl Factory for Segments {
    fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // Every other store has segments that hold the largest append.
        let bytes = if number.is_multiple_of(2) { 32 << 20 } else { 24 << 20 };
        let options = Options::new(self.dir.path().join(number.to_string())).segment_bytes(bytes);
        let store = Engine::open(options, moved_env(&self.ahead_us)).unwrap();
        Box::pin(std::future::ready(Arc::new(store) as Arc<dyn TestStore>))
    }

    fn knobs(&self) -> Knobs {
        knobs(&self.ahead_us)
    }
}

/// Stores behind a log in which other writers come first and answers get lost.
struct Troubled {
    next: AtomicU64,
    ahead_us: Arc<AtomicI64>,
}

impl Troubled {
    fn new() -> Self {
        Self { next: AtomicU64::new(1), ahead_us: Arc::default() }
    }
}

impl Factory for Troubled {
    fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>> {
        let seed = 0x5EED + self.next.fetch_add(1, Ordering::Relaxed);
        let store = Engine::troubled(moved_env(&self.ahead_us), seed, [40, 25, 25]).unwrap();
        Box::pin(std::future::ready(Arc::new(store) as Arc<dyn TestStore>))
    }

    fn knobs(&self) -> Knobs {
        knobs(&self.ahead_us)
    }
}

mod on_segments {
    use super::Segments;
    factum_conformance::conformance_tests!(Segments::new());
}

mod on_a_troubled_log {
    use super::Troubled;
    factum_conformance::conformance_tests!(Troubled::new());
}
