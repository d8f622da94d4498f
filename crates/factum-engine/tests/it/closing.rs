//! What closing leaves for the next opening.

use factum_engine::Engine;
use factum_engine::verify::{VerifyDepth, verify};
use factum_io::Env;
use factum_store::ReadRequest;
use factum_types::{ExpectedRevision, RecordedEvent};

use crate::support::{TempDir, append, event, exactly, open, read, stream};

/// Appends so many bytes of data, and a little more.
fn fill(store: &Engine, mut number: u64, bytes: u64) -> u64 {
    let first = store.stats().segment_bytes;
    while store.stats().segment_bytes < first + bytes {
        let events = (number..number + 50).map(event).collect();
        append(store, "filled", ExpectedRevision::Any, events).unwrap();
        number += 50;
    }
    number
}

fn all(store: &Engine) -> Vec<RecordedEvent> {
    read(store, ReadRequest::all())
}

fn assert_clean(dir: &TempDir) {
    let data = dir.path().join("data");
    let report = verify(&data, VerifyDepth::Full, &Env::real(), &mut |_, _| {}).unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

#[test]
fn a_segment_that_is_worth_it_is_sealed_and_writing_goes_on_behind_it() {
    let dir = TempDir::new();
    let store = open(dir.path());
    let next = fill(&store, 0, 100 << 10);
    let before = all(&store);
    store.close().unwrap();
    assert_eq!(all(&store), before, "readers are served as before");

    let store = open(dir.path());
    let stats = store.stats();
    assert_eq!((stats.sealed_segments, stats.unsealed_segments), (1, 1));
    assert_eq!(all(&store), before);
    let again = append(
        &store,
        "filled",
        ExpectedRevision::Any,
        vec![event(next - 1)],
    )
    .unwrap();
    assert!(again.replayed, "its id is still known");
    let conflict = append(&store, "filled", exactly(next - 2), vec![event(next)]);
    conflict.unwrap_err();
    append(&store, "filled", exactly(next - 1), vec![event(next)]).unwrap();
    store.close().unwrap();

    let store = open(dir.path());
    let found = read(&store, ReadRequest::stream(stream("filled")));
    assert_eq!(found.len() as u64, next + 1);
    store.close().unwrap();
    assert_clean(&dir);
}

#[test]
fn a_little_is_left_as_it_is() {
    let dir = TempDir::new();
    let store = open(dir.path());
    fill(&store, 0, 10 << 10);
    let before = all(&store);
    store.close().unwrap();
    let store = open(dir.path());
    let stats = store.stats();
    assert_eq!((stats.sealed_segments, stats.unsealed_segments), (0, 1));
    assert_eq!(all(&store), before);
}

#[test]
fn full_segments_are_all_sealed() {
    let dir = TempDir::new();
    let store = open(dir.path());
    fill(&store, 0, 2 << 20);
    store.close().unwrap();
    assert!(store.stats().unsealed_segments <= 1);
    drop(store);
    assert_clean(&dir);
}
