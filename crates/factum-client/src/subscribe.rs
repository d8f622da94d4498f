//! A subscription that goes on where it was when its connection breaks.
//!
//! It knows up to where it has delivered, by the last event, checkpoint or word of having caught up, and asks for what comes after that. From the
//! end on means: after what was last when the server was first asked; that is settled at once, with the position of the head.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use factum_proto::contract::subscription_item;
use factum_proto::v1::{self, HeadRequest, SubscribeResponse};
use factum_store::{Kind, StoreError, SubscribeFrom, SubscribeRequest, SubscriptionItem};
use factum_types::Position;
use futures_core::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Status, Streaming};

use crate::append::EndGuard;
use crate::background::Task;
use crate::errors::{Effect, late, nonsense, of_status};
use crate::link::{Link, Stub};

/// The first pause before a further try; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

type Answers = Box<Streaming<SubscribeResponse>>;
/// Where the subscription begins, once that is settled, and its answers.
type Opened = (SubscribeFrom, Answers);

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
        let message = v1::SubscribeRequest::try_from(self.request.clone())?;
        let (from, stub) = (self.request.from, self.link.stub.clone());
        let (time, pause) = (self.link.options.timeout, self.pause());
        let opening = self.link.background.spawn(async move {
            tokio::time::sleep(pause).await;
            let opened = open(stub, from, message, end);
            match tokio::time::timeout(time, opened).await {
                Ok(opened) => opened.map_err(|status| of_status(&status, Effect::None)),
                Err(_) => Err(late(Effect::None, time)),
            }
        });
        Ok(Phase::Opening(opening))
    }

    /// None before the first try; then longer each time, and not the same for all who lost the same server.
    fn pause(&self) -> Duration {
        let Some(doublings) = self.tries.checked_sub(1) else {
            return Duration::ZERO;
        };
        let longest = PAUSE.saturating_mul(1 << doublings.min(16)).min(PAUSE_MAX);
        let mut chance = [0];
        self.link.env.random.fill(&mut chance);
        longest / 2 + longest * u32::from(chance[0]) / 512
    }

    /// Tries again after an error, if that may help.
    fn broken(&mut self, error: StoreError) -> Result<Phase, StoreError> {
        let limit = self.link.options.subscription_retries;
        if error.kind() != Kind::Unavailable {
            return Err(error);
        }
        if self.tries >= limit {
            let text = format!("the subscription broke and {limit} tries to go on failed: {error}");
            return Err(StoreError::new(Kind::Unavailable, text).because(error));
        }
        self.tries += 1;
        self.open(None)
    }

    /// Goes one step further; ready with an error that ends the subscription.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        self.phase = match phase {
            Phase::Refused(error) => return Poll::Ready(Err(error)),
            Phase::Opening(mut opening) => match Pin::new(&mut opening).poll(context) {
                Poll::Ready(answer) => match answer.flatten() {
                    Ok((from, answers)) => {
                        self.request.from = from;
                        Phase::Open(answers)
                    }
                    Err(error) => self.broken(error)?,
                },
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

/// Settles where the end is, and makes the subscription.
async fn open(
    mut stub: Stub,
    from: SubscribeFrom,
    mut message: v1::SubscribeRequest,
    end: Option<EndGuard>,
) -> Result<Opened, Status> {
    use v1::subscribe_request::{From, Start};
    let mut settled = from;
    if from == SubscribeFrom::End {
        let head = stub.head(HeadRequest {}).await?.into_inner().position;
        (settled, message.from) = match head {
            Some(head) => (
                SubscribeFrom::After(Position::from_raw(head)),
                Some(From::After(head)),
            ),
            None => (SubscribeFrom::Start, Some(From::Start(Start {}))),
        };
    }
    drop(end);
    let answers = stub.subscribe(message).await?.into_inner();
    Ok((settled, Box::new(answers)))
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
