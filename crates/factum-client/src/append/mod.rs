//! Appends: all of a client over one call, many in flight, in the order in which they were asked for.
//!
//! What lives here: the way of one append; `queue` holds those that wait and those that were sent, `call` is the one call and makes
//! it again when it broke. What was not sent when the call broke goes with the next one; what was sent is answered as
//! [`Kind::Unknown`], because nobody knows.

mod call;
mod queue;

use std::sync::Arc;

use factum_proto::v1::AppendRequest;
use factum_store::{AppendBatch, Kind, Receipt, StoreError};
use prost::Message;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::background::Task;
use crate::link::Link;
use queue::{Job, Queue};

pub(crate) use queue::EndGuard;

/// An append takes at least this much of what may be in flight, in bytes.
const WEIGHT_MIN: usize = 256;

/// The appends of one client.
pub(crate) struct Appends {
    queue: Arc<Queue>,
    room: Arc<Semaphore>,
    /// Bytes of all.
    room_bytes: usize,
    /// Dropping it ends the call.
    _call: Task<()>,
}

impl Appends {
    pub(crate) fn new(link: &Link) -> Self {
        let queue = Arc::new(Queue::default());
        let room_bytes = link
            .options
            .append_bytes_in_flight
            .clamp(WEIGHT_MIN, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let call = call::keep(Arc::clone(&queue), link.stub.clone(), link.options.timeout);
        Self {
            queue,
            room: Arc::new(Semaphore::new(room_bytes)),
            room_bytes,
            _call: link.background.spawn(call),
        }
    }

    /// Appends a batch. Nothing is sent before the future is first polled.
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
        let weight = bytes.clamp(WEIGHT_MIN, self.room_bytes);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let closed = |_| StoreError::new(Kind::Unavailable, "the client was closed");
        let room = Arc::clone(&self.room)
            .acquire_many_owned(weight)
            .await
            .map_err(closed)?;
        let (answer, answered) = oneshot::channel();
        self.queue.push(Job {
            request,
            after: 0,
            deadline: Instant::now() + link.options.timeout,
            answer,
            room,
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
