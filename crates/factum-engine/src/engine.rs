//! The engine as applications hold it: a handle to the core, its threads, and the contract.

mod assemble;
mod contract;
mod scan;
mod threads;

use std::path::Path;
use std::sync::Arc;

use factum_io::disk::DirLock;
use factum_io::spawn::JoinHandle;
use factum_io::{Clock, Env};
use factum_store::{AppendBatch, EventStore, Kind, ReadRequest, StoreError};
#[cfg(doc)]
use factum_store::{CheckpointStore, SnapshotStore};
use factum_types::{EventType, StreamName};

use crate::catalog;
use crate::core::Core;
use crate::errors;
use crate::log::{MemoryLog, Trouble};
use crate::maintain::Maintenance;
use crate::open;
use crate::options::Options;
use crate::read::Page;
use crate::reader::Reader;
use crate::report::{OpenReport, Stats};
use crate::seal::Sealer;
use crate::sync::Mutex;
use assemble::{Parts, assemble, assemble_memory};
pub use scan::Scan;

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

impl Engine {
    #[cfg(test)]
    pub(crate) fn reader(&self) -> &Arc<Reader> {
        &self.inner.reader
    }

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
    #[expect(
        clippy::needless_pass_by_value,
        reason = "options are made for one opening"
    )]
    pub fn open(options: Options, env: Env) -> Result<Self, StoreError> {
        let opened = open_patiently(&options, &env)?;
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
        Self::start(assemble_memory(
            env,
            Box::new(MemoryLog::new(seed, trouble)),
        ))
    }

    /// Opens a store whose threads are the caller's affair.
    pub(crate) fn open_stepwise(options: &Options, env: Env) -> Result<Stepwise, StoreError> {
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
                .map_or(0, |sealer| sealer.kept.indexes.bytes()),
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
        if let Some(sealer) = &self.inner.sealer {
            sealer.kept.blocks.clear();
            sealer.kept.ahead.forget();
        }
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
}

impl Engine {
    /// The clock of the store.
    #[doc(hidden)]
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.env.clock
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

/// Opens a store. Read beside a process that writes it, a file that the manifest named may be gone when it is looked for, or shorter; the manifest
/// says so by then.
fn open_patiently(options: &Options, env: &Env) -> Result<open::Opened, StoreError> {
    const ATTEMPTS: usize = 4;
    if !options.read_only {
        return open::open(options, env.clone());
    }
    let is_there = || env.disk.exists(&options.directory).unwrap_or(false);
    // What is lost is lost at the second look too; what was only being written is not.
    let mut seen = None;
    for _ in 1..ATTEMPTS {
        let before = catalog::manifest_seq(env, &options.directory);
        let has_moved = || before != catalog::manifest_seq(env, &options.directory);
        match open::open(options, env.clone()) {
            Err(error) if error.kind() == Kind::Corrupt && is_there() => {}
            Err(error) if error.kind() == Kind::Internal && has_moved() => {}
            Ok(opened) if opened.report.degraded => {
                let findings = Some(opened.report.damage.clone());
                if findings == seen && !has_moved() {
                    return Ok(opened);
                }
                seen = findings;
            }
            result => return result,
        }
    }
    open::open(options, env.clone())
}
