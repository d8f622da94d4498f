//! Bodies of requests: counted, and over HTTP/2 ended only when the client says so.
//!
//! A stream that is reset with `NO_ERROR` or `CANCEL` (RFC 9113, section 8.1) looks to hyper as if the body had come to its end. An append of
//! many messages, cut between two of them, would pass for a shorter one.
//!
//! Relies on: who reads a body of messages asks for more only once it has read all that have come whole. Never: looks into a message.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::codegen::StdError;

use super::conduct::Conduct;
use crate::call::HEADER_BYTES;
use crate::room::Brought;

/// A body that fails where it was cut, which counts as giving the request up, or where there is no room for it.
#[derive(Debug)]
pub(super) struct Whole {
    body: Incoming,
    /// `None` over HTTP/1.1, whose bodies say themselves where they end.
    conduct: Option<Arc<Conduct>>,
    brought: Arc<Brought>,
    messages: Messages,
    /// Until when what has begun and takes room is to be whole.
    until: Option<Pin<Box<Sleep>>>,
    upload: Duration,
}

/// Where the messages of gRPC end in a body.
#[derive(Debug, Default)]
struct Messages {
    header: [u8; HEADER_BYTES],
    /// How many bytes of a header have come.
    of_header: usize,
    /// How many bytes of a message have to come.
    to_come: usize,
    /// How many have come of a header and its message that are not whole.
    begun: usize,
    /// How many the largest message had that came whole, with its header. One that is announced takes nothing yet.
    largest: usize,
}

impl Messages {
    /// Says whether a message ends in these bytes.
    fn read(&mut self, mut bytes: &[u8]) -> bool {
        let mut ends = false;
        while !bytes.is_empty() {
            let wanted = match self.to_come {
                0 => self.header.len() - self.of_header,
                to_come => to_come,
            };
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            bytes = later;
            self.begun += now.len();
            if self.to_come > 0 {
                self.to_come -= now.len();
            } else {
                self.read_header(now);
            }
            if self.of_header == 0 && self.to_come == 0 {
                self.largest = self.largest.max(self.begun);
                self.begun = 0;
                ends = true;
            }
        }
        ends
    }

    fn read_header(&mut self, bytes: &[u8]) {
        let end = self.of_header + bytes.len();
        self.header[self.of_header..end].copy_from_slice(bytes);
        self.of_header = end % self.header.len();
        if self.of_header == 0 {
            let [_, length @ ..] = self.header;
            self.to_come = u32::from_be_bytes(length) as usize;
        }
    }
}

impl Whole {
    pub(super) fn of(
        request: Request<Incoming>,
        conduct: &Arc<Conduct>,
        brought: &Arc<Brought>,
        upload: Duration,
    ) -> Request<Self> {
        let conduct = (request.version() == Version::HTTP_2).then(|| Arc::clone(conduct));
        request.map(|body| Self {
            body,
            conduct,
            brought: Arc::clone(brought),
            messages: Messages::default(),
            until: None,
            upload,
        })
    }

    /// Ready when something that takes room is not whole in time: a message, or a request that ends with its message.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<StdError> {
        if !self.brought.takes_room() || (self.messages.begun == 0 && self.brought.is_flowing()) {
            self.until = None;
            return Poll::Pending;
        }
        let upload = self.upload;
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(upload)));
        ready!(until.as_mut().poll(context));
        let text = format!("the request was not sent within {upload:?}");
        Poll::Ready(Box::new(Status::deadline_exceeded(text)))
    }

    fn count(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, StdError> {
        if let Some(bytes) = frame.data_ref() {
            self.brought.came(bytes.len())?;
            if self.messages.read(bytes) {
                self.until = None;
            }
        }
        Ok(frame)
    }
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let Messages { begun, largest, .. } = self.messages;
        self.brought.handed_on(begun, largest);
        let next = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(next) => next,
            Poll::Pending => return self.poll_late(context).map(|late| Some(Err(late))),
        };
        if let Some(Ok(frame)) = next {
            return Poll::Ready(Some(self.count(frame)));
        }
        let Some(conduct) = &self.conduct else {
            return Poll::Ready(next.map(|frame| frame.map_err(StdError::from)));
        };
        let why = match next {
            None if self.body.is_end_stream() => return Poll::Ready(None),
            // Without its source: who reads the body would look for a reset there, and take it for an end.
            Some(Err(error)) => error.to_string(),
            Some(Ok(_)) | None => "the stream was reset".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::Messages;

    fn message(bytes: usize) -> Vec<u8> {
        let length = u32::try_from(bytes).unwrap().to_be_bytes();
        [&[0], &length[..], &vec![7; bytes]].concat()
    }

    #[test]
    fn what_is_begun_of_a_message_is_known_wherever_it_is_cut() {
        let lengths = [3, 0, 1, 300, 0, 0, 2];
        let body: Vec<u8> = lengths.iter().flat_map(|bytes| message(*bytes)).collect();
        let mut ends = vec![0];
        for bytes in lengths {
            ends.push(ends.last().unwrap() + 5 + bytes);
        }
        for piece in 1..body.len() {
            let (mut messages, mut come) = (Messages::default(), 0);
            for bytes in body.chunks(piece) {
                let before = come;
                come += bytes.len();
                let whole = ends.iter().rev().find(|end| **end <= come).unwrap();
                assert_eq!(
                    messages.read(bytes),
                    *whole > before,
                    "{come} in pieces of {piece}"
                );
                assert_eq!(messages.begun, come - whole, "{come} in pieces of {piece}");
                let lengths = ends.windows(2).filter(|pair| pair[1] <= come);
                let largest = lengths.map(|pair| pair[1] - pair[0]).max();
                assert_eq!(messages.largest, largest.unwrap_or(0));
            }
        }
    }
}
