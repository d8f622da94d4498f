//! What closing leaves for the next opening.

use std::io;
use std::path::Path;
use std::sync::Arc;

use factum_engine::Engine;
use factum_engine::verify::{VerifyDepth, verify};
use factum_io::Env;
use factum_io::disk::{DirLock, Disk, DiskFile, Open};
use factum_store::ReadRequest;
use factum_types::{ExpectedRevision, RecordedEvent};

use crate::support::{TempDir, append, event, exactly, open, read, small, stream};

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
    let next = fill(&store, 0, 160 << 10);
    store.settle().unwrap();
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
fn what_was_prepared_and_not_used_is_given_back_after_a_crash() {
    let dir = TempDir::new();
    let store = open(dir.path());
    fill(&store, 0, 600 << 10);
    store.settle().unwrap();
    let before = all(&store);
    store.close().unwrap();
    let segments = dir.path().join("data/segments");
    let names = std::fs::read_dir(&segments).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let last = names.filter_map(|name| Some(name.strip_suffix(".g0.idx")?.to_owned()));
    let last = segments.join(last.max().unwrap() + ".seg");
    let file = Env::real().disk.open(&last, Open::write()).unwrap();
    let used = file.len().unwrap();
    // As it is when the process ends right after the manifest was written.
    file.set_len(256 << 10).unwrap();
    assert!(used < 256 << 10);

    let store = open(dir.path());
    assert_eq!(std::fs::metadata(&last).unwrap().len(), used);
    assert_eq!(all(&store), before);
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

/// A real disk that does something else before the first segment is opened.
#[derive(Debug)]
struct Hooked {
    disk: Arc<dyn Disk>,
    store: Engine,
}

impl Disk for Hooked {
    fn open(&self, path: &Path, options: Open) -> io::Result<Arc<dyn DiskFile>> {
        if path.extension().is_some_and(|kind| kind == "seg") {
            // Again does nothing.
            self.store.close().unwrap();
        }
        self.disk.open(path, options)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        self.disk.lock(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
}

/// A store with much in the segment that is written, and what there is to work with that closes it once a segment is looked for.
fn about_to_close(dir: &TempDir) -> (Engine, Env) {
    let store = open(dir.path());
    fill(&store, 0, 160 << 10);
    store.settle().unwrap();
    let mut env = Env::real();
    let (disk, closing) = (Arc::clone(&env.disk), store.clone());
    env.disk = Arc::new(Hooked {
        disk,
        store: closing,
    });
    (store, env)
}

/// Whoever reads beside a writer that closes finds all of it: the file that it was told of is shorter by then, and the manifest says so.
#[test]
fn a_reader_beside_it_misses_nothing() {
    let dir = TempDir::new();
    let (store, env) = about_to_close(&dir);
    let beside = Engine::open(small(dir.path()).read_only(true), env).unwrap();
    let report = beside.report();
    assert!(!report.degraded, "{report:?}");
    assert_eq!(report.sealed_segments, 1);
    assert_eq!(all(&beside), all(&store));
}

#[test]
fn a_verification_beside_it_finds_nothing() {
    let dir = TempDir::new();
    let (_store, env) = about_to_close(&dir);
    let data = dir.path().join("data");
    let report = verify(&data, VerifyDepth::Full, &env, &mut |_, _| {}).unwrap();
    assert!(report.is_clean(), "{report:#?}");
}
