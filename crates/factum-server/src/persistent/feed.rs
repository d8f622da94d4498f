//! Where a group's events come from.
//!
//! Behind a trait, so that virtual streams can be followed as well as stored ones. Relies on: the store's subscriptions, which hold no
//! memory that grows. Never: delivers an event twice.

mod virtual_streams;

use std::fmt;
use std::sync::Arc;

use factum_store::{
    EventStore, Source, StoreError, SubscribeFrom, SubscribeRequest, SubscriptionItem,
};
use factum_types::{Position, RecordedEvent, Revision, StreamName};
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;

use super::settings::SourceName;
use crate::links::{LinkReader, Links};

/// What a feed gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedItem {
    /// The event at this point of the source.
    Event(u64, Box<RecordedEvent>),
    /// The link at this point of the source, and what it points to.
    Link(u64, Box<RecordedEvent>, Box<RecordedEvent>),
    /// There is nothing up to this point.
    Passed(u64),
    /// Everything there was has been given.
    Live,
}

/// What groups follow. A *point* is the revision in a stream, the number in a virtual stream, or the position in all.
pub trait Feed: Send + Sync + fmt::Debug {
    /// Everything of the source after a point (`None`: from the beginning), then what comes. A damaged event is an error of
    /// [`Kind::Corrupt`](factum_store::Kind::Corrupt) in its place; after any other error nothing follows.
    fn follow(
        &self,
        source: &SourceName,
        after: Option<u64>,
    ) -> BoxStream<'static, Result<FeedItem, StoreError>>;

    /// The point of the source's last event, `None` when it has none.
    fn end<'a>(&'a self, source: &'a SourceName) -> BoxFuture<'a, Result<Option<u64>, StoreError>>;

    /// One event of a stream, `None` when it is not there.
    fn event<'a>(
        &'a self,
        stream: &'a StreamName,
        number: u64,
    ) -> BoxFuture<'a, Result<Option<RecordedEvent>, StoreError>>;

    /// Whether what a link points to is not shown any more, because of what became of its stream.
    fn is_gone<'a>(&'a self, target: &'a RecordedEvent) -> BoxFuture<'a, Result<bool, StoreError>>;
}

/// The streams that a store holds, those that are made of its index, and all events.
#[derive(Clone)]
pub struct StoreFeed {
    store: Arc<dyn EventStore>,
    links: Links,
}

impl StoreFeed {
    /// What is in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        let links = Links::new(Arc::clone(&store));
        Self { store, links }
    }

    /// The same, with these counts of virtual streams.
    pub(crate) const fn with(store: Arc<dyn EventStore>, links: Links) -> Self {
        Self { store, links }
    }

    fn virtual_stream(&self, source: &SourceName) -> Option<LinkReader> {
        match source {
            SourceName::All => None,
            SourceName::Stream(stream) => self.links.named(stream),
        }
    }
}

impl fmt::Debug for StoreFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreFeed")
    }
}

impl Feed for StoreFeed {
    fn follow(
        &self,
        source: &SourceName,
        after: Option<u64>,
    ) -> BoxStream<'static, Result<FeedItem, StoreError>> {
        if let Some(reader) = self.virtual_stream(source) {
            return virtual_streams::follow(reader, after);
        }
        let (of_all, what, from) = match source {
            SourceName::All => {
                let from = |point| SubscribeFrom::After(Position::from_raw(point));
                (true, Source::All, after.map(from))
            }
            SourceName::Stream(stream) => {
                let from = |point| SubscribeFrom::AfterRevision(Revision::new(point));
                (false, Source::Stream(stream.clone()), after.map(from))
            }
        };
        let request = SubscribeRequest::new(what).from(from.unwrap_or(SubscribeFrom::Start));
        self.store
            .subscribe(request)
            .filter_map(move |item| {
                let item = match item {
                    Ok(item) => as_feed(item, of_all).map(Ok),
                    Err(error) => Some(Err(error)),
                };
                std::future::ready(item)
            })
            .boxed()
    }

    fn end<'a>(&'a self, source: &'a SourceName) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Box::pin(async move {
            if let Some(reader) = self.virtual_stream(source) {
                return reader.last_number().await;
            }
            match source {
                SourceName::All => Ok(self.store.head().await?.map(Position::raw)),
                SourceName::Stream(stream) => {
                    let info = self.store.stream_info(stream.clone()).await?;
                    Ok(info.last_revision.map(Revision::number))
                }
            }
        })
    }

    fn event<'a>(
        &'a self,
        stream: &'a StreamName,
        number: u64,
    ) -> BoxFuture<'a, Result<Option<RecordedEvent>, StoreError>> {
        Box::pin(self.links.event(stream.clone(), Revision::new(number)))
    }

    fn is_gone<'a>(&'a self, target: &'a RecordedEvent) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.links.is_gone(target))
    }
}

fn as_feed(item: SubscriptionItem, of_all: bool) -> Option<FeedItem> {
    match item {
        SubscriptionItem::Event(event) => {
            let point = if of_all {
                event.position.raw()
            } else {
                event.revision.number()
            };
            Some(FeedItem::Event(point, event))
        }
        SubscriptionItem::CaughtUp(_) => Some(FeedItem::Live),
        SubscriptionItem::Checkpoint(position) if of_all => Some(FeedItem::Passed(position.raw())),
        _ => None,
    }
}
