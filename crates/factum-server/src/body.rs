//! Bodies of requests over HTTP/2, which end only when the client says so.
//!
//! A stream that is reset with `NO_ERROR` or `CANCEL` (RFC 9113, section 8.1) looks to hyper as if the body had come to its end. An append of
//! many messages, cut between two of them, would pass for a shorter one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

/// A body that fails where it was cut.
#[derive(Debug)]
pub(crate) struct Whole(pub(crate) Body);

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let body = &mut self.0;
        let mut next = body.frame();
        match Pin::new(&mut next).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            // Without its source: who reads the body would look for a reset there, and take it for an end.
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(cut(&error.to_string())))),
            Poll::Ready(None) if body.is_end_stream() => Poll::Ready(None),
            Poll::Ready(None) => Poll::Ready(Some(Err(cut("the stream was reset")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

fn cut(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the request was cut: {why}"),
    )
}
