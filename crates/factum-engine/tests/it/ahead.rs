//! What is asked for before it is read.

use std::path::Path;

use factum_engine::Engine;
use factum_io::Env;
use factum_io::sim::SimEnv;
use factum_store::ReadRequest;
use factum_types::ExpectedRevision;

use crate::support::{append, event, read, small};

const EVENTS: u64 = 8_000;
const PATIENCE_NS: u64 = 30_000_000_000;

/// How often the system was told what will be read.
fn told(sim: &SimEnv) -> usize {
    let trace = sim.disk.trace();
    trace.iter().filter(|call| call.contains("advise")).count()
}

#[test]
fn whoever_goes_through_everything_has_it_read_ahead_and_nobody_else() {
    let sim = SimEnv::new(7);
    let mut env = sim.env();
    env.spawner = Env::real().spawner;
    let store = Engine::open(small(Path::new("/")), env).unwrap();
    for first in (0..EVENTS).step_by(100) {
        let events = (first..first + 100).map(event).collect();
        append(&store, "filled", ExpectedRevision::Any, events).unwrap();
    }
    store.settle().unwrap();
    assert!(store.stats().sealed_segments > 1);
    sim.disk.set_trace(true);
    assert_eq!(read(&store, ReadRequest::all().limit(10)).len(), 10);
    assert_eq!(told(&sim), 0, "a first page is all that most want");
    let clock = Env::real().clock;
    let start = clock.monotonic_ns();
    // The thread that tells it may not have come to that, nor have begun at all.
    while told(&sim) == 0 {
        assert_eq!(read(&store, ReadRequest::all()).len() as u64, EVENTS);
        assert!(clock.monotonic_ns() - start < PATIENCE_NS, "nobody told it");
    }
    store.close().unwrap();
}
