//! What the tests share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use factum_engine::{Engine, Options};
use factum_store::{AppendBatch, EventStore, ReadRequest, Receipt, StoreError};
use factum_types::{
    EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, Revision, StreamName,
};

/// A directory that is removed when the test is done.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("factum-it-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Small segments, so that sealing happens.
pub(crate) fn small(directory: &Path) -> Options {
    Options::new(directory.join("data")).segment_bytes(256 << 10)
}

pub(crate) fn open(directory: &Path) -> Engine {
    Engine::open(small(directory), factum_io::Env::real()).unwrap()
}

pub(crate) fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

pub(crate) fn event(number: u64) -> NewEvent {
    let id = EventId::from_bytes(u128::from(number + 1).to_be_bytes());
    let data = format!(
        "{{\"number\":{number},\"text\":\"{}\"}}",
        "x".repeat((number % 50) as usize)
    );
    NewEvent::json(
        id,
        EventType::new(format!("Type{}", number % 3)).unwrap(),
        data,
    )
}

pub(crate) fn append(
    store: &Engine,
    name: &str,
    expected: ExpectedRevision,
    events: Vec<NewEvent>,
) -> Result<Receipt, StoreError> {
    pollster::block_on(store.append(AppendBatch::events(stream(name), expected, events)))
}

pub(crate) fn exactly(revision: u64) -> ExpectedRevision {
    ExpectedRevision::Exactly(Revision::new(revision))
}

pub(crate) fn read(store: &Engine, request: ReadRequest) -> Vec<RecordedEvent> {
    pollster::block_on(store.read(request).collect()).unwrap()
}
