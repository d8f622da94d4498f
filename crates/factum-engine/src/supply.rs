//! Segments ready to be written: made, zeroed where that pays, and synced before they are needed.
//!
//! Writing into space that was written before is what makes a commit cost one trip to the device; so the next segment is prepared in the
//! background while the current one fills. It is listed in the manifest before its first byte is used.
//! Relies on: the catalog. Never: begins a segment whose name and size are not durable.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use factum_format::manifest::{SegmentEntry, SegmentState};
use factum_format::segment::{SegmentHeader, layout};
use factum_io::buffer::AlignedBuf;
use factum_io::disk::{DiskFile, DiskFileExt, Open};
use factum_io::{Env, is_out_of_space};

use crate::catalog::Catalog;
use crate::log::NoPlace;
use crate::mutant::{Mutant, on};
use crate::number::to_usize;
use crate::paths::Paths;
use crate::sync::{Mutex, lock};

/// What a segment is begun with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begin {
    pub(crate) base_position: u64,
    pub(crate) base_time: i64,
    pub(crate) first_frame_seq: u64,
    pub(crate) prev_hash: u64,
    pub(crate) epoch: u16,
}

/// A segment that has been begun.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) number: u64,
    pub(crate) salt: u64,
    pub(crate) capacity: u64,
}

/// Makes segments and hands them out.
#[derive(Debug)]
pub(crate) struct Supply {
    env: Env,
    paths: Paths,
    catalog: Arc<Catalog>,
    segment_bytes: u64,
    /// The segment that is ready; held for a moment, because every commit looks whether there is one.
    ready: Mutex<Option<(Arc<dyn DiskFile>, SegmentEntry)>>,
    /// Held while a segment is made.
    making: Mutex<Making>,
    /// How long frames are, on average, as far as is known.
    frame_bytes: AtomicU64,
    /// How far the segment that is written is filled, in bytes.
    filled: AtomicU64,
    /// Who wants the segment that is being prepared made without pauses.
    hurried: AtomicUsize,
    /// Who cannot go on without it.
    waiting: AtomicUsize,
}

/// What was learned while segments were made.
#[derive(Debug, Default)]
struct Making {
    /// How long the device took to zero a mebibyte when it was fastest.
    zero_ns_per_mib: Option<u64>,
    /// Segments since then that were not zeroed.
    skipped: u32,
}

const MIB: u64 = 1 << 20;
/// Zeros are written in pieces as short as a commit that is waited for, which may be behind one of them in the device's queue.
const PIECE_BYTES: u64 = 64 << 10;
/// The next segment is prepared from when this part of the one being written is filled, in hundredths...
pub(crate) const PREPARE_FROM: u64 = 50;
/// ... until this part of it is, so that the device is shared with commits for long rather than kept from them for a moment.
const PREPARE_UNTIL: u64 = 90;
/// Zeroing waits for the commits at most so many times as long as a piece takes: whoever writes little has the next segment soon too.
const PAUSE_TIMES: u64 = 8;
/// A pause looks so often whether it is over.
const PAUSE_STEP: Duration = Duration::from_micros(500);
/// Segments for longer frames than this are not zeroed ahead, however fast the device is.
const LARGE_FRAME_BYTES: u64 = MIB;
/// Where zeroing the space of a frame takes longer than this, it is not done: a write into space that was never written costs more than
/// another, because it changes metadata too, but zeros take their share of a device that large frames keep busy. Chosen by trying, on a disk
/// of 400 MiB/s (`factum bench append`, by turns, two seconds each): without zeros 256 writers, whose frames take 0.1 ms to zero, have 0.40 and 0.40
/// of their limit instead of 0.28 to 0.38; 1,024 writers 0.34 and 0.41 instead of 0.26 to 0.35.
const UNWRITTEN_NS: u64 = 60_000;
/// After so many segments that were not zeroed, one is, to see how long that takes now.
const SKIPPED_MAX: u32 = 15;

/// Whether zeroing pays is seen after so many bytes; where it does not, it ends there.
const TRIED_BYTES: u64 = 2 * MIB;

/// Somebody is counted as long as this is there.
struct Hurry<'a>(&'a AtomicUsize);

impl<'a> Hurry<'a> {
    fn new(who: &'a AtomicUsize) -> Self {
        who.fetch_add(1, Ordering::Relaxed);
        Self(who)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Making {
    /// Whether zeroing segments ahead saves more than it costs.
    fn zeroing_pays(&self, frame_bytes: u64) -> bool {
        let zeroing_ns = self
            .zero_ns_per_mib
            .unwrap_or(0)
            .saturating_mul(frame_bytes)
            / MIB;
        let is_stale = self.skipped >= SKIPPED_MAX;
        frame_bytes <= LARGE_FRAME_BYTES && (is_stale || zeroing_ns <= UNWRITTEN_NS)
    }

    /// Whether so many bytes zeroed have shown that it does not pay.
    fn is_tried(&self, zeroed: u64, frame_bytes: u64) -> bool {
        zeroed >= TRIED_BYTES && !self.zeroing_pays(frame_bytes)
    }

    /// Takes note of how long zeroing so many bytes took.
    fn zeroed(&mut self, bytes: u64, took: u64) {
        let per_mib = took * MIB / bytes.max(MIB);
        let fastest = self.zero_ns_per_mib.get_or_insert(per_mib);
        *fastest = per_mib.min(*fastest);
    }
}

impl Supply {
    pub(crate) fn new(env: Env, paths: Paths, catalog: Arc<Catalog>, segment_bytes: u64) -> Self {
        Self {
            env,
            paths,
            catalog,
            segment_bytes,
            ready: Mutex::default(),
            making: Mutex::default(),
            frame_bytes: AtomicU64::new(0),
            filled: AtomicU64::new(0),
            hurried: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Hands over a segment that was prepared before the store was opened.
    pub(crate) fn adopt(&self, file: Arc<dyn DiskFile>, entry: SegmentEntry) {
        *lock(&self.ready) = Some((file, entry));
    }

    pub(crate) fn is_ready(&self) -> bool {
        lock(&self.ready).is_some()
    }

    /// Says how long frames are, on average.
    pub(crate) fn expect_frames_of(&self, bytes: u64) {
        self.frame_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Says how far the segment that is written is filled, in bytes.
    pub(crate) fn filled(&self, bytes: u64) {
        self.filled.store(bytes, Ordering::Relaxed);
    }

    /// Prepares without pauses from now on.
    pub(crate) fn hurry(&self) {
        self.hurried.fetch_add(1, Ordering::Relaxed);
    }

    /// Prepares the next segment unless one is ready: no faster than commits, unless it is hurried.
    pub(crate) fn prepare(&self, hurried: bool) -> io::Result<()> {
        let _hurry = hurried.then(|| Hurry::new(&self.hurried));
        let mut making = lock(&self.making);
        if !self.is_ready() {
            let made = self.make(&mut making)?;
            *lock(&self.ready) = Some(made);
        }
        Ok(())
    }

    /// Takes the next segment, prepared now if nobody did.
    fn take(&self) -> io::Result<(Arc<dyn DiskFile>, SegmentEntry)> {
        if let Some(ready) = lock(&self.ready).take() {
            return Ok(ready);
        }
        let _hurry = Hurry::new(&self.waiting);
        let mut making = lock(&self.making);
        // It may have been prepared meanwhile.
        let ready = lock(&self.ready).take();
        ready.map_or_else(|| self.make(&mut making), Ok)
    }

    /// Begins the next segment, preparing it now if nobody did: its header is durable when this returns.
    pub(crate) fn begin(&self, begin: Begin) -> Result<Begun, NoPlace> {
        let (file, entry) = self.take().map_err(|error| {
            if is_out_of_space(&error) {
                NoPlace::Full(error)
            } else {
                NoPlace::Broken(error)
            }
        })?;
        self.write_header(&*file, &entry, begin)
            .map_err(NoPlace::Broken)?;
        self.catalog.note_active(entry.number, begin);
        Ok(Begun {
            file,
            number: entry.number,
            salt: entry.salt,
            capacity: self.segment_bytes,
        })
    }

    fn write_header(
        &self,
        file: &dyn DiskFile,
        entry: &SegmentEntry,
        begin: Begin,
    ) -> io::Result<()> {
        let header = SegmentHeader {
            layout: layout::FRAMES,
            realm: self.catalog.realm(),
            segment: entry.number,
            salt: entry.salt,
            partition: 0,
            flags: 0,
            generation: 0,
            base_position: begin.base_position,
            base_time: begin.base_time,
            created_time: begin.base_time,
            prev_hash: begin.prev_hash,
            first_frame_seq: begin.first_frame_seq,
            capacity: self.segment_bytes,
            epoch: begin.epoch,
        };
        let mut page = AlignedBuf::new();
        page.extend_from_slice(&header.encode()[..]);
        let written = if on(Mutant::HeaderNotDurable) {
            file.write_at(page.as_slice(), 0)?
        } else {
            file.write_durable_at(page.as_slice(), 0)?
        };
        if written == page.len() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::WriteZero,
            "a segment header was written in part",
        ))
    }

    fn make(&self, making: &mut Making) -> io::Result<(Arc<dyn DiskFile>, SegmentEntry)> {
        let number = self.catalog.next_segment();
        let path = self.paths.segment(number, 0);
        let disk = &self.env.disk;
        if disk.exists(&path)? {
            // Left behind before the manifest named it, by a crash, or by an attempt after which a copy of the manifest may name it.
            self.catalog.write_notes()?;
            disk.remove(&path)?;
        }
        let made = self.make_file(&path, making);
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                // Give the space back; if even that fails, the next attempt or the next opening does.
                drop(disk.remove(&path));
                return Err(error);
            }
        };
        let entry = SegmentEntry {
            number,
            state: SegmentState::Prepared,
            salt: self.env.random.next_u64(),
            ..SegmentEntry::default()
        };
        self.catalog
            .update(|manifest| manifest.segments.push(entry))?;
        Ok((file, entry))
    }

    fn make_file(
        &self,
        path: &std::path::Path,
        making: &mut Making,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.env.disk.open(path, Open::create_new_direct())?;
        if on(Mutant::FullIgnored) {
            drop(file.allocate(self.segment_bytes));
            return Ok(file);
        }
        // Without space set aside, a commit would be the first to meet a full disk.
        let reserved = file.allocate(self.segment_bytes)?;
        if !reserved || making.zeroing_pays(self.frame_bytes()) {
            self.zero(&*file, making, reserved)?;
        } else {
            making.skipped = making.skipped.saturating_add(1);
        }
        if !on(Mutant::NewFileNotSynced) {
            file.sync_all()?;
        }
        if !on(Mutant::DirectoryNotSynced) {
            self.env.disk.sync_dir(&self.paths.segments())?;
        }
        Ok(file)
    }

    /// Zeroes a segment, no faster than the one before it fills. If its space is reserved, so that it can be written without, this ends where it
    /// does not pay, or when somebody waits for the segment: what is left would keep them longer than it saves.
    fn zero(&self, file: &dyn DiskFile, making: &mut Making, reserved: bool) -> io::Result<()> {
        let clock = &self.env.clock;
        let zeros = AlignedBuf::zeroed(to_usize(PIECE_BYTES));
        let (mut at, mut all) = (0, 0);
        making.skipped = 0;
        while at < self.segment_bytes {
            let end = (at + PIECE_BYTES).min(self.segment_bytes);
            let began = clock.monotonic_ns();
            file.write_all_at(&zeros.as_slice()[..to_usize(end - at)], at)?;
            let took = clock.monotonic_ns().saturating_sub(began);
            (at, all) = (end, all + took);
            if at.is_multiple_of(TRIED_BYTES) || at == self.segment_bytes {
                making.zeroed(at, all);
            }
            if reserved && (self.is_awaited() || making.is_tried(at, self.frame_bytes())) {
                break;
            }
            self.pause(at, took);
        }
        Ok(())
    }

    fn frame_bytes(&self) -> u64 {
        self.frame_bytes.load(Ordering::Relaxed)
    }

    /// Whether somebody cannot go on without the segment that is being prepared.
    fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Waits until commits have come as far as zeroing, where a piece took so many nanoseconds.
    fn pause(&self, zeroed: u64, took: u64) {
        let clock = &self.env.clock;
        let until = clock.monotonic_ns() + took * PAUSE_TIMES;
        while self.is_ahead(zeroed)
            && self.hurried.load(Ordering::Relaxed) == 0
            && !self.is_awaited()
            && clock.monotonic_ns() < until
        {
            clock.sleep(PAUSE_STEP);
        }
    }

    /// Whether zeroing is further than commits are.
    fn is_ahead(&self, zeroed: u64) -> bool {
        let filled = self.filled.load(Ordering::Relaxed);
        let from = self.segment_bytes / 100 * PREPARE_FROM;
        let span = self.segment_bytes / 100 * (PREPARE_UNTIL - PREPARE_FROM);
        let due = u128::from(filled.saturating_sub(from)) * u128::from(self.segment_bytes);
        u128::from(zeroed) * u128::from(span) > due
    }
}

/// Writes zeros; both ends are multiples of a page.
pub(crate) fn zero(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let zeros = AlignedBuf::zeroed(to_usize(MIB.min(to.saturating_sub(from))));
    let mut at = from;
    while at < to {
        let length = to_usize(MIB.min(to - at));
        file.write_all_at(&zeros.as_slice()[..length], at)?;
        at += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use factum_format::manifest::Manifest;
    use factum_io::buffer::AlignedBuf;
    use factum_io::disk::{DiskFileExt, Open};
    use factum_io::sim::SimEnv;

    use super::{
        LARGE_FRAME_BYTES, MIB, Making, PIECE_BYTES, SKIPPED_MAX, Supply, TRIED_BYTES, UNWRITTEN_NS,
    };
    use crate::catalog::Catalog;
    use crate::paths::Paths;

    const SEGMENT_BYTES: u64 = 4 * PIECE_BYTES;

    /// How much of a segment that was full of ones is zeroed while so many wait for it.
    fn zeroed(waiting: usize, reserved: bool) -> u64 {
        let env = SimEnv::new(7).env();
        let manifest = Manifest {
            partition: 0,
            seq: 1,
            realm: [1; 16],
            hash_key: [2; 16],
            created_time: 0,
            segment_bytes: SEGMENT_BYTES,
            segments: Vec::new(),
            quarantine: Vec::new(),
        };
        let paths = Paths::new("store");
        let catalog = Arc::new(Catalog::new(env.clone(), paths.clone(), manifest));
        let supply = Supply::new(env.clone(), paths, catalog, SEGMENT_BYTES);
        supply.waiting.store(waiting, Ordering::Relaxed);
        let opened = env
            .disk
            .open(Path::new("segment"), Open::create_new_direct());
        let file = opened.unwrap();
        let mut bytes = AlignedBuf::zeroed(usize::try_from(SEGMENT_BYTES).unwrap());
        bytes.as_mut_slice().fill(1);
        file.write_all_at(bytes.as_slice(), 0).unwrap();
        supply
            .zero(&*file, &mut Making::default(), reserved)
            .unwrap();
        file.read_exact_at(bytes.as_mut_slice(), 0).unwrap();
        bytes
            .as_slice()
            .iter()
            .take_while(|byte| **byte == 0)
            .count() as u64
    }

    #[test]
    fn zeroing_ends_when_somebody_waits_for_the_segment() {
        assert_eq!(zeroed(1, true), PIECE_BYTES);
        assert_eq!(zeroed(0, true), SEGMENT_BYTES);
        assert_eq!(
            zeroed(1, false),
            SEGMENT_BYTES,
            "its space is not set aside"
        );
    }

    #[test]
    fn zeroing_pays_where_a_frame_is_zeroed_soon() {
        let mut making = Making::default();
        assert!(making.zeroing_pays(64 << 10), "nothing is known yet");
        making.zeroed(2 * MIB, 4 * UNWRITTEN_NS);
        assert!(making.zeroing_pays(MIB / 2));
        assert!(!making.zeroing_pays(MIB));
        making.zeroed(2 * MIB, 400 * UNWRITTEN_NS);
        assert!(making.zeroing_pays(MIB / 2), "the fastest counts");
        making.zeroed(4 * MIB, 4 * UNWRITTEN_NS);
        assert!(making.zeroing_pays(MIB));
        assert!(!making.zeroing_pays(LARGE_FRAME_BYTES + 1));
    }

    #[test]
    fn how_long_it_takes_is_seen_again_after_a_while() {
        let mut making = Making::default();
        making.zeroed(2 * MIB, 400 * UNWRITTEN_NS);
        making.skipped = SKIPPED_MAX - 1;
        assert!(!making.zeroing_pays(64 << 10));
        making.skipped = SKIPPED_MAX;
        assert!(making.zeroing_pays(64 << 10));
        assert!(!making.zeroing_pays(LARGE_FRAME_BYTES + 1));
        // As zeroing begins: what was known before ends it only when it was seen again.
        making.skipped = 0;
        assert!(!making.is_tried(PIECE_BYTES, 64 << 10));
        assert!(making.is_tried(TRIED_BYTES, 64 << 10));
        making.zeroed(TRIED_BYTES, UNWRITTEN_NS);
        assert!(!making.is_tried(TRIED_BYTES, 64 << 10));
    }
}
