//! Calls in which both sides go on, read without keeping what was read.
//!
//! What tonic reads messages into is as large as the largest of them until the call ends, and such calls are open for days. Here a large message has memory
//! of its own, which goes with it. Relies on: the framing of gRPC over HTTP/2: a byte for compression, which we do not take, and
//! the length in four. Never: keeps a message that has been handed on.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::{Buf, Bytes};
use factum_proto::codec;
use futures_core::Stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use prost::{Message, Name};
use tonic::codec::{EncodeBody, SingleMessageCompressionOverride};
use tonic::codegen::StdError;
use tonic::{Code, Status};
use tonic_prost::ProstEncoder;

use crate::auth::Caller;
use crate::room::Brought;

/// What stands before each message of gRPC, in bytes: how it is compressed, and its length in four.
pub(crate) const HEADER_BYTES: usize = 5;

/// The messages of a request.
pub(crate) struct Messages<T> {
    body: Pin<Box<dyn HttpBody<Data = Bytes, Error = StdError> + Send>>,
    /// What has come and was not looked at.
    come: Bytes,
    /// A header or a message that began in what came before.
    begun: Vec<u8>,
    /// How long the message is that comes next; `None` before its header is there.
    length: Option<usize>,
    limit: usize,
    is_over: bool,
    brought: Arc<Brought>,
    messages: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Messages<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages")
            .field("begun", &self.begun.len())
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// A request taken apart: its messages, none of more bytes than the limit, who makes it, and what it has brought.
pub(crate) fn take_apart<T, B>(
    request: Request<B>,
    limit: usize,
) -> (Messages<T>, Caller, Arc<Brought>)
where
    B: HttpBody<Data = Bytes, Error = StdError> + Send + 'static,
{
    let (head, body) = request.into_parts();
    let caller = head.extensions.get().cloned().unwrap_or_default();
    let brought = Brought::of(&head.extensions);
    brought.frees();
    let messages = Messages {
        body: Box::pin(body),
        come: Bytes::new(),
        begun: Vec::new(),
        length: None,
        limit,
        is_over: false,
        brought: Arc::clone(&brought),
        messages: PhantomData,
    };
    (messages, caller, brought)
}

/// The response with these answers.
pub(crate) fn response<T: Message + 'static>(
    answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    limit: usize,
) -> Response<tonic::body::Body> {
    let body = EncodeBody::new_server(
        ProstEncoder::default(),
        answers,
        None,
        SingleMessageCompressionOverride::default(),
        Some(limit),
    );
    let mut response = Response::new(tonic::body::Body::new(body));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

impl<T: Message + Name + Default> Messages<T> {
    /// The next message of what has come, if all of it has.
    fn take(&mut self) -> Result<Option<T>, Status> {
        let Some(length) = self.read_length()? else {
            return Ok(None);
        };
        let missing = length - self.begun.len();
        if self.come.len() < missing {
            if self.begun.capacity() == 0 {
                self.begun.reserve_exact(length);
            }
            self.begun.extend_from_slice(&self.come);
            self.come.clear();
            return Ok(None);
        }
        let rest = self.come.split_to(missing);
        self.length = None;
        if self.begun.is_empty() {
            return codec::decode(&rest).map(Some);
        }
        let mut message = std::mem::take(&mut self.begun);
        message.extend_from_slice(&rest);
        let made = codec::decode(&message).map(Some);
        drop(message);
        self.brought.handed_on(self.come.len(), 0);
        made
    }

    fn read_length(&mut self) -> Result<Option<usize>, Status> {
        if self.length.is_some() {
            return Ok(self.length);
        }
        let missing = HEADER_BYTES - self.begun.len();
        let now = self.come.split_to(missing.min(self.come.len()));
        self.begun.extend_from_slice(&now);
        let Ok([compressed, length @ ..]) = <[u8; HEADER_BYTES]>::try_from(&self.begun[..]) else {
            return Ok(None);
        };
        self.begun = Vec::new();
        let length = u32::from_be_bytes(length) as usize;
        if compressed != 0 {
            return Err(Status::unimplemented("compressed messages are not taken"));
        }
        if length > self.limit {
            let limit = self.limit;
            let text = format!("a message of {length} bytes is longer than {limit}");
            return Err(Status::out_of_range(text));
        }
        self.length = Some(length);
        Ok(self.length)
    }

    /// What the end of the body means.
    fn end(&self) -> Option<Status> {
        let is_cut = self.length.is_some() || !self.begun.is_empty();
        is_cut.then(|| Status::internal("the request ended within a message"))
    }
}

impl<T: Message + Name + Default> Stream for Messages<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while !this.is_over {
            match this.take() {
                Ok(None) => {}
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Err(status) => {
                    this.is_over = true;
                    return Poll::Ready(Some(Err(status)));
                }
            }
            match ready!(this.body.as_mut().poll_frame(context)) {
                Some(Ok(frame)) => {
                    debug_assert!(!this.come.has_remaining(), "all of it was looked at");
                    this.come = frame.into_data().unwrap_or_default();
                }
                Some(Err(error)) => {
                    this.is_over = true;
                    let status = Status::from_error(error);
                    // A client that has gone hears nothing.
                    if status.code() != Code::Cancelled {
                        return Poll::Ready(Some(Err(status)));
                    }
                }
                None => {
                    this.is_over = true;
                    return Poll::Ready(this.end().map(Err));
                }
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use bytes::Bytes;
    use factum_proto::v1::{AppendRequest, StreamWrite};
    use futures_util::{StreamExt, TryStreamExt, stream};
    use http::Request;
    use http_body_util::BodyExt;
    use prost::Message;
    use tonic::codegen::StdError;
    use tonic::{Code, Status};

    use super::{Messages, take_apart};

    const LIMIT: usize = 1_000;

    fn message(number: u64, name_bytes: usize) -> AppendRequest {
        AppendRequest {
            request: number,
            writes: vec![StreamWrite {
                stream: "x".repeat(name_bytes),
                ..StreamWrite::default()
            }],
            ..AppendRequest::default()
        }
    }

    fn framed(message: &impl Message) -> Vec<u8> {
        let bytes = message.encode_to_vec();
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[0], &length[..], &bytes].concat()
    }

    fn messages(body: &[u8], piece: usize) -> Messages<AppendRequest> {
        let pieces: Vec<_> = body.chunks(piece).map(Bytes::copy_from_slice).collect();
        let body = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, StdError>)));
        let body = body.map_err(|error| Box::new(error) as StdError);
        take_apart(Request::new(body), LIMIT).0
    }

    async fn all(body: &[u8], piece: usize) -> Result<Vec<AppendRequest>, Status> {
        messages(body, piece).try_collect().await
    }

    #[tokio::test]
    async fn messages_are_the_same_wherever_they_are_cut() {
        let sent: Vec<_> = [0, 300, 1, 0, 700]
            .into_iter()
            .zip(0..)
            .map(|(bytes, number)| message(number, bytes))
            .chain([AppendRequest::default()])
            .collect();
        let body: Vec<u8> = sent.iter().flat_map(framed).collect();
        for piece in 1..=body.len() {
            assert_eq!(all(&body, piece).await.unwrap(), sent, "{piece}");
        }
        assert!(all(&[], 1).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_was_read_is_not_kept() {
        let body = [framed(&message(1, 900)), vec![0, 0]].concat();
        let mut messages = messages(&body, 100);
        assert!(messages.next().await.unwrap().is_ok());
        assert!(messages.begun.capacity() < 100);
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused_and_ends_the_call() {
        let whole = framed(&message(1, 10));
        let refused = async |end: &[u8], code: Code| {
            let body = [&whole[..], end, &whole].concat();
            let mut messages = messages(&body, 7);
            assert!(messages.next().await.unwrap().is_ok());
            let status = messages.next().await.unwrap().unwrap_err();
            assert_eq!(status.code(), code, "{status}");
            assert!(messages.next().await.is_none());
        };
        refused(&[1, 0, 0, 0, 0], Code::Unimplemented).await;
        refused(&[0, 0, 0, 4, 0], Code::OutOfRange).await;
        refused(&[0, 0, 0, 0, 1, 0xff], Code::Internal).await;
        let cut = [&whole[..], &whole[..9]].concat();
        assert_eq!(all(&cut, 5).await.unwrap_err().code(), Code::Internal);
        let cut = [&whole[..], &whole[..3]].concat();
        assert_eq!(all(&cut, 5).await.unwrap_err().code(), Code::Internal);
    }
}
