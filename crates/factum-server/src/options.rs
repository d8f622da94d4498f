//! Everything about a server that can be set, with its default and its unit.

use std::net::SocketAddr;
use std::time::Duration;

use crate::auth;
use crate::tls::Tls;

/// How a server listens, and what it allows at most.
///
/// ```
/// use factum_server::Options;
///
/// let options = Options::default();
/// assert_eq!(options.address.port(), 2113);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The host and port that clients are told to use, where they differ from those that the client used.
    pub advertise: Option<(String, u16)>,
    /// Who may do what, and how they say who they are.
    pub auth: auth::Options,
    /// How connections are encrypted; not at all when `None`.
    pub tls: Option<Tls>,
    /// What is allowed at most.
    pub limits: Limits,
}

/// What a server allows at most.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Requests at once on one connection; each subscription is one.
    pub requests_per_connection: u32,
    /// Bytes of all headers of a request.
    pub header_bytes: u32,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Appends at once of one `BatchAppend` call, and batches that have begun and not ended.
    pub batches_in_flight: usize,
    /// Appends at once of one call of Factum's own `Append`; what comes beyond waits in the connection.
    pub appends_in_flight: usize,
    /// Bytes of those appends, the last of which may go beyond.
    pub append_bytes_in_flight: usize,
    /// Bytes that all requests have brought, each until it is answered, those of long calls until what they are for is done, but never less than
    /// four messages; what comes beyond is refused. The first 8 KiB of each request are not counted.
    pub request_bytes_in_flight: usize,
    /// For the first byte of a request, for a TLS handshake, and for the headers of an HTTP/1.1 request.
    pub hello: Duration,
    /// Between two pings of an HTTP/2 connection, and for the answer to one.
    pub keep_alive: Duration,
    /// For all messages of one append to be sent.
    pub upload: Duration,
    /// For an append to be answered; then its outcome is told as unknown.
    pub append: Duration,
    /// For the store's answer to any other call of Factum's own protocol that is answered once.
    pub answer: Duration,
    /// For requests under way when the server stops; before that, as long again for persistent subscriptions to note where they are.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 2113)),
            advertise: None,
            auth: auth::Options::default(),
            tls: None,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            requests_per_connection: 1_024,
            header_bytes: 64 << 10,
            message_bytes: 17 << 20,
            batches_in_flight: 256,
            appends_in_flight: 1_024,
            append_bytes_in_flight: 32 << 20,
            request_bytes_in_flight: 128 << 20,
            hello: Duration::from_secs(10),
            keep_alive: Duration::from_secs(20),
            upload: Duration::from_secs(60),
            append: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}
