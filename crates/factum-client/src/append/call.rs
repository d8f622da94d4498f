//! The one call over which all appends go, made when there is something to send, and again after it broke.

use std::sync::Arc;
use std::time::Duration;

use factum_proto::v1::append_response::Result as Outcome;
use factum_proto::v1::{AppendResponse, Receipt as WireReceipt};
use factum_store::{Kind, Receipt, StoreError};
use tokio::time::{self, Instant, MissedTickBehavior};
use tonic::{Code, Status, Streaming};

use super::queue::Queue;
use crate::errors::{Effect, late, nonsense, of_status};
use crate::link::Stub;

/// How often it is looked whether time is up for an append.
const LOOK: Duration = Duration::from_millis(100);
/// After a call broke, before the next.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends what waits, for ever.
pub(super) async fn keep(queue: Arc<Queue>, stub: Stub, limit: Duration) {
    loop {
        queue.work().await;
        match open(&queue, stub.clone(), limit).await {
            Ok(answers) => {
                follow(&queue, answers).await;
                time::sleep(PAUSE).await;
            }
            Err(refused) => {
                queue.end_sent(&refused.sent);
                queue.end_waiting(&refused.waiting);
            }
        }
    }
}

/// Why there is no call.
struct Refused {
    /// What it means for appends that may have been sent.
    sent: StoreError,
    /// What it means for all others.
    waiting: StoreError,
}

async fn open(
    queue: &Arc<Queue>,
    mut stub: Stub,
    limit: Duration,
) -> Result<Streaming<AppendResponse>, Refused> {
    let opening = stub.append(queue.requests());
    let opening = time::timeout(limit, opening);
    match watched(queue, opening).await {
        Ok(Ok(answers)) => Ok(answers.into_inner()),
        Ok(Err(status)) => Err(Refused {
            sent: of_status(&status, Effect::Write),
            waiting: of_status(&status, Effect::None),
        }),
        Err(_) => Err(Refused {
            sent: late(Effect::Write, limit),
            waiting: late(Effect::None, limit),
        }),
    }
}

/// Waits for something, and looks meanwhile whether time is up for an append.
async fn watched<T>(queue: &Queue, what: impl Future<Output = T>) -> T {
    let mut what = std::pin::pin!(what);
    let mut look = time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            done = &mut what => return done,
            _ = look.tick() => queue.expire(Instant::now()),
        }
    }
}

/// Hands out answers until the call ends.
async fn follow(queue: &Queue, mut answers: Streaming<AppendResponse>) {
    let end = watched(queue, async {
        loop {
            match answers.message().await {
                Ok(Some(answer)) => {
                    let number = answer.request;
                    queue.answer(number, outcome(answer));
                }
                Ok(None) => return Status::new(Code::Unavailable, "the server ended the call"),
                Err(status) => return status,
            }
        }
    })
    .await;
    queue.end_sent(&unanswered(&end));
}

/// What the end of a call means for appends that were sent and not answered; whatever the server says of the call, it says nothing of them.
fn unanswered(end: &Status) -> StoreError {
    let text = format!(
        "it is not known whether it was written: the connection broke before the answer: {}",
        end.message()
    );
    StoreError::new(Kind::Unknown, text)
}

fn outcome(answer: AppendResponse) -> Result<Receipt, StoreError> {
    let receipt = |receipt: WireReceipt| Receipt::try_from(receipt).map_err(unreadable);
    match answer.result {
        Some(Outcome::Receipt(found)) => receipt(found),
        Some(Outcome::Error(error)) => Err(error.into()),
        None => Err(unreadable(StoreError::invalid("there is no result in it"))),
    }
}

/// An answer that cannot be read is no answer.
fn unreadable(error: StoreError) -> StoreError {
    let told = nonsense(error);
    StoreError::new(Kind::Unknown, told.to_string()).because(told)
}
