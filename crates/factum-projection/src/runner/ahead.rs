//! Reading the store ahead of the writing: a task that fills a queue.
//!
//! Relies on: someone who runs the task. Never: holds more than a few chunks, or goes on when nobody takes from it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use factum_framework::world::Background;
use factum_store::{EventStream, StoreError};
use factum_types::RecordedEvent;

/// How many chunks wait at most.
const CHUNKS_MAX: usize = 16;
/// How many events a chunk has at most, and after how many bytes of data it takes no more.
const CHUNK_EVENTS: usize = 512;
const CHUNK_BYTES: usize = 256 << 10;

type Item = Result<RecordedEvent, StoreError>;

/// Where events come from: the store, or a task that reads it.
pub(super) enum Events {
    Store(EventStream),
    Ahead(Ahead),
}

/// The task was dropped before its end.
pub(super) struct Lost;

impl Events {
    /// These, read by a task of this background.
    pub(super) fn ahead(mut events: EventStream, background: &dyn Background) -> Self {
        let queue = Arc::new(Mutex::new(Queue::default()));
        let filling = Filling(Arc::clone(&queue));
        background.start(Box::pin(async move {
            loop {
                let (chunk, last) = chunk(&mut events).await;
                if !filling.put(chunk).await {
                    return;
                }
                if last {
                    filling.finish();
                    return;
                }
            }
        }));
        Self::Ahead(Ahead {
            queue,
            chunk: VecDeque::new(),
        })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Item>, Lost> {
        match self {
            Self::Store(events) => Ok(events.next().await),
            Self::Ahead(ahead) => ahead.next().await,
        }
    }
}

/// As much as there is room for, and whether that is the end; an error is the end.
async fn chunk(events: &mut EventStream) -> (VecDeque<Item>, bool) {
    let (mut chunk, mut bytes) = (VecDeque::new(), 0);
    while chunk.len() < CHUNK_EVENTS && bytes < CHUNK_BYTES {
        let Some(item) = events.next().await else {
            return (chunk, true);
        };
        let last = item.is_err();
        bytes += item.as_ref().map_or(0, |event| event.data.len());
        chunk.push_back(item);
        if last {
            return (chunk, true);
        }
    }
    (chunk, false)
}

#[derive(Default)]
struct Queue {
    chunks: VecDeque<VecDeque<Item>>,
    /// The task is through.
    finished: bool,
    /// The task is gone, or who takes from it.
    left: bool,
    waiting: Option<Waker>,
}

impl Queue {
    fn wake(mut queue: MutexGuard<'_, Self>) {
        let waiting = queue.waiting.take();
        drop(queue);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// The end that takes.
pub(super) struct Ahead {
    queue: Arc<Mutex<Queue>>,
    chunk: VecDeque<Item>,
}

impl Ahead {
    async fn next(&mut self) -> Result<Option<Item>, Lost> {
        loop {
            if let Some(item) = self.chunk.pop_front() {
                return Ok(Some(item));
            }
            match std::future::poll_fn(|context| self.poll_chunk(context)).await? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(None),
            }
        }
    }

    fn poll_chunk(&self, context: &Context<'_>) -> Poll<Result<Option<VecDeque<Item>>, Lost>> {
        let mut queue = lock(&self.queue);
        if let Some(chunk) = queue.chunks.pop_front() {
            Queue::wake(queue);
            return Poll::Ready(Ok(Some(chunk)));
        }
        if queue.finished {
            return Poll::Ready(Ok(None));
        }
        if queue.left {
            return Poll::Ready(Err(Lost));
        }
        queue.waiting = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        queue.left = true;
        Queue::wake(queue);
    }
}

/// The end that fills.
struct Filling(Arc<Mutex<Queue>>);

impl Filling {
    /// Waits for room; whether someone still takes.
    async fn put(&self, chunk: VecDeque<Item>) -> bool {
        let mut chunk = Some(chunk);
        std::future::poll_fn(|context| {
            let mut queue = lock(&self.0);
            if queue.left {
                return Poll::Ready(false);
            }
            if queue.chunks.len() >= CHUNKS_MAX {
                queue.waiting = Some(context.waker().clone());
                return Poll::Pending;
            }
            queue.chunks.extend(chunk.take());
            Queue::wake(queue);
            Poll::Ready(true)
        })
        .await
    }

    fn finish(&self) {
        lock(&self.0).finished = true;
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.left = true;
        Queue::wake(queue);
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
