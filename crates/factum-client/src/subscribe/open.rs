//! Makes the call of a subscription, as often as is allowed.
//!
//! From the end on means: after what was last when the server first said so. That is settled before all else and once for all: as long as it is
//! not, however often it is asked for, appends wait that are to come after it; and no later try asks again.

use std::sync::Arc;
use std::time::Duration;

use factum_io::Random;
use factum_proto::v1::subscribe_request::{From, Start};
use factum_proto::v1::{HeadRequest, SubscribeRequest as Message, SubscribeResponse};
use factum_store::{Kind, StoreError, SubscribeFrom, SubscribeRequest};
use factum_types::Position;
use tonic::{Status, Streaming};

use crate::append::EndGuard;
use crate::errors::{Effect, late, of_status};
use crate::link::{Link, Stub};

/// The first pause before a further try; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

pub(super) type Answers = Box<Streaming<SubscribeResponse>>;

/// A subscription that the server has begun.
pub(super) struct Opened {
    /// Where it begins.
    pub(super) from: SubscribeFrom,
    /// Tries since the last item.
    pub(super) tries: u32,
    pub(super) answers: Answers,
}

/// A subscription that is to be begun.
pub(super) struct Opening {
    stub: Stub,
    message: Message,
    from: SubscribeFrom,
    /// For each answer.
    time: Duration,
    tries: u32,
    tries_max: u32,
    random: Arc<dyn Random>,
}

/// How many tries there have been, with the one that is to come after this error; the error when none may help.
pub(super) fn broken(error: StoreError, tries: u32, limit: u32) -> Result<u32, StoreError> {
    if error.kind() != Kind::Unavailable {
        return Err(error);
    }
    if tries >= limit {
        let text = format!("the subscription broke and {limit} tries to go on failed: {error}");
        return Err(StoreError::new(Kind::Unavailable, text).because(error));
    }
    Ok(tries + 1)
}

impl Opening {
    pub(super) fn new(
        link: &Link,
        request: &SubscribeRequest,
        tries: u32,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            stub: link.stub.clone(),
            message: Message::try_from(request.clone())?,
            from: request.from,
            time: link.options.timeout,
            tries,
            tries_max: link.options.subscription_retries,
            random: Arc::clone(&link.env.random),
        })
    }

    /// Settles where the end is, and begins the subscription.
    pub(super) async fn open(mut self, end: Option<EndGuard>) -> Result<Opened, StoreError> {
        self.pause().await;
        while self.from == SubscribeFrom::End {
            match self.head().await {
                Ok(head) => self.settle(head),
                Err(error) => self.wait_after(error).await?,
            }
        }
        drop(end);
        loop {
            match self.subscribe().await {
                Ok(answers) => {
                    return Ok(Opened {
                        from: self.from,
                        tries: self.tries,
                        answers,
                    });
                }
                Err(error) => self.wait_after(error).await?,
            }
        }
    }

    async fn head(&mut self) -> Result<Option<u64>, StoreError> {
        let answer = within(self.time, self.stub.head(HeadRequest {})).await?;
        Ok(answer.into_inner().position)
    }

    fn settle(&mut self, head: Option<u64>) {
        let (from, wire) = match head {
            Some(head) => (
                SubscribeFrom::After(Position::from_raw(head)),
                From::After(head),
            ),
            None => (SubscribeFrom::Start, From::Start(Start {})),
        };
        self.from = from;
        self.message.from = Some(wire);
    }

    async fn subscribe(&mut self) -> Result<Answers, StoreError> {
        let answer = within(self.time, self.stub.subscribe(self.message.clone())).await?;
        Ok(Box::new(answer.into_inner()))
    }

    async fn wait_after(&mut self, error: StoreError) -> Result<(), StoreError> {
        self.tries = broken(error, self.tries, self.tries_max)?;
        self.pause().await;
        Ok(())
    }

    /// None before the first try; then longer each time, and not the same for all who lost the same server.
    async fn pause(&self) {
        let Some(doublings) = self.tries.checked_sub(1) else {
            return;
        };
        let longest = PAUSE.saturating_mul(1 << doublings.min(16)).min(PAUSE_MAX);
        let mut chance = [0];
        self.random.fill(&mut chance);
        tokio::time::sleep(longest / 2 + longest * u32::from(chance[0]) / 512).await;
    }
}

async fn within<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(time, answer).await {
        Ok(answer) => answer.map_err(|status| of_status(&status, Effect::None)),
        Err(_) => Err(late(Effect::None, time)),
    }
}
