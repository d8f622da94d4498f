//! The conformance suite on the client: a server over the memory store, and one over the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use factum_client::Client;
use factum_conformance::{BoxFuture, Factory, Knobs, TestStore};
use factum_engine::Engine;
use factum_io::{Clock, Env};
use factum_store::{
    AppendBatch, Checkpoint, CheckpointStore, EventStore, EventStream, MemoryStore, ReadRequest,
    Receipt, Snapshot, SnapshotStore, StoreError, StreamInfo, StreamsRequest, SubscribeRequest,
    Subscription,
};
use factum_types::{Position, StreamName, Timestamp};

use crate::support::Running;

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A client, and the server that it is connected to.
struct Served {
    client: Client,
    _server: Running,
}

impl Served {
    fn of(store: Arc<dyn factum_server::Store>) -> Arc<dyn TestStore> {
        let server = Running::new(store);
        Arc::new(Self {
            client: server.client(),
            _server: server,
        })
    }
}

impl EventStore for Served {
    fn append(&self, batch: AppendBatch) -> Answer<'_, Receipt> {
        self.client.append(batch)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.client.read(request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.client.subscribe(request)
    }

    fn head(&self) -> Answer<'_, Option<Position>> {
        self.client.head()
    }

    fn stream_info(&self, stream: StreamName) -> Answer<'_, StreamInfo> {
        self.client.stream_info(stream)
    }

    fn streams(&self, request: StreamsRequest) -> Answer<'_, Vec<StreamInfo>> {
        self.client.streams(request)
    }
}

impl SnapshotStore for Served {
    fn save_snapshot(&self, snapshot: Snapshot) -> Answer<'_, ()> {
        self.client.save_snapshot(snapshot)
    }

    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> Answer<'_, Option<Snapshot>> {
        self.client.load_snapshot(stream, key, at_most)
    }

    fn list_snapshots(&self, stream: StreamName) -> Answer<'_, Vec<Snapshot>> {
        self.client.list_snapshots(stream)
    }

    fn drop_snapshots(&self, stream: StreamName, key: String) -> Answer<'_, ()> {
        self.client.drop_snapshots(stream, key)
    }
}

impl CheckpointStore for Served {
    fn save_checkpoint(&self, consumer: String, checkpoint: Checkpoint) -> Answer<'_, ()> {
        self.client.save_checkpoint(consumer, checkpoint)
    }

    fn load_checkpoint(&self, consumer: String) -> Answer<'_, Option<Checkpoint>> {
        self.client.load_checkpoint(consumer)
    }
}

fn knobs(micros: &Arc<AtomicI64>) -> Knobs {
    let micros = Arc::clone(micros);
    let advance = move |by: Duration| {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        micros.fetch_add(by, Ordering::Relaxed);
    };
    Knobs {
        advance_time: Some(Arc::new(advance)),
        patience: Duration::from_secs(60),
        ..Knobs::default()
    }
}

/// Servers over the memory store.
struct Memory {
    micros: Arc<AtomicI64>,
}

impl Memory {
    fn new() -> Self {
        Self {
            micros: Arc::new(AtomicI64::new(1_704_067_200_000_000)),
        }
    }
}

impl Factory for Memory {
    fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>> {
        let micros = Arc::clone(&self.micros);
        let clock = move || Timestamp::from_micros(micros.fetch_add(1, Ordering::Relaxed));
        let store = MemoryStore::with_clock(Arc::new(clock));
        Box::pin(std::future::ready(Served::of(Arc::new(store))))
    }

    fn knobs(&self) -> Knobs {
        knobs(&self.micros)
    }
}

/// The real clock, moved forward by hand.
#[derive(Debug)]
struct MovedClock {
    real: Arc<dyn Clock>,
    ahead_us: Arc<AtomicI64>,
}

impl Clock for MovedClock {
    fn now_us(&self) -> i64 {
        self.real.now_us() + self.ahead_us.load(Ordering::Relaxed)
    }

    fn monotonic_ns(&self) -> u64 {
        self.real.monotonic_ns()
    }

    fn sleep(&self, duration: Duration) {
        self.real.sleep(duration);
    }
}

/// Servers over the engine on files.
struct OnFiles {
    directory: TempDir,
    next: AtomicU64,
    ahead_us: Arc<AtomicI64>,
}

impl OnFiles {
    fn new() -> Self {
        Self {
            directory: TempDir::new(),
            next: AtomicU64::new(0),
            ahead_us: Arc::default(),
        }
    }
}

impl Factory for OnFiles {
    fn make(&self) -> BoxFuture<'_, Arc<dyn TestStore>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let directory = self.directory.0.join(number.to_string());
        let real = Env::real();
        let clock = MovedClock {
            real: Arc::clone(&real.clock),
            ahead_us: Arc::clone(&self.ahead_us),
        };
        let env = Env {
            clock: Arc::new(clock),
            ..real
        };
        let options = factum_engine::Options::new(directory).segment_bytes(24 << 20);
        let store = Engine::open(options, env).unwrap();
        Box::pin(std::future::ready(Served::of(Arc::new(store))))
    }

    fn knobs(&self) -> Knobs {
        knobs(&self.ahead_us)
    }
}

/// A directory that goes with its owner.
struct TempDir(std::path::PathBuf);

impl TempDir {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("factum-client-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

mod over_memory {
    use super::Memory;

    factum_conformance::conformance_tests!(Memory::new());
}

mod over_the_engine {
    use super::OnFiles;

    factum_conformance::conformance_tests!(OnFiles::new());
}
