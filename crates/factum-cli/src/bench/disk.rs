//! `factum bench disk`: what the machine gives, without a store.
//!
//! These rows have no ratio: they are what other rows are held against.

use std::hint::black_box;
use std::sync::Arc;

use factum_io::{DiskFileExt, Open};

use super::place::Place;
use super::probe::{Call, MIB, PAGE_BYTES, Stretch, Written, noise, timed};
use super::row::{Row, Unit};
use super::session::{Measured, Session};
use crate::failure::{Failure, Outcome};

const GROUP: &str = "disk";

pub(super) fn measure(session: &mut Session<'_>) -> Outcome {
    let path = session.place.fresh("written");
    let written = Written::new(&path, &session.env)?;
    let direct = if written.0.is_direct() {
        ""
    } else {
        "through the page cache: no direct access here"
    };
    for kib in [4, 16, 64, 256, 1_024] {
        let name = format!("durable write of {kib} KiB, written before, direct");
        commits(session, name, direct, |session| {
            written.durable_writes(session, kib << 10, 1)
        })?;
    }
    for threads in [2, 4, 8] {
        let name = format!("durable write of 4 KiB, {threads} at once");
        commits(session, name, direct, |session| {
            written.durable_writes(session, PAGE_BYTES, threads)
        })?;
    }
    growing(session)?;
    let sequential = |session: &mut Session<'_>| written_through(session, &written);
    mebibytes(
        session,
        "write through, direct, a sync for each MiB",
        sequential,
    )?;
    let stretch = Stretch::new(vec![(Arc::clone(&written.0), Written::len())])?;
    for depth in [1, 4] {
        let name = format!("read through, direct, 1 MiB, {depth} at once");
        mebibytes(session, &name, |session| {
            stretch.read_through(session, depth)
        })?;
    }
    for depth in [1, 16, 64] {
        let name = format!("read anywhere, direct, 4 KiB, {depth} at once");
        if !session.wants(&name) {
            continue;
        }
        session.say(&name);
        let found = session.once(&mut |session| stretch.read_anywhere(session, depth))?;
        let row = Row::new(GROUP, name, Unit::Reads, found.figure);
        session.add(row.times(&found.times).others(&found.spent));
    }
    drop(stretch);
    drop(written);
    Place::remove_file(&path, &session.env)?;
    processor(session)
}

fn commits(
    session: &mut Session<'_>,
    name: String,
    note: &str,
    mut measure: impl FnMut(&mut Session<'_>) -> Outcome<Measured>,
) -> Outcome {
    if !session.wants(&name) {
        return Ok(());
    }
    session.say(&name);
    let found = session.once(&mut measure)?;
    let row = Row::new(GROUP, name, Unit::Commits, found.figure).note(note);
    session.add(row.times(&found.times).others(&found.spent));
    Ok(())
}

fn mebibytes(
    session: &mut Session<'_>,
    name: &str,
    mut measure: impl FnMut(&mut Session<'_>) -> Outcome<Measured>,
) -> Outcome {
    if !session.wants(name) {
        return Ok(());
    }
    session.say(name);
    let found = session.once(&mut measure)?;
    session.add(Row::new(GROUP, name, Unit::Mebibytes, found.figure).others(&found.spent));
    Ok(())
}

/// What most logs do: write at the end of a growing file, then sync.
fn growing(session: &mut Session<'_>) -> Outcome {
    let path = session.place.fresh("growing");
    let name = "append of 4 KiB to a growing file, fdatasync";
    let file = session
        .env
        .disk
        .open(&path, Open::create_new())
        .map_err(|error| Failure::io(name, &error))?;
    commits(
        session,
        name.to_owned(),
        "for comparison; no store of ours does this",
        |session| {
            let file = Arc::clone(&file);
            timed(session, 1, move |_number| {
                let (file, page) = (Arc::clone(&file), noise(PAGE_BYTES));
                let mut at = file.len().map_err(|error| Failure::io(name, &error))?;
                let call: Call = Box::new(move || {
                    file.write_all_at(page.as_slice(), at)?;
                    at += PAGE_BYTES as u64;
                    file.sync()
                });
                Ok(call)
            })
        },
    )?;
    drop(file);
    Place::remove_file(&path, &session.env)
}

fn written_through(session: &Session<'_>, written: &Written) -> Outcome<Measured> {
    let file = Arc::clone(&written.0);
    timed(session, 1, move |_number| {
        let (file, buffer) = (Arc::clone(&file), noise(MIB));
        let mut at = 0;
        let call: Call = Box::new(move || {
            file.write_all_at(buffer.as_slice(), at)?;
            at = (at + MIB as u64) % Written::len();
            file.sync()
        });
        Ok(call)
    })
}

/// What one core does to bytes in its caches.
fn processor(session: &mut Session<'_>) -> Outcome {
    const BLOCK_BYTES: usize = 64 << 10;
    const BLOCKS: usize = MIB / BLOCK_BYTES;
    mebibytes(session, "CRC-32C, one core", |session| {
        timed(session, 1, |_number| {
            let block = noise(BLOCK_BYTES);
            let call: Call = Box::new(move || {
                for _ in 0..BLOCKS {
                    black_box(factum_format::hash::crc(black_box(block.as_slice())));
                }
                Ok(())
            });
            Ok(call)
        })
    })?;
    mebibytes(session, "copy in memory, one core", |session| {
        timed(session, 1, |_number| {
            let (block, mut copy) = (noise(BLOCK_BYTES), noise(BLOCK_BYTES));
            let call: Call = Box::new(move || {
                for _ in 0..BLOCKS {
                    copy.as_mut_slice()
                        .copy_from_slice(black_box(block.as_slice()));
                    black_box(copy.as_slice());
                }
                Ok(())
            });
            Ok(call)
        })
    })
}
