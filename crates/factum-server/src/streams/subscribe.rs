//! Reads that go on: a confirmation, then events, then word that all there was has been given, and what comes.

use std::sync::Arc;

use factum_proto::kurrent::streams::ReadResp;
use factum_proto::kurrent::streams::read_resp::{
    CaughtUp, Checkpoint, Content, Position as WirePosition, ReadEvent, SubscriptionConfirmation,
};
use factum_store::{Source, StoreError, SubscribeRequest, Subscription, SubscriptionItem};
use factum_types::{Position, RecordedEvent, Revision, StreamName, Timestamp};
use futures_util::{StreamExt, stream};
use tonic::Status;

use super::Answers;
use super::links::Viewer;
use super::read::{answer, pass, shown};
use super::request::{Filtered, From, Target, Wanted};
use crate::auth::Caller;
use crate::links::{Link, LinkItem, LinkSubscription};
use crate::log::metadata;
use crate::metrics::Counted;
use crate::node::Node;
use crate::wire::{errors, position};

/// One subscription, between two of its answers.
struct Following {
    node: Arc<Node>,
    items: Items,
    stream: Option<StreamName>,
    filter: Option<Filtered>,
    viewer: Viewer,
    /// The last revision given, of a stream.
    revision: Option<u64>,
    /// Events of `$all` that were looked at since the last checkpoint.
    looked_at: u64,
    /// What is to be said before the next item is asked for.
    next: Option<Content>,
    ended: bool,
    /// Events since the last answer that were not wanted.
    passed: u32,
    _open: Counted,
}

/// What is followed.
pub(crate) enum Items {
    Events(Subscription),
    Links(Box<LinkSubscription>),
}

/// What comes next, of either.
pub(crate) enum Item {
    Event(Box<RecordedEvent>),
    Link(Box<Link>),
    /// Everything is given, up to this position, or this number of a link.
    CaughtUp(Option<Position>, Option<u64>),
    Checkpoint(Position),
}

impl Items {
    pub(crate) async fn next(&mut self) -> Option<Result<Item, StoreError>> {
        match self {
            Self::Events(events) => loop {
                let item = match events.next().await? {
                    Ok(SubscriptionItem::Event(event)) => Item::Event(event),
                    Ok(SubscriptionItem::CaughtUp(at)) => Item::CaughtUp(at, None),
                    Ok(SubscriptionItem::Checkpoint(at)) => Item::Checkpoint(at),
                    Ok(_) => continue,
                    Err(error) => return Some(Err(error)),
                };
                return Some(Ok(item));
            },
            Self::Links(links) => Some(links.as_mut().next().await?.map(|item| match item {
                LinkItem::Link(link) => Item::Link(link),
                LinkItem::CaughtUp(number) => Item::CaughtUp(None, number),
                LinkItem::Checkpoint(at) => Item::Checkpoint(at),
            })),
        }
    }
}

/// Follows what is wanted, until the client goes or the server stops. A stream with a tombstone ends it.
///
/// # Errors
/// A stream of links cannot be counted up to where it is to be followed from.
pub(super) async fn subscribe(
    node: Arc<Node>,
    caller: Caller,
    wanted: Wanted,
) -> Result<Answers<ReadResp>, Status> {
    let (source, stream, filter) = match wanted.target {
        Target::Stream(stream) => (Source::Stream(stream.clone()), Some(stream), None),
        Target::All(filter) => (Source::All, None, filter),
    };
    if let Some(stream) = &stream {
        let open = metadata::must_be_open(&*node.store, stream).await;
        open.map_err(|error| errors::store(&error, Some(stream)))?;
    }
    let links = stream.as_ref().and_then(|stream| node.links.named(stream));
    let revision = match (&wanted.from, &stream) {
        (From::Revision(revision), _) => Some(*revision),
        // Looked up before: what comes meanwhile may be given, and is not said to have been.
        (From::End, Some(stream)) if links.is_none() => {
            let info = node.store.stream_info(stream.clone()).await;
            info.ok()
                .and_then(|info| info.last_revision)
                .map(Revision::number)
        }
        _ => None,
    };
    let request = SubscribeRequest {
        control: stream.is_none(),
        ..SubscribeRequest::new(source).from(wanted.from.subscribe())
    };
    let items = match links {
        Some(links) => {
            let links = links.subscribe(wanted.from.links_after()).await;
            Items::Links(Box::new(
                links.map_err(|error| errors::store(&error, None))?,
            ))
        }
        None => Items::Events(node.store.subscribe(request)),
    };
    let confirmation = Content::Confirmation(SubscriptionConfirmation {
        subscription_id: node.new_id().to_string(),
    });
    let following = Following {
        items,
        stream,
        filter,
        viewer: Viewer {
            node: Arc::clone(&node),
            caller,
            shape: wanted.shape,
            resolve: wanted.resolve_links,
        },
        revision,
        looked_at: 0,
        next: Some(confirmation),
        ended: false,
        passed: 0,
        _open: Counted::new(&node.metrics.subscriptions),
        node: Arc::clone(&node),
    };
    let answers = stream::unfold(following, async |mut following| {
        let said = following.say().await?;
        Some((said, following))
    });
    let stopping = async move { node.stopping().await };
    // A client that is told so subscribes again; one whose call merely ends does not.
    let goodbye = stream::iter([Err(errors::stopping())]);
    Ok(Box::pin(answers.take_until(stopping).chain(goodbye)))
}

impl Following {
    async fn say(&mut self) -> Option<Result<ReadResp, Status>> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(content) = self.next.take() {
                return Some(Ok(answer(content)));
            }
            let said = match self.items.next().await? {
                Ok(Item::Event(event)) => self.event(*event).await,
                Ok(Item::Link(link)) => self.link(*link).await,
                Ok(Item::CaughtUp(at, number)) => Ok(self.caught_up(at, number)),
                Ok(Item::Checkpoint(at)) => Ok(self.passed_over(at)),
                Err(error) => Err(errors::store(&error, self.stream.as_ref())),
            };
            match said {
                Ok(Some(content)) => return Some(Ok(answer(content))),
                Ok(None) => pass(&mut self.passed).await,
                Err(status) => {
                    self.ended = true;
                    return Some(Err(status));
                }
            }
        }
    }

    async fn link(&mut self, link: Link) -> Result<Option<Content>, Status> {
        self.revision = Some(link.number);
        let shown = self.viewer.link(link).await;
        self.given(shown)
    }

    async fn event(&mut self, event: RecordedEvent) -> Result<Option<Content>, Status> {
        let at = event.position;
        self.revision = Some(event.revision.number());
        let wanted = match shown(&event, self.filter.as_ref()) {
            Some(shown) => shown.map(|()| true)?,
            None => false,
        };
        let checkpoint = self.look_at(at);
        if !wanted {
            return Ok(checkpoint);
        }
        self.next = checkpoint;
        let shown = self.viewer.event(event).await;
        self.given(shown)
    }

    fn given(&self, shown: Result<ReadEvent, StoreError>) -> Result<Option<Content>, Status> {
        match shown {
            Ok(event) => {
                self.node.metrics.read_events.inc();
                Ok(Some(Content::Event(event)))
            }
            Err(error) => Err(errors::store(&error, self.stream.as_ref())),
        }
    }

    /// Counts an event that a filter looked at; a checkpoint when it is time for one.
    fn look_at(&mut self, at: Position) -> Option<Content> {
        let filter = self.filter.as_ref()?;
        self.looked_at += 1;
        if self.looked_at < filter.checkpoint_every {
            return None;
        }
        self.looked_at = 0;
        Some(self.checkpoint(at))
    }

    fn passed_over(&mut self, at: Position) -> Option<Content> {
        self.filter.is_some().then(|| self.checkpoint(at))
    }

    fn checkpoint(&self, at: Position) -> Content {
        let at = position::to_wire(at);
        Content::Checkpoint(Checkpoint {
            commit_position: at,
            prepare_position: at,
            timestamp: Some(timestamp(self.node.now())),
        })
    }

    fn caught_up(&mut self, at: Option<Position>, number: Option<u64>) -> Option<Content> {
        let caught_up = Content::CaughtUp(CaughtUp {
            timestamp: Some(timestamp(self.node.now())),
            stream_revision: self
                .stream
                .as_ref()
                .and(self.revision.or(number))
                .and_then(|revision| i64::try_from(revision).ok()),
            position: at.filter(|_| self.stream.is_none()).map(|at| WirePosition {
                commit_position: position::to_wire(at),
                prepare_position: position::to_wire(at),
            }),
        });
        match (at, &self.filter) {
            (Some(at), Some(_)) => {
                self.looked_at = 0;
                self.next = Some(caught_up);
                Some(self.checkpoint(at))
            }
            _ => Some(caught_up),
        }
    }
}

/// A moment as protobuf has it.
fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let micros = at.as_micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0),
    }
}
