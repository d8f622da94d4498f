//! One connection, from its first byte to its end.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::conduct::{Conduct, Watched};
use super::cork::Cork;
use super::first::{self, Version};
use super::hello::Hello;
use super::penalty::Penalties;
use super::sending::Sending;
use crate::options::Limits;
use crate::routes::Entrance;

/// What may wait in one stream, and in one connection, before the other side has to pause: bytes of requests.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// What may wait to be sent in one stream, in bytes.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Streams that were reset by the other side before they were looked at; with more the connection ends (CVE-2023-44487).
const PENDING_RESETS: usize = 64;
/// Resets of ours that the other side caused; with more the connection ends (CVE-2025-8671).
const LOCAL_RESETS: usize = 256;
/// Requests that a connection may have given up without taking anything of their answers, beyond what is forgiven with time; and one of an
/// address that did more a short time ago.
const OFFENCES: u32 = 1_000;
const OFFENCES_AGAIN: u32 = 100;
/// Headers of one HTTP/1.1 request.
const HEADERS: usize = 128;

/// What all connections are served with.
pub(super) struct Served {
    routes: Entrance,
    limits: Limits,
    penalties: Penalties,
    sending: Arc<Sending>,
    one: http1::Builder,
    two: http2::Builder<TokioExecutor>,
}

/// A connection that has said what it speaks.
enum Opened {
    Plain(Version, TcpStream),
    Encrypted(Version, Box<TlsStream<TcpStream>>),
}

impl Served {
    pub(super) fn new(routes: Entrance, limits: Limits) -> Self {
        let mut one = http1::Builder::new();
        one.timer(TokioTimer::new())
            .header_read_timeout(limits.hello)
            .max_headers(HEADERS)
            .max_buf_size(limits.header_bytes.max(8 << 10) as usize);
        let mut two = http2::Builder::new(TokioExecutor::new());
        two.timer(TokioTimer::new())
            .max_concurrent_streams(limits.requests_per_connection)
            .max_header_list_size(limits.header_bytes)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .max_local_error_reset_streams(LOCAL_RESETS)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(limits.keep_alive)
            .keep_alive_timeout(limits.keep_alive);
        Self {
            routes,
            limits,
            penalties: Penalties::default(),
            sending: Arc::default(),
            one,
            two,
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn connection(
        &self,
        (stream, peer): (TcpStream, IpAddr),
        tls: Option<TlsAcceptor>,
        watcher: Watcher,
        mut closing: watch::Receiver<bool>,
    ) {
        let closed = async move { closing.wait_for(|closed| *closed).await.is_ok() };
        let penalty = self.penalties.of(peer);
        let opened = async {
            tokio::select! {
                biased;
                _ = closed => None,
                opened = self.open_after(penalty, stream, tls) => opened,
            }
        };
        let conduct = Arc::new(Conduct::new(match penalty {
            None => OFFENCES,
            Some(_) => OFFENCES_AGAIN,
        }));
        let spoken = async {
            let conduct = Arc::clone(&conduct);
            match opened.await {
                Some(Opened::Plain(version, stream)) => {
                    self.speak(version, (stream, peer), conduct, watcher).await;
                }
                Some(Opened::Encrypted(version, stream)) => {
                    self.speak(version, (*stream, peer), conduct, watcher).await;
                }
                None => {}
            }
        };
        tokio::select! {
            biased;
            () = conduct.enough() => {
                self.penalties.add(peer);
                tracing::warn!(%peer, "a connection was ended: it went on giving requests up or sending messages over the limit, or took nothing of its answers while others waited for room");
            }
            () = spoken => {}
        }
    }

    /// What a connection speaks, once its address has waited; `None` when it has ended.
    async fn open_after(
        &self,
        penalty: Option<Instant>,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
    ) -> Option<Opened> {
        if let Some(until) = penalty {
            sleep_until(until).await;
        }
        self.open(stream, tls).await
    }

    /// What a connection speaks; `None` when it has ended.
    async fn open(&self, stream: TcpStream, tls: Option<TlsAcceptor>) -> Option<Opened> {
        let Some(tls) = tls else {
            match within(self.limits.hello, first::of(&stream)).await {
                Some(Ok(Some(version))) => return Some(Opened::Plain(version, stream)),
                Some(Ok(None)) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, "a connection ended before its first request");
                }
                None => tracing::debug!("a connection said nothing and was closed"),
            }
            return None;
        };
        match within(self.limits.hello, tls.accept(stream)).await {
            Some(Ok(stream)) => {
                let version = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Version::Two,
                    _ => Version::One,
                };
                return Some(Opened::Encrypted(version, Box::new(stream)));
            }
            Some(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            None => tracing::debug!("a TLS handshake took too long"),
        }
        None
    }

    async fn speak<S>(
        &self,
        version: Version,
        (stream, peer): (S, IpAddr),
        conduct: Arc<Conduct>,
        watcher: Watcher,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = Watched::new(
            self.routes.clone(),
            conduct,
            Arc::clone(&self.sending),
            self.limits.upload,
        );
        let ended = match version {
            // The head of its requests has an end of its own.
            Version::One => {
                let io = TokioIo::new(stream);
                watcher.watch(self.one.serve_connection(io, service)).await
            }
            Version::Two => {
                let io = TokioIo::new(Hello::new(Cork::new(stream), self.limits.hello));
                watcher.watch(self.two.serve_connection(io, service)).await
            }
        };
        if let Err(error) = ended {
            if is_against_the_rules(&error) {
                self.penalties.add(peer);
                tracing::warn!(%peer, %error, "a connection was ended: it broke the rules of HTTP/2");
            } else {
                tracing::debug!(%error, "a connection ended with an error");
            }
        }
    }
}

/// Whether it was this side that ended a connection of HTTP/2, for what the other did.
fn is_against_the_rules(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    cause.is_some_and(|cause: &h2::Error| cause.is_go_away() && cause.is_library())
}

async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(time, future).await.ok()
}
