//! Bodies of requests over HTTP/2, which end only when the client says so.
//!
//! A stream that is reset with `NO_ERROR` or `CANCEL` (RFC 9113, section 8.1) looks to hyper as if the body had come to its end. An append of
//! many messages, cut between two of them, would pass for a shorter one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Version};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tonic::codegen::StdError;

use super::conduct::Conduct;

/// A body that fails where it was cut, which counts as giving the request up.
#[derive(Debug)]
pub(super) struct Whole {
    body: Incoming,
    /// `None` over HTTP/1.1, whose bodies say themselves where they end.
    conduct: Option<Arc<Conduct>>,
}

impl Whole {
    pub(super) fn of(request: Request<Incoming>, conduct: &Arc<Conduct>) -> Request<Self> {
        let conduct = (request.version() == Version::HTTP_2).then(|| Arc::clone(conduct));
        request.map(|body| Self { body, conduct })
    }
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let next = ready!(Pin::new(&mut self.body).poll_frame(context));
        let Some(conduct) = &self.conduct else {
            return Poll::Ready(next.map(|frame| frame.map_err(StdError::from)));
        };
        let why = match next {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            None if self.body.is_end_stream() => return Poll::Ready(None),
            // Without its source: who reads the body would look for a reset there, and take it for an end.
            Some(Err(error)) => error.to_string(),
            None => "the stream was reset".to_owned(),
        };
        conduct.given_up();
        Poll::Ready(Some(Err(cut(&why).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn cut(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the request was cut: {why}"),
    )
}
