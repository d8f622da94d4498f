//! Several items in one message: all that is ready, up to a size.
//!
//! A message costs as much as many small events, for both sides; and an item must not wait for one that is not there yet.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use factum_store::StoreError;
use futures_core::Stream;
use futures_util::StreamExt;
use prost::Message;
use tonic::Status;

use super::errors::status;

/// A message with this many bytes of items takes no more; its last item may go beyond.
const BYTES_MAX: usize = 64 << 10;
/// Items in one message, at most.
const ITEMS_MAX: usize = 4_096;

/// Ready when the server stops, with what is said then.
pub(super) type Stop = Pin<Box<dyn Future<Output = StoreError> + Send>>;

/// What a store gives item by item, as `M` of a message, many at once.
pub(super) struct Coalesced<S, M> {
    /// `None` once it has ended.
    items: Option<S>,
    stop: Option<Stop>,
    /// What is said at the end, after all items.
    end: Option<StoreError>,
    messages: PhantomData<fn() -> M>,
}

impl<S, T, M> Coalesced<S, M>
where
    S: Stream<Item = Result<T, StoreError>> + Unpin + Send,
    M: TryFrom<Result<T, StoreError>, Error = StoreError> + Message,
{
    pub(super) fn new(items: S, stop: Option<Stop>) -> Self {
        Self {
            items: Some(items),
            stop,
            end: None,
            messages: PhantomData,
        }
    }

    /// The answers of a call, from items.
    pub(super) fn into_messages<R>(
        self,
        response: impl Fn(Vec<M>) -> R + Send,
    ) -> impl Stream<Item = Result<R, Status>> + Send {
        self.map(move |items| items.map(&response).map_err(|error| status(&error)))
    }

    /// Before items are asked for, because they may never cease to be ready.
    fn look_for_the_end(&mut self, context: &mut Context<'_>) {
        if let Some(stop) = &mut self.stop
            && let Poll::Ready(why) = stop.as_mut().poll(context)
        {
            self.stop = None;
            if self.items.take().is_some() {
                self.end = Some(why);
            }
        }
    }

    /// All that is ready.
    fn gather(&mut self, context: &mut Context<'_>) -> Vec<M> {
        let (mut gathered, mut bytes) = (Vec::new(), 0);
        while let Some(items) = &mut self.items {
            if bytes >= BYTES_MAX || gathered.len() >= ITEMS_MAX {
                break;
            }
            match items.poll_next_unpin(context) {
                Poll::Ready(Some(item)) => match M::try_from(item) {
                    Ok(item) => {
                        bytes += item.encoded_len();
                        gathered.push(item);
                    }
                    Err(error) => {
                        self.items = None;
                        self.end = Some(error);
                    }
                },
                Poll::Ready(None) => self.items = None,
                Poll::Pending => break,
            }
        }
        gathered
    }
}

impl<S, T, M> Stream for Coalesced<S, M>
where
    S: Stream<Item = Result<T, StoreError>> + Unpin + Send,
    M: TryFrom<Result<T, StoreError>, Error = StoreError> + Message,
{
    type Item = Result<Vec<M>, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.look_for_the_end(context);
        let gathered = self.gather(context);
        if !gathered.is_empty() {
            Poll::Ready(Some(Ok(gathered)))
        } else if self.items.is_some() {
            Poll::Pending
        } else {
            Poll::Ready(self.end.take().map(Err))
        }
    }
}

impl<S, M> Unpin for Coalesced<S, M> {}

#[cfg(test)]
mod tests;
