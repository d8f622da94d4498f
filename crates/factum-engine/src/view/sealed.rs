//! A sealed segment: a file that never changes, and its index, loaded when first asked for.
//!
//! Relies on: every record carries its own checksums, and the index file its own. Never: trusts a byte that was not verified; needs the
//! index file, which can be made again from the segment.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use factum_format::index::IndexInfo;
use factum_format::limits::RECORD_BYTES_MAX;
use factum_format::manifest::{SegmentEntry, flags};
use factum_io::Env;
use factum_io::buffer::{ALIGN, AlignedBuf};
use factum_io::disk::{Advice, DiskFile, DiskFileExt, Open, read_to_end};
use factum_io::is_unreadable;
use factum_store::{Damage, Kind, StoreError};
use factum_types::Position;

use super::ahead::Wish;
use super::blocks::{BLOCK_BYTES, BlockKey};
use super::cache::Kept;
use super::index::Index;
use crate::errors::io_error;
use crate::key::Keyer;
use crate::paths::Paths;
use crate::sync::{Mutex, lock};

/// A sealed segment.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) entry: SegmentEntry,
    pub(crate) realm: [u8; 16],
    env: Env,
    paths: Paths,
    keyer: Keyer,
    file: OnceLock<Arc<dyn DiskFile>>,
    index: Mutex<Option<Arc<Index>>>,
    /// Whether the index at hand was made again, and so knows no more of what is lost than the segment does now.
    made_again: AtomicBool,
    kept: Arc<Kept>,
}

impl Sealed {
    pub(crate) fn new(
        entry: SegmentEntry,
        realm: [u8; 16],
        (env, paths, keyer): (Env, Paths, Keyer),
        kept: Arc<Kept>,
    ) -> Self {
        Self {
            entry,
            realm,
            env,
            paths,
            keyer,
            file: OnceLock::new(),
            index: Mutex::new(None),
            made_again: AtomicBool::new(false),
            kept,
        }
    }

    pub(crate) const fn end_position(&self) -> u64 {
        self.entry.base_position + self.entry.record_count
    }

    /// The segment's file name, as errors show it.
    pub(crate) fn shown(&self) -> String {
        self.paths
            .shown(&self.paths.segment(self.entry.number, self.entry.generation))
    }

    /// The segment's file, opened once.
    pub(crate) fn file(&self) -> Result<&Arc<dyn DiskFile>, StoreError> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let path = self.paths.segment(self.entry.number, self.entry.generation);
        let file = self.env.disk.open(&path, Open::read()).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                self.damaged("a segment's file is missing", 0, self.entry.end_offset)
            } else {
                io_error("opening a segment", error)
            }
        })?;
        Ok(self.file.get_or_init(|| file))
    }

    /// The segment's index: from memory, from its file, or made again from the segment.
    pub(crate) fn index(self: &Arc<Self>) -> Result<Arc<Index>, StoreError> {
        let mut slot = lock(&self.index);
        if let Some(index) = &*slot {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(self.load_index()?);
        *slot = Some(Arc::clone(&index));
        drop(slot);
        self.kept.indexes.loaded(self, index.byte_len() as u64);
        Ok(index)
    }

    /// Forgets the index; it is loaded again when needed. Returns how many bytes that freed.
    pub(crate) fn forget_index(&self) -> u64 {
        let forgotten = lock(&self.index).take();
        forgotten.map_or(0, |index| index.byte_len() as u64)
    }

    fn load_index(&self) -> Result<Index, StoreError> {
        let path = self.paths.index(self.entry.number, self.entry.generation);
        let read = read_to_end(&*self.env.disk, &path);
        let parsed = read.ok().and_then(|bytes| Index::parse(bytes).ok());
        match parsed {
            Some(index) if self.is_mine(&index.info) => {
                // It may have been made again after a read that failed.
                self.made_again.store(false, Ordering::Release);
                Ok(index)
            }
            _ => self.rebuild_index(),
        }
    }

    pub(crate) fn is_mine(&self, info: &IndexInfo) -> bool {
        info.realm == self.realm
            && info.segment == self.entry.number
            && info.generation == self.entry.generation
            && u64::from(info.record_count) == self.entry.record_count
            && info.base_position == self.entry.base_position
            && info.data_hash == self.entry.data_hash
    }

    /// Whether what the index says is lost was lost already when the segment was sealed, and accepted.
    pub(crate) fn is_loss_accepted(&self) -> bool {
        self.entry.flags & flags::DAMAGE != 0 && !self.made_again.load(Ordering::Acquire)
    }

    fn rebuild_index(&self) -> Result<Index, StoreError> {
        self.made_again.store(true, Ordering::Release);
        let bytes = self.read_direct().map_err(|error| {
            if is_from_unreadable(&error) {
                let what = format!("{} and its index cannot be read", self.shown());
                return self.damaged(&what, 0, self.entry.end_offset);
            }
            error
        })?;
        let built = crate::seal::index_of_file(&self.entry, self.realm, &self.keyer, &bytes);
        let index = built.and_then(Index::parse);
        index.map_err(|error| {
            let what = format!(
                "the index of {} cannot be made again ({error})",
                self.shown()
            );
            self.damaged(&what, 0, self.entry.end_offset)
        })
    }

    /// The whole file, from the device rather than the page cache.
    pub(crate) fn read_direct(&self) -> Result<AlignedBuf, StoreError> {
        let path = self.paths.segment(self.entry.number, self.entry.generation);
        let read = || {
            let file = self.env.disk.open(&path, Open::read_direct())?;
            read_whole(&*file)
        };
        read().map_err(|error| io_error("reading a segment", error))
    }

    /// Bytes of the file, as they are, or were when their blocks were last read.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), StoreError> {
        if self.kept.blocks.serve(into.len()) && self.read_blocks(offset, into).is_some() {
            return Ok(());
        }
        self.file()?
            .read_exact_at(into, offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    self.damaged("a segment's file was shortened", offset, into.len() as u64)
                }
                _ => io_error("reading a segment", error),
            })
    }

    /// As [`read`](Self::read), but where the device cannot give some of the bytes, all are zeros: no record verifies, and each is read again by
    /// itself.
    pub(crate) fn read_or_blank(&self, offset: u64, into: &mut [u8]) -> Result<(), StoreError> {
        match self.read(offset, into) {
            Err(error) if is_from_unreadable(&error) => {
                into.fill(0);
                Ok(())
            }
            result => result,
        }
    }

    /// Bytes of the file, block by block, by way of the blocks in memory; `None` where that is not possible.
    fn read_blocks(&self, mut offset: u64, mut into: &mut [u8]) -> Option<()> {
        while !into.is_empty() {
            let block = offset / BLOCK_BYTES as u64;
            let start = usize::try_from(offset % BLOCK_BYTES as u64).ok()?;
            let (part, rest) = into.split_at_mut(into.len().min(BLOCK_BYTES - start));
            let key = BlockKey::new(self.entry.number, self.entry.generation, block)?;
            if !self.kept.blocks.get(key, start, part) {
                let mut whole = [0; BLOCK_BYTES];
                let file = self.file().ok()?;
                file.read_exact_at(&mut whole, block * BLOCK_BYTES as u64)
                    .ok()?;
                part.copy_from_slice(&whole[start..start + part.len()]);
                self.kept.blocks.put(key, &whole);
            }
            offset += part.len() as u64;
            into = rest;
        }
        Some(())
    }

    /// Bytes of the file from the device: a second look when the first does not verify.
    pub(crate) fn read_again(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        const PAGE: u64 = 4096;
        // What does not verify is not kept.
        for block in offset / PAGE..=(offset + length as u64) / PAGE {
            let key = BlockKey::new(self.entry.number, self.entry.generation, block);
            key.inspect(|key| self.kept.blocks.forget(*key));
        }
        let path = self.paths.segment(self.entry.number, self.entry.generation);
        let file = self.env.disk.open(&path, Open::read_direct())?;
        let start = offset / PAGE * PAGE;
        let end = (offset + length as u64)
            .next_multiple_of(PAGE)
            .min(file.len()?);
        let pages = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        let mut buffer = AlignedBuf::zeroed(pages);
        file.read_exact_at(buffer.as_mut_slice(), start)?;
        let skip = usize::try_from(offset - start).unwrap_or(0);
        Ok(buffer
            .as_slice()
            .get(skip..skip + length)
            .unwrap_or_default()
            .to_vec())
    }

    /// Wishes that these bytes are read ahead; says whether they will be asked for.
    pub(crate) fn wish(self: &Arc<Self>, bytes: std::ops::Range<u64>) -> bool {
        let sealed = Arc::clone(self);
        self.kept.ahead.wish(Wish { sealed, bytes })
    }

    /// Tells the system that these bytes will be read soon.
    pub(crate) fn expect_reads(&self, offset: u64, length: u64) {
        if let Ok(file) = self.file() {
            // Advice only: what fails costs time at most.
            drop(file.advise(Advice::WillNeed, offset, length));
        }
    }

    /// The damage of a range whose records are not known one by one.
    pub(crate) fn damaged(&self, what: &str, offset: u64, length: u64) -> StoreError {
        let damage = Damage {
            file: self.shown(),
            offset,
            length,
            first: Position::from_raw(self.entry.base_position),
            last: Position::from_raw(self.end_position().saturating_sub(1)),
        };
        StoreError::corrupt(what, damage)
    }

    /// The damage of one record.
    pub(crate) fn damaged_record(
        &self,
        position: u64,
        extent: Option<(u64, u32)>,
        why: &str,
    ) -> StoreError {
        let (offset, length) = extent.unwrap_or((0, 0));
        let position = Position::from_raw(position);
        let damage = Damage {
            file: self.shown(),
            offset,
            length: u64::from(length),
            first: position,
            last: position,
        };
        StoreError::corrupt(format!("a stored event is damaged ({why})"), damage)
    }

    /// There is no record where the index says: it was lost, or what it says cannot be.
    pub(crate) fn no_record(&self, position: u64, extent: Option<(u64, u32)>) -> StoreError {
        let why = match extent {
            Some(_) => "it is longer than any record, or stands where none can",
            None => "it was lost before sealing",
        };
        self.damaged_record(position, extent, why)
    }

    /// The index is wrong although its checksums hold.
    pub(crate) fn bad_index(&self, error: &factum_format::FormatError) -> StoreError {
        let message = format!("the index of {} is inconsistent: {error}", self.shown());
        StoreError::new(Kind::Internal, message)
    }
}

fn is_from_unreadable(error: &StoreError) -> bool {
    let first = std::error::Error::source(error);
    std::iter::successors(first, |error| error.source())
        .filter_map(|cause| cause.downcast_ref())
        .any(is_unreadable)
}

/// Whether a record can stand where an index says, and be as long; nothing is read, and no memory taken, for one that cannot.
pub(crate) const fn is_possible((offset, length): (u64, u32)) -> bool {
    offset <= u32::MAX as u64 && length as u64 <= RECORD_BYTES_MAX
}

/// A whole file. What cannot be read of it is an error, and no damage: it may be the last frame of a log, which must not be taken for one that never
/// arrived. Asks for whole pages, as direct reading demands, whatever the file's length has become.
pub(crate) fn read_whole(file: &dyn DiskFile) -> io::Result<AlignedBuf> {
    const STEP: usize = 1 << 20;
    let length = match u32::try_from(file.len()?) {
        Ok(length) => length as usize,
        Err(_) => {
            let why = "the file is longer than any segment";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
    };
    let mut buffer = AlignedBuf::zeroed(length.next_multiple_of(ALIGN));
    // From the back: beside a writer, what says that something is durable is read before that.
    for at in (0..length).step_by(STEP).rev() {
        let end = (at + STEP).min(buffer.as_slice().len());
        let into = &mut buffer.as_mut_slice()[at..end];
        if end <= length {
            file.read_exact_at(into, at as u64)?;
        } else {
            let read = file.read_at(into, at as u64)?;
            if at + read < length {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "a file became shorter while it was read",
                ));
            }
        }
    }
    buffer.resize_zeroed(length);
    Ok(buffer)
}
