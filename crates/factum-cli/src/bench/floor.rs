//! A group-commit loop that does nothing but commit: the limit of all appends.
//!
//! Requests meet in a queue. Two committers take what waits, copy it into an aligned buffer, write that durably with one call into
//! space that was written before, and answer in the order of the frames. There is no index, no condition, no checksum, no stream,
//! nothing to read later: what a store does more than this is what it costs.
//! The same tasks, the same kind of queue and the same kind of answer as with the store. Never: answers before the bytes are durable.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use factum_io::{AlignedBuf, DiskFile, DiskFileExt, JoinHandle};
use factum_types::Bytes;
use tokio::sync::oneshot;

use super::crowd::Writer;
use super::probe::{MIB, PAGE_BYTES, Written};
use super::session::Session;
use super::threads::lock;
use crate::failure::{Failure, Outcome};

/// What an event takes in the log: its data, and a record head of the size that stores need.
pub(super) const HEAD_BYTES: usize = 48;
const COMMITTERS: usize = 2;
/// A frame is ended when it has so many bytes.
const FRAME_BYTES_MAX: usize = MIB;

/// The loop. Dropping it ends its threads.
#[derive(Debug)]
pub(super) struct BareLog {
    shared: Arc<Shared>,
    threads: Vec<Box<dyn JoinHandle>>,
}

#[derive(Debug)]
struct Shared {
    file: Arc<dyn DiskFile>,
    queue: Mutex<Queue>,
    work: [Condvar; COMMITTERS],
    stage: Mutex<Stage>,
    order: Mutex<Order>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Request>,
    idle: [bool; COMMITTERS],
    closed: bool,
}

#[derive(Debug)]
struct Request {
    bytes: Bytes,
    answer: oneshot::Sender<Result<(), io::ErrorKind>>,
}

/// Where the next frame goes.
#[derive(Debug, Default)]
struct Stage {
    next_seq: u64,
    offset: u64,
}

/// Requests on their way to the disk.
#[derive(Debug)]
struct Frame {
    seq: u64,
    offset: u64,
    requests: Vec<Request>,
    bytes: AlignedBuf,
}

/// Frames that are durable before one before them is.
#[derive(Debug, Default)]
struct Order {
    next_seq: u64,
    done: BTreeMap<u64, (Vec<Request>, Result<(), io::ErrorKind>)>,
}

impl BareLog {
    /// Starts the committers.
    pub(super) fn start(session: &Session<'_>, written: &Written) -> Outcome<Self> {
        let shared = Arc::new(Shared {
            file: Arc::clone(&written.0),
            queue: Mutex::default(),
            work: [Condvar::new(), Condvar::new()],
            stage: Mutex::default(),
            order: Mutex::default(),
        });
        let mut log = Self {
            shared,
            threads: Vec::with_capacity(COMMITTERS),
        };
        for number in 0..COMMITTERS {
            let shared = Arc::clone(&log.shared);
            let run = move || shared.commit_all(number);
            let thread = session
                .env
                .spawner
                .spawn(&format!("floor-{number}"), Box::new(run));
            log.threads
                .push(thread.map_err(|error| Failure::io("cannot start a thread", &error))?);
        }
        Ok(log)
    }

    /// Someone who appends batches of so many events, one after the other.
    pub(super) fn writer(&self, events: usize, payload: usize) -> BareWriter {
        let bytes = vec![7; events * (payload + HEAD_BYTES)];
        BareWriter {
            shared: Arc::clone(&self.shared),
            bytes: bytes.into(),
            events: events as u64,
        }
    }
}

impl Drop for BareLog {
    fn drop(&mut self) {
        lock(&self.shared.queue).closed = true;
        self.shared.work.iter().for_each(Condvar::notify_all);
        for thread in self.threads.drain(..) {
            // A panic has failed the requests already.
            drop(thread.join());
        }
    }
}

/// Appends to the bare log.
#[derive(Debug)]
pub(super) struct BareWriter {
    shared: Arc<Shared>,
    bytes: Bytes,
    events: u64,
}

impl Writer for BareWriter {
    async fn write(&mut self) -> Outcome<u64> {
        let (answer, answered) = oneshot::channel();
        self.shared.push(Request {
            bytes: self.bytes.clone(),
            answer,
        });
        match answered.await {
            Ok(Ok(())) => Ok(self.events),
            Ok(Err(kind)) => Err(Failure::error(format!(
                "a write of the bare log failed: {kind}"
            ))),
            Err(_gone) => Err(Failure::error("the bare log stopped")),
        }
    }
}

impl Shared {
    fn push(&self, request: Request) {
        let mut queue = lock(&self.queue);
        queue.waiting.push(request);
        // The first idle one, so that a lone writer always meets the same warm thread.
        let idle = queue.idle.iter().zip(&self.work).find(|(idle, _)| **idle);
        let work = idle.map(|(_, work)| work);
        drop(queue);
        work.inspect(|work| work.notify_one());
    }

    /// A committer.
    fn commit_all(&self, number: usize) {
        let mut memory = Vec::new();
        while self.wait(number) {
            let Some(frame) = self.take(std::mem::take(&mut memory)) else {
                continue;
            };
            let Frame {
                seq,
                offset,
                requests,
                bytes,
            } = frame;
            let written = self.file.write_all_durable_at(bytes.as_slice(), offset);
            memory = bytes.into_vec();
            self.answer(seq, requests, written.map_err(|error| error.kind()));
        }
    }

    /// Waits for work; says whether there is any, or will be.
    fn wait(&self, number: usize) -> bool {
        let (Some(work), mut queue) = (self.work.get(number), lock(&self.queue)) else {
            return false;
        };
        while queue.waiting.is_empty() && !queue.closed {
            set(&mut queue.idle, number, true);
            queue = work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            set(&mut queue.idle, number, false);
        }
        !queue.waiting.is_empty()
    }

    /// Takes what waits and lays it out as a frame, in this memory.
    fn take(&self, memory: Vec<u8>) -> Option<Frame> {
        let mut stage = lock(&self.stage);
        let mut queue = lock(&self.queue);
        let mut bytes = 0;
        let fits = |request: &&Request| {
            bytes += request.bytes.len();
            bytes <= FRAME_BYTES_MAX || bytes == request.bytes.len()
        };
        let count = queue.waiting.iter().take_while(fits).count();
        let rest = queue.waiting.split_off(count);
        let requests = std::mem::replace(&mut queue.waiting, rest);
        drop(queue);
        if requests.is_empty() {
            return None;
        }
        // As the store does it: memory is not cleared before it is filled.
        let mut frame = AlignedBuf::begin(memory);
        let start = frame.len();
        for request in &requests {
            frame.extend_from_slice(&request.bytes);
        }
        let end = start + (frame.len() - start).next_multiple_of(PAGE_BYTES);
        frame.resize(end, 0);
        let bytes = AlignedBuf::from_vec(frame, start);
        if stage.offset + bytes.len() as u64 > Written::len() {
            stage.offset = 0;
        }
        let (seq, offset) = (stage.next_seq, stage.offset);
        stage.next_seq += 1;
        stage.offset += bytes.len() as u64;
        Some(Frame {
            seq,
            offset,
            requests,
            bytes,
        })
    }

    /// Answers, in order, every frame that has none before it under way.
    fn answer(&self, seq: u64, requests: Vec<Request>, result: Result<(), io::ErrorKind>) {
        let mut ready = Vec::new();
        let mut order = lock(&self.order);
        order.done.insert(seq, (requests, result));
        loop {
            let next = order.next_seq;
            let Some(frame) = order.done.remove(&next) else {
                break;
            };
            order.next_seq += 1;
            ready.push(frame);
        }
        drop(order);
        for (requests, result) in ready {
            for request in requests {
                // Whoever asked may have gone.
                request.answer.send(result).unwrap_or_default();
            }
        }
    }
}

fn set(idle: &mut [bool; COMMITTERS], number: usize, to: bool) {
    if let Some(idle) = idle.get_mut(number) {
        *idle = to;
    }
}
