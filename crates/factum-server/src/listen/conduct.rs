//! How a connection behaves: what it costs the server without taking anything for it.
//!
//! A request that is given up before anything of its answer was taken has cost nearly as much as one that was answered, and the next can be
//! sent at once (CVE-2023-44487); so has a message over the limit, and so have wrong credentials, of which a server can look at a few at once.
//! A client does either now and then. One that goes on loses its connection.
//!
//! Relies on: hyper drops what it does not send. Never: looks at what a request says.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use factum_proto::codec::take_made;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::Service;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::sending::{Held, Sending, Timer};
use super::whole::Whole;
use crate::guard::WrongCredentials;
use crate::room::Brought;
use crate::routes::{self, Entrance};

/// What is forgiven in a second.
const FORGIVEN: u32 = 100;
/// What wrong credentials count. A server hashes a few passwords a second for all: one connection that has all of them hashed does more than
/// is forgiven.
const WRONG_CREDENTIALS: u32 = 50;
/// What a message over the limit counts, when a request that is given up counts one.
const TOO_LARGE: u32 = 50;

/// What a connection has done.
#[derive(Debug)]
pub(super) struct Conduct {
    allowed: u32,
    offences: Mutex<Offences>,
    enough: Notify,
}

#[derive(Debug)]
struct Offences {
    count: u32,
    /// Until when they are forgiven.
    forgiven: Instant,
}

impl Conduct {
    /// At no moment may it have done more than this.
    pub(super) fn new(allowed: u32) -> Self {
        Self {
            allowed,
            offences: Mutex::new(Offences {
                count: 0,
                forgiven: Instant::now(),
            }),
            enough: Notify::new(),
        }
    }

    /// Ready once it was too much.
    pub(super) async fn enough(&self) {
        self.enough.notified().await;
    }

    /// It takes nothing, and others wait for the room of what it was sent.
    pub(super) fn stalls(&self) {
        self.enough.notify_one();
    }

    /// A request was.
    pub(super) fn given_up(&self) {
        self.offends(1);
    }

    fn offends(&self, weight: u32) {
        if weight == 0 {
            return;
        }
        let mut offences = self.offences.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = offences.forgiven.elapsed().as_secs();
        if seconds > 0 {
            let forgiven = u32::try_from(seconds).unwrap_or(u32::MAX);
            let forgiven = forgiven.saturating_mul(FORGIVEN);
            offences.count = offences.count.saturating_sub(forgiven);
            offences.forgiven += Duration::from_secs(seconds);
        }
        offences.count = offences.count.saturating_add(weight);
        if offences.count > self.allowed {
            self.enough.notify_one();
        }
    }
}

/// The routes, for one connection, and what it does.
pub(super) struct Watched {
    routes: Entrance,
    conduct: Arc<Conduct>,
    sending: Arc<Sending>,
    /// For a request to be sent.
    upload: Duration,
}

impl Watched {
    pub(super) const fn new(
        routes: Entrance,
        conduct: Arc<Conduct>,
        sending: Arc<Sending>,
        upload: Duration,
    ) -> Self {
        Self {
            routes,
            conduct,
            sending,
            upload,
        }
    }
}

impl Service<Request<Incoming>> for Watched {
    type Response = Response<Taken>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let brought = self.routes.room().brought();
        let way = Way::of(&request);
        let mut request = Whole::of(request, &self.conduct, &brought, self.upload);
        request.extensions_mut().insert(Arc::clone(&brought));
        let answer = match brought.came(head_bytes(&request)) {
            Ok(()) => self.routes.answer(request),
            Err(full) => Entrance::refuse(&request, full),
        };
        Answering {
            answer,
            open: Some(Open {
                conduct: Arc::clone(&self.conduct),
                counts: true,
            }),
            brought: Some(brought),
            pieces: Some(Pieces {
                sending: Arc::clone(&self.sending),
                conduct: Arc::clone(&self.conduct),
                way,
                made: None,
                timer: None,
            }),
        }
    }
}

/// What the head of a request takes in memory, in bytes.
fn head_bytes<B>(request: &Request<B>) -> usize {
    const FIELD_BYTES: usize = 128;
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        FIELD_BYTES + name.as_str().len() + value.len()
    };
    let fields: usize = request.headers().iter().map(field).sum();
    fields + request.uri().path().len() + request.uri().query().map_or(0, str::len)
}

/// How an answer that may be large is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is small, or nothing that is read.
    Free,
    /// All of it before its first byte can be sent: a page, or a snapshot.
    Whole,
    /// Piece by piece, as they are taken: events, as many as there are.
    Pieces,
}

impl Way {
    fn of<B>(request: &Request<B>) -> Self {
        let path = request.uri().path();
        if request.method() == Method::GET {
            return match path {
                "/subscribe" => Self::Pieces,
                "/all" => Self::Whole,
                _ if path.starts_with("/streams/") => Self::Whole,
                _ => Self::Free,
            };
        }
        match path.rsplit_once('/') {
            Some((_, "Read" | "Subscribe")) => Self::Pieces,
            Some((_, "LoadSnapshot")) => Self::Whole,
            _ => Self::Free,
        }
    }
}

/// A request of which nothing has been taken. If that is how it ends, it counts.
#[derive(Debug)]
struct Open {
    conduct: Arc<Conduct>,
    counts: bool,
}

impl Open {
    fn settle(mut self) {
        self.counts = false;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.counts {
            self.conduct.given_up();
        }
    }
}

/// An answer to come.
pub(super) struct Answering {
    answer: routes::Answering,
    open: Option<Open>,
    /// Until it is answered, whoever else has it.
    brought: Option<Arc<Brought>>,
    pieces: Option<Pieces>,
}

impl Future for Answering {
    type Output = Result<Response<Taken>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(pieces) = &mut self.pieces {
            ready!(pieces.poll_room(Way::Whole, context));
        }
        let _of_others = take_made();
        let answer = self.answer.as_mut().poll(context);
        let made = take_made();
        if let Some(brought) = self.brought.as_ref().filter(|_| made > 0) {
            brought.made(made);
        }
        let answer = ready!(answer);
        if let Some(open) = self.open.as_ref() {
            open.conduct.offends(weight(&answer));
        }
        self.brought = None;
        let mut answer = answer.map(|body| Taken {
            body,
            open: self.open.take(),
            pieces: self.pieces.take(),
        });
        answer.body_mut().made();
        if answer.body().is_end_stream() {
            // Its head is all of it, and nobody is told whether that was sent.
            answer.body_mut().settle();
        }
        Poll::Ready(Ok(answer))
    }
}

/// What an answer counts for what was asked.
fn weight<B>(answer: &Response<B>) -> u32 {
    if answer.extensions().get::<WrongCredentials>().is_some() {
        return WRONG_CREDENTIALS;
    }
    let code = answer.headers().get(Status::GRPC_STATUS);
    match code.map(|code| Code::from_bytes(code.as_bytes())) {
        // Of what is not there, and so quick that it can be asked for without end.
        Some(Code::Unimplemented) => 1,
        // Before any of it was read.
        Some(Code::OutOfRange) => TOO_LARGE,
        _ => 0,
    }
}

/// The body of an answer, of which something is taken or nothing.
#[derive(Debug)]
pub(super) struct Taken {
    body: Body,
    open: Option<Open>,
    pieces: Option<Pieces>,
}

/// The pieces of an answer that wait to be taken.
#[derive(Debug)]
struct Pieces {
    sending: Arc<Sending>,
    conduct: Arc<Conduct>,
    way: Way,
    /// The room of an answer that was made whole.
    made: Option<Held>,
    timer: Timer,
}

/// Bytes that give their room back when the connection has let go of them, which may be long after it took them.
#[derive(Debug)]
struct HeldBytes {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Pieces {
    /// Ready when more may be made, of an answer that is made this way.
    fn poll_room(&mut self, way: Way, context: &mut Context<'_>) -> Poll<()> {
        if self.way == way {
            return self.sending.poll_room(&mut self.timer, context);
        }
        Poll::Ready(())
    }

    /// Takes room for a piece until nobody has it any more.
    fn hold(&mut self, bytes: Bytes) -> Bytes {
        let held = self.made.take();
        let held = held.or_else(|| self.sending.hold(bytes.len(), &self.conduct));
        match held {
            Some(held) => Bytes::from_owner(HeldBytes { bytes, _held: held }),
            None => bytes,
        }
    }
}

impl Taken {
    fn settle(&mut self) {
        if let Some(open) = self.open.take() {
            open.settle();
        }
    }

    /// Takes room for an answer that is there.
    fn made(&mut self) {
        let bytes = self.body.size_hint().exact().unwrap_or(0);
        if let Some(pieces) = self
            .pieces
            .as_mut()
            .filter(|pieces| pieces.way == Way::Whole)
        {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            pieces.made = pieces.sending.hold(bytes, &pieces.conduct);
        }
    }
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.settle();
        if let Some(pieces) = &mut self.pieces {
            ready!(pieces.poll_room(Way::Pieces, context));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let pieces = self.pieces.as_mut();
        Poll::Ready(match (frame, pieces) {
            (Some(Ok(frame)), Some(pieces)) => Some(Ok(frame.map_data(|data| pieces.hold(data)))),
            (frame, _) => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{advance, timeout};

    use super::{Conduct, FORGIVEN, Request, Way};

    async fn is_enough(conduct: &Conduct) -> bool {
        timeout(Duration::ZERO, conduct.enough()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_enough_when_more_was_done_than_is_forgiven() {
        let conduct = Conduct::new(10);
        conduct.offends(10);
        assert!(!is_enough(&conduct).await);
        conduct.offends(1);
        assert!(is_enough(&conduct).await);
        let conduct = Conduct::new(10);
        for _ in 0..1_000 {
            conduct.offends(10);
            advance(Duration::from_secs(1)).await;
        }
        assert!(
            !is_enough(&conduct).await,
            "{FORGIVEN} are forgiven in a second"
        );
        conduct.offends(u32::MAX);
        assert!(is_enough(&conduct).await);
    }

    #[test]
    fn large_answers_are_made_whole_or_in_pieces() {
        let check = |method: &str, path: &str, way: Way| {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(())
                .unwrap();
            assert_eq!(Way::of(&request), way, "{method} {path}");
        };
        check("GET", "/streams/order-1?limit=1", Way::Whole);
        check("GET", "/all", Way::Whole);
        check("GET", "/subscribe", Way::Pieces);
        check("GET", "/metrics", Way::Free);
        check("POST", "/streams/order-1", Way::Free);
        let streams = "/event_store.client.streams.Streams";
        check("POST", &format!("{streams}/Read"), Way::Pieces);
        check("POST", &format!("{streams}/BatchAppend"), Way::Free);
        check("POST", "/factum.v1.Store/Subscribe", Way::Pieces);
        check("POST", "/factum.v1.Store/LoadSnapshot", Way::Whole);
    }
}
