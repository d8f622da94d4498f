//! Connections: accepted up to a limit, asked for their first bytes within a time, served, and let go when the server stops.
//!
//! What lives here: the accept loop; `serve` is one connection, `first` finds out what it speaks, `hello` and `cork` lie between it and HTTP/2,
//! `conduct` watches what it does, `penalty` remembers it, `whole` counts bodies
//! and sees to it that one that was cut is none, and `sending` bounds what waits to be taken.
//! Relies on: hyper for HTTP/1.1 and HTTP/2. Never: looks at a request.

mod conduct;
mod cork;
mod first;
mod hello;
mod penalty;
mod sending;
mod serve;
mod whole;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::metrics::{Counted, Metrics};
use crate::options::Limits;
use crate::routes::Entrance;
use serve::Served;

pub(crate) use serve::STREAM_WINDOW_BYTES;

/// After an error of `accept`, which is about the process (no file descriptors) and not about one connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that listens, not yet served.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds.
    ///
    /// # Errors
    /// The address is taken, not this machine's, or not allowed.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::bind(address).await?,
        })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until `stop` is ready, then waits for requests under way, at most as long as the limits say. No connection is open afterwards.
    ///
    /// With `tls`, every connection has to speak it.
    pub(crate) async fn serve(
        self,
        routes: Entrance,
        metrics: &Metrics,
        tls: Option<TlsAcceptor>,
        limits: Limits,
        stop: impl Future<Output = ()>,
    ) {
        let served = Arc::new(Served::new(routes, limits.clone()));
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(limits.connections));
        let (closed, mut connections) = (watch::Sender::new(false), JoinSet::new());
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.socket.accept() => accepted,
            };
            let Some(connection) = settle(accepted).await else {
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                metrics.refused_connections.inc();
                tracing::warn!(
                    limit = limits.connections,
                    "a connection was refused: there are too many"
                );
                continue;
            };
            let (served, watcher) = (Arc::clone(&served), graceful.watcher());
            let acceptor = tls.clone();
            let open = Counted::new(&metrics.connections);
            let closing = closed.subscribe();
            connections.spawn(async move {
                served
                    .connection(connection, acceptor, watcher, closing)
                    .await;
                drop((open, place));
            });
        }
        drop(self.socket);
        closed.send_replace(true);
        let drained = async {
            graceful.shutdown().await;
            while connections.join_next().await.is_some() {}
        };
        if tokio::time::timeout(limits.drain, drained).await.is_err() {
            tracing::warn!("some connections were still busy when the time to stop was up");
        }
        connections.shutdown().await;
    }
}

async fn settle(accepted: io::Result<(TcpStream, SocketAddr)>) -> Option<(TcpStream, IpAddr)> {
    match accepted {
        Ok((stream, peer)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection ended before it was served");
                return None;
            }
            Some((stream, peer.ip()))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
