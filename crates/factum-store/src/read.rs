//! What a read asks, and the stream of events it is answered with.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use factum_types::{
    Category, EventType, Position, Query, RecordKind, RecordedEvent, Revision, StreamName, Tag,
};
use futures_core::Stream;

use crate::append::validate_query;
use crate::error::StoreError;

/// Which events are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Every event of every stream, by position.
    All,
    /// The events of one stream, by revision.
    Stream(StreamName),
    /// The events of every stream of a category, by position.
    Category(Category),
    /// The events that match a query over types and tags, by position.
    Query(Query),
}

/// From which event on, that event included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReadFrom {
    /// Before the first event: forwards everything, backwards nothing.
    #[default]
    Start,
    /// After the last event: backwards everything, forwards nothing.
    End,
    /// The event at this position, or the next one in the direction of reading.
    Position(Position),
    /// The event with this revision, or the next one in the direction of reading; for one stream only.
    Revision(Revision),
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// Which events.
    pub source: Source,
    /// From where, inclusive.
    pub from: ReadFrom,
    /// In which order.
    pub direction: Direction,
    /// At most this many events.
    pub limit: Option<u64>,
    /// Whether tombstone, delete and settings records are given too, in their places.
    pub control: bool,
}

impl ReadRequest {
    /// Everything of the source, oldest first.
    #[must_use]
    pub const fn forward(source: Source) -> Self {
        Self {
            source,
            from: ReadFrom::Start,
            direction: Direction::Forward,
            limit: None,
            control: false,
        }
    }

    /// Everything of the source, newest first.
    #[must_use]
    pub const fn backward(source: Source) -> Self {
        Self {
            source,
            from: ReadFrom::End,
            direction: Direction::Backward,
            limit: None,
            control: false,
        }
    }

    /// Every event there is, oldest first.
    #[must_use]
    pub const fn all() -> Self {
        Self::forward(Source::All)
    }

    /// One stream, oldest first.
    #[must_use]
    pub const fn stream(stream: StreamName) -> Self {
        Self::forward(Source::Stream(stream))
    }

    /// The streams of a category, oldest first.
    #[must_use]
    pub const fn category(category: Category) -> Self {
        Self::forward(Source::Category(category))
    }

    /// Events of one type, oldest first.
    #[must_use]
    pub fn event_type(event_type: EventType) -> Self {
        Self::forward(Source::Query(Query::event_type(event_type)))
    }

    /// Events with one tag, oldest first.
    #[must_use]
    pub fn tag(tag: Tag) -> Self {
        Self::forward(Source::Query(Query::tag(tag)))
    }

    /// The same, from here.
    #[must_use]
    pub const fn from(mut self, from: ReadFrom) -> Self {
        self.from = from;
        self
    }

    /// The same, at most this many.
    #[must_use]
    pub const fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The same, with control records.
    #[must_use]
    pub const fn with_control(mut self) -> Self {
        self.control = true;
        self
    }

    /// Checks what does not depend on what is stored.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): a revision for a source without revisions, or a query over its limits.
    pub fn validate(&self) -> Result<(), StoreError> {
        if let (ReadFrom::Revision(revision), false) =
            (self.from, matches!(self.source, Source::Stream(_)))
        {
            return Err(StoreError::invalid(format!(
                "revision {revision} was given as the start, but only a single stream has revisions; give a position"
            )));
        }
        self.source.validate()
    }
}

impl Source {
    /// Checks the limits of a query.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) names what is over its limit.
    pub fn validate(&self) -> Result<(), StoreError> {
        match self {
            Self::Query(query) => validate_query(query),
            Self::All | Self::Stream(_) | Self::Category(_) => Ok(()),
        }
    }

    /// Whether the event is meant, leaving aside what the settings of its stream hide. Control records match no query.
    ///
    /// ```
    /// # use factum_store::{AppendBatch, EventStore, MemoryStore, ReadRequest, Source};
    /// # use factum_types::{Category, EventId, EventType, ExpectedRevision, NewEvent, StreamName};
    /// # pollster::block_on(async {
    /// # let store = MemoryStore::new();
    /// # let placed = NewEvent::json(EventId::from_bytes([1; 16]), EventType::new("Placed")?, "{}");
    /// # store.append(AppendBatch::events(StreamName::new("order-1")?, ExpectedRevision::Any, vec![placed])).await?;
    /// let events = store.read(ReadRequest::all()).collect().await?;
    /// assert!(Source::Category(Category::new("order")?).matches(&events[0]));
    /// assert!(!Source::Stream(StreamName::new("order-2")?).matches(&events[0]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        match self {
            Self::All => true,
            Self::Stream(stream) => event.stream == *stream,
            Self::Category(category) => event.stream.category() == Some(category.as_str()),
            Self::Query(query) => {
                event.kind == RecordKind::Event && query.matches(&event.event_type, &event.tags)
            }
        }
    }
}

/// Events as they are read. See [`EventStore::read`](crate::EventStore::read) for what an error in it means.
pub struct EventStream(Pin<Box<dyn Stream<Item = Result<RecordedEvent, StoreError>> + Send>>);

impl EventStream {
    /// The events of `stream`.
    pub fn new(
        stream: impl Stream<Item = Result<RecordedEvent, StoreError>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(stream))
    }

    /// The events of an iterator, for stores that have them at hand.
    pub fn of<I>(items: I) -> Self
    where
        I: IntoIterator<Item = Result<RecordedEvent, StoreError>>,
        I::IntoIter: Send + Unpin + 'static,
    {
        Self::new(Iter(items.into_iter()))
    }

    /// The next event, `None` at the end.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready loses nothing.
    pub async fn next(&mut self) -> Option<Result<RecordedEvent, StoreError>> {
        std::future::poll_fn(|context| self.0.as_mut().poll_next(context)).await
    }

    /// All events up to the end.
    ///
    /// # Errors
    /// The first error of the stream, a damaged event included.
    pub async fn collect(mut self) -> Result<Vec<RecordedEvent>, StoreError> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event?);
        }
        Ok(events)
    }
}

struct Iter<I>(I);

impl<I: Iterator + Unpin> Stream for Iter<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}

impl Stream for EventStream {
    type Item = Result<RecordedEvent, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStream")
    }
}
