//! Which version of HTTP a connection speaks, told from its first bytes (RFC 9113, section 3.4).

use std::io;

use tokio::net::TcpStream;

/// How the preface of HTTP/2 begins; no method of HTTP/1.1 does.
const PREFACE: &[u8; 4] = b"PRI ";

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// Waits until the first bytes tell; takes none of them away. `None`: the other side said nothing and went.
pub(super) async fn of(stream: &TcpStream) -> io::Result<Option<Version>> {
    let mut seen = [0; PREFACE.len()];
    loop {
        stream.readable().await?;
        let count = stream.peek(&mut seen).await?;
        if count == 0 {
            return Ok(None);
        }
        let told = seen.get(..count).unwrap_or_default();
        if !PREFACE.starts_with(told) {
            return Ok(Some(Version::One));
        }
        if count == PREFACE.len() {
            return Ok(Some(Version::Two));
        }
        // A few bytes of the preface; the rest is on its way, and readiness does not say when it comes.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
