//! The asynchronous edge of reading: a request becomes a stream of events.
//!
//! Pages are fetched when polled, on the caller's thread (`items`).
//! Never: holds a lock between polls.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use factum_store::{Direction, EventStream, Kind, ReadFrom, ReadRequest, Source, StoreError};
use factum_types::{RecordedEvent, StreamName};
use futures_core::Stream;

use super::items::Items;
use super::lookup::{Found, last_control, stream_tail};
use super::plan::SourceKeys;
use super::{Chain, Cursor, CursorStart, Lists, Wanted};
use crate::key::KeyKind;
use crate::reader::Reader;
use crate::sequence::{StreamTail, TailState};

/// A read that has been prepared.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) cursor: Cursor,
    /// Events recorded before this are not shown.
    pub(crate) oldest: Option<i64>,
    /// For a stream: the chain of its revisions.
    pub(crate) chain: Option<Chain>,
    /// Whether the stream is known to exist, if it is one; else its first event is the proof.
    proven: bool,
}

impl Prepared {
    pub(crate) fn stream(&self) -> Option<&StreamName> {
        self.chain.as_ref().map(Chain::stream)
    }
}

/// What was found out of a stream's tail before reading.
enum Tail {
    Known(StreamTail),
    /// Nothing, and it need not be: the stream is shown from its first event on.
    Unasked,
}

/// What of a stream is shown, or why nothing is.
pub(crate) fn visible(
    tail: &StreamTail,
    name: &StreamName,
    now: impl FnOnce() -> i64,
) -> Result<(u64, Option<i64>), StoreError> {
    if tail.state == TailState::Tombstoned {
        return Err(tombstoned(name));
    }
    if !tail.exists() {
        return Err(StoreError::new(
            Kind::NotFound,
            format!("stream {name} has no events"),
        ));
    }
    Ok(visible_from(tail, now))
}

/// The first revision shown, and the oldest time.
pub(crate) fn visible_from(tail: &StreamTail, now: impl FnOnce() -> i64) -> (u64, Option<i64>) {
    let settings = tail.settings();
    let oldest = settings
        .max_age
        .map(|age| now().saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)));
    (settings.first_kept(tail.next_revision), oldest)
}

pub(crate) fn tombstoned(name: &StreamName) -> StoreError {
    StoreError::new(Kind::Deleted, format!("stream {name} was closed for ever"))
}

impl Reader {
    /// Prepares a read.
    pub(crate) fn prepare(&self, request: &ReadRequest) -> Result<Prepared, StoreError> {
        let prepared = self.prepare_unproven(request)?;
        self.prove(&prepared)?;
        Ok(prepared)
    }

    /// An error if the stream of a read turns out not to be there.
    fn prove(&self, prepared: &Prepared) -> Result<(), StoreError> {
        let Some(name) = prepared.stream().filter(|_| !prepared.proven) else {
            return Ok(());
        };
        let found = self.find_tail(name)?;
        visible(&found.shown(name)?, name, || self.now()).map(drop)
    }

    /// What is to be known of a stream before it is read; the default when its events alone tell all. Leaves what it found in `lists`.
    fn tail_to_read(
        &self,
        source: &SourceKeys,
        direction: Direction,
        lists: &mut Lists,
    ) -> Result<Option<Tail>, StoreError> {
        let SourceKeys::Stream { name, key, control } = source else {
            return Ok(None);
        };
        let end = self.published.end();
        let view = self.published.view();
        let wanted = Wanted {
            name: name.as_str(),
            key: *key,
        };
        // Forwards, a stream without settings is shown from its first event on, which proves that it exists.
        if direction == Direction::Forward
            && last_control((&view, end), wanted.name, *control)?.is_none()
        {
            return Ok(Some(Tail::Unasked));
        }
        let mut found = Lists::of_last();
        let tail = stream_tail((&view, end), wanted, *control, &mut found)?.shown(name)?;
        if direction == Direction::Backward {
            found.rewind();
            *lists = found;
        }
        Ok(Some(Tail::Known(tail)))
    }

    /// Prepares a read, but may leave it open whether the stream exists.
    fn prepare_unproven(&self, request: &ReadRequest) -> Result<Prepared, StoreError> {
        request.validate()?;
        let source = SourceKeys::new(&request.source, &self.keyer)?;
        let mut revisions = 0..u64::MAX;
        let mut asked = 0..u64::MAX;
        let mut oldest = None;
        let mut lists = Lists::of_many();
        let tail = self.tail_to_read(&source, request.direction, &mut lists)?;
        if let (Source::Stream(name), Some(Tail::Known(tail))) = (&request.source, &tail) {
            (revisions.start, oldest) = visible(tail, name, || self.now())?;
        }
        let forward = request.direction == Direction::Forward;
        // Backwards, nothing of the stream stands behind its last record.
        let last = match &tail {
            Some(Tail::Known(tail)) => tail.after_last_record,
            _ => u64::MAX,
        };
        let from = match request.from {
            ReadFrom::Start if forward => 0,
            ReadFrom::Start => 0,
            ReadFrom::End if forward => self.published.end(),
            ReadFrom::End => last,
            ReadFrom::Position(position) if forward => position.raw(),
            ReadFrom::Position(position) => position.raw().saturating_add(1),
            ReadFrom::Revision(revision) if forward => {
                asked.start = revision.number();
                0
            }
            ReadFrom::Revision(revision) => {
                asked.end = revision.number().saturating_add(1);
                last
            }
            _ => return Err(StoreError::invalid("this start is not known to the engine")),
        };
        revisions = revisions.start.max(asked.start)..asked.end;
        let chain = match (&request.source, &tail) {
            (Source::Stream(name), Some(tail)) => {
                let known = match (request.from, tail) {
                    (ReadFrom::Start | ReadFrom::Revision(_), _) if forward => {
                        Some(revisions.start)
                    }
                    (ReadFrom::End | ReadFrom::Revision(_), Tail::Known(tail)) if !forward => {
                        revisions.end.min(tail.next_revision).checked_sub(1)
                    }
                    _ => None,
                };
                Some(Chain::new(name.clone(), forward, known))
            }
            _ => None,
        };
        let start = CursorStart {
            control_revisions: asked,
            source,
            direction: request.direction,
            from,
            revisions,
            control: request.control,
        };
        Ok(Prepared {
            cursor: Cursor::with_lists(start, lists),
            oldest,
            chain,
            proven: !matches!(tail, Some(Tail::Unasked)),
        })
    }

    /// The tail of a stream as far as it is published and left: records that were lost may have been later ones.
    pub(crate) fn stream_tail(&self, name: &StreamName) -> Result<StreamTail, StoreError> {
        self.find_tail(name).map(|found| found.tail)
    }

    /// The tail of a stream as far as it is published.
    ///
    /// # Errors
    /// Kind `Corrupt` when later events of it may have been lost.
    pub(crate) fn proven_tail(&self, name: &StreamName) -> Result<StreamTail, StoreError> {
        let found = self.find_tail(name)?;
        match found.doubt.filter(|_| !self.accept_lost_tails) {
            Some(doubt) => Err(doubt.error(name)),
            None => Ok(found.tail),
        }
    }

    fn find_tail(&self, name: &StreamName) -> Result<Found, StoreError> {
        let wanted = Wanted {
            name: name.as_str(),
            key: self.keyer.stream(name.as_str()),
        };
        let control = self.keyer.hash(KeyKind::Control, name.as_str());
        let mut lists = Lists::of_last();
        let end = self.published.end();
        stream_tail((&self.published.view(), end), wanted, control, &mut lists)
    }

    /// Reads as a stream of events.
    pub(crate) fn read(self: &Arc<Self>, request: &ReadRequest) -> EventStream {
        if let Some(last) = self.read_last(request) {
            return EventStream::of([Ok(last)]);
        }
        let prepared = match request.limit {
            Some(0) => self.prepare(request),
            _ => self.prepare_unproven(request),
        };
        match prepared {
            Err(error) => EventStream::of([Err(error)]),
            Ok(read) => EventStream::new(Reading {
                items: Items::new(Arc::clone(self)),
                reader: Arc::clone(self),
                read,
                left: request.limit.unwrap_or(u64::MAX),
                ended: false,
            }),
        }
    }
}

/// A read under way.
struct Reading {
    reader: Arc<Reader>,
    read: Prepared,
    left: u64,
    items: Items,
    ended: bool,
}

impl Reading {
    fn fetch(&mut self) -> Result<(), StoreError> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        self.ended = self.items.fetch(&mut self.read.cursor, most)?;
        // Damage proves nothing, but it is told in place of the events, and nobody wants to hear more.
        self.read.proven |= !self.items.is_empty();
        Ok(())
    }
}

impl Stream for Reading {
    type Item = Result<RecordedEvent, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while this.left > 0 {
            let Prepared { oldest, chain, .. } = &mut this.read;
            if let Some(item) = this.items.next(chain, *oldest) {
                this.left -= 1;
                return Poll::Ready(Some(item));
            }
            let more = if this.ended {
                this.left = 0;
                this.reader.prove(&this.read)
            } else {
                this.fetch()
            };
            if let Err(error) = more {
                this.left = 0;
                return Poll::Ready(Some(Err(error)));
            }
        }
        Poll::Ready(None)
    }
}
