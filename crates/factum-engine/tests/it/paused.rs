//! Readers who pause: what they have not read yet is listed a part at a time, and read on when they go on.

use factum_engine::{Engine, Options};
use factum_io::Env;
use factum_store::{ReadFrom, ReadRequest, Source};
use factum_types::{Category, EventType, ExpectedRevision, Query, Revision};

use crate::support::{TempDir, append, event, read, stream};

/// Far more than a plan lists at once.
const EVENTS: u64 = 60_000;
/// Of so many events, one is another stream's.
const OTHERS: u64 = 5;

fn fill(store: &Engine) {
    let mut number = 0;
    while number < EVENTS {
        let events = |count: u64| (number..number + count).map(event).collect();
        append(store, "a-1", ExpectedRevision::Any, events(OTHERS - 1)).unwrap();
        number += OTHERS - 1;
        append(store, "b-1", ExpectedRevision::Any, vec![event(number)]).unwrap();
        number += 1;
    }
}

/// The positions of what is read.
fn positions(store: &Engine, request: ReadRequest) -> Vec<u64> {
    let events = read(store, request);
    events.iter().map(|event| event.position.raw()).collect()
}

/// What is read both ways, from both ends and from the middle, is what it should be.
fn check(store: &Engine) {
    let of_a = |position: &u64| position % OTHERS != OTHERS - 1;
    let all_of_a: Vec<u64> = (0..EVENTS).filter(of_a).collect();
    let third: Vec<u64> = (0..EVENTS).filter(|position| position % 3 == 1).collect();
    let kind = Query::event_type(EventType::new("Type1").unwrap());
    let sources = [
        (Source::Stream(stream("a-1")), all_of_a.clone()),
        (
            Source::Category(Category::new("a").unwrap()),
            all_of_a.clone(),
        ),
        (Source::Query(kind), third),
        (Source::All, (0..EVENTS).collect()),
    ];
    for (source, expected) in sources {
        let forward = positions(store, ReadRequest::forward(source.clone()));
        assert_eq!(forward, expected, "{source:?}");
        let mut backward = positions(store, ReadRequest::backward(source.clone()));
        backward.reverse();
        assert_eq!(backward, expected, "{source:?} backwards");
    }
    let middle = 30_000;
    let from = ReadFrom::Revision(Revision::new(middle));
    let of_stream = Source::Stream(stream("a-1"));
    let on = positions(store, ReadRequest::forward(of_stream.clone()).from(from));
    assert_eq!(on, all_of_a[30_000..]);
    let mut back = positions(store, ReadRequest::backward(of_stream).from(from));
    back.reverse();
    assert_eq!(back, all_of_a[..=30_000]);
}

#[test]
fn a_long_list_is_read_in_parts_without_a_gap_or_a_repeat() {
    let directory = TempDir::new();
    let options = Options::new(directory.path().join("data")).segment_bytes(4 << 20);
    let store = Engine::open(options, Env::real()).unwrap();
    fill(&store);
    store.settle().unwrap();
    // Each has some 20,000 events of the stream, the last one in memory.
    assert_eq!(store.stats().sealed_segments, 2);
    check(&store);
    store.close().unwrap();
}
