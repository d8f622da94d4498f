//! The contracts of a store, with trouble.
//!
//! Relies on: the store behind. Never: gives an event that is not stored, or one out of its place.

use std::pin::Pin;
use std::task::{Context, Poll};

use factum_store::{
    AppendBatch, Checkpoint, CheckpointStore, EventStore, EventStream, Kind, ReadRequest, Receipt,
    Snapshot, SnapshotStore, StoreError, StreamInfo, StreamsRequest, SubscribeRequest,
    Subscription,
};
use factum_types::{Position, StreamName};
use futures_core::Stream;
use futures_core::future::BoxFuture;

use super::{Chaos, Trouble, lost};

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl<S: EventStore> EventStore for Chaos<S> {
    fn append(&self, batch: AppendBatch) -> Answer<'_, Receipt> {
        Box::pin(self.try_append(batch))
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let events = self.store.read(request);
        if self.comes(Trouble::BrokenRead) {
            return EventStream::new(Broken::after(self.some(), events));
        }
        events
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        let items = self.store.subscribe(request);
        if self.comes(Trouble::BrokenSubscription) {
            return Subscription::new(Broken::after(self.some(), items));
        }
        items
    }

    fn head(&self) -> Answer<'_, Option<Position>> {
        self.store.head()
    }

    fn stream_info(&self, stream: StreamName) -> Answer<'_, StreamInfo> {
        self.store.stream_info(stream)
    }

    fn streams(&self, request: StreamsRequest) -> Answer<'_, Vec<StreamInfo>> {
        self.store.streams(request)
    }
}

impl<S: SnapshotStore> SnapshotStore for Chaos<S> {
    fn save_snapshot(&self, snapshot: Snapshot) -> Answer<'_, ()> {
        Box::pin(async move {
            self.before().await?;
            self.store.save_snapshot(snapshot).await?;
            if self.comes(Trouble::LostAnswer) {
                return Err(lost("the answer"));
            }
            Ok(())
        })
    }

    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> Answer<'_, Option<Snapshot>> {
        Box::pin(async move {
            self.before().await?;
            self.store.load_snapshot(stream, key, at_most).await
        })
    }

    fn list_snapshots(&self, stream: StreamName) -> Answer<'_, Vec<Snapshot>> {
        Box::pin(async move {
            self.before().await?;
            self.store.list_snapshots(stream).await
        })
    }

    fn drop_snapshots(&self, stream: StreamName, key: String) -> Answer<'_, ()> {
        Box::pin(async move {
            self.before().await?;
            self.store.drop_snapshots(stream, key).await?;
            if self.comes(Trouble::LostAnswer) {
                return Err(lost("the answer"));
            }
            Ok(())
        })
    }
}

impl<S: CheckpointStore> CheckpointStore for Chaos<S> {
    fn save_checkpoint(&self, consumer: String, checkpoint: Checkpoint) -> Answer<'_, ()> {
        Box::pin(async move {
            self.before().await?;
            self.store.save_checkpoint(consumer, checkpoint).await?;
            if self.comes(Trouble::LostAnswer) {
                return Err(lost("the answer"));
            }
            Ok(())
        })
    }

    fn load_checkpoint(&self, consumer: String) -> Answer<'_, Option<Checkpoint>> {
        Box::pin(async move {
            self.before().await?;
            self.store.load_checkpoint(consumer).await
        })
    }
}

/// Items, and after so many of them an error, and then the end.
struct Broken<I> {
    /// Items until the error; `None` after it.
    left: Option<u64>,
    items: I,
}

impl<I> Broken<I> {
    const fn after(left: u64, items: I) -> Self {
        Self {
            left: Some(left),
            items,
        }
    }
}

impl<T, I> Stream for Broken<I>
where
    I: Stream<Item = Result<T, StoreError>> + Unpin,
{
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(left) = self.left else {
            return Poll::Ready(None);
        };
        let Some(left) = left.checked_sub(1) else {
            self.left = None;
            let broken = StoreError::new(Kind::Unavailable, "chaos: the connection broke");
            return Poll::Ready(Some(Err(broken)));
        };
        let item = Pin::new(&mut self.items).poll_next(context);
        if item.is_ready() {
            self.left = Some(left);
        }
        item
    }
}
