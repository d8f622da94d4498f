//! The engine as applications hold it: a handle to the core, its threads, and the contract.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use factum_io::disk::DirLock;
use factum_io::spawn::JoinHandle;
use factum_io::{Clock, Env};
use factum_store::{
    AppendBatch, Checkpoint, CheckpointStore, EventStore, EventStream, Kind, ReadRequest, Receipt,
    Snapshot, SnapshotStore, StoreError, StreamInfo, StreamState, StreamsRequest, SubscribeRequest,
    Subscription,
};
use factum_types::{EventType, Position, StreamName};
use futures_core::future::BoxFuture;

use crate::catalog::HAS_CONTROL;
use crate::core::{COMMITTERS, Core, HeadOf, Publisher, Queue};
use crate::errors;
use crate::key::id_fingerprint;
use crate::log::{FrameLog, MemoryLog, SegmentLog, Trouble};
use crate::maintain::Maintenance;
use crate::open::{self, Opened, Writing};
use crate::options::Options;
use crate::read::lookup::{last_snapshot, stream_names};
use crate::read::{Cursor, Page};
use crate::reader::Reader;
use crate::report::{OpenReport, Stats};
use crate::request::{Prepared, snapshot_key};
use crate::seal::Sealer;
use crate::sequence::{IdWindow, SegmentContext, Sequencer, StreamTail, TailState};
use crate::subscribe::Waiters;
use crate::sync::{Mutex, lock};
use crate::view::{Published, Unsealed, UnsealedHead, View};

/// When nothing was written for so long, the log is told what is durable, so that recovery knows.
const IDLE: Duration = Duration::from_millis(3);

/// An event store in a directory of this machine. Cloning gives another handle to the same store.
///
/// All of [`EventStore`], [`SnapshotStore`] and [`CheckpointStore`] is there; what is particular to the engine are the methods below.
/// The store closes when the last handle is dropped, or with [`close`](Engine::close). Reads and subscriptions hold the store's data but
/// not the store: after closing, a read ends normally and a subscription ends with an error.
///
/// ```
/// use factum_engine::{Engine, Options};
/// use factum_store::{AppendBatch, EventStore, ReadRequest};
/// use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("factum-doc-{}", std::process::id()));
/// let store = Engine::open(Options::new(&directory).segment_bytes(1 << 20), factum_io::Env::real())?;
/// let placed = NewEvent::json(store.new_event_id(), EventType::new("OrderPlaced")?, r#"{"total":12}"#);
/// let order = StreamName::new("order-123")?;
/// pollster::block_on(async {
///     store.append(AppendBatch::events(order.clone(), ExpectedRevision::NoStream, vec![placed])).await?;
///     let events = store.read(ReadRequest::stream(order)).collect().await?;
///     assert_eq!(events[0].event_type.as_str(), "OrderPlaced");
///     Ok::<_, factum_store::StoreError>(())
/// })?;
/// store.close()?;
/// # std::fs::remove_dir_all(directory)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    env: Env,
    reader: Arc<Reader>,
    core: Option<Arc<Core>>,
    maintenance: Option<Arc<Maintenance>>,
    sealer: Option<Arc<Sealer>>,
    report: OpenReport,
    threads: Mutex<Threads>,
}

#[derive(Debug, Default)]
struct Threads {
    committers: Vec<Box<dyn JoinHandle>>,
    others: Vec<Box<dyn JoinHandle>>,
    lock: Option<Box<dyn DirLock>>,
    closed: bool,
}

/// A store, its core and its background work, for whoever drives them.
pub(crate) type Stepwise = (Engine, Option<Arc<Core>>, Option<Arc<Maintenance>>);

/// The parts of a store, before its threads run.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) env: Env,
    pub(crate) reader: Arc<Reader>,
    pub(crate) core: Option<Arc<Core>>,
    pub(crate) maintenance: Option<Arc<Maintenance>>,
    pub(crate) sealer: Option<Arc<Sealer>>,
    pub(crate) report: OpenReport,
    pub(crate) lock: Option<Box<dyn DirLock>>,
}

impl Engine {
    /// Opens the store in a directory, and makes it if it is not there.
    ///
    /// What was acknowledged is there, in full and in order. What was not acknowledged is there whole, or not at all.
    /// When something acknowledged is damaged, the store opens for reading only, and [`report`](Engine::report) says what it is.
    ///
    /// # Errors
    /// - [`Kind::Unavailable`]: another process has it open.
    /// - [`Kind::NotFound`]: there is none, and none is to be made.
    /// - [`Kind::ReadOnly`]: a newer release wrote it, or the directory cannot be written.
    /// - [`Kind::Corrupt`]: it cannot be read at all.
    /// - [`Kind::Full`]: there is no space for a segment.
    #[expect(clippy::needless_pass_by_value, reason = "options are made for one opening")]
    pub fn open(options: Options, env: Env) -> Result<Self, StoreError> {
        let opened = open::open(&options, env)?;
        let engine = Self::start(assemble(opened, &options))?;
        engine.record_accepted_loss()?;
        Ok(engine)
    }

    /// A store in memory behind a log that makes trouble, for tests of the stages around the log.
    ///
    /// `conflicts`, `lost_answers` and `lost_requests` say how often, in 256, each happens.
    #[doc(hidden)]
    pub fn troubled(env: Env, seed: u64, trouble: [u8; 3]) -> Result<Self, StoreError> {
        let [conflict, lost_answer, lost_request] = trouble;
        let trouble = Trouble {
            conflict,
            lost_answer,
            lost_request,
        };
        Self::start(assemble_memory(env, MemoryLog::new(seed, trouble)))
    }

    /// Opens a store whose threads are the caller's affair.
    pub(crate) fn open_stepwise(
        options: &Options,
        env: Env,
    ) -> Result<Stepwise, StoreError> {
        let engine = Self::put_together(assemble(open::open(options, env)?, options));
        let (core, maintenance) = (engine.inner.core.clone(), engine.inner.maintenance.clone());
        Ok((engine, core, maintenance))
    }

    fn start(parts: Parts) -> Result<Self, StoreError> {
        let engine = Self::put_together(parts);
        engine
            .inner
            .spawn()
            .map_err(|error| errors::io_error("starting the store's threads", error))?;
        Ok(engine)
    }

    fn put_together(parts: Parts) -> Self {
        let threads = Threads {
            lock: parts.lock,
            ..Threads::default()
        };
        Self {
            inner: Arc::new(Inner {
                env: parts.env,
                reader: parts.reader,
                core: parts.core,
                maintenance: parts.maintenance,
                sealer: parts.sealer,
                report: parts.report,
                threads: Mutex::new(threads),
            }),
        }
    }

    /// What opening found.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.inner.report
    }

    /// A new event id: version 7, from the store's clock and randomness.
    #[must_use]
    pub fn new_event_id(&self) -> factum_types::EventId {
        let mut random = [0; 10];
        self.inner.env.random.fill(&mut random);
        let micros = self.inner.env.clock.now_us();
        factum_types::EventId::v7(u64::try_from(micros / 1_000).unwrap_or(0), random)
    }

    /// Reads page by page without copying events out: the fastest way to go through many.
    ///
    /// # Errors
    /// As [`EventStore::read`] for the first item.
    pub fn scan(&self, request: &ReadRequest) -> Result<Scan, StoreError> {
        let prepared = self.inner.reader.prepare(request)?;
        Ok(Scan {
            reader: Arc::clone(&self.inner.reader),
            cursor: prepared.cursor,
            oldest: prepared.oldest,
            left: request.limit.unwrap_or(u64::MAX),
            page: Page::default(),
            ended: false,
        })
    }

    /// What the store is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let inner = &self.inner;
        let view = inner.reader.published.view();
        let sealed: u64 = view
            .sealed
            .iter()
            .map(|sealed| sealed.entry.end_offset)
            .sum();
        let unsealed: u64 = view
            .unsealed
            .iter()
            .filter_map(|unsealed| {
                let content = unsealed.read();
                let last = content.frames.last()?;
                Some(last.file_offset + u64::from(last.header.frame_len))
            })
            .sum();
        Stats {
            records: inner.reader.published.end(),
            sealed_segments: view.sealed.len(),
            unsealed_segments: view.unsealed.len(),
            segment_bytes: sealed + unsealed,
            streams_in_memory: inner.core.as_ref().map_or(0, |core| core.streams_known()),
            index_bytes_in_memory: inner
                .sealer
                .as_ref()
                .map_or(0, |sealer| sealer.cache.bytes()),
        }
    }

    /// Why the store stopped writing, if it did: a failed write of the log, or a step in the background that keeps failing.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let poison = self.inner.core.as_ref().and_then(|core| core.poison());
        poison.or_else(|| self.inner.maintenance.as_ref().and_then(|m| m.failure()))
    }

    /// Closes the store: lets no more appends in, finishes those under way, and gives the directory free. Calling it again does nothing.
    ///
    /// # Errors
    /// [`Kind::Unknown`] when the log failed, so that appends under way were answered with that.
    pub fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }

    /// Copies the store into an empty directory while it is in use; see [`crate::backup`].
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the target is not empty; others as files fail.
    pub fn backup(
        &self,
        target: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<crate::backup::BackupReport, StoreError> {
        let Some(sealer) = &self.inner.sealer else {
            return Err(StoreError::invalid(
                "a store in memory has no files to copy",
            ));
        };
        crate::backup::backup(sealer, &self.inner.reader.published, target, progress)
    }

    /// The key and page caches of sealed segments are dropped, so that the next reads come from the device; for benchmarks.
    #[doc(hidden)]
    pub fn drop_caches(&self) {
        for sealed in &self.inner.reader.published.view().sealed {
            if let Ok(file) = sealed.file() {
                // Advice only.
                drop(file.advise(factum_io::disk::Advice::DontNeed, 0, 0));
            }
        }
    }

    /// Works off everything in the background: prepares and seals until there is nothing left to do.
    ///
    /// # Errors
    /// As files fail.
    #[doc(hidden)]
    pub fn settle(&self) -> Result<(), StoreError> {
        let (Some(core), Some(maintenance)) = (&self.inner.core, &self.inner.maintenance) else {
            return Ok(());
        };
        while maintenance
            .step(core)
            .map_err(|error| errors::io_error("sealing", error))?
        {}
        Ok(())
    }

    fn core(&self) -> Result<&Arc<Core>, StoreError> {
        self.inner.core.as_ref().ok_or_else(|| {
            if self.inner.report.degraded {
                self.inner.report.refusal()
            } else {
                StoreError::new(Kind::ReadOnly, "the store was opened for reading only")
            }
        })
    }

    /// Writes down, in the log itself, what was accepted as lost.
    fn record_accepted_loss(&self) -> Result<(), StoreError> {
        use factum_types::{ExpectedRevision, NewEvent};
        if self.inner.report.accepted.is_empty() {
            return Ok(());
        }
        let invalid = |error: factum_types::NameError| StoreError::invalid(error.to_string());
        let stream = StreamName::new("$system-integrity").map_err(invalid)?;
        let event_type = EventType::new("$loss-accepted").map_err(invalid)?;
        let mut events = Vec::new();
        for finding in &self.inner.report.accepted {
            let lost = if finding.unbounded {
                "null".to_owned()
            } else {
                finding.lost.to_string()
            };
            let data = format!(
                "{{\"segment\":{},\"offset\":{},\"length\":{},\"firstPosition\":{},\"lost\":{lost}}}",
                finding.segment, finding.offset, finding.length, finding.first_position
            );
            events.push(NewEvent::json(
                self.new_event_id(),
                event_type.clone(),
                data,
            ));
        }
        let batch = AppendBatch::events(stream, ExpectedRevision::Any, events);
        let mut append = std::pin::pin!(self.append(batch));
        block_on(append.as_mut()).map(drop)
    }

    async fn info(&self, stream: StreamName) -> Result<StreamInfo, StoreError> {
        let tail = self.inner.reader.stream_tail(&stream)?;
        Ok(stream_info(stream, &tail))
    }
}

/// Waits for a future on this thread.
fn block_on<F: Future>(mut future: std::pin::Pin<&mut F>) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// Puts the parts of an opened store together.
pub(crate) fn assemble(mut opened: Opened, options: &Options) -> Parts {
    let reader = Arc::new(Reader {
        published: Published::new(opened.view, opened.next_position),
        keyer: opened.keyer.clone(),
        clock: Arc::clone(&opened.env.clock),
        waiters: Waiters::default(),
    });
    reader.waiters.start(opened.next_position);
    let mut parts = Parts {
        env: opened.env,
        reader: Arc::clone(&reader),
        core: None,
        maintenance: None,
        sealer: Some(Arc::clone(&opened.sealer)),
        report: opened.report,
        lock: opened.lock.take(),
    };
    let Some(Writing {
        supply,
        start,
        current,
    }) = opened.writing
    else {
        return parts;
    };
    let maintenance = Arc::new(Maintenance::new(
        Arc::clone(&opened.sealer),
        Arc::clone(&supply),
    ));
    let published_seq = start.next_seq - 1;
    let context = start.context;
    let ids = recent_ids(&reader, options.id_window);
    let keyer = opened.keyer;
    let mut sequencer = Sequencer::new(
        keyer,
        context,
        opened.next_position,
        opened.last_time,
        ids,
        options.streams_in_memory,
    );
    sequencer.know_names(&current.read());
    know_streams(&mut sequencer, &reader);
    let log: Box<dyn FrameLog> = Box::new(SegmentLog::new(supply, start));
    let head_of = head_of(Arc::clone(&opened.catalog));
    let rolled = Arc::downgrade(&maintenance);
    let on_rolled = Box::new(move || {
        if let Some(maintenance) = Weak::upgrade(&rolled) {
            maintenance.want();
        }
    });
    let publisher = Publisher::new(published_seq, current, head_of, on_rolled);
    let queue = Queue::new(options.queue);
    parts.core = Some(Arc::new(Core::new(
        log, reader, sequencer, publisher, queue,
    )));
    parts.maintenance = Some(maintenance);
    parts
}

/// A store in memory.
fn assemble_memory(env: Env, log: MemoryLog) -> Parts {
    let options = Options::new("");
    let context = SegmentContext {
        number: 1,
        base_time: 0,
    };
    let keyer = crate::key::Keyer::new([0; 16]);
    let head = UnsealedHead {
        number: context.number,
        key: factum_format::SegmentKey {
            salt: 0,
            segment: context.number,
        },
        base_position: 0,
        base_time: 0,
    };
    let current = Arc::new(Unsealed::new(head, keyer.clone()));
    let view = View {
        sealed: Vec::new(),
        unsealed: vec![Arc::clone(&current)],
    };
    let reader = Arc::new(Reader {
        published: Published::new(view, 0),
        keyer: keyer.clone(),
        clock: Arc::clone(&env.clock),
        waiters: Waiters::default(),
    });
    let ids = IdWindow::new(options.id_window);
    let sequencer = Sequencer::new(keyer, context, 0, i64::MIN, ids, options.streams_in_memory);
    let publisher = Publisher::new(0, current, Box::new(|_| None), Box::new(|| {}));
    let queue = Queue::new(options.queue);
    let core = Core::new(
        Box::new(log),
        Arc::clone(&reader),
        sequencer,
        publisher,
        queue,
    );
    Parts {
        env,
        reader,
        core: Some(Arc::new(core)),
        maintenance: None,
        sealer: None,
        report: OpenReport::default(),
        lock: None,
    }
}

fn head_of(catalog: Arc<crate::catalog::Catalog>) -> HeadOf {
    Box::new(move |number| {
        let manifest = catalog.manifest();
        let entry = manifest
            .segments
            .iter()
            .find(|entry| entry.number == number)?;
        Some(UnsealedHead {
            number,
            key: factum_format::SegmentKey {
                salt: entry.salt,
                segment: number,
            },
            base_position: entry.base_position,
            base_time: entry.base_time,
        })
    })
}

/// The tails of all streams in the segments in memory. Callers rely on the sequencer to know these.
fn know_streams(sequencer: &mut Sequencer, reader: &Reader) {
    let view = reader.published.view();
    let simple = view
        .sealed
        .iter()
        .all(|sealed| sealed.entry.flags & HAS_CONTROL == 0)
        && view
            .unsealed
            .iter()
            .all(|unsealed| unsealed.read().controls.is_empty());
    for unsealed in &view.unsealed {
        let content = unsealed.read();
        for stream in content
            .streams
            .iter()
            .filter(|s| s.known && content.has_written(s.key))
        {
            let tail = match stream.ordinals.last() {
                Some(last) if simple => {
                    let after = unsealed.head.base_position + u64::from(*last) + 1;
                    let next_revision = stream.first_revision + stream.ordinals.len() as u64;
                    let (after_last_event, after_last_record) = (after, after);
                    StreamTail {
                        next_revision,
                        after_last_event,
                        after_last_record,
                        ..StreamTail::default()
                    }
                }
                // What cannot be read now is looked up, and reported, when the stream is written.
                _ => match reader.stream_tail(&stream.name) {
                    Ok(tail) => tail,
                    Err(_) => continue,
                },
            };
            sequencer.know_stream(stream.key, tail);
        }
    }
}

/// The ids of the last events, from the segments in memory.
fn recent_ids(reader: &Reader, capacity: usize) -> IdWindow {
    let mut window = IdWindow::new(capacity);
    for unsealed in &reader.published.view().unsealed {
        let content = unsealed.read();
        for ordinal in 0..content.record_count() {
            let position = unsealed.head.base_position + ordinal as u64;
            let bytes = content.record_bytes(crate::number::to_u32(ordinal));
            let Some(bytes) = bytes else { continue };
            let Ok((record, _)) = factum_format::record::decode_unverified(bytes, position) else {
                continue;
            };
            if record.kind == factum_format::record::RecordKind::EVENT {
                let stream = content.streams[record.stream_ref as usize].key;
                window.insert(
                    id_fingerprint(stream, u128::from_be_bytes(record.id)),
                    position,
                );
            }
        }
    }
    window
}

fn stream_info(stream: StreamName, tail: &StreamTail) -> StreamInfo {
    let state = match tail.state {
        TailState::Tombstoned => StreamState::Tombstoned,
        TailState::Deleted => StreamState::Deleted,
        TailState::Live if tail.next_revision == 0 => StreamState::Missing,
        TailState::Live => StreamState::Live,
    };
    StreamInfo {
        stream,
        state,
        last_revision: tail.last_revision(),
        last_position: tail.after_last_event.checked_sub(1).map(Position::from_raw),
        settings: tail.settings(),
    }
}

impl Inner {
    fn spawn(self: &Arc<Self>) -> std::io::Result<()> {
        let mut threads = lock(&self.threads);
        let spawner = &self.env.spawner;
        let reader = Arc::clone(&self.reader);
        threads
            .others
            .push(spawner.spawn("factum-dispatch", Box::new(move || reader.waiters.run()))?);
        let Some(core) = &self.core else {
            return Ok(());
        };
        for number in 0..COMMITTERS {
            let core = Arc::clone(core);
            let maintenance = self.maintenance.clone();
            let run = move || commit_loop(&core, number, maintenance.as_deref());
            let name = format!("factum-commit-{number}");
            threads
                .committers
                .push(spawner.spawn(&name, Box::new(run))?);
        }
        if let Some(maintenance) = &self.maintenance {
            let (core, maintenance) = (Arc::clone(core), Arc::clone(maintenance));
            maintenance.want();
            let run = move || maintenance.run(&core);
            threads
                .others
                .push(spawner.spawn("factum-maintain", Box::new(run))?);
        }
        Ok(())
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut threads = lock(&self.threads);
        if threads.closed {
            return Ok(());
        }
        threads.closed = true;
        if let Some(core) = &self.core {
            core.queue.close();
        }
        let mut panicked = false;
        for committer in threads.committers.drain(..) {
            panicked |= committer.join().is_err();
        }
        if let Some(core) = &self.core
            && !panicked
            && core.poison().is_none()
            && let Some(job) = core.build_checkpoint()
        {
            core.run(job);
        }
        if let Some(maintenance) = &self.maintenance {
            maintenance.stop();
        }
        self.reader.waiters.close();
        for other in threads.others.drain(..) {
            panicked |= other.join().is_err();
        }
        drop(threads.lock.take());
        drop(threads);
        match self.core.as_ref().and_then(|core| core.poison()) {
            Some(why) => Err(errors::unknown(&why)),
            None if panicked => Err(StoreError::new(
                Kind::Internal,
                "a thread of the store panicked",
            )),
            None => Ok(()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever cares about the outcome calls `close`.
        drop(self.close());
    }
}

/// A committer: makes frames and makes them durable, until the queue is closed and empty.
fn commit_loop(core: &Core, number: usize, maintenance: Option<&Maintenance>) {
    loop {
        if let Some(maintenance) = maintenance {
            maintenance.hold_back(core);
        }
        if let Some(job) = core.build() {
            core.run(job);
            if let Some(maintenance) = maintenance {
                maintenance.want_if_filling(core);
            }
            continue;
        }
        if number == 0
            && !core.queue.wait_a_while(number, IDLE)
            && let Some(job) = core.build_checkpoint()
        {
            // Whoever recovers this log will know that everything up to here was durable.
            core.run(job);
            continue;
        }
        if !core.queue.wait_for_work(number) {
            return;
        }
    }
}

/// A read page by page.
#[derive(Debug)]
pub struct Scan {
    reader: Arc<Reader>,
    cursor: Cursor,
    oldest: Option<i64>,
    left: u64,
    page: Page,
    ended: bool,
}

impl Scan {
    /// The next page, `None` at the end of what is published. Events hidden by their age are left out by
    /// [`EventStore::read`] only; [`shows`](Scan::shows) tells.
    ///
    /// # Errors
    /// As files fail. A damaged event is an error in the page.
    pub fn next_page(&mut self) -> Result<Option<&Page>, StoreError> {
        const PAGE_EVENTS: usize = 4_096;
        const PAGE_BYTES: usize = 1 << 20;
        self.page.clear();
        let want = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(PAGE_EVENTS);
        if self.ended || want == 0 {
            return Ok(None);
        }
        self.ended =
            self.cursor
                .fill(&self.reader.published, &mut self.page, (want, PAGE_BYTES))?;
        self.left = self.left.saturating_sub(self.page.len() as u64);
        Ok(Some(&self.page).filter(|page| !page.is_empty()))
    }

    /// Whether an event of this time is shown, given the greatest age of its stream.
    #[must_use]
    pub fn shows(&self, time: factum_types::Timestamp) -> bool {
        self.oldest.is_none_or(|oldest| time.as_micros() >= oldest)
    }
}

impl EventStore for Engine {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<Receipt, StoreError>> {
        Box::pin(async move { self.core()?.append(batch).await })
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.inner.reader.read(&request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> Subscription {
        self.inner.reader.subscribe(&request)
    }

    fn head(&self) -> BoxFuture<'_, Result<Option<Position>, StoreError>> {
        let end = self.inner.reader.published.end();
        Box::pin(std::future::ready(Ok(end
            .checked_sub(1)
            .map(Position::from_raw))))
    }

    fn stream_info(&self, stream: StreamName) -> BoxFuture<'_, Result<StreamInfo, StoreError>> {
        Box::pin(self.info(stream))
    }

    fn streams(
        &self,
        request: StreamsRequest,
    ) -> BoxFuture<'_, Result<Vec<StreamInfo>, StoreError>> {
        Box::pin(async move {
            let reader = &self.inner.reader;
            let mut found = Vec::new();
            let mut after = request.after.map(|name| name.as_str().to_owned());
            while found.len() < request.limit {
                let wanted = request.limit - found.len();
                let view = reader.published.view();
                let names = stream_names(&view, &request.prefix, after.as_deref(), wanted)?;
                let Some(last) = names.last().cloned() else {
                    break;
                };
                for name in names {
                    let Ok(name) = StreamName::new(name) else {
                        continue;
                    };
                    let tail = reader.stream_tail(&name)?;
                    // A stream that only has snapshots was never written.
                    if tail.next_revision > 0 || tail.control.is_some() {
                        found.push(stream_info(name, &tail));
                    }
                }
                after = Some(last);
            }
            Ok(found)
        })
    }
}

impl SnapshotStore for Engine {
    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let limit = factum_types::limits::SNAPSHOT_BYTES_MAX;
            if snapshot.data.len() > limit {
                return Err(StoreError::invalid(format!(
                    "the snapshot has {} bytes, more than the limit of {limit}",
                    snapshot.data.len()
                )));
            }
            if snapshot.key.len() > SNAPSHOT_KEY_BYTES_MAX {
                return Err(StoreError::invalid(format!(
                    "the snapshot's key has {} bytes, more than the limit of {SNAPSHOT_KEY_BYTES_MAX}",
                    snapshot.key.len()
                )));
            }
            let core = self.core()?;
            let request = Prepared::snapshot(snapshot, &self.inner.reader.keyer);
            core.append_prepared(Box::new(request)).await.map(drop)
        })
    }

    fn load_snapshot(
        &self,
        stream: StreamName,
        key: String,
        at_most: Option<u64>,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(async move {
            let reader = &self.inner.reader;
            let hash = reader.keyer.snapshot(stream.as_str(), &key);
            // A fold of events that were deleted since is not a fold of this stream any more.
            let tail = reader.stream_tail(&stream)?;
            let deleted = tail.deleted_before();
            let gone = tail.state != TailState::Live;
            let view = reader.published.view();
            let mut wanted = |record: &factum_format::record::RecordView<'_>, base: i64| {
                let fits = snapshot_key(record) == key
                    && !gone
                    && deleted.is_none_or(|deleted| record.revision > deleted)
                    && at_most.is_none_or(|limit| record.revision <= limit);
                fits.then(|| Snapshot {
                    stream: stream.clone(),
                    key: key.clone(),
                    version: record.revision,
                    data: bytes::Bytes::copy_from_slice(record.data().unwrap_or_default()),
                    time: factum_types::Timestamp::from_micros(base + record.time_delta),
                })
            };
            last_snapshot(&view, (stream.as_str(), hash), &mut wanted)
        })
    }
}

/// The longest key of a snapshot, in bytes.
const SNAPSHOT_KEY_BYTES_MAX: usize = 256;

/// Where checkpoints are kept: as snapshots of a stream that has no events.
const CHECKPOINTS: &str = "$checkpoints";

impl CheckpointStore for Engine {
    fn save_checkpoint(
        &self,
        consumer: String,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut data = Vec::with_capacity(checkpoint.positions.len() * 8);
            for position in checkpoint.positions {
                data.extend_from_slice(&position.raw().to_le_bytes());
            }
            let stream = StreamName::new(CHECKPOINTS)
                .map_err(|error| StoreError::invalid(error.to_string()))?;
            let time = factum_types::Timestamp::default();
            let snapshot = Snapshot {
                stream,
                key: consumer,
                version: 0,
                data: data.into(),
                time,
            };
            self.save_snapshot(snapshot).await
        })
    }

    fn load_checkpoint(
        &self,
        consumer: String,
    ) -> BoxFuture<'_, Result<Option<Checkpoint>, StoreError>> {
        Box::pin(async move {
            let stream = StreamName::new(CHECKPOINTS)
                .map_err(|error| StoreError::invalid(error.to_string()))?;
            let found = self.load_snapshot(stream, consumer, None).await?;
            Ok(found.map(|snapshot| {
                let chunks = snapshot.data.as_chunks::<8>().0;
                let positions = chunks
                    .iter()
                    .map(|chunk| Position::from_raw(u64::from_le_bytes(*chunk)));
                Checkpoint {
                    positions: positions.collect(),
                }
            }))
        })
    }
}

impl Engine {
    /// The clock of the store.
    #[doc(hidden)]
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.env.clock
    }
}
