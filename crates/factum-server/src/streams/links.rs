//! Events that point to events, of type `$>` with `number@stream` as their data, and finding what they point to.

use factum_proto::kurrent::streams::read_resp::ReadEvent;
use factum_proto::kurrent::streams::read_resp::read_event::Position;
use factum_store::{EventStore, Kind, ReadFrom, ReadRequest, StoreError};
use factum_types::{RecordedEvent, Revision, StreamName};

use crate::links::{LINK_TYPE, Link};
use crate::wire::event::Shape;

/// An event as asked for: a link is followed where that is wanted.
///
/// # Errors
/// As for a read; a link that points to nothing is no error.
pub(crate) async fn resolved(
    store: &dyn EventStore,
    shape: Shape,
    resolve: bool,
    event: RecordedEvent,
) -> Result<ReadEvent, StoreError> {
    if !resolve || event.event_type.as_str() != LINK_TYPE {
        return Ok(shape.event(event));
    }
    let target = match points_to(&event.data) {
        Some((stream, revision)) => find(store, stream, revision).await?,
        None => None,
    };
    Ok(shape.link(shape.recorded(event), target))
}

/// A link that was made of the index: what it points to is there already.
pub(super) fn made(shape: Shape, resolve: bool, link: Link) -> ReadEvent {
    let shown = shape.made_link(&link);
    if resolve {
        return shape.link(shown, Some(link.target));
    }
    let position = shown.commit_position;
    ReadEvent {
        event: Some(shown),
        link: None,
        position: Some(Position::CommitPosition(position)),
    }
}

/// Where the data of a link points.
pub(crate) fn points_to(data: &[u8]) -> Option<(StreamName, Revision)> {
    let (number, stream) = std::str::from_utf8(data).ok()?.split_once('@')?;
    Some((
        StreamName::new(stream).ok()?,
        Revision::new(number.parse().ok()?),
    ))
}

/// One event of a stream, `None` when it is not there to be read.
///
/// # Errors
/// As for a read.
pub(crate) async fn find(
    store: &dyn EventStore,
    stream: StreamName,
    revision: Revision,
) -> Result<Option<RecordedEvent>, StoreError> {
    let request = ReadRequest::stream(stream)
        .from(ReadFrom::Revision(revision))
        .limit(1);
    match store.read(request).next().await {
        Some(Ok(event)) if event.revision == revision => Ok(Some(event)),
        Some(Err(error)) if !matches!(error.kind(), Kind::NotFound | Kind::Deleted) => Err(error),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::points_to;

    #[test]
    fn what_is_no_link_points_nowhere() {
        let (stream, revision) = points_to(b"7@order-1@x").unwrap();
        assert_eq!((stream.as_str(), revision.number()), ("order-1@x", 7));
        for wrong in [
            &b""[..],
            b"@",
            b"7@",
            b"x@order",
            b"-1@order",
            b"\xFF@order",
        ] {
            assert!(points_to(wrong).is_none(), "{wrong:?}");
        }
    }
}
