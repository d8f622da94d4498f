//! Append, read, close and open again, on real files.

use factum_engine::verify::{VerifyDepth, verify};
use factum_store::{EventStore, Kind, ReadRequest};
use factum_types::{ExpectedRevision, Revision};

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
                let batch = factum_store::AppendBatch::events(
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
