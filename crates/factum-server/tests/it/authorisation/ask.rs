//! Asking a server as somebody, whatever the method, and what it says to that.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut, Bytes, BytesMut};
use factum_proto::kurrent::streams::{BatchAppendResp, batch_append_resp};
use factum_proto::v1::{AppendResponse, append_response};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, Full};
use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::ServiceExt as _;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Anonymous,
    /// A user in no group: `anna`.
    User,
    Ops,
    Admin,
    /// The right login, another password.
    WrongPassword,
    /// No such user.
    NoUser,
    /// A header that is none.
    Malformed,
}

impl Who {
    pub(super) const KNOWN: [Self; 4] = [Self::Anonymous, Self::User, Self::Ops, Self::Admin];
    pub(super) const WRONG: [Self; 3] = [Self::WrongPassword, Self::NoUser, Self::Malformed];

    pub(super) fn header(self) -> Option<String> {
        let (login, password) = match self {
            Self::Anonymous => return None,
            Self::Malformed => return Some("Digest username=\"admin\"".to_owned()),
            Self::User => ("anna", "secret"),
            Self::Ops => ("ops", "changeit"),
            Self::Admin => ("admin", "changeit"),
            Self::WrongPassword => ("admin", "secret"),
            Self::NoUser => ("nobody", "changeit"),
        };
        let encoded = BASE64.encode(format!("{login}:{password}"));
        Some(format!("Basic {encoded}"))
    }
}

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It did it, or refused with this code for another reason than who asked.
    Answered(Code),
    /// Not you; with what tells clients so.
    Denied,
    /// Who are you?
    Unauthenticated,
}

/// One message, as a body has it.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut body).unwrap();
    body.freeze()
}

/// Calls a method, and looks at the first that it answers.
pub(super) async fn call(channel: &Channel, path: &str, body: Bytes, who: Who) -> Said {
    let mut request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers");
    if let Some(value) = who.header() {
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request.body(Body::new(Full::new(body))).unwrap();
    let response = channel.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let (head, mut body) = response.into_parts();
    if head.headers.contains_key("grpc-status") {
        return said(path, &head.headers);
    }
    let first = body.frame().await.unwrap().unwrap();
    match first.into_data() {
        Ok(data) if path.ends_with("/BatchAppend") => of_batch(&data),
        Ok(data) if path.starts_with("/factum.v1.Store/Append") => of_own(&data),
        Ok(_) => Said::Answered(Code::Ok),
        Err(frame) => said(path, frame.trailers_ref().unwrap()),
    }
}

fn said(path: &str, trailers: &HeaderMap) -> Said {
    let code: i32 = trailers["grpc-status"].to_str().unwrap().parse().unwrap();
    match Code::from(code) {
        Code::PermissionDenied => {
            // The second protocol tells it as a detail.
            let detail = trailers.contains_key("grpc-status-details-bin");
            let exception = trailers.get("exception");
            let told = exception.is_some_and(|value| value == "access-denied");
            let second = path.starts_with("/kurrentdb.protocol.v2.");
            assert!(if second { detail } else { told }, "{path}: {trailers:?}");
            Said::Denied
        }
        Code::Unauthenticated => Said::Unauthenticated,
        other => Said::Answered(other),
    }
}

/// Many appends are one call: each is answered by a message of its own.
fn of_batch(data: &[u8]) -> Said {
    let answer = BatchAppendResp::decode(&data[5..]).unwrap();
    match answer.result.unwrap() {
        batch_append_resp::Result::Success(_) => Said::Answered(Code::Ok),
        batch_append_resp::Result::Error(error) => {
            if Code::from(error.code) == Code::PermissionDenied {
                let detail = error.details.unwrap();
                assert!(detail.type_url.contains("AccessDenied"), "{detail:?}");
                return Said::Denied;
            }
            Said::Answered(Code::from(error.code))
        }
    }
}

/// Factum's own protocol answers an append by a message, and names the stream that is not for the caller.
fn of_own(data: &[u8]) -> Said {
    let answer = AppendResponse::decode(&data[5..]).unwrap();
    match answer.result.unwrap() {
        append_response::Result::Receipt(_) => Said::Answered(Code::Ok),
        append_response::Result::Error(error) if error.message.contains("denied") => Said::Denied,
        append_response::Result::Error(_) => Said::Answered(Code::Unknown),
    }
}

/// A request over HTTP/1.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain {
    pub(super) method: &'static str,
    /// As the server lists it.
    pub(super) route: &'static str,
    /// One of it.
    pub(super) path: &'static str,
    /// Type and text of the body.
    pub(super) body: Option<(&'static str, &'static str)>,
}

/// The head of what a path answers over HTTP/1.1; what follows may have no end.
pub(super) async fn head(address: SocketAddr, plain: Plain, who: Who) -> String {
    let Plain { method, path, .. } = plain;
    let credentials = who.header();
    let credentials =
        credentials.map_or_else(String::new, |value| format!("authorization: {value}\r\n"));
    let (kind, body) = plain.body.unwrap_or(("text/plain", ""));
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{credentials}content-type: {kind}\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 1_024];
    loop {
        let count = connection.read(&mut buffer).await.unwrap();
        answer.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            return head.to_owned();
        }
        assert!(count > 0, "{method} {path}: {text}");
    }
}

/// Asks over HTTP/1.1.
pub(super) async fn plain(address: SocketAddr, plain: Plain, who: Who) -> Said {
    let answer = head(address, plain, who).await;
    match answer.split(' ').nth(1).unwrap() {
        "200" | "201" | "204" => Said::Answered(Code::Ok),
        "400" => Said::Answered(Code::InvalidArgument),
        "401" => {
            let asks = answer.contains("\r\nwww-authenticate: basic realm=");
            assert!(asks, "{plain:?}: {answer}");
            Said::Unauthenticated
        }
        "403" => Said::Denied,
        "404" => Said::Answered(Code::NotFound),
        other => unreachable!("{plain:?}: {other}: {answer}"),
    }
}
