//! Runners that go on for as long as the bank is open, several at once, on the memory store and on the engine.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use factum::store::{Source, SubscribeRequest};
use factum::types::{EventType, Query};
use factum::{EventStore, MemoryStore, Repository, Stop};
use pollster::block_on;

use crate::world::{Pile, all, cents, engine, open, request, runner};

/// Stops the runners, also when the test fails.
struct StopAtEnd(Stop);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Waits until so many events of a type are there, by the store's own bell; nothing may be parked meanwhile.
fn wait_for(bank: &Repository, name: &str, count: usize) {
    let store = bank.store();
    let event_type = EventType::new(name).unwrap();
    let parked = EventType::new("factum.EventParked").unwrap();
    let source = Source::Query(Query::of([event_type, parked], []));
    let mut events = store.subscribe(SubscribeRequest::new(source));
    for _ in 0..count {
        let event = block_on(events.next_event()).unwrap().unwrap();
        assert_eq!(event.event_type.as_str(), name, "{event:?}");
    }
}

fn two_at_once(store: &Arc<dyn EventStore>) {
    let bank = Repository::new(Arc::clone(store));
    open(&bank, "account-a", 1_000);
    open(&bank, "account-b", 0);
    let (stop, pile) = (Stop::new(), Arc::new(Pile::default()));
    thread::scope(|scope| {
        let stop_at_end = StopAtEnd(stop.clone());
        for name in ["one", "two"] {
            let mut run = runner(&bank, &pile)
                .named(name)
                .takeover(Duration::from_secs(600));
            let stop = stop.clone();
            scope.spawn(move || block_on(run.run(&stop)).unwrap());
        }
        for number in 0..20 {
            request(&bank, &format!("t{number}"), "account-a", "account-b", 10);
            request(
                &bank,
                &format!("n{number}"),
                "account-a",
                "account-nobody",
                10,
            );
        }
        wait_for(&bank, "TransferCompleted", 20);
        wait_for(&bank, "TransferRefunded", 20);
        drop(stop_at_end);
    });
    // What was left when they stopped changes nothing.
    block_on(runner(&bank, &pile).named("one").run_until_idle()).unwrap();
    assert_eq!(
        (cents(&bank, "account-a"), cents(&bank, "account-b")),
        (800, 200)
    );
    let count = |name: &str| {
        all(&**store)
            .iter()
            .filter(|event| event.event_type.as_str() == name)
            .count()
    };
    assert_eq!(
        (
            count("MoneyDebited"),
            count("MoneyCredited"),
            count("MoneyRefunded")
        ),
        (40, 20, 20)
    );
    assert_eq!(block_on(bank.parked()).unwrap(), []);
}

#[test]
fn two_at_once_on_the_memory_store() {
    two_at_once(&(Arc::new(MemoryStore::new()) as Arc<dyn EventStore>));
}

#[test]
fn two_at_once_on_the_engine() {
    let engine = engine(7);
    two_at_once(&(Arc::clone(&engine) as Arc<dyn EventStore>));
    engine.close().unwrap();
}
