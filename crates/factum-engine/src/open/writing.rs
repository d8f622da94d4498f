//! The writing end of an opened store: what stands behind the log's end is cleared, and a segment is ready to go on in.
//!
//! Relies on: recovery has said where the log ends. Never: accepts an append before all of it is durable.

use std::io;
use std::sync::Arc;

use factum_format::SegmentKey;
use factum_format::frame::FrameFlags;
use factum_format::limits::SEGMENT_HEADER_BYTES;
use factum_format::manifest::{SegmentEntry, SegmentState};
use factum_format::segment::Copies;
use factum_io::buffer::AlignedBuf;
use factum_io::disk::{DiskFile, Open};
use factum_store::StoreError;

use super::{Opening, Read, Writing};
use crate::errors::io_error;
use crate::log::{Begun, Cursor, LogStart, PAGE_BYTES};
use crate::mutant::{Mutant, on};
use crate::number::to_usize;
use crate::recover::{Cut, Recovered, Tail};
use crate::seal::shorten;
use crate::sequence::SegmentContext;
use crate::supply::{Begin, Supply, zero};
use crate::view::{Unsealed, UnsealedHead};

impl Opening<'_> {
    pub(super) fn start_writing(
        &mut self,
        read: &[Read],
        prepared: Vec<SegmentEntry>,
        recovered: &Recovered,
        end: End,
    ) -> Result<Writing, StoreError> {
        let failed = |error| io_error("preparing to write", error);
        let supply = Arc::new(Supply::new(
            self.env.clone(),
            self.paths.clone(),
            Arc::clone(&self.catalog),
            self.manifest.segment_bytes,
        ));
        if !on(Mutant::FoundNotMadeDurable) {
            self.make_durable(read).map_err(failed)?;
        }
        self.remove_strays().map_err(failed)?;
        self.shorten_sealed().map_err(failed)?;
        if let Some(cut) = &recovered.cut {
            self.cut(read, cut).map_err(failed)?;
        }
        let unused = self.reset_later(read, recovered).map_err(failed)?;
        let tail = &recovered.tail;
        let last = read.get(tail.index).map_or(0, |read| read.entry.number);
        let gone = self
            .adopt_one(&supply, unused.into_iter().chain(prepared), last)
            .map_err(failed)?;
        let current = read.get(tail.index).filter(|_| !end.forced_roll);
        let writing = match current {
            Some(current) => self.go_on(supply, current, recovered, end),
            None => self.begin_new(supply, recovered, end),
        }?;
        // Not before: that one of them is missing is what says that positions may have been given.
        self.forget(&gone).map_err(failed)?;
        Ok(writing)
    }

    /// Goes on in the segment where the log ended.
    fn go_on(
        &self,
        supply: Arc<Supply>,
        current: &Read,
        recovered: &Recovered,
        end: End,
    ) -> Result<Writing, StoreError> {
        let failed = |error| io_error("preparing to write", error);
        let path = self.paths.segment(current.entry.number, 0);
        let file = self
            .env
            .disk
            .open(&path, Open::write_direct())
            .map_err(failed)?;
        let tail = &recovered.tail;
        let page_start = tail.offset / PAGE_BYTES * PAGE_BYTES;
        let range = to_usize(page_start)..to_usize(tail.offset);
        let mut start = LogStart {
            file,
            context: SegmentContext {
                number: current.header.segment,
                base_time: current.header.base_time,
            },
            salt: current.header.salt,
            capacity: current.header.capacity.min(current.bytes.len() as u64),
            offset: tail.offset,
            tail: current.bytes.as_slice()[range].to_vec(),
            next_seq: tail.next_seq,
            durable_seq: vouched(tail),
            prev_hash: tail.prev_hash,
            epoch: tail.epoch,
        };
        if recovered.cut.is_some_and(|cut| cut.frame) {
            write_cut(&mut start, &current.unsealed, end).map_err(failed)?;
        }
        self.catalog.note_active(
            current.header.segment,
            Begin {
                base_position: current.header.base_position,
                base_time: current.header.base_time,
                first_frame_seq: current.header.first_frame_seq,
                prev_hash: current.header.prev_hash,
                epoch: current.header.epoch,
            },
        );
        Ok(Writing {
            supply,
            start,
            current: Arc::clone(&current.unsealed),
        })
    }

    /// Begins a new segment: the store is new, or what is damaged must not be written on.
    fn begin_new(
        &mut self,
        supply: Arc<Supply>,
        recovered: &Recovered,
        end: End,
    ) -> Result<Writing, StoreError> {
        let tail = &recovered.tail;
        let base_time = self.env.clock.now_us().max(end.last_time);
        let begin = Begin {
            base_position: end.next_position,
            base_time,
            first_frame_seq: tail.next_seq,
            prev_hash: u64::from(tail.prev_hash),
            epoch: tail.epoch,
        };
        let begun = supply.begin(begin).map_err(|no_place| match no_place {
            crate::log::NoPlace::Full(error) => crate::errors::full(&error),
            crate::log::NoPlace::Broken(error) => io_error("beginning a segment", error),
        })?;
        let head = UnsealedHead {
            number: begun.number,
            key: SegmentKey {
                salt: begun.salt,
                segment: begun.number,
            },
            base_position: end.next_position,
            base_time,
        };
        let current = Arc::new(Unsealed::new(head, self.keyer.clone()));
        self.view.unsealed.push(Arc::clone(&current));
        let start = LogStart {
            file: begun.file,
            context: SegmentContext {
                number: begun.number,
                base_time,
            },
            salt: begun.salt,
            capacity: begun.capacity,
            offset: SEGMENT_HEADER_BYTES,
            tail: Vec::new(),
            next_seq: tail.next_seq,
            durable_seq: vouched(tail),
            prev_hash: tail.prev_hash,
            epoch: tail.epoch,
        };
        Ok(Writing {
            supply,
            start,
            current,
        })
    }

    /// Makes durable what was found: a process that was killed in the middle of a write leaves bytes that can be read, and that a power
    /// failure would still take back. Completes headers of which one copy never arrived.
    fn make_durable(&self, read: &[Read]) -> io::Result<()> {
        for segment in read {
            let path = self
                .paths
                .segment(segment.entry.number, segment.entry.generation);
            let file = self.env.disk.open(&path, Open::write_direct())?;
            if segment.copies != Some(Copies::Both) {
                let mut page = AlignedBuf::new();
                page.extend_from_slice(&segment.header.encode()[..]);
                write_pages(&*file, page.as_slice(), 0)?;
            }
            file.sync_all()?;
        }
        Ok(())
    }

    /// Zeroes what stands behind the cut, keeping what stands before it in its page.
    fn cut(&self, read: &[Read], cut: &Cut) -> io::Result<()> {
        if on(Mutant::CutNotCleared) {
            return Ok(());
        }
        let Some(segment) = read.get(cut.index) else {
            return Ok(());
        };
        let path = self.paths.segment(segment.entry.number, 0);
        let file = self.env.disk.open(&path, Open::write_direct())?;
        let page = cut.offset / PAGE_BYTES * PAGE_BYTES;
        let kept = to_usize(cut.offset - page);
        let end = cut
            .dirty_end
            .next_multiple_of(PAGE_BYTES)
            .min(segment.bytes.len() as u64);
        let mut rest = page;
        if kept > 0 {
            let mut first = AlignedBuf::zeroed(to_usize(PAGE_BYTES));
            let front = &segment.bytes.as_slice()[to_usize(page)..to_usize(cut.offset)];
            first.as_mut_slice()[..kept].copy_from_slice(front);
            write_pages(&*file, first.as_slice(), page)?;
            rest += PAGE_BYTES;
        }
        zero(&*file, rest, end.max(rest))?;
        file.sync_all()
    }

    /// Makes segments that were begun behind the end of the log as if they had only been prepared.
    fn reset_later(&self, read: &[Read], recovered: &Recovered) -> io::Result<Vec<SegmentEntry>> {
        let mut reset = Vec::new();
        for segment in read.iter().skip(recovered.tail.index + 1) {
            let path = self.paths.segment(segment.entry.number, 0);
            let file = self.env.disk.open(&path, Open::write_direct())?;
            // From the back, so that the header goes last: until then the frames behind it can still be judged.
            if !on(Mutant::GivenUpNotCleared) {
                zero(&*file, PAGE_BYTES, segment.bytes.len() as u64)?;
            }
            file.sync_all()?;
            zero(&*file, 0, PAGE_BYTES)?;
            file.sync_all()?;
            let entry = SegmentEntry {
                number: segment.entry.number,
                state: SegmentState::Prepared,
                salt: if on(Mutant::GivenUpNotCleared) {
                    segment.entry.salt
                } else {
                    self.env.random.next_u64()
                },
                ..SegmentEntry::default()
            };
            self.catalog.replace_segment(entry)?;
            reset.push(entry);
        }
        Ok(reset)
    }

    /// Keeps one prepared segment for use, behind the one where the log ends: segments are walked by their numbers. Gives those that are not of use.
    fn adopt_one(
        &self,
        supply: &Supply,
        prepared: impl Iterator<Item = SegmentEntry>,
        last: u64,
    ) -> io::Result<Vec<u64>> {
        let mut gone = Vec::new();
        for entry in prepared {
            let path = self.paths.segment(entry.number, 0);
            let usable = match self.env.disk.open(&path, Open::write_direct()) {
                Ok(file) => self.usable(&*file)?.then_some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            match usable {
                Some(file) if !supply.is_ready() && entry.number > last => {
                    supply.adopt(file, entry);
                }
                _ => gone.push(entry.number),
            }
        }
        Ok(gone)
    }

    /// Forgets prepared segments that are not of use, and their files.
    fn forget(&self, gone: &[u64]) -> io::Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        self.catalog
            .update(|manifest| manifest.segments.retain(|e| !gone.contains(&e.number)))?;
        for number in gone {
            let path = self.paths.segment(*number, 0);
            if self.env.disk.exists(&path)? {
                self.env.disk.remove(&path)?;
            }
        }
        Ok(())
    }

    /// Whether a prepared file has its size, and no header yet. Behind the header nothing was written: the manifest named the file only
    /// when it had been zeroed and synced, and frames follow the header.
    fn usable(&self, file: &dyn DiskFile) -> io::Result<bool> {
        use factum_io::disk::DiskFileExt;
        if file.len()? != self.manifest.segment_bytes {
            return Ok(false);
        }
        let mut front = AlignedBuf::zeroed(to_usize(PAGE_BYTES));
        file.read_exact_at(front.as_mut_slice(), 0)?;
        Ok(front.as_slice().iter().all(|byte| *byte == 0))
    }

    /// Removes files that a crash left behind before the manifest named them, or after it ceased to.
    fn remove_strays(&self) -> io::Result<()> {
        let manifest = self.catalog.manifest();
        let mut named: Vec<String> = Vec::new();
        for entry in &manifest.segments {
            let file = |path: std::path::PathBuf| {
                path.file_name()
                    .map(|name| name.to_string_lossy().into_owned())
            };
            named.extend(file(self.paths.segment(entry.number, entry.generation)));
            named.extend(file(self.paths.index(entry.number, entry.generation)));
        }
        for name in self.env.disk.list(&self.paths.segments())? {
            let ours = std::path::Path::new(&name)
                .extension()
                .is_some_and(|extension| extension == "seg" || extension == "idx");
            if ours && !named.contains(&name) {
                self.env.disk.remove(&self.paths.segments().join(name))?;
            }
        }
        Ok(())
    }

    /// Gives back what was prepared of the segment sealed last and not used, if a crash came before that.
    fn shorten_sealed(&self) -> io::Result<()> {
        let manifest = self.catalog.manifest();
        let sealed = manifest
            .segments
            .iter()
            .filter(|entry| entry.state == SegmentState::Sealed);
        let last = sealed.max_by_key(|entry| entry.number);
        let Some(last) = last.filter(|entry| entry.generation == 0) else {
            return Ok(());
        };
        match shorten(&self.env, &self.paths, last) {
            // Whoever reads it is told.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// The last frame that the next one says is durable. All that was found has been made so, and what is missing was accepted: without this word, its
/// place would look as if it had been the end, with a frame behind it that nobody was told of.
fn vouched(tail: &Tail) -> u64 {
    tail.next_seq.saturating_sub(1)
}

/// Where the log ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) next_position: u64,
    pub(super) last_time: i64,
    pub(super) forced_roll: bool,
}

/// Says in the log that it was cut here, so that nothing from before the cut can ever be taken for its continuation.
fn write_cut(start: &mut LogStart, unsealed: &Unsealed, end: End) -> io::Result<()> {
    let mut cursor = Cursor {
        key: SegmentKey {
            salt: start.salt,
            segment: start.context.number,
        },
        capacity: start.capacity,
        offset: start.offset,
        tail: std::mem::take(&mut start.tail),
        next_seq: start.next_seq,
        durable_seq: start.durable_seq,
        prev_hash: start.prev_hash,
        epoch: start.epoch.wrapping_add(1),
        in_flight: 0,
        begun: Begun::default(),
    };
    if cursor.room() < PAGE_BYTES {
        start.tail = cursor.tail;
        return Ok(());
    }
    let time = end.last_time.max(0);
    let laid = cursor.lay_empty(FrameFlags::CUT, end.next_position, time, Vec::new());
    write_pages(&*start.file, laid.pages.as_slice(), laid.pages_offset)?;
    unsealed.apply(&laid.header, laid.offset, laid.bytes(), true);
    start.offset = cursor.offset;
    start.tail = cursor.tail;
    start.next_seq = cursor.next_seq;
    start.durable_seq = laid.header.frame_seq;
    start.prev_hash = cursor.prev_hash;
    start.epoch = cursor.epoch;
    Ok(())
}

fn write_pages(file: &dyn DiskFile, pages: &[u8], offset: u64) -> io::Result<()> {
    use factum_io::disk::DiskFileExt;
    file.write_all_durable_at(pages, offset)
}
