//! What a consumer is given: an event, or a link with what it points to.

use factum_store::{Kind, StoreError};
use factum_types::{RecordedEvent, StreamName};

use super::damage::Damage;
use super::feed::Feed;
use super::group::{Arrival, bucket_of};
use super::settings::{Settings, Strategy};
use crate::links::{VirtualStream, is_link, points_to};

/// An event as a consumer is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// An event, or a link that was not asked to be resolved.
    Event(Box<RecordedEvent>),
    /// A link that was resolved.
    Link {
        /// The link.
        link: Box<RecordedEvent>,
        /// What it points to; `None` when that is no longer there.
        target: Option<Box<RecordedEvent>>,
    },
}

impl Delivered {
    /// What stands in the stream that was followed: by its id a consumer answers.
    #[must_use]
    pub fn original(&self) -> &RecordedEvent {
        match self {
            Self::Event(event) => event,
            Self::Link { link, .. } => link,
        }
    }

    /// The event that it is about.
    #[must_use]
    pub fn event(&self) -> Option<&RecordedEvent> {
        match self {
            Self::Event(event) => Some(event),
            Self::Link { target, .. } => target.as_deref(),
        }
    }

    /// The link, when there is one that was resolved.
    #[must_use]
    pub fn link(&self) -> Option<&RecordedEvent> {
        match self {
            Self::Event(_) => None,
            Self::Link { link, .. } => Some(link),
        }
    }

    /// The event as it comes to a group at this point.
    pub(crate) fn arrival(self, point: u64, settings: &Settings) -> Arrival<std::sync::Arc<Self>> {
        let bytes = size(self.original()) + self.link().and(self.event()).map_or(0, size);
        Arrival {
            point,
            id: self.original().id.as_u128(),
            bucket: self.bucket(settings.strategy),
            bytes,
            payload: std::sync::Arc::new(self),
        }
    }

    fn bucket(&self, strategy: Strategy) -> u16 {
        let event = self.event().unwrap_or_else(|| self.original());
        match strategy {
            Strategy::RoundRobin | Strategy::DispatchToSingle => 0,
            Strategy::Pinned => bucket_of(&stream_of(event)),
            Strategy::PinnedByCorrelation => {
                bucket_of(&correlation(event).unwrap_or_else(|| stream_of(event)))
            }
        }
    }
}

/// The stream that an event is about: a link that was not resolved is about the one it points to.
fn stream_of(event: &RecordedEvent) -> String {
    let stream = points_to(event).map_or_else(|| event.stream.clone(), |(stream, _)| stream);
    stream.as_str().to_owned()
}

fn correlation(event: &RecordedEvent) -> Option<String> {
    if let Some(id) = &event.metadata.correlation_id {
        return Some(id.clone());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&event.metadata.custom).ok()?;
    metadata.get("$correlationId")?.as_str().map(str::to_owned)
}

/// About how much memory an event takes.
pub(crate) fn size(event: &RecordedEvent) -> usize {
    const FIXED: usize = 256;
    FIXED + event.data.len() + event.metadata.byte_len() + event.personal.len()
}

/// The event with what it points to, when it is a link and links are to be resolved.
///
/// # Errors
/// The store could not say; a target that is damaged counts as no longer there.
pub(crate) async fn resolve(
    feed: &dyn Feed,
    event: Box<RecordedEvent>,
    resolve_links: bool,
    damage: &Damage,
) -> Result<Delivered, StoreError> {
    if !resolve_links || !is_link(&event) {
        return Ok(Delivered::Event(event));
    }
    let closed = points_to(&event).is_some_and(|(target, _)| is_closed(&event.stream, &target));
    let target = if closed {
        None
    } else {
        follow(feed, &event, damage).await?
    };
    Ok(Delivered::Link {
        link: event,
        target: target.map(Box::new),
    })
}

/// Whether what a link in one stream points to in another is not shown to a group. Whoever may write a stream could else have a group read them
/// what the system keeps to itself, and what is made of the index is read by all.
pub(crate) fn is_closed(link: &StreamName, target: &StreamName) -> bool {
    let is_open = !link.as_str().starts_with('$') || VirtualStream::is_for_all(link);
    is_open && target.as_str().starts_with('$')
}

/// What a link points to. What is damaged is noted, and counts as no longer there.
///
/// # Errors
/// The store could not say.
pub(crate) async fn follow(
    feed: &dyn Feed,
    link: &RecordedEvent,
    damage: &Damage,
) -> Result<Option<RecordedEvent>, StoreError> {
    let Some((stream, revision)) = points_to(link) else {
        return Ok(None);
    };
    match feed.event(&stream, revision.number()).await {
        Err(error) if error.kind() == Kind::Corrupt => {
            damage.pass_over(&error);
            Ok(None)
        }
        found => found,
    }
}
