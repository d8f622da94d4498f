//! Following a virtual stream.
//!
//! Relies on: the store's subscription has neither gaps nor repeats, so that counting along it gives the right numbers. Never: holds
//! back what it was given.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use factum_store::{StoreError, SubscribeFrom, SubscribeRequest, Subscription, SubscriptionItem};
use factum_types::{Position, RecordedEvent};
use futures_core::Stream;

use super::LinkReader;
use super::counts::Point;
use super::link::Link;
use super::walk::Place;

/// After so many events that are not in the stream, others are given a chance to run.
const PASSED_MAX: u64 = 1_024;

/// What a subscription delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkItem {
    /// The next link.
    Link(Box<Link>),
    /// Everything published has been delivered, up to the link with this number (`None`: there is none yet); what follows is live.
    CaughtUp(Option<u64>),
    /// Nothing up to this position is left to deliver. Sent when the store sends one; for `$streams` none is.
    Checkpoint(Position),
}

/// Links as they come. It ends as the store's subscription does. An error of kind [`Corrupt`](factum_store::Kind::Corrupt) stands in the
/// place of a damaged event, and others follow, unless it does not say where it stands.
pub(crate) struct LinkSubscription {
    reader: LinkReader,
    events: Subscription,
    at: Point,
    /// Links before this number are not delivered.
    first: u64,
    is_over: bool,
}

impl LinkSubscription {
    /// Counts on from `start`, delivers from the number `first` on.
    pub(super) fn new(reader: LinkReader, start: Point, first: u64) -> Self {
        let from = start
            .after
            .map_or(SubscribeFrom::Start, SubscribeFrom::After);
        let request = SubscribeRequest::new(reader.stream.source()).from(from);
        let events = reader.store.subscribe(request);
        Self {
            reader,
            events,
            at: start,
            first,
            is_over: false,
        }
    }

    /// The next item; waits until there is one.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<LinkItem, StoreError>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// What is delivered for an item of the store's subscription, if anything.
    fn take(
        &mut self,
        item: Result<SubscriptionItem, StoreError>,
    ) -> Option<Result<LinkItem, StoreError>> {
        match item {
            Ok(SubscriptionItem::Event(event)) => self.take_event(Ok(*event)),
            Err(error) => self.take_event(Err(error)),
            Ok(SubscriptionItem::CaughtUp(head)) => {
                self.move_to(self.at.and_nothing_up_to(head));
                Some(Ok(LinkItem::CaughtUp(self.at.number.checked_sub(1))))
            }
            Ok(SubscriptionItem::Checkpoint(position)) => {
                self.move_to(self.at.and_nothing_up_to(Some(position)));
                Some(Ok(LinkItem::Checkpoint(position)))
            }
            // Nothing is known of what a later contract may add.
            Ok(_) => None,
        }
    }

    fn take_event(
        &mut self,
        item: Result<RecordedEvent, StoreError>,
    ) -> Option<Result<LinkItem, StoreError>> {
        let Some(place) = Place::of(&self.reader.stream, &item) else {
            self.is_over = true;
            return item.err().map(Err);
        };
        let number = self.at.number;
        self.move_to(self.at.behind(&place));
        if !place.has_number() || number < self.first {
            return None;
        }
        Some(item.map(|target| {
            LinkItem::Link(Box::new(Link {
                stream: self.reader.stream.name().clone(),
                number,
                target,
            }))
        }))
    }

    fn move_to(&mut self, point: Point) {
        self.at = point;
        self.reader.counted.note(point);
    }
}

impl Stream for LinkSubscription {
    type Item = Result<LinkItem, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        for _ in 0..PASSED_MAX {
            if self.is_over {
                return Poll::Ready(None);
            }
            let Some(item) = ready!(Pin::new(&mut self.events).poll_next(context)) else {
                self.is_over = true;
                return Poll::Ready(None);
            };
            if let Some(found) = self.take(item) {
                return Poll::Ready(Some(found));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl fmt::Debug for LinkSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSubscription")
            .field("stream", self.reader.stream.name())
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
