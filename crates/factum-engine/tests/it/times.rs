//! The times of events against a clock that moves whenever it is looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use factum_engine::Engine;
use factum_io::{Clock, Env};
use factum_store::{AppendBatch, EventStore, ReadRequest};
use factum_types::ExpectedRevision;

use crate::support::{TempDir, event, small, stream};

const WRITERS: u64 = 8;
const APPENDS: u64 = 400;

/// A microsecond passes with every look.
#[derive(Debug)]
struct Looked {
    real: Arc<dyn Clock>,
    us: AtomicI64,
}

impl Clock for Looked {
    fn now_us(&self) -> i64 {
        self.us.fetch_add(1, Ordering::SeqCst)
    }

    fn monotonic_ns(&self) -> u64 {
        self.real.monotonic_ns()
    }

    fn sleep(&self, duration: Duration) {
        self.real.sleep(duration);
    }
}

/// Appends come while a committer makes a frame: it must not have looked at the clock before they came.
#[test]
fn no_event_is_earlier_than_the_call_that_appends_it() {
    let (dir, real) = (TempDir::new(), Env::real());
    let clock = Arc::new(Looked {
        real: Arc::clone(&real.clock),
        us: AtomicI64::new(1_000_000),
    });
    let env = Env {
        clock: Arc::clone(&clock) as _,
        ..real
    };
    let store = Engine::open(small(dir.path()), env).unwrap();
    let began: Vec<Vec<i64>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, clock) = (&store, &clock);
                scope.spawn(move || {
                    let name = stream(&format!("order-{writer}"));
                    let append = |number| {
                        let new = vec![event(writer * APPENDS + number)];
                        let began = clock.now_us();
                        let batch = AppendBatch::events(name.clone(), ExpectedRevision::Any, new);
                        pollster::block_on(store.append(batch)).unwrap();
                        began
                    };
                    (0..APPENDS).map(append).collect()
                })
            })
            .collect();
        writers.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for (writer, began) in began.iter().enumerate() {
        let name = stream(&format!("order-{writer}"));
        let events = pollster::block_on(store.read(ReadRequest::stream(name)).collect()).unwrap();
        assert_eq!(events.len(), began.len());
        for (event, began) in events.iter().zip(began) {
            let time = event.time.as_micros();
            assert!(time > *began, "{}: {time}, began {began}", event.position);
        }
    }
    store.close().unwrap();
}
