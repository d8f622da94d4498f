//! What only the memory store promises: its clocks. Everything else is asked by the suite of `factum-conformance`.

#[cfg(test)]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use factum_store::{AppendBatch, EventStore, MemoryStore, ReadRequest};
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName, Timestamp};

use support::ready;

fn append(store: &MemoryStore, number: u8) {
    let stream = StreamName::new("order-1").expect("a valid name");
    let event_type = EventType::new("Happened").expect("a valid name");
    let event = NewEvent::json(EventId::from_bytes([number; 16]), event_type, "{}");
    let batch = AppendBatch::events(stream, ExpectedRevision::Any, vec![event]);
    ready(store.append(batch)).expect("it is appended");
}

fn times(store: &MemoryStore) -> Vec<i64> {
    let events = ready(store.read(ReadRequest::all()).collect()).expect("it is read");
    events.iter().map(|event| event.time.as_micros()).collect()
}

#[test]
fn a_counting_clock_moves_by_a_millisecond_per_append() {
    let store = MemoryStore::new();
    for number in 1..=3 {
        append(&store, number);
        times(&store);
    }
    let start = 1_704_067_200_000_000;
    assert_eq!(times(&store), [start + 1_000, start + 2_000, start + 3_000]);
}

#[test]
fn a_clock_that_goes_back_does_not_take_the_store_with_it() {
    let clock = Arc::new(AtomicI64::new(0));
    let hand = Arc::clone(&clock);
    let store = MemoryStore::with_clock(Arc::new(move || {
        Timestamp::from_micros(hand.load(Ordering::Relaxed))
    }));
    for (number, time) in (1..).zip([50, 90, 10, -3, 91]) {
        clock.store(time, Ordering::Relaxed);
        append(&store, number);
    }
    assert_eq!(times(&store), [50, 90, 90, 90, 91]);
}

#[test]
fn a_clone_is_the_same_store() {
    let store = MemoryStore::new();
    let clone = store.clone();
    append(&store, 1);
    append(&clone, 2);
    assert_eq!(times(&store), times(&clone));
    assert_eq!(times(&store).len(), 2);
}
