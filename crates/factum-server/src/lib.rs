//! Serves a store to clients: KurrentDB's protocol, Factum's own, and HTTP, all on one port.
//!
//! What lives here: connections, the meaning of requests, who may do what, persistent subscriptions.
//! Relies on: the store contract and factum-proto. Never: knows which store it serves.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use factum_server::{Options, Server};
//! use factum_store::MemoryStore;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::new());
//! let server = Server::bind(store, Options::default(), factum_io::Env::real()).await?;
//! println!("listening on {}", server.address());
//! server.run(async { std::future::pending().await }).await;
//! # Ok(())
//! # }
//! ```

pub mod auth;
mod call;
mod features;
mod filter;
mod flight;
mod gossip;
mod guard;
mod http;
mod links;
mod listen;
mod log;
mod metrics;
mod monitoring;
mod node;
mod operations;
mod options;
mod overdue;
mod own;
pub mod persistent;
mod room;
mod routes;
mod streams;
mod task;
pub mod tls;
mod users;
mod v2;
mod wire;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;

use factum_io::Env;
use tokio_rustls::TlsAcceptor;

pub use http::http_paths;
pub use node::Store;
pub use options::{Limits, Options};

use listen::Listener;
use node::Node;

/// A server that listens, and answers once it runs.
#[derive(Debug)]
pub struct Server {
    node: Arc<Node>,
    listener: Listener,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen where it should.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Its users cannot be had as they should be.
    #[error(transparent)]
    Users(#[from] auth::StartError),
    /// It cannot be read which persistent subscriptions there are.
    #[error("the persistent subscriptions cannot be read: {0}")]
    Subscriptions(#[from] persistent::SubscriptionError),
}

impl Server {
    /// Takes the address. Connections wait until [`run`](Self::run).
    ///
    /// # Errors
    /// [`StartError`] says what to change.
    pub async fn bind(
        store: Arc<dyn Store>,
        mut options: Options,
        env: Env,
    ) -> Result<Self, StartError> {
        let address = options.address;
        let told = |source| StartError::Listen { address, source };
        let listener = Listener::bind(address).await.map_err(told)?;
        options.address = listener.address().map_err(told)?;
        Ok(Self {
            node: Node::start(store, options, env).await?,
            listener,
        })
    }

    /// Where it listens; with the port that was free when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.node.options.address
    }

    /// Answers until `stop` is ready. Then subscriptions end, persistent ones after noting where they are; requests under way are answered;
    /// each of the two within [`Limits::drain`]. At last every connection is closed.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { node, listener } = self;
        let routes = routes::Entrance::new(&node);
        let limits = node.options.limits.clone();
        let drain = limits.drain;
        let stopped = async {
            tokio::select! {
                () = stop => node.stop(),
                () = node.stopping() => {}
            }
            let groups = node.subscriptions.shutdown();
            if tokio::time::timeout(drain, groups).await.is_err() {
                tracing::warn!(
                    "persistent subscriptions were still busy when the time to stop was up"
                );
            }
        };
        let tls = node.options.tls.as_ref();
        let acceptor = tls.map(|tls| TlsAcceptor::from(tls.config()));
        let watching = async {
            if let Some(tls) = tls {
                tls.watch(tls::WATCH_EVERY).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = listener.serve(routes, &node.metrics, acceptor, limits, stopped) => {}
            () = watching => {}
        }
    }
}
