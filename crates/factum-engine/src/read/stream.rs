//! The asynchronous edge of reading: a request becomes a stream of events.
//!
//! Pages are fetched when polled, on the caller's thread: small ones first, so that a short read costs little, larger ones when it goes on.
//! Never: holds a lock between polls.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use factum_store::{Direction, EventStream, Kind, ReadFrom, ReadRequest, Source, StoreError};
use factum_types::{RecordKind, RecordedEvent, Revision, StreamName};
use futures_core::Stream;

use super::lookup::stream_tail;
use super::page::Page;
use super::plan::SourceKeys;
use super::{Chain, Cursor, CursorStart};
use crate::key::KeyKind;
use crate::reader::Reader;
use crate::sequence::{StreamTail, TailState};

const PAGE_BYTES: usize = 1 << 20;
const FIRST_PAGE_EVENTS: usize = 64;
const PAGE_EVENTS_MAX: usize = 2_048;

/// A read that has been prepared.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) cursor: Cursor,
    /// Events recorded before this are not shown.
    pub(crate) oldest: Option<i64>,
    /// For a stream: the chain of its revisions.
    pub(crate) chain: Option<Chain>,
}

impl Prepared {
    pub(crate) fn stream(&self) -> Option<&StreamName> {
        self.chain.as_ref().map(Chain::stream)
    }
}

/// What of a stream is shown, or why nothing is.
pub(crate) fn visible(
    tail: &StreamTail,
    name: &StreamName,
    now: i64,
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
pub(crate) fn visible_from(tail: &StreamTail, now: i64) -> (u64, Option<i64>) {
    let settings = tail.settings();
    let truncated = settings.truncate_before.map_or(0, Revision::number);
    let counted = settings
        .max_count
        .map_or(0, |count| tail.next_revision.saturating_sub(count));
    let oldest = settings
        .max_age
        .map(|age| now.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)));
    (truncated.max(counted), oldest)
}

pub(crate) fn tombstoned(name: &StreamName) -> StoreError {
    StoreError::new(Kind::Deleted, format!("stream {name} was closed for ever"))
}

impl Reader {
    /// Prepares a read.
    pub(crate) fn prepare(&self, request: &ReadRequest) -> Result<Prepared, StoreError> {
        request.validate()?;
        let source = SourceKeys::new(&request.source, &self.keyer)?;
        let mut revisions = 0..u64::MAX;
        let mut asked = 0..u64::MAX;
        let (mut oldest, mut tail_of) = (None, None);
        if let Source::Stream(name) = &request.source {
            let tail = self.stream_tail(name)?;
            let (from, age) = visible(&tail, name, self.now())?;
            (revisions.start, oldest) = (from, age);
            tail_of = Some((name.clone(), tail));
        }
        let forward = request.direction == Direction::Forward;
        let from = match request.from {
            ReadFrom::Start if forward => 0,
            ReadFrom::Start => 0,
            ReadFrom::End if forward => self.published.end(),
            ReadFrom::End => u64::MAX,
            ReadFrom::Position(position) if forward => position.raw(),
            ReadFrom::Position(position) => position.raw().saturating_add(1),
            ReadFrom::Revision(revision) if forward => {
                asked.start = revision.number();
                0
            }
            ReadFrom::Revision(revision) => {
                asked.end = revision.number().saturating_add(1);
                u64::MAX
            }
            _ => return Err(StoreError::invalid("this start is not known to the engine")),
        };
        revisions = revisions.start.max(asked.start)..asked.end;
        let chain = tail_of.map(|(name, tail)| {
            let known = match request.from {
                ReadFrom::Start | ReadFrom::Revision(_) if forward => Some(revisions.start),
                ReadFrom::End | ReadFrom::Revision(_) if !forward => {
                    revisions.end.min(tail.next_revision).checked_sub(1)
                }
                _ => None,
            };
            Chain::new(name, forward, known)
        });
        let cursor = Cursor::new(CursorStart {
            control_revisions: asked,
            source,
            direction: request.direction,
            from,
            revisions,
            control: request.control,
        });
        Ok(Prepared {
            cursor,
            oldest,
            chain,
        })
    }

    /// The tail of a stream as far as it is published.
    pub(crate) fn stream_tail(&self, name: &StreamName) -> Result<StreamTail, StoreError> {
        let key = self.keyer.stream(name.as_str());
        let control = self.keyer.hash(KeyKind::Control, name.as_str());
        stream_tail(&self.published.view(), name.as_str(), key, control)
    }

    /// Reads as a stream of events.
    pub(crate) fn read(self: &Arc<Self>, request: &ReadRequest) -> EventStream {
        match self.prepare(request) {
            Err(error) => EventStream::of([Err(error)]),
            Ok(prepared) => EventStream::new(Reading {
                reader: Arc::clone(self),
                read: prepared,
                left: request.limit.unwrap_or(u64::MAX),
                next: VecDeque::new(),
                page: Page::default(),
                events: FIRST_PAGE_EVENTS,
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
    next: VecDeque<Result<RecordedEvent, StoreError>>,
    page: Page,
    events: usize,
    ended: bool,
}

impl Reading {
    fn fetch(&mut self) -> Result<(), StoreError> {
        let want = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(self.events);
        self.events = (self.events * 4).min(PAGE_EVENTS_MAX);
        self.page.clear();
        let published = &self.reader.published;
        self.ended = self
            .read
            .cursor
            .fill(published, &mut self.page, (want, PAGE_BYTES))?;
        let Prepared { oldest, chain, .. } = &mut self.read;
        let stream = chain.as_ref().map(|chain| chain.stream().clone());
        for item in self.page.recorded(stream.as_ref()) {
            let gap = chain.as_mut().and_then(|chain| chain.follow(&item));
            self.next.extend(gap.map(Err));
            if is_shown(&item, *oldest) {
                self.next.push_back(item);
            }
        }
        Ok(())
    }
}

/// Whether an item is young enough for its stream.
fn is_shown(item: &Result<RecordedEvent, StoreError>, oldest: Option<i64>) -> bool {
    match (item, oldest) {
        (Ok(event), Some(oldest)) if event.kind == RecordKind::Event => {
            event.time.as_micros() >= oldest
        }
        _ => true,
    }
}

impl Stream for Reading {
    type Item = Result<RecordedEvent, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while this.left > 0 {
            if let Some(event) = this.next.pop_front() {
                this.left -= 1;
                return Poll::Ready(Some(event));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            if let Err(error) = this.fetch() {
                this.left = 0;
                return Poll::Ready(Some(Err(error)));
            }
        }
        Poll::Ready(None)
    }
}
