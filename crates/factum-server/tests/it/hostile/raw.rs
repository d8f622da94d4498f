//! Connections that speak bytes, to say what no client says.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Longer than the patience of the server under test, and short enough for a test that hangs.
const END: Duration = Duration::from_secs(20);

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const DATA: u8 = 0;
pub(crate) const PRIORITY: u8 = 2;

/// A frame of HTTP/2 (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A request for `/ping` as a block of headers without any compression (RFC 7541, section 6.2.2).
pub(crate) fn request_headers(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let fixed = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
    ];
    for (name, value) in fixed.iter().chain(more) {
        block.push(0);
        for text in [name, value] {
            literal(&mut block, text);
        }
    }
    block
}

fn literal(block: &mut Vec<u8>, text: &str) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(u8::try_from(rest).unwrap());
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128 + 128).unwrap());
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(text.as_bytes());
}

/// A connection that speaks bytes.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// From another address of this machine.
    pub(crate) async fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        Self(socket.connect(address).await.unwrap())
    }

    /// With the preface and settings sent.
    pub(crate) async fn http2(address: SocketAddr) -> Self {
        Self::connect(address).await.greeting().await
    }

    /// The same with the preface and settings sent.
    pub(crate) async fn greeting(mut self) -> Self {
        self.send(PREFACE).await;
        self.send(&frame(SETTINGS, 0, 0, &[])).await;
        self
    }

    /// Waits for the server's settings, which are the first that it says.
    pub(crate) async fn settings(&mut self) {
        let mut head = [0; 9];
        let read = self.0.read_exact(&mut head);
        tokio::time::timeout(END, read).await.unwrap().unwrap();
        assert_eq!(head[3], SETTINGS);
        let mut rest = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        self.0.read_exact(&mut rest).await.unwrap();
    }

    /// Sends; a server that has hung up already is what many attacks are for.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// What the server says until it hangs up.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        let read = async {
            let mut buffer = [0; 4096];
            loop {
                match self.0.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => said.extend_from_slice(&buffer[..count]),
                }
            }
        };
        tokio::time::timeout(END, read)
            .await
            .expect("the server did not hang up");
        said
    }

    /// Sends again and again until the server hangs up, at most so often.
    pub(crate) async fn flood(&mut self, bytes: &[u8], times: usize) -> bool {
        for _ in 0..times {
            if !self.send(bytes).await {
                return true;
            }
        }
        false
    }
}
