//! Whole reads and writes, built from ones that may be short.
//!
//! Relies on: [`DiskFile`]. Never: retries an error other than an interruption.

use std::io;
use std::path::Path;

use super::{Disk, DiskFile, Open};
use crate::buffer::ALIGN;

/// Reads and writes that are whole or fail. Interrupted calls are repeated, short ones continued.
pub trait DiskFileExt: DiskFile {
    /// Fills all of `buf` from `offset`.
    ///
    /// # Errors
    /// - [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): the file ends before; the text names the offset.
    /// - As for [`DiskFile::read_at`].
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        read_exact(self, buf, offset)
    }

    /// Writes all of `buf` at `offset`. Not durable; see [`DiskFile::write_at`].
    ///
    /// # Errors
    /// - [`WriteZero`](io::ErrorKind::WriteZero): a write took no byte (of a direct file: no whole block).
    /// - As for [`DiskFile::write_at`]. Some of the bytes may have been written.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        write_all(self.is_direct(), buf, offset, |rest, at| {
            self.write_at(rest, at)
        })
    }

    /// Writes all of `buf` at `offset`; all of it is durable when this returns. See [`DiskFile::write_durable_at`].
    ///
    /// # Errors
    /// - [`WriteZero`](io::ErrorKind::WriteZero): a write took no byte (of a direct file: no whole block).
    /// - As for [`DiskFile::write_durable_at`]. It is not known which of the bytes were written.
    fn write_all_durable_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        write_all(self.is_direct(), buf, offset, |rest, at| {
            self.write_durable_at(rest, at)
        })
    }
}

impl<F: DiskFile + ?Sized> DiskFileExt for F {}

/// The whole content of the file `path`, read through the page cache.
///
/// For files that are small by design; the caller has bounded them.
///
/// # Errors
/// As for [`Disk::open`] and [`DiskFile::read_at`];
/// [`OutOfMemory`](io::ErrorKind::OutOfMemory) if the content does not fit into memory.
pub fn read_to_end(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Open::read())?;
    let len = usize::try_from(file.len()?)
        .map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
    let mut content = Vec::new();
    content.try_reserve_exact(len)?;
    content.resize(len, 0);
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}

/// The file is at its end when a read brings nothing beyond what is already there.
fn read_exact<F: DiskFile + ?Sized>(file: &F, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let len = buf.len();
    check_range(offset, len)?;
    let direct = file.is_direct();
    let (mut done, mut reached) = (0, 0);
    while done < len {
        let read = interruptible(|| file.read_at(&mut buf[done..], offset + done as u64))?;
        if done + read <= reached {
            return Err(end_of_file(len, offset, reached));
        }
        reached = done + read;
        done = resume_at(direct, reached, len);
    }
    Ok(())
}

fn write_all(
    direct: bool,
    buf: &[u8],
    offset: u64,
    write: impl Fn(&[u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    check_range(offset, buf.len())?;
    let mut done = 0;
    while done < buf.len() {
        let at = offset + done as u64;
        let written = interruptible(|| write(&buf[done..], at))?;
        let next = resume_at(direct, done + written, buf.len());
        if next == done {
            let text = format!(
                "write at offset {at} took {written} of {} bytes",
                buf.len() - done
            );
            return Err(io::Error::new(io::ErrorKind::WriteZero, text));
        }
        done = next;
    }
    Ok(())
}

/// Where to go on after `reached` of `len` bytes: on a direct file at the last block boundary, so that the next
/// request is aligned too; the rest of a block is then moved twice.
const fn resume_at(direct: bool, reached: usize, len: usize) -> usize {
    if direct && reached < len {
        reached - reached % ALIGN
    } else {
        reached
    }
}

/// Offsets are at most `i64::MAX` in every interface of the kernel.
fn check_range(offset: u64, len: usize) -> io::Result<()> {
    if offset
        .checked_add(len as u64)
        .is_some_and(|end| i64::try_from(end).is_ok())
    {
        return Ok(());
    }
    let text = format!("offset {offset} and {len} bytes are beyond any file");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn end_of_file(len: usize, offset: u64, reached: usize) -> io::Error {
    let end = offset + reached as u64;
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("read at offset {offset} of {len} bytes met the end of the file at offset {end}"),
    )
}

fn interruptible<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
