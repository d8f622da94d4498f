//! Opening: from a directory to a store that can be read and, if nothing was lost, written.
//!
//! Order: lock, manifest, sealed segments (listed, not opened), unsealed segments (read and recovered), cut if need be, and only then the
//! writing end. What is read is bounded by the size of a segment, not by that of the store.
//! Never: writes when opened read-only, or when something acknowledged is missing.

mod writing;

use std::io;
use std::path::Path;
use std::sync::Arc;

use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::manifest::{
    Manifest, QuarantineEntry, QuarantineReason, SegmentEntry, SegmentState,
};
use factum_format::segment::{Copies, SegmentHeader};
use factum_io::Env;
use factum_io::buffer::AlignedBuf;
use factum_io::disk::{DirLock, Open};
use factum_store::{Kind, StoreError};

use crate::catalog::{self, Catalog};
use crate::errors::io_error;
use crate::key::Keyer;
use crate::log::LogStart;
use crate::mutant::{Mutant, on};
use crate::options::Options;
use crate::paths::Paths;
use crate::recover::{self, Finding, Found, HeaderFound, Recovered, Tail, find_header};
use crate::report::OpenReport;
use crate::seal::Sealer;
use crate::supply::Supply;
use crate::view::sealed::read_whole;
use crate::view::{Ahead, Blocks, IndexCache, Kept, Unsealed, UnsealedHead, View};
use writing::End;

/// A store that has been opened, before its threads run.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) env: Env,
    pub(crate) lock: Option<Box<dyn DirLock>>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) keyer: Keyer,
    pub(crate) view: View,
    /// One more than the last position in the log, lost ones included.
    pub(crate) next_position: u64,
    pub(crate) last_time: i64,
    /// The writing end; `None` when nothing may be written.
    pub(crate) writing: Option<Writing>,
    pub(crate) report: OpenReport,
}

/// The writing end of a store.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) supply: Arc<Supply>,
    pub(crate) start: LogStart,
    pub(crate) current: Arc<Unsealed>,
}

/// A segment that was being written, read whole.
struct Read {
    entry: SegmentEntry,
    header: SegmentHeader,
    copies: Option<Copies>,
    bytes: AlignedBuf,
    unsealed: Arc<Unsealed>,
}

/// Opens the store in a directory.
pub(crate) fn open(options: &Options, env: Env) -> Result<Opened, StoreError> {
    let began = env.clock.monotonic_ns();
    let paths = Paths::new(&options.directory);
    let lock = prepare_directory(options, &env, &paths)?;
    let found = match catalog::read_manifest(&env, &paths)? {
        Some(found) => found,
        None => create(options, &env, &paths)?,
    };
    let mut report = OpenReport::new(&paths, found.damaged);
    if !options.read_only {
        // Even where both can be read: one may be older, and what was read of the other may not be durable. What only the older one names is about
        // to be removed.
        catalog::write_copies(&env, &paths, &found.manifest)
            .map_err(|error| io_error("writing both copies of the manifest", error))?;
    }
    let mut opening = Opening::new(options, env, paths, found.manifest)?;
    opening.list_sealed();
    let (read, prepared) = opening.read_unsealed()?;
    let mut recovered = opening.recover(&read);
    opening.miss(&prepared, &mut recovered)?;
    report.take(&recovered, read.len(), opening.view.sealed.len());
    if recovered.newer {
        return Err(StoreError::new(
            Kind::ReadOnly,
            "the log goes on in frames of a newer release; open the store with that release",
        ));
    }
    let mut opened = opening.finish(&read, prepared, &recovered, &mut report)?;
    opened.lock = lock;
    report.took_ns = opened.env.clock.monotonic_ns().saturating_sub(began);
    report.records = opened.next_position;
    opened.report = report;
    Ok(opened)
}

fn prepare_directory(
    options: &Options,
    env: &Env,
    paths: &Paths,
) -> Result<Option<Box<dyn DirLock>>, StoreError> {
    let shown = paths.root().display();
    let exists = env
        .disk
        .exists(paths.root())
        .map_err(|error| io_error("looking for the data directory", error))?;
    if !exists && (options.read_only || !options.create) {
        let message =
            format!("there is no store in {shown}; append or import something to make one");
        return Err(StoreError::new(Kind::NotFound, message));
    }
    if options.read_only {
        return Ok(None);
    }
    let make = || {
        match make_root(env, paths) {
            // Somebody else made it for this one, and keeps what is beside it to himself.
            Err(error) if exists && error.kind() == io::ErrorKind::PermissionDenied => {}
            made => made?,
        }
        env.disk.lock(&paths.lock())
    };
    make().map(Some).map_err(|error| {
        if error.kind() == io::ErrorKind::WouldBlock {
            let message = format!(
                "another process has the store in {shown} open for writing; stop it, or open this one read-only"
            );
            StoreError::new(Kind::Unavailable, message)
        } else {
            io_error("preparing the data directory", error)
        }
    })
}

/// Makes the directory of a store; its name is durable when this returns.
pub(crate) fn make_root(env: &Env, paths: &Paths) -> io::Result<()> {
    env.disk.create_dir(paths.root())?;
    match paths.root().parent() {
        Some(parent) if parent.as_os_str().is_empty() => env.disk.sync_dir(Path::new(".")),
        Some(parent) => env.disk.sync_dir(parent),
        None => Ok(()),
    }
}

/// Makes an empty store.
fn create(options: &Options, env: &Env, paths: &Paths) -> Result<catalog::Found, StoreError> {
    let shown = paths.root().display();
    if options.read_only || !options.create {
        let message =
            format!("there is no store in {shown}; append or import something to make one");
        return Err(StoreError::new(Kind::NotFound, message));
    }
    let make = || -> io::Result<Option<Manifest>> {
        env.disk.create_dir(&paths.segments())?;
        if !env.disk.list(&paths.segments())?.is_empty() {
            return Ok(None);
        }
        env.disk.sync_dir(paths.root())?;
        let mut secrets = [0; 32];
        env.random.fill(&mut secrets);
        let (mut realm, mut hash_key) = ([0; 16], [0; 16]);
        realm.copy_from_slice(&secrets[..16]);
        hash_key.copy_from_slice(&secrets[16..]);
        let manifest = Manifest {
            partition: 0,
            seq: 1,
            realm,
            hash_key,
            created_time: env.clock.now_us(),
            segment_bytes: options.segment_bytes,
            segments: Vec::new(),
            quarantine: Vec::new(),
        };
        catalog::write_copies(env, paths, &manifest)?;
        Ok(Some(manifest))
    };
    match make().map_err(|error| io_error("making a store", error))? {
        Some(manifest) => Ok(catalog::Found {
            manifest,
            damaged: Vec::new(),
        }),
        None => Err(StoreError::new(
            Kind::Corrupt,
            format!("{shown} holds segments but no manifest; restore a backup"),
        )),
    }
}

struct Opening<'a> {
    options: &'a Options,
    env: Env,
    paths: Paths,
    manifest: Manifest,
    catalog: Arc<Catalog>,
    sealer: Arc<Sealer>,
    keyer: Keyer,
    view: View,
}

impl<'a> Opening<'a> {
    fn new(
        options: &'a Options,
        env: Env,
        paths: Paths,
        manifest: Manifest,
    ) -> Result<Self, StoreError> {
        let bytes = options.block_cache_bytes;
        let blocks = Blocks::new(bytes).map_err(|error| {
            StoreError::invalid(format!(
                "{bytes} bytes of memory for blocks are too many: {error}"
            ))
        })?;
        let catalog = Arc::new(Catalog::new(env.clone(), paths.clone(), manifest.clone()));
        let keyer = Keyer::new(manifest.hash_key);
        let sealer = Arc::new(Sealer {
            env: env.clone(),
            paths: paths.clone(),
            catalog: Arc::clone(&catalog),
            keyer: keyer.clone(),
            kept: Arc::new(Kept {
                indexes: IndexCache::new(options.index_cache_bytes),
                blocks,
                ahead: Ahead::default(),
            }),
        });
        let view = View::default();
        Ok(Self {
            options,
            env,
            paths,
            manifest,
            catalog,
            sealer,
            keyer,
            view,
        })
    }

    fn list_sealed(&mut self) {
        let sealed = |entry: &&SegmentEntry| entry.state == SegmentState::Sealed;
        let entries = self.manifest.segments.iter().filter(sealed);
        self.view.sealed = entries
            .map(|entry| Arc::new(self.sealer.open(*entry)))
            .collect();
        self.view
            .sealed
            .sort_by_key(|sealed| sealed.entry.base_position);
    }

    /// Reads the segments that were begun, oldest first, and those that were prepared.
    fn read_unsealed(&self) -> Result<(Vec<Read>, Vec<SegmentEntry>), StoreError> {
        let mut entries: Vec<SegmentEntry> = self.manifest.segments.clone();
        entries.retain(|entry| entry.state != SegmentState::Sealed);
        // From the last: what says that something is durable is read before that, so that beside a writer nothing seems to be lost.
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.number));
        let (mut read, mut prepared) = (Vec::new(), Vec::new());
        for entry in entries {
            match self.read_segment(&entry)? {
                Some(segment) => read.push(segment),
                None => prepared.push(entry),
            }
        }
        read.reverse();
        prepared.reverse();
        if on(Mutant::NextSegmentIgnored) {
            read.truncate(1);
        }
        Ok((read, prepared))
    }

    /// A segment that was begun; `None` if it was only prepared.
    fn read_segment(&self, entry: &SegmentEntry) -> Result<Option<Read>, StoreError> {
        let path = self.paths.segment(entry.number, entry.generation);
        let shown = self.paths.shown(&path);
        let open = || read_whole(&*self.env.disk.open(&path, Open::read_direct())?);
        let bytes = match open() {
            Ok(bytes) => bytes,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && entry.state == SegmentState::Prepared =>
            {
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message = format!("{shown} is missing; put it back, or restore a backup");
                return Err(StoreError::new(Kind::Corrupt, message).because(error));
            }
            Err(error) => return Err(io_error(&format!("reading {shown}"), error)),
        };
        let (header, copies) = match find_header(entry, self.manifest.realm, bytes.as_slice()) {
            HeaderFound::Begun(header, copies) => (header, copies),
            HeaderFound::Prepared => return Ok(None),
            HeaderFound::Unreadable(error) => {
                let message = format!("{shown}: {error}; restore a backup");
                return Err(StoreError::new(Kind::Corrupt, message));
            }
        };
        if header.realm != self.manifest.realm || header.segment != entry.number {
            let message = format!("{shown} belongs to another store or was renamed; put it back");
            return Err(StoreError::new(Kind::Corrupt, message));
        }
        if self.options.read_only {
            self.settle(&path)
                .map_err(|error| io_error(&format!("making {shown} durable"), error))?;
        }
        let head = UnsealedHead::from(&header);
        let unsealed = Arc::new(Unsealed::new(head, self.keyer.clone()));
        Ok(Some(Read {
            entry: *entry,
            header,
            copies,
            bytes,
            unsealed,
        }))
    }

    /// Makes durable what was read beside a writer, or after one was killed, before anybody is shown it. A writing opening does it when it
    /// prepares to write.
    fn settle(&self, path: &Path) -> io::Result<()> {
        match self.env.disk.open(path, Open::read())?.sync_all() {
            // Nobody writes there.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
            result => result,
        }
    }

    /// A prepared segment is there in full before the manifest names it. One that is not any more may have been in use already, because
    /// the manifest says so only with its next change.
    fn miss(&self, prepared: &[SegmentEntry], recovered: &mut Recovered) -> Result<(), StoreError> {
        for entry in prepared {
            let path = self.paths.segment(entry.number, 0);
            let length = match self.env.disk.open(&path, Open::read()) {
                Ok(file) => file.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
                Err(error) => Err(error),
            };
            let length =
                length.map_err(|error| io_error("looking at a prepared segment", error))?;
            if length < self.manifest.segment_bytes {
                recovered.findings.push(Finding {
                    segment: entry.number,
                    offset: length,
                    length: self.manifest.segment_bytes - length,
                    first_position: recovered.tail.next_position,
                    lost: 0,
                    unbounded: true,
                    reason: Some(QuarantineReason::Missing),
                    what: "the file of the next segment is missing or was shortened; it may have been in use".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn recover(&self, read: &[Read]) -> Recovered {
        let last = self.view.sealed.last().map(|sealed| sealed.entry);
        let first = read.first();
        let start = Tail {
            index: 0,
            offset: SEGMENT_HEADER_BYTES,
            next_seq: first
                .map(|r| r.header.first_frame_seq)
                .or(last.map(|e| e.last_frame_seq + 1))
                .unwrap_or(1),
            durable_seq: last.map_or(0, |e| e.last_frame_seq),
            prev_hash: last.map_or(0, |e| e.last_header_hash),
            epoch: last.map_or(0, |e| e.epoch),
            next_position: last.map_or(0, |e| e.base_position + e.record_count),
        };
        let found: Vec<Found<'_>> = read
            .iter()
            .map(|r| Found {
                unsealed: &r.unsealed,
                bytes: r.bytes.as_slice(),
                first_frame_seq: r.header.first_frame_seq,
                copies: r.copies,
                capacity: self.manifest.segment_bytes,
            })
            .collect();
        recover::recover(&found, start)
    }

    fn finish(
        mut self,
        read: &[Read],
        prepared: Vec<SegmentEntry>,
        recovered: &Recovered,
        report: &mut OpenReport,
    ) -> Result<Opened, StoreError> {
        let kept = if read.is_empty() {
            0
        } else {
            recovered.tail.index + 1
        };
        self.view.unsealed = read[..kept]
            .iter()
            .map(|r| Arc::clone(&r.unsealed))
            .collect();
        let new_losses: Vec<Finding> = recovered
            .lost()
            .filter(|finding| !self.is_accepted(finding))
            .cloned()
            .collect();
        // Behind these no segment was begun yet, though they may have been accepted before.
        let last = read.get(recovered.tail.index).map(|r| r.entry.number);
        let unended: Vec<Finding> = recovered
            .lost()
            .filter(|finding| last.is_none_or(|last| finding.segment >= last))
            .cloned()
            .collect();
        let last_time = self.last_time();
        let mut next_position = recovered.tail.next_position;
        report.degraded = !new_losses.is_empty() && !self.options.accept_loss;
        let writing = if self.options.read_only || report.degraded {
            None
        } else {
            let accepted = self.accept(&new_losses, read)?;
            let forced_roll = accepted || recovered.lost().next().is_some();
            if unended.iter().any(|finding| finding.unbounded) && !on(Mutant::LostPositionsReused) {
                next_position += recover::UNKNOWN_LOSS_POSITIONS;
            }
            let end = End {
                next_position,
                last_time,
                forced_roll,
            };
            Some(self.start_writing(read, prepared, recovered, end)?)
        };
        if writing.is_some() {
            let told = |finding: &&Finding| !new_losses.contains(finding);
            report.accepted = unended.iter().filter(told).cloned().collect();
            report.accepted.extend(new_losses);
        }
        Ok(Opened {
            env: self.env,
            lock: None,
            catalog: self.catalog,
            sealer: self.sealer,
            keyer: self.keyer,
            view: self.view,
            next_position,
            last_time,
            writing,
            report: OpenReport::default(),
        })
    }

    fn is_accepted(&self, finding: &Finding) -> bool {
        self.manifest.quarantine.iter().any(|entry| {
            entry.accepted && entry.segment == finding.segment && entry.offset == finding.offset
        })
    }

    fn last_time(&self) -> i64 {
        let sealed = self.view.sealed.last().map(|sealed| sealed.entry.last_time);
        let unsealed = self.view.unsealed.iter().rev().find_map(|unsealed| {
            let content = unsealed.read();
            content.first_time.map(|_| content.last_time)
        });
        unsealed.or(sealed).unwrap_or(i64::MIN)
    }

    /// Records what was lost, and keeps the damaged bytes; says whether there is anything to accept.
    fn accept(&self, losses: &[Finding], read: &[Read]) -> Result<bool, StoreError> {
        if losses.is_empty() {
            return Ok(false);
        }
        let failed = |error| io_error("recording the loss", error);
        let now = self.env.clock.now_us();
        let entries: Vec<QuarantineEntry> = losses
            .iter()
            .map(|finding| QuarantineEntry {
                segment: finding.segment,
                offset: finding.offset,
                length: finding.length,
                first_position: finding.first_position,
                count: finding.lost,
                reason: finding.reason.unwrap_or(QuarantineReason::Body),
                accepted: true,
                found_time: now,
            })
            .collect();
        for finding in losses {
            self.keep_bytes(finding, read).map_err(failed)?;
        }
        if on(Mutant::QuarantineForgotten) {
            return Ok(true);
        }
        self.catalog.quarantine(&entries).map_err(failed)?;
        Ok(true)
    }

    /// Copies a damaged range into the quarantine.
    fn keep_bytes(&self, finding: &Finding, read: &[Read]) -> io::Result<()> {
        use factum_io::disk::DiskFileExt;
        let Some(source) = read.iter().find(|r| r.entry.number == finding.segment) else {
            return Ok(());
        };
        let start = usize::try_from(finding.offset).unwrap_or(usize::MAX);
        let length = usize::try_from(finding.length).unwrap_or(usize::MAX);
        let bytes = source.bytes.as_slice();
        let range = start.min(bytes.len())..start.saturating_add(length).min(bytes.len());
        let directory = self.paths.quarantine();
        self.env.disk.create_dir(&directory)?;
        let path = directory.join(format!(
            "{:010}-{:012}.bin",
            finding.segment, finding.offset
        ));
        if self.env.disk.exists(&path)? {
            self.env.disk.remove(&path)?;
        }
        let file = self.env.disk.open(&path, Open::create_new())?;
        file.write_all_at(&bytes[range], 0)?;
        file.sync_all()?;
        self.env.disk.sync_dir(&directory)?;
        self.env.disk.sync_dir(self.paths.root())
    }
}
