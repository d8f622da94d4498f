//! The catalog: the manifest in memory, and its two copies on disk.
//!
//! Every change writes both copies, one after the other, each synced before the next is begun. So after any crash at least one is whole,
//! a flipped byte leaves the other, and a file may be removed as soon as a change no longer names it.
//! Relies on: the directory's lock. Never: shows a change that is not durable.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use factum_format::FormatError;
use factum_format::limits::RECORD_HEAD_BYTES_MIN;
use factum_format::manifest::{Manifest, QuarantineEntry, SegmentEntry, SegmentState};
use factum_io::Env;
use factum_io::disk::{DiskFileExt, Open, read_to_end};
use factum_store::{Kind, StoreError};

use crate::errors::io_error;
use crate::log::PAGE_BYTES;
use crate::mutant::{Mutant, on};
use crate::options::Options;
use crate::paths::Paths;
use crate::supply::Begin;
use crate::sync::{Mutex, lock};

/// Bit of a segment's flags: it holds records that change streams.
pub(crate) const HAS_CONTROL: u8 = factum_format::manifest::flags::CONTROL;

/// The manifest and its two copies.
#[derive(Debug)]
pub(crate) struct Catalog {
    env: Env,
    paths: Paths,
    realm: [u8; 16],
    manifest: Mutex<Manifest>,
    /// Whether the copies on disk lack something that was noted.
    stale: AtomicBool,
}

/// What was found of the manifest.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) manifest: Manifest,
    /// Why a copy could not be used, with its number.
    pub(crate) damaged: Vec<(usize, String)>,
}

impl Catalog {
    pub(crate) fn new(env: Env, paths: Paths, manifest: Manifest) -> Self {
        Self {
            env,
            paths,
            realm: manifest.realm,
            manifest: Mutex::new(manifest),
            stale: AtomicBool::new(false),
        }
    }

    pub(crate) const fn realm(&self) -> [u8; 16] {
        self.realm
    }

    pub(crate) fn manifest(&self) -> Manifest {
        lock(&self.manifest).clone()
    }

    /// The number of a segment to be made.
    pub(crate) fn next_segment(&self) -> u64 {
        lock(&self.manifest)
            .segments
            .iter()
            .map(|entry| entry.number)
            .max()
            .unwrap_or(0)
            + 1
    }

    /// Takes note that a segment was begun. The segment's own header says so durably; the manifest will, with its next change.
    pub(crate) fn note_active(&self, number: u64, begin: Begin) {
        let mut manifest = lock(&self.manifest);
        if let Some(entry) = manifest
            .segments
            .iter_mut()
            .find(|entry| entry.number == number)
        {
            entry.state = SegmentState::Active;
            entry.base_position = begin.base_position;
            entry.base_time = begin.base_time;
            entry.first_frame_seq = begin.first_frame_seq;
            entry.epoch = begin.epoch;
            self.stale.store(true, Ordering::Release);
        }
    }

    /// Writes down what was only noted, if anything was; says whether.
    pub(crate) fn write_notes(&self) -> io::Result<bool> {
        let stale = self.stale.load(Ordering::Acquire);
        if stale {
            self.update(|_| {})?;
        }
        Ok(stale)
    }

    /// Changes the manifest; durable in both copies when this returns `Ok`.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Manifest)) -> io::Result<()> {
        let mut manifest = lock(&self.manifest);
        let mut next = manifest.clone();
        change(&mut next);
        next.seq += 1;
        let written = write_copies(&self.env, &self.paths, &next);
        // After a failure one copy may say this and the other not: its number is used up, and before a file that it may name is removed,
        // both copies must be written again.
        self.stale.store(written.is_err(), Ordering::Release);
        match written {
            Ok(()) => *manifest = next,
            Err(_) => manifest.seq = next.seq,
        }
        written
    }

    pub(crate) fn replace_segment(&self, entry: SegmentEntry) -> io::Result<()> {
        self.update(|manifest| {
            if let Some(old) = manifest
                .segments
                .iter_mut()
                .find(|e| e.number == entry.number)
            {
                *old = entry;
            }
        })
    }

    pub(crate) fn quarantine(&self, entries: &[QuarantineEntry]) -> io::Result<()> {
        self.update(|manifest| manifest.quarantine.extend_from_slice(entries))
    }
}

/// Writes both copies.
pub(crate) fn write_copies(env: &Env, paths: &Paths, manifest: &Manifest) -> io::Result<()> {
    let bytes = manifest.encode().map_err(io::Error::other)?;
    for copy in 0..if on(Mutant::OneManifestCopy) { 1 } else { 2 } {
        let path = paths.manifest(copy);
        let exists = env.disk.exists(&path)?;
        let open = if exists {
            Open::write()
        } else {
            Open::create_new()
        };
        let file = env.disk.open(&path, open)?;
        file.write_all_at(&bytes, 0)?;
        if file.len()? > bytes.len() as u64 {
            file.set_len(bytes.len() as u64)?;
        }
        if !on(Mutant::ManifestNotSynced) {
            file.sync_all()?;
        }
        if !exists {
            env.disk.sync_dir(paths.root())?;
        }
    }
    Ok(())
}

/// The number of the newest good copy in a directory, if there is one. It grows with every change.
pub(crate) fn manifest_seq(env: &Env, directory: &Path) -> Option<u64> {
    let found = read_manifest(env, &Paths::new(directory)).ok()??;
    Some(found.manifest.seq)
}

/// Reads the newest good copy; `None` when there is no copy at all.
pub(crate) fn read_manifest(env: &Env, paths: &Paths) -> Result<Option<Found>, StoreError> {
    let mut best: Option<Manifest> = None;
    let mut damaged = Vec::new();
    let mut present = 0;
    for copy in 0..2 {
        let path = paths.manifest(copy);
        if !env
            .disk
            .exists(&path)
            .map_err(|error| io_error("looking for the manifest", error))?
        {
            damaged.push((copy, "the file is missing".to_owned()));
            continue;
        }
        present += 1;
        let bytes =
            read_to_end(&*env.disk, &path).map_err(|e| io_error("reading the manifest", e))?;
        let decoded = Manifest::decode(&bytes);
        if let Some(why) = decoded.as_ref().ok().and_then(senseless) {
            damaged.push((copy, why));
            continue;
        }
        match decoded {
            Ok(manifest) if best.as_ref().is_none_or(|b| b.seq < manifest.seq) => {
                best = Some(manifest);
            }
            Ok(_) => {}
            Err(error @ FormatError::NewerVersion { .. }) => {
                return Err(newer(paths, &path, &error));
            }
            Err(error) => damaged.push((copy, error.to_string())),
        }
    }
    match best {
        Some(manifest) => Ok(Some(Found { manifest, damaged })),
        None if present == 0 || !has_segments(env, paths)? => Ok(None),
        None => Err(both_damaged(paths, &damaged)),
    }
}

/// What a manifest says of the sizes of segments that cannot be. Its word alone is relied on for these.
fn senseless(manifest: &Manifest) -> Option<String> {
    let bytes = manifest.segment_bytes;
    let sizes = Options::SEGMENT_BYTES_MIN..=Options::SEGMENT_BYTES_MAX;
    if !sizes.contains(&bytes) || !bytes.is_multiple_of(PAGE_BYTES) {
        return Some(format!("it says that segments have {bytes} bytes"));
    }
    let too_long = |entry: &&SegmentEntry| {
        entry.end_offset > u32::MAX.into()
            || entry.record_count > entry.end_offset.max(bytes) / RECORD_HEAD_BYTES_MIN
    };
    let entry = manifest.segments.iter().find(too_long)?;
    Some(format!(
        "it says that segment {} has {} records in {} bytes",
        entry.number, entry.record_count, entry.end_offset
    ))
}

/// Whether there is any segment. Without one, manifests that cannot be read are those of a store that was being made when power failed.
fn has_segments(env: &Env, paths: &Paths) -> Result<bool, StoreError> {
    let look = || -> io::Result<bool> {
        Ok(env.disk.exists(&paths.segments())? && !env.disk.list(&paths.segments())?.is_empty())
    };
    look().map_err(|error| io_error("looking for segments", error))
}

fn newer(paths: &Paths, path: &Path, error: &FormatError) -> StoreError {
    let message = format!(
        "{} was written by a newer release: {error}; open it with that release",
        paths.shown(path)
    );
    StoreError::new(Kind::ReadOnly, message)
}

fn both_damaged(paths: &Paths, damaged: &[(usize, String)]) -> StoreError {
    let all: Vec<_> = damaged
        .iter()
        .map(|(copy, why)| format!("{}: {why}", paths.shown(&paths.manifest(*copy))))
        .collect();
    let message = format!(
        "no copy of the manifest can be read ({}); restore a backup",
        all.join("; ")
    );
    StoreError::new(Kind::Corrupt, message)
}
