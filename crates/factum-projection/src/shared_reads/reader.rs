//! What a reader is given: events out of what was read for it or for others.
//!
//! Relies on: the cache and the readings. Never: leaves out an event, or takes an end from a read that was begun before its own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use factum_store::{EventStream, Kind, ReadFrom, ReadRequest, Source, StoreError};
use factum_types::{Position, RecordedEvent};
use futures_core::Stream;

use super::Shared;
use super::cache::{Chunk, Found, Want};
use super::reading::{Reading, Step};

/// One read of a source, forward and without a limit.
pub(super) struct Reader {
    shared: Arc<Shared>,
    source: Arc<Source>,
    cover: Option<(usize, Arc<Source>)>,
    /// The moment when it was asked for; no other reader has the same.
    asked: u64,
    /// What is wanted next; `None` at the end.
    at: Option<Position>,
    /// What is being given, and how much of it was.
    chunk: Option<(Arc<Chunk>, usize)>,
    /// What was driven last: kept, so that it goes on where it is.
    reading: Option<Arc<Reading>>,
    /// Whether something of that is waited for.
    waits: bool,
    /// Where it reads by itself.
    alone: Option<EventStream>,
}

/// What there is to go on with.
enum Next {
    Chunk(Arc<Chunk>),
    Alone,
    End(Option<StoreError>),
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, source: Source, from: Position) -> Self {
        Self {
            asked: shared.moment(),
            cover: shared.covers.of(&source),
            source: Arc::new(source),
            shared,
            at: Some(from),
            chunk: None,
            reading: None,
            waits: false,
            alone: None,
        }
    }

    /// The next event that is in hand.
    fn in_hand(&mut self) -> Option<RecordedEvent> {
        let (chunk, given) = self.chunk.as_mut()?;
        let left = chunk.events.get(*given..).unwrap_or_default();
        let wanted = |event: &&RecordedEvent| {
            Some(event.position) >= self.at && (self.cover.is_none() || self.source.matches(event))
        };
        let found = left.iter().enumerate().find(|(_, event)| wanted(event));
        if let Some((index, event)) = found {
            *given += index + 1;
            self.at = event.position.next();
            return Some(event.clone());
        }
        self.at = chunk.to.next();
        if chunk.ended.is_some_and(|begun| begun > self.asked) {
            self.at = None;
        }
        self.chunk = None;
        None
    }

    fn poll_next_chunk(&mut self, context: &Context<'_>, at: Position) -> Poll<Next> {
        loop {
            let want = Want {
                source: &self.source,
                cover: self.cover.as_ref(),
                at,
            };
            // Kept until another one takes its place: what nobody holds is dropped.
            let waited_for = self.reading.clone().filter(|_| self.waits);
            let found = match waited_for {
                None => self.shared.cache().find(&want, &self.shared),
                Some(reading) => {
                    let now_ns = self.shared.now_ns();
                    let chunk = self.shared.cache().chunk(&want, now_ns);
                    chunk.map_or(Found::Reading(reading), Found::Chunk)
                }
            };
            let reading = match found {
                Found::Chunk(chunk) => {
                    self.rest(&chunk);
                    return Poll::Ready(Next::Chunk(chunk));
                }
                Found::Reading(reading) => reading,
            };
            self.waits = false;
            let step = reading.poll(context, (self.asked, at), &self.shared);
            self.reading = Some(reading);
            match step {
                Poll::Pending => {
                    self.waits = true;
                    return Poll::Pending;
                }
                Poll::Ready(Step::Chunk(chunk)) if chunk.to >= at => {
                    return Poll::Ready(Next::Chunk(chunk));
                }
                // The same read has more, or was the end of it; or it was too fast for us.
                Poll::Ready(Step::Chunk(_)) => self.waits = true,
                Poll::Ready(Step::Passed) => (),
                Poll::Ready(Step::Over(begun)) if begun > self.asked => {
                    return Poll::Ready(Next::End(None));
                }
                Poll::Ready(Step::Over(_)) => self.reading = None,
                Poll::Ready(Step::Failed(error)) if error.kind() == Kind::Corrupt => {
                    return Poll::Ready(Next::Alone);
                }
                Poll::Ready(Step::Failed(error)) => return Poll::Ready(Next::End(Some(error))),
            }
        }
    }

    /// Waits no more, and lets go of a read that was left behind.
    fn rest(&mut self, chunk: &Chunk) {
        self.waits = false;
        if let Some(reading) = &self.reading {
            reading.leave(self.asked);
        }
        self.reading = self
            .reading
            .take()
            .filter(|reading| reading.mark.is_past(chunk.to));
    }

    /// Reads by itself from here: a damaged event does not say where it ends.
    fn read_alone(&self, at: Position) -> EventStream {
        let request = ReadRequest::forward((*self.source).clone()).from(ReadFrom::Position(at));
        self.shared.store.read(request)
    }
}

impl Stream for Reader {
    type Item = Result<RecordedEvent, StoreError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(alone) = &mut this.alone {
            return Pin::new(alone).poll_next(context);
        }
        let mut passed = false;
        loop {
            if let Some(event) = this.in_hand() {
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(at) = this.at else {
                this.reading = None;
                return Poll::Ready(None);
            };
            if passed {
                // None of a whole chunk was wanted: others are let run before the next one.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match ready!(this.poll_next_chunk(context, at)) {
                Next::Chunk(chunk) => this.chunk = Some((chunk, 0)),
                Next::Alone => {
                    this.reading = None;
                    let alone = this.alone.insert(this.read_alone(at));
                    return Pin::new(alone).poll_next(context);
                }
                Next::End(error) => {
                    this.at = None;
                    this.reading = None;
                    return Poll::Ready(error.map(Err));
                }
            }
            passed = true;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.leave(self.asked);
        }
    }
}
