//! Where events to test with come from.

use std::sync::Arc;

use factum::framework::event::read;
use factum::framework::snapshot::differs_from_replay;
use factum::store::ReadRequest;
use factum::types::Category;
use factum::{Event, EventStore, MemoryStore, RecordedEvent, StreamName};
use loan_applications::{CATEGORY, LoanApplication, LoanEvent, log};

/// A few applications, made up in the shape of real ones.
pub(crate) const SAMPLE: &[u8] = include_bytes!("../sample.ndjson");

/// A store with a log in it, and how many events that is.
pub(crate) fn stored(log: &[u8]) -> (Arc<MemoryStore>, usize) {
    let store = Arc::new(MemoryStore::new());
    let count = pollster::block_on(log::import(log, &*store)).unwrap();
    (store, count)
}

/// All events, in order.
pub(crate) fn all(store: &dyn EventStore) -> Vec<RecordedEvent> {
    let category = Category::new(CATEGORY).unwrap();
    pollster::block_on(store.read(ReadRequest::category(category)).collect()).unwrap()
}

/// The events of one application.
pub(crate) fn of(store: &dyn EventStore, stream: &str) -> Vec<RecordedEvent> {
    let stream = StreamName::new(stream).unwrap();
    pollster::block_on(store.read(ReadRequest::stream(stream)).collect()).unwrap()
}

/// Every event is read as one of ours, and written again byte for byte.
pub(crate) fn check_bytes(events: &[RecordedEvent]) {
    for recorded in events {
        let read = read::<LoanEvent>(recorded).unwrap();
        let [event] = read.as_slice() else {
            panic!("{recorded:?} is read as {read:?}")
        };
        assert_eq!(event.encode().unwrap(), recorded.data, "{recorded:?}");
        assert_eq!(event.kind().name, recorded.event_type.as_str());
    }
}

/// A snapshot at every cut, and the rest, give what a replay gives.
pub(crate) fn check_cuts(events: &[RecordedEvent]) {
    let cut = differs_from_replay::<LoanApplication>(events).unwrap();
    assert_eq!(cut, None, "{:?}", events.first().map(|event| &event.stream));
}
