//! A subscription that goes on where it was when its connection breaks.
//!
//! It knows up to where it has delivered, by the last event, checkpoint or word of having caught up, and asks for what comes after that. `open`
//! makes the call, and makes it again.

mod open;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use factum_proto::contract::subscription_item;
use factum_proto::v1;
use factum_store::{Kind, StoreError, SubscribeFrom, SubscribeRequest, SubscriptionItem};
use futures_core::Stream;
use tokio::sync::OwnedSemaphorePermit;

use crate::append::EndGuard;
use crate::background::Task;
use crate::errors::{Effect, nonsense, of_status};
use crate::link::Link;
use open::{Answers, Opened, Opening, broken};

/// One subscription.
pub(crate) struct Following {
    phase: Phase,
    request: SubscribeRequest,
    /// What has come and was not taken.
    items: std::vec::IntoIter<v1::SubscriptionItem>,
    /// Tries since the last item.
    tries: u32,
    place: Option<OwnedSemaphorePermit>,
    /// Last, so that the thread is there while the rest is dropped.
    link: Arc<Link>,
}

enum Phase {
    Refused(StoreError),
    Opening(Task<Result<Opened, StoreError>>),
    Open(Answers),
    Ended,
}

impl Following {
    /// Begins at once, whether or not an item is asked for.
    pub(crate) fn new(link: Arc<Link>, request: SubscribeRequest, end: Option<EndGuard>) -> Self {
        let mut following = Self {
            phase: Phase::Ended,
            request,
            items: Vec::new().into_iter(),
            tries: 0,
            place: None,
            link,
        };
        following.phase = match following.begin(end) {
            Ok(phase) => phase,
            Err(error) => Phase::Refused(error),
        };
        following
    }

    fn begin(&mut self, end: Option<EndGuard>) -> Result<Phase, StoreError> {
        self.request.validate()?;
        self.place = Some(self.link.place()?);
        self.open(end)
    }

    fn open(&self, end: Option<EndGuard>) -> Result<Phase, StoreError> {
        let opening = Opening::new(&self.link, &self.request, self.tries)?;
        Ok(Phase::Opening(
            self.link.background.spawn(opening.open(end)),
        ))
    }

    /// Tries again after an error, if that may help.
    fn broken(&mut self, error: StoreError) -> Result<Phase, StoreError> {
        self.tries = broken(error, self.tries, self.link.options.subscription_retries)?;
        self.open(None)
    }

    /// Goes one step further; ready with an error that ends the subscription.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        self.phase = match phase {
            Phase::Refused(error) => return Poll::Ready(Err(error)),
            Phase::Opening(mut opening) => match Pin::new(&mut opening).poll(context) {
                Poll::Ready(answer) => {
                    let opened = answer.flatten()?;
                    (self.request.from, self.tries) = (opened.from, opened.tries);
                    Phase::Open(opened.answers)
                }
                Poll::Pending => {
                    self.phase = Phase::Opening(opening);
                    return Poll::Pending;
                }
            },
            Phase::Open(mut answers) => match Pin::new(&mut *answers).poll_next(context) {
                Poll::Ready(Some(Ok(answer))) => {
                    self.items = answer.items.into_iter();
                    Phase::Open(answers)
                }
                Poll::Ready(Some(Err(status))) => self.broken(of_status(&status, Effect::None))?,
                Poll::Ready(None) => Phase::Ended,
                Poll::Pending => {
                    self.phase = Phase::Open(answers);
                    return Poll::Pending;
                }
            },
            Phase::Ended => Phase::Ended,
        };
        Poll::Ready(Ok(()))
    }

    /// Remembers up to where it has delivered.
    fn note(&mut self, item: &SubscriptionItem) {
        self.tries = 0;
        let at = match item {
            SubscriptionItem::Event(event) => Some(event.position),
            SubscriptionItem::CaughtUp(at) => *at,
            SubscriptionItem::Checkpoint(at) => Some(*at),
            _ => None,
        };
        if let Some(at) = at {
            self.request.from = match self.request.from {
                // Having caught up says nothing less than was asked for: there may be nothing yet after a position far ahead.
                SubscribeFrom::After(from) if from > at => SubscribeFrom::After(from),
                SubscribeFrom::AfterRevision(revision)
                    if !matches!(item, SubscriptionItem::Event(_)) =>
                {
                    SubscribeFrom::AfterRevision(revision)
                }
                _ => SubscribeFrom::After(at),
            };
        }
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.items = Vec::new().into_iter();
        self.place = None;
    }
}

impl Stream for Following {
    type Item = Result<SubscriptionItem, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.items.next() {
                return Poll::Ready(Some(match subscription_item(item) {
                    Ok(item) => {
                        self.note(&item);
                        Ok(item)
                    }
                    Err(error) if error.kind() == Kind::Corrupt => Err(error),
                    Err(error) => {
                        self.end();
                        Err(nonsense(error))
                    }
                }));
            }
            if let Phase::Ended = self.phase {
                self.end();
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(self.step(context)) {
                self.end();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}
