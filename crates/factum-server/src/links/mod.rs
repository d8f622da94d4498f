//! Virtual streams: `$ce-…`, `$et-…`, `$bc-…`, `$streams` and `$category-…`, made of the store's index when they are read.
//!
//! What lives here: [`VirtualStream`] says which streams these are and which events they point to; a [`LinkReader`] reads and follows
//! one of them. Its events are [`Link`]s, numbered from 0 in the order of positions. Numbers are nowhere stored: [`counts`] remembers
//! some of them, so that reading from number n does not count from 0, and [`walk`] and [`subscription`] count on from there.
//! Relies on: the contract alone; positions are published in order, so that counting is deterministic. Never: writes.
//!
//! # What has a number
//!
//! Every event that the store gives for the stream's source has one, also when its stream was deleted, truncated or closed since: reads
//! across streams give what is stored. In `$ce-`, `$et-` and `$bc-` an event that is **damaged takes the number that it had**: the error
//! stands in its place, counts for a limit, and moves no later number. (Where a whole index cannot be read, the one error takes one
//! number, and later numbers are smaller than they were.) `$streams` and `$category-` leave damage out, since nobody can tell whether it
//! was the first event of a stream; reading `$all` reports it.

mod counts;
mod link;
mod subscription;
#[cfg(test)]
mod tests;
mod virtual_stream;
mod walk;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use factum_store::{Direction, EventStore, Kind, ReadFrom, ReadRequest, StoreError, StreamState};
use factum_types::{RecordedEvent, Revision, StreamName};
use futures_core::Stream;
use futures_util::{StreamExt, stream};

use crate::log::{is_gone, metadata};
use counts::{Counted, Counts, Limits, Point, Until};
use walk::Walk;

pub(crate) use link::{Link, is_link, link_to, link_type, points_to};
pub(crate) use subscription::{LinkItem, LinkSubscription};
pub(crate) use virtual_stream::VirtualStream;

/// From which link on, that link included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinksFrom {
    /// Before the first: forwards everything, backwards nothing.
    Start,
    /// After the last: backwards everything, forwards nothing.
    End,
    /// This one. Beyond the end: forwards nothing, backwards from the last on.
    Number(u64),
}

/// After which link a subscription begins, that link excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinksAfter {
    /// Before the first.
    Start,
    /// After what is published when the subscription is made.
    End,
    /// After this one, which need not be there yet.
    Number(u64),
}

/// Links as they are read. An error of kind [`Corrupt`](factum_store::Kind::Corrupt) stands in the place of a damaged event, and the
/// stream goes on, unless it does not say where it stands; every other error ends it.
pub(crate) type LinkStream = Pin<Box<dyn Stream<Item = Result<Link, StoreError>> + Send>>;

/// The virtual streams of a store, and what is remembered of their numbers. Cloning shares both.
#[derive(Clone)]
pub(crate) struct Links {
    store: Arc<dyn EventStore>,
    counts: Arc<Counts>,
}

/// Reads and follows one virtual stream.
#[derive(Clone)]
pub(crate) struct LinkReader {
    store: Arc<dyn EventStore>,
    stream: VirtualStream,
    counted: Arc<Counted>,
}

impl Links {
    /// The virtual streams of this store.
    pub(crate) fn new(store: Arc<dyn EventStore>) -> Self {
        Self::with(store, Limits::SERVER)
    }

    fn with(store: Arc<dyn EventStore>, limits: Limits) -> Self {
        let counts = Arc::new(Counts::new(limits));
        Self { store, counts }
    }

    /// A reader of the stream of this name, `None` when it is not a virtual one.
    pub(crate) fn named(&self, name: &StreamName) -> Option<LinkReader> {
        VirtualStream::parse(name).map(|stream| self.reader(stream))
    }

    /// One event, of a stored stream or of a virtual one; `None` when it is not there to be read.
    ///
    /// # Errors
    /// As for a read; of kind [`Corrupt`](factum_store::Kind::Corrupt) for a damaged one.
    pub(crate) async fn event(
        &self,
        stream: StreamName,
        revision: Revision,
    ) -> Result<Option<RecordedEvent>, StoreError> {
        if let Some(reader) = self.named(&stream) {
            let from = LinksFrom::Number(revision.number());
            let link = reader.read(from, Direction::Forward, Some(1)).next().await;
            return Ok(link.transpose()?.map(|link| link.as_event()));
        }
        if metadata::is_closed(&*self.store, &stream).await {
            return Ok(None);
        }
        let request = ReadRequest::stream(stream)
            .from(ReadFrom::Revision(revision))
            .limit(1);
        match self.store.read(request).next().await {
            Some(Ok(event)) if event.revision == revision => Ok(Some(event)),
            Some(Err(error)) if !is_gone(&error) => Err(error),
            _ => Ok(None),
        }
    }

    /// Whether what a link points to is not shown any more: its stream was deleted, has a tombstone, or does not keep the event. Where damage
    /// hides that, what is left goes on being shown, as reads do.
    ///
    /// # Errors
    /// As for a read, but for damage.
    pub(crate) async fn is_gone(&self, target: &RecordedEvent) -> Result<bool, StoreError> {
        let gone = self.look(target).await;
        match gone {
            Err(error) if error.kind() == Kind::Corrupt => Ok(false),
            gone => gone,
        }
    }

    async fn look(&self, target: &RecordedEvent) -> Result<bool, StoreError> {
        let (stream, revision) = (&target.stream, target.revision);
        if metadata::is_closed(&*self.store, stream).await {
            return Ok(true);
        }
        let info = self.store.stream_info(stream.clone()).await?;
        if info.is_whole() {
            return Ok(false);
        }
        let first = info.settings.first_kept(info.next_revision());
        if info.state != StreamState::Live || revision.number() < first {
            return Ok(true);
        }
        if info.settings.max_age.is_none() {
            return Ok(false);
        }
        Ok(self.event(stream.clone(), revision).await?.is_none())
    }

    /// A reader of this stream.
    pub(crate) fn reader(&self, stream: VirtualStream) -> LinkReader {
        let counted = self.counts.of(stream.name());
        let store = Arc::clone(&self.store);
        LinkReader {
            store,
            stream,
            counted,
        }
    }
}

impl LinkReader {
    /// The stream that is read.
    #[cfg(test)]
    pub(crate) const fn stream(&self) -> &VirtualStream {
        &self.stream
    }

    /// The number of the last link, `None` when there is none; every link that was published before the call is counted.
    ///
    /// # Errors
    /// As reading fails; damage is counted, and no error.
    pub(crate) async fn last_number(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.end().await?.number.checked_sub(1))
    }

    /// Links, oldest first or newest first, at most `limit` of them; an error for a damaged event counts as one.
    ///
    /// A stream without any gives none, as one that never was. A forward read ends at what is published when it gets there, a
    /// backward one begins at what is published when it is first polled.
    pub(crate) fn read(
        &self,
        from: LinksFrom,
        direction: Direction,
        limit: Option<u64>,
    ) -> LinkStream {
        let start = Reading::At(self.clone(), from, direction, limit);
        Box::pin(stream::unfold(start, Reading::next))
    }

    /// Follows the stream: everything after the starting point, then what is appended, without a gap or a repeat.
    ///
    /// # Errors
    /// As counting up to the starting point fails; the subscription itself fails as the store's do.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing; what was counted is remembered.
    pub(crate) async fn subscribe(
        &self,
        after: LinksAfter,
    ) -> Result<LinkSubscription, StoreError> {
        let (start, first) = match after {
            LinksAfter::Start => (Point::START, 0),
            LinksAfter::End => {
                let end = self.end().await?;
                (end, end.number)
            }
            LinksAfter::Number(number) => {
                let first = number.saturating_add(1);
                (self.behind(number).await?, first)
            }
        };
        Ok(LinkSubscription::new(self.clone(), start, first))
    }

    /// Where the walk of a read begins, `None` when there is nothing to read.
    async fn start(
        &self,
        from: LinksFrom,
        direction: Direction,
    ) -> Result<Option<Point>, StoreError> {
        match (direction, from) {
            (Direction::Forward, LinksFrom::Start | LinksFrom::Number(0)) => Ok(Some(Point::START)),
            (Direction::Forward, LinksFrom::Number(number)) => {
                let start = self.behind(number - 1).await?;
                Ok(Some(start).filter(|start| start.number == number))
            }
            (Direction::Forward, LinksFrom::End) | (Direction::Backward, LinksFrom::Start) => {
                Ok(None)
            }
            (Direction::Backward, LinksFrom::Number(number)) => self.behind(number).await.map(Some),
            (Direction::Backward, LinksFrom::End) => self.end().await.map(Some),
        }
    }

    /// A point behind everything that is published now.
    async fn end(&self) -> Result<Point, StoreError> {
        let head = self.store.head().await?;
        self.count(Until::Position(head)).await
    }

    /// The point behind the link with this number, or behind the last one when there is no such link.
    async fn behind(&self, number: u64) -> Result<Point, StoreError> {
        let wanted = number.saturating_add(1);
        let end = self.count(Until::Number(wanted)).await?;
        if end.number <= wanted {
            return Ok(end);
        }
        let known = self.counted.at_most(wanted);
        let missing = wanted.saturating_sub(known.number);
        let mut walk = Walk::forward(self.clone(), known, Some(missing));
        while walk.at().number < wanted {
            let Some(item) = walk.next().await else { break };
            walk::pass_damage(item)?;
        }
        Ok(walk.at())
    }

    /// Counts on until enough is counted, or to the end of what is published; gives how far that is.
    ///
    /// Readers take turns, a slice each, so that nothing is counted twice and nobody waits for more than it needs.
    async fn count(&self, until: Until) -> Result<Point, StoreError> {
        loop {
            if let Some(end) = self.counted.reached(until) {
                return Ok(end);
            }
            let turn = self.counted.turn().await;
            if let Some(end) = self.counted.reached(until) {
                return Ok(end);
            }
            let head = self.store.head().await?;
            let mut walk = Walk::slice(self.clone(), self.counted.end());
            while let Some(item) = walk.next().await {
                walk::pass_damage(item)?;
            }
            if walk.is_at_end() {
                let end = walk.at().and_nothing_up_to(head);
                self.counted.note(end);
                return Ok(end);
            }
            drop(turn);
            tokio::task::yield_now().await;
        }
    }
}

/// A read under way.
enum Reading {
    At(LinkReader, LinksFrom, Direction, Option<u64>),
    Walking(Walk),
    Ended,
}

impl Reading {
    async fn next(self) -> Option<(Result<Link, StoreError>, Self)> {
        let mut walk = match self {
            Self::At(reader, from, direction, limit) => match reader.start(from, direction).await {
                Ok(Some(start)) => Walk::new(reader, start, direction, limit),
                Ok(None) => return None,
                Err(error) => return Some((Err(error), Self::Ended)),
            },
            Self::Walking(walk) => walk,
            Self::Ended => return None,
        };
        let item = walk.next().await?;
        Some((item, Self::Walking(walk)))
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links")
    }
}

impl fmt::Debug for LinkReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LinkReader")
            .field(self.stream.name())
            .finish()
    }
}
