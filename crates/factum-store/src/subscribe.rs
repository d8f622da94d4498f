//! What a subscription asks, and what it delivers.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use factum_types::{Position, RecordedEvent, Revision};
use futures_core::Stream;

use crate::error::StoreError;
use crate::read::Source;

/// After which event a subscription begins, that event excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SubscribeFrom {
    /// Before the first event.
    #[default]
    Start,
    /// After what is published when the subscription is made.
    End,
    /// After this position.
    After(Position),
    /// After this revision; for one stream only.
    AfterRevision(Revision),
}

/// What to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// Which events.
    pub source: Source,
    /// After which of them, exclusive.
    pub from: SubscribeFrom,
    /// Whether tombstone, delete and settings records are given too, in their places.
    pub control: bool,
}

impl SubscribeRequest {
    /// Everything of the source from the start on.
    #[must_use]
    pub const fn new(source: Source) -> Self {
        Self {
            source,
            from: SubscribeFrom::Start,
            control: false,
        }
    }

    /// The same, from here.
    #[must_use]
    pub const fn from(mut self, from: SubscribeFrom) -> Self {
        self.from = from;
        self
    }

    /// Checks what does not depend on what is stored.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): a revision for a source without revisions, or a query over its limits.
    pub fn validate(&self) -> Result<(), StoreError> {
        if let (SubscribeFrom::AfterRevision(revision), false) =
            (self.from, matches!(self.source, Source::Stream(_)))
        {
            return Err(StoreError::invalid(format!(
                "revision {revision} was given as the start, but only a single stream has revisions; give a position"
            )));
        }
        self.source.validate()
    }
}

/// What a subscription delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionItem {
    /// The next event.
    Event(Box<RecordedEvent>),
    /// Everything published up to this position has been delivered (`None`: the store is empty); what follows is live. May come
    /// again after a subscriber fell behind and caught up.
    CaughtUp(Option<Position>),
    /// Nothing up to this position is left to deliver, although the last event delivered is older: a filter over rare events may
    /// remember this as where it is.
    Checkpoint(Position),
}

/// Events as they come. Damage ([`Kind::Corrupt`](crate::Kind::Corrupt)) is an error in its place, behind which it goes on. It ends with any other
/// error: when its stream is closed for ever ([`Kind::Deleted`](crate::Kind::Deleted)), when the store is, and when something cannot be read now; then
/// subscribe again, from what was delivered last.
pub struct Subscription(Pin<Box<dyn Stream<Item = Result<SubscriptionItem, StoreError>> + Send>>);

impl Subscription {
    /// A subscription that delivers what `stream` does.
    pub fn new(
        stream: impl Stream<Item = Result<SubscriptionItem, StoreError>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(stream))
    }

    /// The next item; waits until there is one.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready loses nothing.
    pub async fn next(&mut self) -> Option<Result<SubscriptionItem, StoreError>> {
        std::future::poll_fn(|context| self.0.as_mut().poll_next(context)).await
    }

    /// The next event, passing over everything else.
    ///
    /// # Errors
    /// Whatever ended the subscription.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready loses no event.
    pub async fn next_event(&mut self) -> Result<Option<RecordedEvent>, StoreError> {
        while let Some(item) = self.next().await {
            if let SubscriptionItem::Event(event) = item? {
                return Ok(Some(*event));
            }
        }
        Ok(None)
    }
}

impl Stream for Subscription {
    type Item = Result<SubscriptionItem, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription")
    }
}
