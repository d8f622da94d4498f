//! A read: the call is made when the first event is asked for, and given up when the read is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use factum_proto::contract::read_item;
use factum_proto::v1::{self, ReadItem, ReadResponse};
use factum_store::{Kind, ReadRequest, StoreError};
use factum_types::RecordedEvent;
use futures_core::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Streaming;

use crate::background::Task;
use crate::errors::{Effect, nonsense, of_status};
use crate::link::Link;

/// One read.
pub(crate) struct Reading {
    phase: Phase,
    /// What has come and was not taken.
    items: std::vec::IntoIter<ReadItem>,
    /// Last, so that the thread is there while the rest is dropped.
    link: Arc<Link>,
}

enum Phase {
    New(Box<ReadRequest>),
    Opening(
        Task<Result<Streaming<ReadResponse>, StoreError>>,
        OwnedSemaphorePermit,
    ),
    Open(Box<Streaming<ReadResponse>>, OwnedSemaphorePermit),
    Ended,
}

impl Reading {
    pub(crate) fn new(link: Arc<Link>, request: ReadRequest) -> Self {
        Self {
            phase: Phase::New(Box::new(request)),
            items: Vec::new().into_iter(),
            link,
        }
    }

    fn open(&self, request: ReadRequest) -> Result<Phase, StoreError> {
        request.validate()?;
        let request = v1::ReadRequest::try_from(request)?;
        let place = self.link.place()?;
        let opening = self.link.call(
            Effect::None,
            |mut stub| async move { stub.read(request).await },
        );
        Ok(Phase::Opening(opening, place))
    }

    /// Goes one step further; ready with an error that ends the read.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        self.phase = match phase {
            Phase::New(request) => self.open(*request)?,
            Phase::Opening(mut opening, place) => match Pin::new(&mut opening).poll(context) {
                Poll::Ready(answer) => Phase::Open(Box::new(answer.flatten()?), place),
                Poll::Pending => {
                    self.phase = Phase::Opening(opening, place);
                    return Poll::Pending;
                }
            },
            Phase::Open(mut answers, place) => match Pin::new(&mut *answers).poll_next(context) {
                Poll::Ready(Some(Ok(answer))) => {
                    self.items = answer.items.into_iter();
                    Phase::Open(answers, place)
                }
                Poll::Ready(Some(Err(status))) => {
                    return Poll::Ready(Err(of_status(&status, Effect::None)));
                }
                Poll::Ready(None) => Phase::Ended,
                Poll::Pending => {
                    self.phase = Phase::Open(answers, place);
                    return Poll::Pending;
                }
            },
            Phase::Ended => Phase::Ended,
        };
        Poll::Ready(Ok(()))
    }
}

impl Stream for Reading {
    type Item = Result<RecordedEvent, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.items.next() {
                let item = read_item(item);
                if let Err(error) = &item
                    && error.kind() != Kind::Corrupt
                {
                    self.phase = Phase::Ended;
                    self.items = Vec::new().into_iter();
                    return Poll::Ready(Some(item.map_err(nonsense)));
                }
                return Poll::Ready(Some(item));
            }
            if let Phase::Ended = self.phase {
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(self.step(context)) {
                self.phase = Phase::Ended;
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}
