//! Backup and restore: a store in use is copied as it was at one position.
//!
//! What is copied is what was published when the copy began: sealed files whole, of the others every published frame. The copy is a store
//! of its own with the same realm; opening it needs nothing else. Nothing is linked, so damage to one does not reach the other.
//! Never: waits for the writer or holds it up.

use std::io;
use std::path::Path;

use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::manifest::{Manifest, SegmentEntry, SegmentState};
use factum_format::segment::{SegmentHeader, layout};
use factum_io::Env;
use factum_io::disk::{DiskFileExt, Open};
use factum_store::{Kind, StoreError};

use crate::catalog;
use crate::errors::io_error;
use crate::open::make_root;
use crate::paths::Paths;
use crate::seal::Sealer;
use crate::supply::zero;
use crate::verify::{self, VerifyDepth, VerifyReport};
use crate::view::{Published, Unsealed};

const CHUNK_BYTES: usize = 1 << 20;

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Files written.
    pub files: usize,
    /// Bytes written.
    pub bytes: u64,
    /// One more than the last position in the copy.
    pub records: u64,
}

/// What was restored, and what checking it found.
#[derive(Debug, Clone)]
pub struct RestoreReport {
    /// What was copied.
    pub copied: BackupReport,
    /// What checking every byte of the restored store found.
    pub verified: VerifyReport,
}

/// Copies what is published into an empty directory.
pub(crate) fn backup(
    sealer: &Sealer,
    published: &Published,
    target: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<BackupReport, StoreError> {
    let to = Paths::new(target);
    prepare_target(&sealer.env, &to)?;
    let end = published.end();
    let view = published.view();
    let mut total: u64 = view
        .sealed
        .iter()
        .map(|sealed| sealed.entry.end_offset)
        .sum();
    total += view
        .unsealed
        .iter()
        .map(|unsealed| unsealed.read().image.capacity() as u64)
        .sum::<u64>();
    let mut copy = Copy {
        sealer,
        to,
        total,
        report: BackupReport {
            records: end,
            ..BackupReport::default()
        },
        progress,
    };
    let mut manifest = Manifest {
        segments: Vec::new(),
        quarantine: Vec::new(),
        ..sealer.catalog.manifest()
    };
    manifest.quarantine = sealer.catalog.manifest().quarantine;
    let mut run = || -> io::Result<()> {
        for sealed in &view.sealed {
            copy.sealed(&sealed.entry)?;
            manifest.segments.push(sealed.entry);
        }
        for unsealed in &view.unsealed {
            manifest
                .segments
                .push(copy.unsealed(unsealed, end, manifest.segment_bytes)?);
        }
        copy.sealer.env.disk.sync_dir(&copy.to.segments())?;
        catalog::write_copies(&copy.sealer.env, &copy.to, &manifest)
    };
    run().map_err(|error| io_error("writing the backup", error))?;
    (copy.progress)(copy.total, copy.total);
    Ok(copy.report)
}

struct Copy<'a> {
    sealer: &'a Sealer,
    to: Paths,
    total: u64,
    report: BackupReport,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Copy<'_> {
    fn sealed(&mut self, entry: &SegmentEntry) -> io::Result<()> {
        let from = &self.sealer.paths;
        let (number, generation) = (entry.number, entry.generation);
        self.file(
            &from.segment(number, generation),
            &self.to.segment(number, generation),
        )?;
        let index = from.index(number, generation);
        if self.sealer.env.disk.exists(&index)? {
            self.file(&index, &self.to.index(number, generation))?;
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = copy_file(&self.sealer.env, from, to, &mut |bytes| {
            (self.progress)(self.report.bytes + bytes, self.total);
        })?;
        self.report.bytes += bytes;
        self.report.files += 1;
        Ok(())
    }

    /// Writes the published frames of a segment that is being written, from memory.
    fn unsealed(
        &mut self,
        unsealed: &Unsealed,
        end: u64,
        segment_bytes: u64,
    ) -> io::Result<SegmentEntry> {
        let head = unsealed.head;
        let first = unsealed.read().frames.first().map(|frame| frame.header);
        let known = self.sealer.catalog.manifest();
        let known = known
            .segments
            .iter()
            .find(|entry| entry.number == head.number)
            .copied();
        let entry = SegmentEntry {
            state: SegmentState::Active,
            generation: 0,
            number: head.number,
            salt: head.key.salt,
            base_position: head.base_position,
            base_time: head.base_time,
            first_frame_seq: first.map_or_else(
                || known.map_or(0, |entry| entry.first_frame_seq),
                |header| header.frame_seq,
            ),
            ..known.unwrap_or_default()
        };
        let header = SegmentHeader {
            layout: layout::FRAMES,
            realm: self.sealer.catalog.realm(),
            segment: head.number,
            salt: head.key.salt,
            partition: 0,
            flags: 0,
            generation: 0,
            base_position: head.base_position,
            base_time: head.base_time,
            created_time: head.base_time,
            prev_hash: 0,
            first_frame_seq: entry.first_frame_seq,
            capacity: segment_bytes,
            epoch: entry.epoch,
        };
        let file = self
            .sealer
            .env
            .disk
            .open(&self.to.segment(head.number, 0), Open::create_new())?;
        // Whoever opens the copy writes on in it, and is not to be the first to find that there is no space.
        if !file.allocate(segment_bytes)? {
            zero(&*file, 0, segment_bytes)?;
        }
        file.write_all_at(&header.encode()[..], 0)?;
        let mut written = SEGMENT_HEADER_BYTES;
        let mut copied = 0;
        while let Some((offset, frame)) = published_frame(unsealed, copied, end) {
            file.write_all_at(&frame, offset)?;
            written += frame.len() as u64;
            copied += 1;
        }
        file.sync_all()?;
        self.report.bytes += written;
        self.report.files += 1;
        (self.progress)(self.report.bytes, self.total.max(self.report.bytes));
        Ok(entry)
    }
}

/// The frame with this number in a segment, if it ends before the position, and where it stands. Copied out: while this is written, which may take
/// long, appends go on.
fn published_frame(unsealed: &Unsealed, number: usize, end: u64) -> Option<(u64, Vec<u8>)> {
    let content = unsealed.read();
    let frame = content.frames.get(number)?;
    if frame.header.base_position + u64::from(frame.header.record_count) > end {
        return None;
    }
    let bytes = content.image.from(frame.image_offset).unwrap_or_default();
    let length = (frame.header.frame_len as usize).min(bytes.len());
    Some((frame.file_offset, bytes[..length].to_vec()))
}

/// Copies a file; gives its length.
fn copy_file(env: &Env, from: &Path, to: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<u64> {
    let source = env.disk.open(from, Open::read())?;
    let target = env.disk.open(to, Open::create_new())?;
    let length = source.len()?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < length {
        let step = usize::try_from(length - at)
            .unwrap_or(CHUNK_BYTES)
            .min(CHUNK_BYTES);
        source.read_exact_at(&mut buffer[..step], at)?;
        target.write_all_at(&buffer[..step], at)?;
        at += step as u64;
        progress(at);
    }
    target.sync_all()?;
    Ok(length)
}

/// Makes sure that the target is an empty directory.
fn prepare_target(env: &Env, to: &Paths) -> Result<(), StoreError> {
    let prepare = || -> io::Result<bool> {
        make_root(env, to)?;
        if !env.disk.list(to.root())?.is_empty() {
            return Ok(false);
        }
        env.disk.create_dir(&to.segments())?;
        env.disk.sync_dir(to.root())?;
        Ok(true)
    };
    match prepare() {
        Ok(true) => Ok(()),
        Ok(false) => Err(StoreError::invalid(format!(
            "{} is not empty; give a directory that is empty or does not exist",
            to.root().display()
        ))),
        Err(error) => Err(io_error("preparing the target directory", error)),
    }
}

/// Copies a backup into an empty directory and checks every byte of it.
///
/// When this returns `Ok`, the restored store is durable and as whole as the one that was backed up: the report's findings lose nothing, but for losses that
/// had been accepted there ([`verify::Severity::Accepted`]).
///
/// # Errors
/// - [`Kind::NotFound`]: the backup is no store.
/// - [`Kind::Invalid`]: the target is not empty.
/// - [`Kind::Corrupt`]: the backup is damaged; the target is left as it came, for inspection.
pub fn restore(
    backup: &Path,
    target: &Path,
    env: &Env,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<RestoreReport, StoreError> {
    let (from, to) = (Paths::new(backup), Paths::new(target));
    let Some(found) = catalog::read_manifest(env, &from)? else {
        let message = format!("there is no backup in {}", backup.display());
        return Err(StoreError::new(Kind::NotFound, message));
    };
    prepare_target(env, &to)?;
    let copied = copy_all(env, (&from, &to), &found.manifest, progress)
        .map_err(|error| io_error("restoring", error))?;
    let verified = verify::verify(target, VerifyDepth::Full, env, progress)?;
    if let Some(lost) = verified
        .findings
        .iter()
        .find(|f| f.severity == verify::Severity::Lost)
    {
        let message = format!("the backup is damaged: {} in {}", lost.what, lost.file);
        return Err(StoreError::new(Kind::Corrupt, message));
    }
    let copied = BackupReport {
        records: verified.records,
        ..copied
    };
    Ok(RestoreReport { copied, verified })
}

fn copy_all(
    env: &Env,
    (from, to): (&Paths, &Paths),
    manifest: &Manifest,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<BackupReport> {
    let names = env.disk.list(&from.segments())?;
    let mut total = 0;
    for name in &names {
        total += env
            .disk
            .open(&from.segments().join(name), Open::read())?
            .len()?;
    }
    let mut report = BackupReport::default();
    for name in &names {
        let (source, target) = (from.segments().join(name), to.segments().join(name));
        let before = report.bytes;
        let length = copy_file(env, &source, &target, &mut |done| {
            progress(before + done, total);
        })?;
        report.bytes += length;
        report.files += 1;
    }
    env.disk.sync_dir(&to.segments())?;
    catalog::write_copies(env, to, manifest)?;
    Ok(report)
}
