//! Groups over streams that are made of the index when they are read.

use factum_store::StoreError;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::FeedItem;
use crate::links::{LinkItem, LinkReader, LinksAfter};

/// Every link after a number, then what comes.
pub(super) fn follow(
    reader: LinkReader,
    after: Option<u64>,
) -> BoxStream<'static, Result<FeedItem, StoreError>> {
    let after = after.map_or(LinksAfter::Start, LinksAfter::Number);
    stream::once(async move { reader.subscribe(after).await })
        .try_flatten()
        .try_filter_map(|item| std::future::ready(Ok(as_feed(item))))
        .boxed()
}

fn as_feed(item: LinkItem) -> Option<FeedItem> {
    match item {
        LinkItem::Link(link) => {
            let event = Box::new(link.as_event());
            Some(FeedItem::Link(link.number, event, Box::new(link.target)))
        }
        LinkItem::CaughtUp(_) => Some(FeedItem::Live),
        LinkItem::Checkpoint(_) => None,
    }
}
