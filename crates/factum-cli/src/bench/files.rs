//! What the files of a store say when it is closed: which segments are sealed, what they hold, what they take.
//!
//! Relies on: the manifest of docs/format.md. Never: changes a file.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use factum_format::manifest::{Manifest, SegmentEntry, SegmentState};
use factum_io::{DiskFile, Env, Open};

use crate::failure::{Failure, Outcome};

/// Bytes of one block, as the system counts them.
const BLOCK_BYTES: u64 = 512;

/// What is on disk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OnDisk {
    /// Records in sealed segments.
    pub(super) sealed_records: u64,
    /// Bytes that the sealed segments take.
    pub(super) segment_bytes: u64,
    /// Bytes that their indexes take.
    pub(super) index_bytes: u64,
    /// Sealed segments.
    pub(super) sealed: u64,
}

/// What the sealed segments of a store take on disk.
pub(super) fn on_disk(store: &Path) -> Outcome<OnDisk> {
    let mut found = OnDisk::default();
    for entry in entries(store)?
        .iter()
        .filter(|entry| entry.state == SegmentState::Sealed)
    {
        found.sealed += 1;
        found.sealed_records += entry.record_count;
        found.segment_bytes += taken(&segment(store, entry))?;
        found.index_bytes += taken(&index(store, entry))?;
    }
    Ok(found)
}

/// The sealed segments, each with the bytes of it that count.
pub(super) fn sealed(
    store: &Path,
    open: Open,
    env: &Env,
) -> Outcome<Vec<(Arc<dyn DiskFile>, u64)>> {
    let failed = |error| Failure::io("cannot open a segment", &error);
    let entries = entries(store)?;
    let sealed = entries
        .iter()
        .filter(|entry| entry.state == SegmentState::Sealed);
    sealed
        .map(|entry| {
            Ok((
                env.disk
                    .open(&segment(store, entry), open)
                    .map_err(failed)?,
                entry.end_offset,
            ))
        })
        .collect()
}

/// How long the files of all segments are that are not sealed, in bytes.
pub(super) fn not_sealed(store: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in entries(store)? {
        if entry.state != SegmentState::Sealed {
            bytes += status(&segment(store, &entry))?.len();
        }
    }
    Ok(bytes)
}

fn entries(store: &Path) -> Outcome<Vec<SegmentEntry>> {
    let read = |name: &str| std::fs::read(store.join(name)).unwrap_or_default();
    let (manifest, _) = Manifest::newest(&read("MANIFEST.a"), &read("MANIFEST.b"))
        .map_err(|error| Failure::error(format!("cannot read the manifest: {error}")))?;
    Ok(manifest.segments)
}

fn segment(store: &Path, entry: &SegmentEntry) -> PathBuf {
    let name = match entry.generation {
        0 => format!("{:010}.seg", entry.number),
        generation => format!("{:010}.g{generation}.seg", entry.number),
    };
    store.join("segments").join(name)
}

fn index(store: &Path, entry: &SegmentEntry) -> PathBuf {
    store
        .join("segments")
        .join(format!("{:010}.g{}.idx", entry.number, entry.generation))
}

/// The space that a file takes, which is what the owner of the disk sees.
fn taken(path: &Path) -> Outcome<u64> {
    Ok(status(path)?.blocks() * BLOCK_BYTES)
}

fn status(path: &Path) -> Outcome<std::fs::Metadata> {
    std::fs::metadata(path).map_err(|error| Failure::io(path.display(), &error))
}
