//! What cannot be opened says why, and what can be opened although something is missing loses nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests take files away behind the engine's back"
)]

use std::path::Path;

use factum_engine::{Engine, Options};
use factum_io::Env;
use factum_store::{Kind, ReadRequest};
use factum_types::ExpectedRevision;

use crate::support::{TempDir, append, event, open, read, small};

/// A checksummed file says that it is of version 2.
fn make_newer(path: &Path, checksum_at: impl Fn(&[u8]) -> usize, copies: &[usize]) {
    let mut bytes = std::fs::read(path).unwrap();
    for start in copies {
        let copy = &mut bytes[*start..];
        copy[8..10].copy_from_slice(&2_u16.to_le_bytes());
        let at = checksum_at(copy);
        let checksum = factum_format::hash::xxh3_64(&copy[..at]);
        copy[at..at + 8].copy_from_slice(&checksum.to_le_bytes());
    }
    std::fs::write(path, bytes).unwrap();
}

fn filled(dir: &TempDir, events: u64) {
    let store = open(dir.path());
    for number in 0..events {
        append(&store, "a-1", ExpectedRevision::Any, vec![event(number)]).unwrap();
    }
    store.close().unwrap();
}

fn refused(dir: &TempDir) -> factum_store::StoreError {
    Engine::open(small(dir.path()), Env::real()).unwrap_err()
}

#[test]
fn a_newer_manifest_is_refused_by_its_version() {
    let dir = TempDir::new();
    filled(&dir, 3);
    let total = |bytes: &[u8]| bytes.len() - 8;
    make_newer(&dir.path().join("data/MANIFEST.a"), total, &[0]);
    let error = refused(&dir);
    assert_eq!(error.kind(), Kind::ReadOnly);
    assert!(error.to_string().contains("MANIFEST.a"), "{error}");
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn a_newer_segment_is_refused_by_its_version() {
    let dir = TempDir::new();
    filled(&dir, 3);
    let path = dir.path().join("data/segments/0000000001.seg");
    make_newer(&path, |_| 120, &[0, 2048]);
    let error = refused(&dir);
    assert!(error.to_string().contains("0000000001.seg"), "{error}");
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn a_store_without_a_readable_manifest_says_so() {
    let dir = TempDir::new();
    filled(&dir, 3);
    for copy in ["data/MANIFEST.a", "data/MANIFEST.b"] {
        std::fs::write(dir.path().join(copy), b"half").unwrap();
    }
    let error = refused(&dir);
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("MANIFEST.b"), "{error}");
    std::fs::remove_file(dir.path().join("data/MANIFEST.a")).unwrap();
    std::fs::remove_file(dir.path().join("data/MANIFEST.b")).unwrap();
    assert_eq!(
        refused(&dir).kind(),
        Kind::Corrupt,
        "segments without a manifest are no new store"
    );
}

#[test]
fn one_copy_of_the_manifest_is_enough() {
    let dir = TempDir::new();
    filled(&dir, 3);
    for copy in ["data/MANIFEST.a", "data/MANIFEST.b"] {
        std::fs::write(dir.path().join(copy), b"half").unwrap();
        let store = open(dir.path());
        assert_eq!(store.report().manifest_damage.len(), 1);
        assert_eq!(read(&store, ReadRequest::all()).len(), 3);
        store.close().unwrap();
        assert!(
            open(dir.path()).report().manifest_damage.is_empty(),
            "it was written anew"
        );
    }
}

#[test]
fn a_shortened_segment_is_named_and_not_taken_for_the_end() {
    let dir = TempDir::new();
    filled(&dir, 60);
    let path = dir.path().join("data/segments/0000000001.seg");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..8_192]).unwrap();
    match Engine::open(small(dir.path()), Env::real()) {
        Ok(store) => {
            assert!(store.report().degraded, "{:?}", store.report());
            let damage = &store.report().damage;
            assert!(
                damage[0].damage.file.contains("0000000001.seg"),
                "{damage:?}"
            );
        }
        Err(error) => assert_eq!(error.kind(), Kind::Corrupt, "{error}"),
    }
}

#[test]
fn a_missing_index_is_made_again() {
    let dir = TempDir::new();
    let store = open(dir.path());
    for batch in 0..40 {
        let events: Vec<_> = (batch * 100..batch * 100 + 100).map(event).collect();
        append(&store, "a-1", ExpectedRevision::Any, events).unwrap();
    }
    store.settle().unwrap();
    let all = read(&store, ReadRequest::all());
    store.close().unwrap();
    for entry in std::fs::read_dir(dir.path().join("data/segments")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let store = open(dir.path());
    assert!(store.stats().sealed_segments > 0);
    assert_eq!(read(&store, ReadRequest::all()), all);
    let stream = read(&store, ReadRequest::stream(crate::support::stream("a-1")));
    assert_eq!(stream.len(), 4_000);
}

#[test]
fn nothing_is_made_where_nothing_should_be() {
    let dir = TempDir::new();
    let options = || Options::new(dir.path().join("data"));
    for options in [options().create(false), options().read_only(true)] {
        let error = Engine::open(options, Env::real()).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
    assert!(!dir.path().join("data").exists());
}
