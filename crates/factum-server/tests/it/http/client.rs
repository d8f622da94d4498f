//! A client that speaks HTTP/1.1, and reads server-sent events.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// For whatever should come soon.
const END: Duration = Duration::from_secs(20);

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Where the next page is.
    pub(crate) fn next(&self) -> Option<String> {
        let link = self.header("link")?;
        let target = link.strip_suffix(">; rel=\"next\"").unwrap();
        Some(target.strip_prefix('<').unwrap().to_owned())
    }

    /// The detail of a problem of this status and kind.
    pub(crate) fn problem(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem = self.json();
        assert_eq!(
            (&problem["status"], &problem["kind"]),
            (&status.into(), &kind.into())
        );
        problem["detail"].as_str().unwrap().to_owned()
    }
}

async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> http::Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).unwrap();
    let sending = sender.send_request(request);
    tokio::time::timeout(END, sending)
        .await
        .expect("an answer")
        .unwrap()
}

/// Asks, and takes the whole answer.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let response = send(address, method, path, headers, body.into()).await;
    let (head, body) = response.into_parts();
    let body = tokio::time::timeout(END, body.collect())
        .await
        .expect("an end");
    Answer {
        status: head.status,
        headers: head.headers,
        body: body.unwrap().to_bytes(),
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[], "").await
}

/// Appends events of our own.
pub(crate) async fn post(address: SocketAddr, path: &str, body: impl Into<Bytes>) -> Answer {
    let answer = ask(address, "POST", path, &[JSON], body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

/// Server-sent events as they come.
pub(crate) struct Events {
    body: Incoming,
    text: String,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) data: String,
    pub(crate) comment: String,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

impl Events {
    pub(crate) async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let response = send(address, "GET", path, headers, Bytes::new()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The first lines as they are.
    pub(crate) async fn lines(&mut self, count: usize) -> String {
        while self.text.lines().count() < count {
            let frame = tokio::time::timeout(END, self.body.frame()).await;
            let data = frame.expect("more").unwrap().unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
        let lines: Vec<_> = self.text.lines().take(count).collect();
        lines.join("\n")
    }

    /// The next block of lines; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut event = Event::default();
                for line in block.lines() {
                    let (name, value) = line.split_once(": ").unwrap();
                    let field = match name {
                        "event" => &mut event.event,
                        "id" => &mut event.id,
                        "data" => &mut event.data,
                        "" => &mut event.comment,
                        "retry" => continue,
                        _ => unreachable!("{line}"),
                    };
                    assert!(field.is_empty(), "{block}");
                    value.clone_into(field);
                }
                self.text = rest.to_owned();
                if event != Event::default() {
                    return Some(event);
                }
                continue;
            }
            let frame = tokio::time::timeout(END, self.body.frame()).await;
            let frame = frame.expect("something to come")?.unwrap();
            let data = frame.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The id and the type of the next event, which is one of the store.
    pub(crate) async fn event(&mut self) -> (u64, String) {
        let next = self.next().await.expect("an event");
        assert_eq!(next.event, "", "{next:?}");
        let name = next.json()["type"].as_str().unwrap().to_owned();
        (next.id.parse().unwrap(), name)
    }

    /// The next is this, and no event of the store.
    pub(crate) async fn is_next(&mut self, event: &str) -> Event {
        let next = self.next().await.expect("more");
        assert_eq!(next.event, event, "{next:?}");
        next
    }
}
