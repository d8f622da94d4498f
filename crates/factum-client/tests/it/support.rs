//! Servers that come and go.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use factum_client::{Client, ClientOptions};
use factum_io::Env;
use factum_server::auth::Mode;
use factum_server::{Options, Server, Store};
use factum_store::AppendBatch;
use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Where all servers of this binary run; clients have threads of their own.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// A server that stops when it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<JoinHandle<()>>,
}

impl Running {
    /// Serves a store on a free port.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self::at(store, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub(crate) fn at(store: Arc<dyn Store>, address: SocketAddr) -> Self {
        let mut options = Options::default();
        options.address = address;
        options.auth.mode = Mode::Insecure;
        options.limits.drain = Duration::from_secs(2);
        Self::with(store, options)
    }

    pub(crate) fn with(store: Arc<dyn Store>, options: Options) -> Self {
        let server = RUNTIME
            .block_on(Server::bind(store, options, Env::real()))
            .unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let ended = RUNTIME.spawn(server.run(async { drop(stopped.await) }));
        Self {
            address,
            stop: Some(stop),
            ended: Some(ended),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn client(&self) -> Client {
        pollster::block_on(Client::connect(&self.url(), ClientOptions::default())).unwrap()
    }

    /// Stops it and waits until its port is free.
    pub(crate) fn stop(mut self) {
        drop(self.stop.take());
        if let Some(ended) = self.ended.take() {
            RUNTIME.block_on(ended).unwrap();
        }
    }
}

pub(crate) fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

/// So many events for a stream, whose ids count from a number.
pub(crate) fn batch(
    stream: &StreamName,
    expected: ExpectedRevision,
    first: u64,
    count: u64,
) -> AppendBatch {
    let event = |number: u64| {
        let id = EventId::from_bytes(u128::from(number).to_be_bytes());
        NewEvent::json(id, EventType::new("Counted").unwrap(), format!("{number}"))
    };
    let events = (first..first + count).map(event).collect();
    AppendBatch::events(stream.clone(), expected, events)
}
