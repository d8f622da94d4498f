//! The memory store, with a clock that the suite can move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use factum_conformance::{BoxFuture, Factory, Knobs, TestStore};
use factum_store::MemoryStore;
use factum_types::Timestamp;

struct Memory {
    micros: Arc<AtomicI64>,
}

impl Memory {
    fn new() -> Self {
        Self {
            micros: Arc::new(AtomicI64::new(1_704_067_200_000_000)),
        }
    }
}

impl Factory for Memory {
    fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>> {
        let micros = Arc::clone(&self.micros);
        let clock = move || Timestamp::from_micros(micros.fetch_add(1, Ordering::Relaxed));
        Box::pin(async { Arc::new(MemoryStore::with_clock(Arc::new(clock))) as Arc<dyn TestStore> })
    }

    fn knobs(&self) -> Knobs {
        let micros = Arc::clone(&self.micros);
        let advance = move |by: Duration| {
            let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            micros.fetch_add(by, Ordering::Relaxed);
        };
        Knobs {
            advance_time: Some(Arc::new(advance)),
            ..Knobs::default()
        }
    }
}

factum_conformance::conformance_tests!(Memory::new());
