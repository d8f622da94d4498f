//! Servers that come and go.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
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

/// What a test waits for at most, wherever it waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future where there is no runtime, as a client has to allow, and not for ever.
#[track_caller]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let clock = Env::real().clock;
    let began_ns = clock.monotonic_ns();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let passed = Duration::from_nanos(clock.monotonic_ns() - began_ns);
        let Some(left) = PATIENCE.checked_sub(passed) else {
            panic!("it is not ready after {PATIENCE:?}");
        };
        thread::park_timeout(left);
    }
}

/// Waits on the runtime of the servers, and not for ever.
#[track_caller]
pub(crate) fn within<F: Future>(future: F) -> F::Output {
    let answer = RUNTIME.block_on(async { tokio::time::timeout(PATIENCE, future).await });
    answer.expect("it is not ready in time")
}

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
        let server = within(Server::bind(store, options, Env::real())).unwrap();
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
        block_on(Client::connect(&self.url(), ClientOptions::default())).unwrap()
    }

    /// Stops it and waits until its port is free.
    pub(crate) fn stop(mut self) {
        drop(self.stop.take());
        if let Some(ended) = self.ended.take() {
            within(ended).unwrap();
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
