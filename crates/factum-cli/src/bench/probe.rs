//! The device alone: durable writes into space that was written before, and direct reads.
//!
//! Relies on: direct files; where the file system refuses them, everything goes through the page cache, and `bench disk` says so.
//! Never: does less than what the figure's name says.

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use factum_io::{AlignedBuf, DiskFile, DiskFileExt, Env, Open};

use super::meter::Meter;
use super::session::{Measured, Session};
use super::stats::{Histogram, per_second};
use super::threads::side_by_side;
use crate::failure::{Failure, Outcome};

pub(super) const PAGE_BYTES: usize = 4 << 10;
pub(super) const MIB: usize = 1 << 20;
/// How long the file is that writes go to.
const FILE_MIB: u64 = 128;
const FILE_BYTES: u64 = FILE_MIB * MIB as u64;

/// One thing that is done again and again.
pub(super) type Call = Box<dyn FnMut() -> io::Result<()>>;

/// Calls what `make` gives again and again on each of some threads, for as long as a measurement lasts; counts calls.
///
/// `make` runs on the thread itself, before time is taken.
pub(super) fn timed(
    session: &Session<'_>,
    threads: usize,
    make: impl Fn(usize) -> Outcome<Call> + Send + Sync + 'static,
) -> Outcome<Measured> {
    let clock = Arc::clone(&session.env.clock);
    let window = session.window_ns();
    let meter = Meter::start(&*session.env.clock);
    let results = side_by_side(&session.env, threads, move |number| {
        let mut call = make(number)?;
        let mut times = Histogram::default();
        let start = clock.monotonic_ns();
        let mut now = start;
        while now - start < window {
            call().map_err(|error| Failure::io("measuring the device", &error))?;
            let after = clock.monotonic_ns();
            times.add(after - now);
            now = after;
        }
        Ok((times, now - start))
    })?;
    let mut all = Measured {
        spent: meter.stop(&*session.env.clock),
        ..Measured::default()
    };
    for (times, ns) in results {
        all.figure += per_second(times.count(), ns);
        all.items += times.count();
        all.times.merge(&times);
    }
    Ok(all)
}

/// A file that was written before and is written again.
#[derive(Debug, Clone)]
pub(super) struct Written(pub(super) Arc<dyn DiskFile>);

impl Written {
    /// Makes the file at a path where there is none.
    pub(super) fn new(path: &Path, env: &Env) -> Outcome<Self> {
        let failed = |error| Failure::io("cannot make the file to write to", &error);
        let file = env
            .disk
            .open(path, Open::create_new_direct())
            .map_err(failed)?;
        file.allocate(FILE_BYTES).map_err(failed)?;
        let zeros = AlignedBuf::zeroed(MIB);
        for part in 0..FILE_MIB {
            file.write_all_at(zeros.as_slice(), part * MIB as u64)
                .map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        Ok(Self(file))
    }

    /// Its length in bytes.
    pub(super) const fn len() -> u64 {
        FILE_BYTES
    }

    /// Durable writes of so many bytes, so many at once, each to the next place; counts writes.
    pub(super) fn durable_writes(
        &self,
        session: &Session<'_>,
        bytes: usize,
        in_flight: usize,
    ) -> Outcome<Measured> {
        let file = Arc::clone(&self.0);
        let next = Arc::new(AtomicU64::new(0));
        let places = FILE_BYTES / bytes as u64;
        timed(session, in_flight, move |_number| {
            let buffer = noise(bytes);
            let (file, next) = (Arc::clone(&file), Arc::clone(&next));
            Ok(Box::new(move || {
                let place = next.fetch_add(1, Ordering::Relaxed) % places;
                file.write_all_durable_at(buffer.as_slice(), place * bytes as u64)
            }))
        })
    }
}

/// Bytes that no device can make smaller.
pub(super) fn noise(bytes: usize) -> AlignedBuf {
    let mut buffer = AlignedBuf::zeroed(bytes);
    fastrand::Rng::with_seed(7).fill(buffer.as_mut_slice());
    buffer
}

/// Files that are read around the page cache, as pieces of at most 1 MiB.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pieces: Arc<Vec<Piece>>,
    bytes: u64,
}

#[derive(Debug)]
struct Piece {
    file: Arc<dyn DiskFile>,
    offset: u64,
    /// Whole pages, at least one.
    bytes: usize,
}

impl Stretch {
    /// Files, each with the bytes of it that count; what is behind the last whole page does not.
    pub(super) fn new(files: Vec<(Arc<dyn DiskFile>, u64)>) -> Outcome<Self> {
        let mut pieces = Vec::new();
        for (file, length) in files {
            let length = length - length % PAGE_BYTES as u64;
            for offset in (0..length).step_by(MIB) {
                let bytes = usize::try_from(length - offset)
                    .unwrap_or(usize::MAX)
                    .min(MIB);
                pieces.push(Piece {
                    file: Arc::clone(&file),
                    offset,
                    bytes,
                });
            }
        }
        if pieces.is_empty() {
            return Err(Failure::error(
                "there is less than a page to read, too little to measure",
            ));
        }
        let bytes = pieces.iter().map(|piece| piece.bytes as u64).sum();
        Ok(Self {
            pieces: Arc::new(pieces),
            bytes,
        })
    }

    /// Reads of 1 MiB one after the other, so many at once; the figure is MiB per second.
    pub(super) fn read_through(
        &self,
        session: &Session<'_>,
        in_flight: usize,
    ) -> Outcome<Measured> {
        let pieces = Arc::clone(&self.pieces);
        let next = Arc::new(AtomicUsize::new(0));
        let mut found = timed(session, in_flight, move |_number| {
            let (pieces, next) = (Arc::clone(&pieces), Arc::clone(&next));
            let mut buffer = AlignedBuf::zeroed(MIB);
            Ok(Box::new(move || {
                let number = next.fetch_add(1, Ordering::Relaxed) % pieces.len();
                let Some(piece) = pieces.get(number) else {
                    return Ok(());
                };
                buffer.resize_zeroed(piece.bytes);
                piece
                    .file
                    .read_exact_at(buffer.as_mut_slice(), piece.offset)?;
                black_box(buffer.as_slice());
                Ok(())
            }))
        })?;
        found.figure *= self.bytes as f64 / MIB as f64 / self.pieces.len() as f64;
        Ok(found)
    }

    /// Reads of 4 KiB anywhere, so many at once; counts reads.
    pub(super) fn read_anywhere(
        &self,
        session: &Session<'_>,
        in_flight: usize,
    ) -> Outcome<Measured> {
        let pieces = Arc::clone(&self.pieces);
        timed(session, in_flight, move |number| {
            let pieces = Arc::clone(&pieces);
            let mut random = fastrand::Rng::with_seed(number as u64 + 1);
            let mut page = AlignedBuf::zeroed(PAGE_BYTES);
            Ok(Box::new(move || {
                let Some(piece) = random.choice(&*pieces) else {
                    return Ok(());
                };
                let which = random.usize(..piece.bytes / PAGE_BYTES);
                let offset = piece.offset + (which * PAGE_BYTES) as u64;
                piece.file.read_exact_at(page.as_mut_slice(), offset)?;
                black_box(page.as_slice());
                Ok(())
            }))
        })
    }
}
