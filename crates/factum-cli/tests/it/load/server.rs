//! The server under load.

use std::net::TcpListener;

use fastrand::Rng;

use crate::serve::Serving;
use crate::support::Place;

/// Its directory.
pub(super) const DATA: &str = "served";

/// A port that is free now. It is none of those that the system gives to clients: one that tries to connect to such a port while nobody
/// listens there may be given it, and be connected with itself.
pub(super) fn free_port(rng: &mut Rng) -> u16 {
    let mut tried = std::iter::repeat_with(|| rng.u16(10_000..30_000)).take(1_000);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    tried.find(is_free).expect("no port is free")
}

/// A process.
pub(super) struct Server(Serving);

impl Server {
    /// Returns when it says that it is ready.
    pub(super) fn start(place: &Place, port: u16) -> Self {
        let listen = format!("127.0.0.1:{port}");
        let args = ["serve", "-o", "ndjson", "--insecure", "--data", DATA];
        let command = place.command(&[&args[..], &["--listen", &listen]].concat());
        Self(Serving::start(command))
    }

    /// The most memory that it had, in bytes.
    pub(super) fn highest_memory(&self) -> u64 {
        self.0.memory("VmHWM:")
    }

    /// Kills it, and returns when it is gone.
    pub(super) fn kill(self) {
        self.0.child.kill();
    }

    /// Ends it in order.
    pub(super) fn end(self) {
        assert_eq!(self.0.end(), Some(0));
    }
}
