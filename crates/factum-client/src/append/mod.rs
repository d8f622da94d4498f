//! Appends: all of a client over one call, many in flight, in the order in which they were asked for.
//!
//! What lives here: the way of one append; `queue` holds those that wait and those that were sent, `call` is the one call and makes
//! it again when it broke. What was not sent when the call broke goes with the next one; what was sent is answered as
//! [`Kind::Unknown`], because nobody knows.

mod call;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use factum_proto::v1::AppendRequest;
use factum_store::{AppendBatch, Kind, Receipt, StoreError};
use prost::Message;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::background::Task;
use crate::link::Link;
use queue::{Job, Queue};

pub(crate) use queue::EndGuard;

/// An append takes at least this much of the room for what is sent, in bytes.
const WEIGHT_MIN: usize = 256;

/// When a time will be up; a time that no clock can tell is a long one.
fn after(time: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(30 * 365 * 86_400);
    let now = Instant::now();
    now.checked_add(time).unwrap_or_else(|| now + LONG)
}

/// The appends of one client.
pub(crate) struct Appends {
    queue: Arc<Queue>,
    /// Dropping it ends the call.
    _call: Task<()>,
}

impl Appends {
    pub(crate) fn new(link: &Link) -> Self {
        let queue = Arc::new(Queue::new(link.options.append_bytes_in_flight));
        let call = call::keep(Arc::clone(&queue), link.stub.clone(), link.options.timeout);
        Self {
            queue,
            _call: link.background.spawn(call),
        }
    }

    /// Appends a batch. Nothing is sent before the future is first polled; then it has its place in the order.
    pub(crate) async fn append(
        &self,
        link: &Link,
        batch: AppendBatch,
    ) -> Result<Receipt, StoreError> {
        batch.validate()?;
        let request = AppendRequest::try_from(batch)?;
        let (bytes, limit) = (request.encoded_len(), link.options.append_bytes);
        if bytes > limit {
            return Err(StoreError::invalid(format!(
                "bytes in one append as it is sent: {bytes} is more than the limit of {limit}"
            )));
        }
        let (answer, answered) = oneshot::channel();
        let _place = self.queue.push(Job {
            request,
            weight: bytes.max(WEIGHT_MIN),
            deadline: after(link.options.timeout),
            answer,
        });
        let lost = |error: oneshot::error::RecvError| {
            let text = "it is not known whether it was written: the client's thread ended";
            StoreError::new(Kind::Unknown, text).because(error)
        };
        answered.await.map_err(lost)?
    }

    /// Holds up appends that are asked for from now on, until a subscription from the end knows where that is.
    pub(crate) fn hold(&self) -> EndGuard {
        EndGuard::new(&self.queue)
    }
}
