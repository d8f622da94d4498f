//! The device alone: durable writes into space that was written before, and direct reads.
//!
//! Relies on: direct files; where the file system refuses them, everything goes through the page cache, and the rows say so.
//! Never: does less than what the figure's name says.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_io::{AlignedBuf, DiskFile, DiskFileExt, Env, Open};

use super::meter::Meter;
use super::session::{Measured, Session};
use super::stats::{Histogram, per_second};
use super::threads::side_by_side;
use crate::failure::{Failure, Outcome};

pub(super) const PAGE_BYTES: usize = 4 << 10;
pub(super) const MIB: usize = 1 << 20;
/// How long the file is that writes go to.
const FILE_BYTES: usize = 128 * MIB;
const FILE_PARTS: u64 = (FILE_BYTES / MIB) as u64;

/// A file that was written before and is written again.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) file: Arc<dyn DiskFile>,
}

impl Written {
    /// Makes the file at a path where there is none.
    pub(super) fn new(path: &Path, env: &Env) -> Outcome<Self> {
        let failed = |error| Failure::io("cannot make the file to write to", &error);
        let file = env.disk.open(path, Open::create_new_direct()).map_err(failed)?;
        file.allocate(FILE_BYTES as u64).map_err(failed)?;
        let zeros = AlignedBuf::zeroed(MIB);
        for part in 0..FILE_PARTS {
            file.write_all_at(zeros.as_slice(), part * MIB as u64).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        Ok(Self { file })
    }

    /// The bytes of it.
    pub(super) const fn len(&self) -> u64 {
        FILE_BYTES as u64
    }

    /// Durable writes of so many bytes, so many at once, each to the next place; counts writes.
    pub(super) fn durable_writes(
        &self,
        session: &Session<'_>,
        bytes: usize,
        in_flight: usize,
    ) -> Outcome<Measured> {
        let file = Arc::clone(&self.file);
        let places = (FILE_BYTES / bytes) as u64;
        let next = AtomicU64::new(0);
        timed(session, in_flight, move || {
            let mut buffer = AlignedBuf::zeroed(bytes);
            fastrand::Rng::with_seed(7).fill(buffer.as_mut_slice());
            let (file, next) = (Arc::clone(&file), &next);
            Ok(move || {
                let place = next.fetch_add(1, Ordering::Relaxed) % places;
                file.write_all_durable_at(buffer.as_slice(), place * bytes as u64)
            })
        })
    }
}

/// Runs what `make` gives again and again on each of some threads, for as long as a measurement lasts; counts calls.
///
/// `make` runs on the thread itself, before time is taken.
pub(super) fn timed<M, O>(session: &Session<'_>, threads: usize, make: M) -> Outcome<Measured>
where
    M: for<'a> Call<'a, O> + Send + Sync + 'static,
{
    let clock = Arc::clone(&session.env.clock);
    let window = session.window_ns();
    let meter = Meter::start(&*clock);
    let body = move |_number| make.call(&*clock, window);
    let results = side_by_side(&session.env, threads, body)?;
    let spent = meter.stop(&*session.env.clock);
    let mut all = Measured { spent, ..Measured::default() };
    for Ran { times, ns } in results {
        all.figure += per_second(times.count(), ns);
        all.items += times.count();
        all.times.merge(&times);
    }
    Ok(all)
}
