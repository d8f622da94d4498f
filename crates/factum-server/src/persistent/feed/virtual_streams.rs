//! Groups over streams that are made of the index when they are read.

use factum_store::{Direction, StoreError};
use factum_types::{Bytes, ContentType, EventType, Metadata, RecordKind, RecordedEvent, Revision};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::FeedItem;
use crate::links::{Link, LinkItem, LinkReader, LinksAfter, LinksFrom};
use crate::persistent::delivered::LINK_TYPE;

/// Every link after a number, then what comes.
pub(super) fn follow(
    reader: LinkReader,
    after: Option<u64>,
) -> BoxStream<'static, Result<FeedItem, StoreError>> {
    let after = after.map_or(LinksAfter::Start, LinksAfter::Number);
    stream::once(async move { reader.subscribe(after).await })
        .try_flatten()
        .try_filter_map(|item| std::future::ready(as_feed(item)))
        .boxed()
}

fn as_feed(item: LinkItem) -> Result<Option<FeedItem>, StoreError> {
    Ok(match item {
        LinkItem::Link(link) => {
            let event = recorded(&link)?;
            let (number, target) = (link.number, Box::new(link.target));
            Some(FeedItem::Link(number, Box::new(event), target))
        }
        LinkItem::CaughtUp(_) => Some(FeedItem::Live),
        LinkItem::Checkpoint(_) => None,
    })
}

/// One link.
pub(super) async fn event(
    reader: LinkReader,
    number: u64,
) -> Result<Option<RecordedEvent>, StoreError> {
    let mut links = reader.read(LinksFrom::Number(number), Direction::Forward, Some(1));
    match links.next().await {
        Some(link) => recorded(&link?).map(Some),
        None => Ok(None),
    }
}

/// A link as an event.
fn recorded(link: &Link) -> Result<RecordedEvent, StoreError> {
    let event_type =
        EventType::new(LINK_TYPE).map_err(|error| StoreError::invalid(error.to_string()))?;
    Ok(RecordedEvent {
        id: link.id(),
        stream: link.stream.clone(),
        revision: Revision::new(link.number),
        position: link.position(),
        time: link.time(),
        event_type,
        data: link.data().into(),
        content_type: ContentType::Binary,
        schema_version: 1,
        tags: Vec::new(),
        metadata: Metadata::default(),
        personal: Bytes::new(),
        kind: RecordKind::Event,
    })
}
