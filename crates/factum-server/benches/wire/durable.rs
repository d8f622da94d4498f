//! The least that makes an event durable: threads that write what waits to a file that was written before, and nothing else.
//!
//! No streams, no checksums, no index and no order: what a store does more than this is what it costs. Never: answers before the bytes are durable.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use factum_io::{AlignedBuf, DiskFile, DiskFileExt, Env, Open};
use tokio::sync::oneshot;

/// As many as the engine has.
const COMMITTERS: u64 = 2;
/// How often a committer lets callers run before it takes what waits, as the engine does (decision 0035): fewer writes, each of which costs a processor
/// much. Of none, one and three, with one to three committers, this was the one that the store never had more than (docs/benchmarks.md).
const YIELDS: usize = 3;
const PAGE_BYTES: usize = 4 << 10;
/// Where each of them writes, again and again.
const AREA_BYTES: u64 = 64 << 20;

type Request = (Bytes, oneshot::Sender<()>);

/// Makes data durable.
#[derive(Clone)]
pub(crate) struct Durable(Sender<Request>);

impl Durable {
    /// Makes the file, and starts the threads; they end with the process.
    pub(crate) fn begin(path: &Path) -> Self {
        let env = Env::real();
        let file = env.disk.open(path, Open::create_new_direct()).unwrap();
        file.allocate(COMMITTERS * AREA_BYTES).unwrap();
        let zeros = AlignedBuf::zeroed(1 << 20);
        for at in (0..COMMITTERS * AREA_BYTES).step_by(zeros.as_slice().len()) {
            file.write_all_at(zeros.as_slice(), at).unwrap();
        }
        file.sync_all().unwrap();
        let (sender, requests) = channel();
        let requests = Arc::new(Mutex::new(requests));
        for number in 0..COMMITTERS {
            let (file, requests) = (Arc::clone(&file), Arc::clone(&requests));
            let run = move || commit_all(&*file, number * AREA_BYTES, &requests);
            let name = format!("durable-{number}");
            drop(env.spawner.spawn(&name, Box::new(run)).unwrap());
        }
        Self(sender)
    }

    /// Returns when the data are durable.
    pub(crate) async fn write(&self, data: Bytes) {
        let (answer, answered) = oneshot::channel();
        self.0.send((data, answer)).unwrap();
        answered.await.unwrap();
    }
}

fn commit_all(file: &dyn DiskFile, area: u64, requests: &Mutex<Receiver<Request>>) {
    let mut offset = 0;
    while let Some(waiting) = take(requests) {
        let bytes: usize = waiting.iter().map(|(data, _)| data.len()).sum();
        let mut frame = AlignedBuf::zeroed(bytes.next_multiple_of(PAGE_BYTES));
        let mut rest = frame.as_mut_slice();
        for (data, _) in &waiting {
            let (place, after) = rest.split_at_mut(data.len());
            place.copy_from_slice(data);
            rest = after;
        }
        let frame = frame.as_slice();
        if offset + frame.len() as u64 > AREA_BYTES {
            offset = 0;
        }
        file.write_all_durable_at(frame, area + offset).unwrap();
        offset += frame.len() as u64;
        for (_, answer) in waiting {
            answer.send(()).unwrap();
        }
    }
}

/// What waits; waits for something itself.
fn take(requests: &Mutex<Receiver<Request>>) -> Option<Vec<Request>> {
    let requests = requests.lock().unwrap();
    let first = requests.recv().ok()?;
    (0..YIELDS).for_each(|_| std::thread::yield_now());
    Some(std::iter::once(first).chain(requests.try_iter()).collect())
}
