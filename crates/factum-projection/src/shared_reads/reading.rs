//! A read of the store underneath, which all who wait for it drive.
//!
//! Relies on: [`Bell`], which wakes all of them when the store has more. Never: belongs to one reader, so that the others go on when it is dropped or
//! looks away; keeps what it read to itself. While one of them polls the store, the others wait for that poll, which is their own work too.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use factum_store::{EventStream, ReadFrom, ReadRequest, Source, StoreError};
use factum_types::{Position, RecordedEvent};
use futures_core::Stream;

use super::Shared;
use super::cache::{Chunk, is_old};

/// How many events a chunk has at most, and after how many bytes it takes no more.
const CHUNK_EVENTS: usize = 512;
const CHUNK_BYTES: usize = 256 << 10;

/// A read that has been begun, or will be when it is first polled.
pub(super) struct Reading {
    pub(super) mark: Arc<Mark>,
    bell: Arc<Bell>,
    state: Mutex<State>,
}

/// Where a read is, to be looked at without its lock.
pub(super) struct Mark {
    pub(super) source: Arc<Source>,
    /// The raw position from which on it has not read; the greatest number when there is none.
    from: AtomicU64,
    /// When it was last driven.
    used_ns: AtomicU64,
}

struct State {
    /// `None` before it is begun, and when it is over.
    events: Option<EventStream>,
    /// The moment when it was begun.
    begun: Option<u64>,
    /// From which position on it has not read; `None` after the last that there can be.
    from: Option<Position>,
    /// What was read in this poll.
    chunk: Vec<RecordedEvent>,
    bytes: usize,
    read_ns: u64,
    end: Option<End>,
}

/// How it ended.
#[derive(Clone)]
enum End {
    /// Nothing was left.
    Over,
    Failed(StoreError),
}

/// What came of driving a read.
pub(super) enum Step {
    /// The next events of it.
    Chunk(Arc<Chunk>),
    /// It has passed by: what was wanted was read meanwhile.
    Passed,
    /// Nothing was left, in a read that was begun at this moment.
    Over(u64),
    Failed(StoreError),
}

impl Reading {
    pub(super) fn new(source: Arc<Source>, from: Position, now_ns: u64) -> Self {
        let mark = Mark {
            source,
            from: AtomicU64::new(from.raw()),
            used_ns: AtomicU64::new(now_ns),
        };
        Self {
            mark: Arc::new(mark),
            bell: Arc::default(),
            state: Mutex::new(State {
                events: None,
                begun: None,
                from: Some(from),
                chunk: Vec::new(),
                bytes: 0,
                read_ns: now_ns,
                end: None,
            }),
        }
    }

    /// Drives it to the end of a chunk, for a reader that is there: as much as the store has ready. Pending, that reader is woken whenever
    /// there is more to do.
    pub(super) fn poll(
        &self,
        context: &Context<'_>,
        (reader, at): (u64, Position),
        shared: &Shared,
    ) -> Poll<Step> {
        // Before the store is asked: what comes after that rings.
        self.bell.wait(reader, context.waker());
        let step = self.drive(&mut self.lock(), at, shared);
        if let Poll::Ready(step) = &step {
            self.bell.leave(reader);
            if !matches!(step, Step::Passed) {
                // The others find what was read in the cache, or how it ended here.
                self.bell.ring();
            }
        }
        step
    }

    /// A reader waits no more.
    pub(super) fn leave(&self, reader: u64) {
        self.bell.leave(reader);
    }

    fn drive(&self, state: &mut State, at: Position, shared: &Shared) -> Poll<Step> {
        let Some(from) = state.from.filter(|from| is_near_behind(*from, at)) else {
            return Poll::Ready(Step::Passed);
        };
        if let Some(end) = &state.end {
            return Poll::Ready(end.step(state.begun));
        }
        let now_ns = shared.now_ns();
        self.mark.used_ns.store(now_ns, Ordering::SeqCst);
        let begun = *state.begun.get_or_insert_with(|| shared.moment());
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut context = Context::from_waker(&waker);
        loop {
            let events = state.events.get_or_insert_with(|| {
                let request = ReadRequest::forward((*self.mark.source).clone());
                shared.store.read(request.from(ReadFrom::Position(from)))
            });
            match std::pin::Pin::new(events).poll_next(&mut context) {
                Poll::Pending if state.chunk.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Step::Chunk(self.give(state, shared))),
                Poll::Ready(Some(Ok(event))) => state.take(event, now_ns),
                Poll::Ready(Some(Err(error))) => state.end = Some(End::Failed(error)),
                Poll::Ready(None) => state.end = Some(End::Over),
            }
            if let Some(end) = &state.end {
                state.events = None;
                // In one step with what is kept below: whoever comes now either waited for this end or does not find it.
                shared.cache().close(self);
                if state.chunk.is_empty() {
                    return Poll::Ready(end.step(Some(begun)));
                }
            }
            if state.end.is_some() || state.is_full() {
                return Poll::Ready(Step::Chunk(self.give(state, shared)));
            }
        }
    }

    /// What was read, for whoever wants it. The lock is held meanwhile: nobody finds neither the chunk nor a read that brings it.
    fn give(&self, state: &mut State, shared: &Shared) -> Arc<Chunk> {
        let chunk = Arc::new(state.chunk());
        let from = state.from.map_or(u64::MAX, Position::raw);
        self.mark.from.store(from, Ordering::SeqCst);
        shared
            .cache()
            .put(&self.mark.source, &chunk, shared.now_ns());
        chunk
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, event: RecordedEvent, now_ns: u64) {
        if self.chunk.is_empty() {
            self.read_ns = now_ns;
        }
        let words = event.metadata.byte_len() + event.tags.len() * size_of::<factum_types::Tag>();
        self.bytes += size_of::<RecordedEvent>() + event.data.len() + event.personal.len() + words;
        self.chunk.push(event);
    }

    const fn is_full(&self) -> bool {
        self.chunk.len() >= CHUNK_EVENTS || self.bytes >= CHUNK_BYTES
    }

    /// What was read since the last one; at least one event.
    fn chunk(&mut self) -> Chunk {
        let events = std::mem::take(&mut self.chunk);
        let from = self.from.unwrap_or(Position::START);
        let to = events.last().map_or(from, |event| event.position);
        self.from = to.next();
        Chunk {
            from,
            to,
            events,
            bytes: std::mem::take(&mut self.bytes),
            read_ns: self.read_ns,
            ended: self.begun.filter(|_| matches!(self.end, Some(End::Over))),
        }
    }
}

impl Mark {
    /// Whether the read comes by there soon, and is not one that its readers have left standing.
    pub(super) fn can_be_joined(&self, at: Position, now_ns: u64) -> bool {
        let from = Position::from_raw(self.from.load(Ordering::SeqCst));
        is_near_behind(from, at) && !is_old(self.used_ns.load(Ordering::SeqCst), now_ns)
    }

    /// Whether the read has passed this position.
    pub(super) fn is_past(&self, position: Position) -> bool {
        self.from.load(Ordering::SeqCst) > position.raw()
    }
}

impl End {
    fn step(&self, begun: Option<u64>) -> Step {
        match self {
            Self::Over => Step::Over(begun.unwrap_or(0)),
            Self::Failed(error) => Step::Failed(error.clone()),
        }
    }
}

/// Whether a read that goes on at `from` is worth waiting for at `at`: less than a chunk of it is before that.
fn is_near_behind(from: Position, at: Position) -> bool {
    at.raw()
        .checked_sub(from.raw())
        .is_some_and(|ahead| ahead < CHUNK_EVENTS as u64)
}

/// Wakes all who wait.
#[derive(Default)]
struct Bell(Mutex<BTreeMap<u64, Waker>>);

impl Bell {
    fn wait(&self, reader: u64, waker: &Waker) {
        self.lock().insert(reader, waker.clone());
    }

    fn leave(&self, reader: u64) {
        self.lock().remove(&reader);
    }

    fn ring(&self) {
        let waiting = std::mem::take(&mut *self.lock());
        waiting.into_values().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
