//! Append, read, close and open again, on real files.

use std::collections::BTreeMap;

use factum_engine::verify::{VerifyDepth, verify};
use factum_store::{
    AppendBatch, Condition, EventStore, Kind, ReadFrom, ReadRequest, Snapshot, SnapshotStore,
    Source,
};
use factum_types::{
    Bytes, EventId, EventType, ExpectedRevision, NewEvent, Query, Revision, Timestamp,
};

use crate::support::{TempDir, append, event, exactly, open, read, small, stream};

#[test]
fn what_was_appended_is_read_after_reopening() {
    let dir = TempDir::new();
    let mut number = 0;
    for round in 0..5u64 {
        let store = open(dir.path());
        assert_eq!(read(&store, ReadRequest::all()).len() as u64, number);
        for _ in 0..300 {
            let name = format!("order-{}", number % 7);
            append(&store, &name, ExpectedRevision::Any, vec![event(number)]).unwrap();
            number += 1;
        }
        let order = read(&store, ReadRequest::stream(stream("order-3")));
        assert_eq!(order.len() as u64, (number + 3) / 7, "round {round}");
        for (index, event) in order.iter().enumerate() {
            assert_eq!(event.revision, Revision::new(index as u64));
        }
        store.close().unwrap();
        let report = verify(
            &dir.path().join("data"),
            VerifyDepth::Full,
            &factum_io::Env::real(),
            &mut |_, _| {},
        )
        .unwrap();
        assert!(report.is_clean(), "round {round}: {report:#?}");
        assert_eq!(report.records, number);
    }
    let store = open(dir.path());
    assert!(store.stats().sealed_segments > 0, "{:?}", store.stats());
}

#[test]
fn expectations_are_kept() {
    let dir = TempDir::new();
    let store = open(dir.path());
    let receipt = append(
        &store,
        "a",
        ExpectedRevision::NoStream,
        vec![event(0), event(1)],
    )
    .unwrap();
    assert_eq!(receipt.writes[0].last_revision, Some(Revision::new(1)));
    let again = append(
        &store,
        "a",
        ExpectedRevision::NoStream,
        vec![event(0), event(1)],
    )
    .unwrap();
    assert!(again.replayed);
    assert_eq!(again.first, receipt.first);
    let error = append(&store, "a", exactly(0), vec![event(9)]).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(error.as_conflict().unwrap().events.len(), 1);
    append(&store, "a", exactly(1), vec![event(2)]).unwrap();
    let info = pollster::block_on(store.stream_info(stream("a"))).unwrap();
    assert_eq!(info.last_revision, Some(Revision::new(2)));
}

#[test]
fn one_process_at_a_time_writes() {
    let dir = TempDir::new();
    let store = open(dir.path());
    let second =
        factum_engine::Engine::open(small(dir.path()), factum_io::Env::real()).unwrap_err();
    assert_eq!(second.kind(), Kind::Unavailable);
    append(&store, "a", ExpectedRevision::Any, vec![event(0)]).unwrap();
    let reader =
        factum_engine::Engine::open(small(dir.path()).read_only(true), factum_io::Env::real())
            .unwrap();
    assert_eq!(read(&reader, ReadRequest::all()).len(), 1);
    let refused = append(&reader, "a", ExpectedRevision::Any, vec![event(1)]).unwrap_err();
    assert_eq!(refused.kind(), Kind::ReadOnly);
}

/// Appends that are submitted one after the other without waiting are judged in that order, also by a store that was just opened and
/// knows nothing by heart. (An import over a store that had been killed failed on this.)
#[test]
fn appends_keep_the_order_of_submission_after_reopening() {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};
    let dir = TempDir::new();
    for round in 0..4u64 {
        let store = open(dir.path());
        let mut pending: Vec<Pin<Box<dyn Future<Output = _> + Send + '_>>> = Vec::new();
        for step in 0..60u64 {
            for name in 0..5u64 {
                let revision = round * 60 + step;
                let expected = match revision.checked_sub(1) {
                    None => ExpectedRevision::NoStream,
                    Some(last) => exactly(last),
                };
                let number = revision * 5 + name;
                let batch = AppendBatch::events(
                    stream(&format!("order-{name}")),
                    expected,
                    vec![event(number)],
                );
                let mut append = store.append(batch);
                let polled = append
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                match polled {
                    Poll::Ready(landed) => drop(landed.unwrap()),
                    Poll::Pending => pending.push(append),
                }
            }
        }
        for append in pending {
            pollster::block_on(append).unwrap();
        }
        store.close().unwrap();
    }
    let store = open(dir.path());
    assert_eq!(read(&store, ReadRequest::all()).len(), 4 * 60 * 5);
}

/// Streams that are in all segments, in few, and in one: whatever is asked of them is what was appended.
#[test]
fn single_streams_are_found_in_many_segments() {
    let dir = TempDir::new();
    let store = open(dir.path());
    let mut expected = BTreeMap::<String, Vec<EventId>>::new();
    for number in 0..1_200u64 {
        let name = match number {
            n if n % 97 == 0 => format!("once-{n}"),
            n if (300..600).contains(&n) && n % 3 == 0 => "middle".to_owned(),
            n => format!("order-{}", n % 5),
        };
        let id = EventId::from_bytes(u128::from(number + 1).to_be_bytes());
        let event_type = EventType::new("Large").unwrap();
        let event = NewEvent::binary(id, event_type, vec![7; 3_000]);
        append(&store, &name, ExpectedRevision::Any, vec![event]).unwrap();
        expected.entry(name).or_default().push(id);
    }
    store.settle().unwrap();
    let sealed = store.stats().sealed_segments;
    assert!(sealed > 12, "{sealed}");
    let check = |request: ReadRequest, expected: &[EventId]| {
        let found = read(&store, request.clone());
        let ids: Vec<_> = found.iter().map(|event| event.id).collect();
        assert_eq!(ids, expected, "{request:?}");
    };
    for (name, ids) in &expected {
        let name = stream(name);
        let newest_first: Vec<_> = ids.iter().rev().copied().collect();
        let backward = ReadRequest::backward(Source::Stream(name.clone()));
        let forward = ReadRequest::stream(name);
        for limit in [1, 2, 10, ids.len()] {
            let some = limit.min(ids.len());
            check(forward.clone().limit(limit as u64), &ids[..some]);
            check(backward.clone().limit(limit as u64), &newest_first[..some]);
        }
        let from = |revision: usize| ReadFrom::Revision(Revision::new(revision as u64));
        for revision in [0, 1, ids.len() / 2, ids.len() - 1] {
            let after = ids.get(revision..).unwrap_or_default();
            check(forward.clone().from(from(revision)), after);
            let until = revision.min(ids.len() - 1);
            let before = &newest_first[ids.len() - 1 - until..];
            check(backward.clone().from(from(revision)), before);
        }
        check(forward.from(from(ids.len())), &[]);
        check(backward.from(from(ids.len() + 7)), &newest_first);
    }
    let nowhere = Source::Stream(stream("nowhere"));
    for request in [
        ReadRequest::forward(nowhere.clone()),
        ReadRequest::forward(nowhere.clone()).limit(0),
        ReadRequest::forward(nowhere.clone()).from(ReadFrom::End),
        ReadRequest::backward(nowhere),
    ] {
        let mut events = store.read(request.clone());
        let error = pollster::block_on(events.next()).unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{request:?}");
        assert!(pollster::block_on(events.next()).is_none());
    }
}

/// Also after the snapshot was all that a segment's end had to say about the time.
#[test]
fn a_snapshot_does_not_make_events_late() {
    let dir = TempDir::new();
    let old = |number: u64| NewEvent {
        time: Some(Timestamp::from_micros(i64::try_from(number).unwrap())),
        ..event(number)
    };
    let name = stream("order-1");
    for round in 0..4_u64 {
        let store = open(dir.path());
        append(&store, "order-1", ExpectedRevision::Any, vec![old(round)]).unwrap();
        let data = Bytes::from(vec![7; 200 << 10]);
        let snapshot = Snapshot::new(name.clone(), "fold", round + 1, data);
        // Whole segments of nothing else.
        for _ in 0..3 {
            pollster::block_on(store.save_snapshot(snapshot.clone())).unwrap();
        }
        // What is sealed is known by what the manifest says of it.
        store.settle().unwrap();
        store.close().unwrap();
    }
    let store = open(dir.path());
    append(&store, "order-2", ExpectedRevision::Any, vec![old(4)]).unwrap();
    let times = read(&store, ReadRequest::all());
    let times: Vec<_> = times.iter().map(|event| event.time.as_micros()).collect();
    assert_eq!(times, [0, 1, 2, 3, 4]);
    assert!(store.stats().sealed_segments > 0, "{:?}", store.stats());
}

/// A condition that is asked for the first time is evaluated twice. What comes after it waits for that.
#[test]
fn those_handed_over_together_keep_their_order_when_one_is_judged_again() {
    let dir = TempDir::new();
    let store = open(dir.path());
    let to = |name: &str, expected, number| {
        AppendBatch::events(stream(name), expected, vec![event(number)])
    };
    let query = Query::event_type(EventType::new("Never").unwrap());
    let never = Condition::NoMatch { query, after: None };
    let answers = pollster::block_on(store.append_each(vec![
        to("other", ExpectedRevision::Any, 1),
        to("s", ExpectedRevision::NoStream, 2).on(never),
        to("s", exactly(0), 3),
        to("s", ExpectedRevision::Any, 4),
    ]));
    for answer in answers {
        answer.unwrap();
    }
    let ids: Vec<_> = read(&store, ReadRequest::stream(stream("s")))
        .iter()
        .map(|event| event.id.as_u128())
        .collect();
    assert_eq!(ids, [3, 4, 5]);
    // More than are handed over at once.
    let many = (0..5_000).map(|number| to("many", ExpectedRevision::Any, 100 + number));
    let answers = pollster::block_on(store.append_each(many.collect()));
    for (revision, answer) in (0..).zip(answers) {
        let last = answer.unwrap().writes[0].last_revision;
        assert_eq!(last, Some(Revision::new(revision)));
    }
    store.close().unwrap();
}
