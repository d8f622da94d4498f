//! Events that point to events, of type `$>` with `number@stream` as their data, and showing what they point to.
//!
//! Relies on: the policy, since a link may be read by more people than what it points to. Never: shows an event of a stream that the
//! caller may not read; a link is then given without its event, as one is that points to nothing.

use std::sync::Arc;

use factum_proto::kurrent::streams::read_resp::ReadEvent;
use factum_proto::kurrent::streams::read_resp::read_event::Position;
use factum_store::{EventStore, Kind, ReadFrom, ReadRequest, StoreError};
use factum_types::{RecordedEvent, Revision, StreamName};

use crate::auth::Caller;
use crate::links::{LINK_TYPE, Link};
use crate::node::Node;
use crate::wire::event::Shape;

/// Shows events to one caller, in the shape that was asked for. Cloned by reference.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    pub(super) node: Arc<Node>,
    pub(super) caller: Caller,
    pub(super) shape: Shape,
    /// Whether what links point to is wanted.
    pub(super) resolve: bool,
}

impl Viewer {
    /// An event as asked for: a link is followed where that is wanted, and the caller may read what it points to.
    ///
    /// # Errors
    /// As for a read; a link that points to nothing is no error.
    pub(super) async fn event(&self, event: RecordedEvent) -> Result<ReadEvent, StoreError> {
        if !self.resolve || event.event_type.as_str() != LINK_TYPE {
            return Ok(self.shape.event(event));
        }
        let target = match points_to(&event.data) {
            Some((stream, revision)) if self.may_read(&stream).await? => {
                find(&*self.node.store, stream, revision).await?
            }
            _ => None,
        };
        Ok(self.shape.link(self.shape.recorded(event), target))
    }

    /// A link that was made of the index: what it points to is there already.
    ///
    /// # Errors
    /// It cannot be found out who may read what it points to.
    pub(super) async fn link(&self, link: Link) -> Result<ReadEvent, StoreError> {
        let shown = self.shape.made_link(&link);
        if self.resolve {
            let may_read = self.may_read(&link.target.stream).await?;
            return Ok(self.shape.link(shown, may_read.then_some(link.target)));
        }
        let position = shown.commit_position;
        Ok(ReadEvent {
            event: Some(shown),
            link: None,
            position: Some(Position::CommitPosition(position)),
        })
    }

    async fn may_read(&self, stream: &StreamName) -> Result<bool, StoreError> {
        self.node.auth.may_read(&self.caller, stream).await
    }
}

/// Where the data of a link points.
fn points_to(data: &[u8]) -> Option<(StreamName, Revision)> {
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
async fn find(
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
