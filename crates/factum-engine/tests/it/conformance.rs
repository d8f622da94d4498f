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
    let clock = MovedClock {
        real: Arc::clone(&real.clock),
        ahead_us: Arc::clone(ahead_us),
    };
    Env {
        clock: Arc::new(clock),
        ..real
    }
}

fn knobs(ahead_us: &Arc<AtomicI64>) -> Knobs {
    let ahead_us = Arc::clone(ahead_us);
    let advance = move |by: Duration| {
        let by = i64::try_from(by.as_micros()).unwrap();
        ahead_us.fetch_add(by, Ordering::Relaxed);
    };
    Knobs {
        advance_time: Some(Arc::new(advance)),
        patience: Duration::from_secs(60),
        ..Knobs::default()
    }
}

/// Stores in segments that hold the largest append.
struct Segments {
    dir: TempDir,
    next: AtomicU64,
    ahead_us: Arc<AtomicI64>,
}

impl Segments {
    fn new() -> Self {
        Self {
            dir: TempDir::new(),
            next: AtomicU64::new(0),
            ahead_us: Arc::default(),
        }
    }
}

/// Stores in segments of 128 KiB, so that sealing and rolling happen all the time, with few blocks in memory; large appends do not fit.
struct Tiny(Segments);

impl Factory for Tiny {
    fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let directory = self.0.dir.path().join(number.to_string());
        let options = Options::new(directory)
            .segment_bytes(2 * Options::SEGMENT_BYTES_MIN)
            .block_cache_bytes(5 << 20);
        let store = Engine::open(options, moved_env(&self.0.ahead_us)).unwrap();
        Box::pin(std::future::ready(Arc::new(store) as Arc<dyn TestStore>))
    }

    fn knobs(&self) -> Knobs {
        knobs(&self.0.ahead_us)
    }
}

impl Factory for Segments {
    fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // Of two sizes, to be sure that nothing depends on it.
        let bytes = if number.is_multiple_of(2) {
            32 << 20
        } else {
            24 << 20
        };
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
        Self {
            next: AtomicU64::new(1),
            ahead_us: Arc::default(),
        }
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

mod on_tiny_segments {
    use std::sync::Arc;

    use factum_conformance::{Factory, run_named};

    use super::{Segments, Tiny};

    fn check(area: &str) {
        let factory: Arc<dyn Factory> = Arc::new(Tiny(Segments::new()));
        let report = run_named(&factory, area, 2);
        assert!(report.is_success(), "{report}");
    }

    #[test]
    fn reads() {
        check("read::");
    }

    #[test]
    fn races() {
        check("race::");
    }

    #[test]
    fn models() {
        check("model::");
    }

    #[test]
    fn subscriptions() {
        check("subscribe::");
    }

    #[test]
    fn retries() {
        check("retry::");
    }

    #[test]
    fn conditions() {
        check("condition::");
    }

    #[test]
    fn control_records() {
        [
            "control::",
            "delete::",
            "tombstone::",
            "settings::",
            "streams::",
        ]
        .into_iter()
        .for_each(check);
    }

    #[test]
    fn snapshots_and_checkpoints() {
        ["snapshot::", "checkpoint::"].into_iter().for_each(check);
    }
}
