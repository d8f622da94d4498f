//! Showing what links point to.
//!
//! Relies on: the policy, since a link may be read by more people than what it points to. Never: shows an event of a stream that the
//! caller may not read; a link is then given without its event, as one is that points to nothing.

use std::sync::Arc;

use factum_proto::kurrent::streams::read_resp::ReadEvent;
use factum_store::StoreError;
use factum_types::{RecordedEvent, StreamName};

use crate::auth::Caller;
use crate::links::{Link, is_link, points_to};
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
        if !self.resolve || !is_link(&event) {
            return Ok(self.shape.event(event));
        }
        let target = match points_to(&event) {
            Some((stream, revision)) if self.may_read(&stream).await? => {
                self.node.links.event(stream, revision).await?
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
        let event = link.as_event();
        if !self.resolve {
            return Ok(self.shape.event(event));
        }
        let shown = self.may_read(&link.target.stream).await?
            && !self.node.links.is_gone(&link.target).await?;
        let target = shown.then_some(link.target);
        Ok(self.shape.link(self.shape.recorded(event), target))
    }

    async fn may_read(&self, stream: &StreamName) -> Result<bool, StoreError> {
        self.node.auth.may_read(&self.caller, stream).await
    }
}
