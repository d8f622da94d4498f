//! Rot: what happens to bytes while nobody looks. Every change here is visible and durable at once.
//!
//! Sectors are of 512 bytes here, whatever survives a crash as one.
//!
//! Relies on: the state. Never: is counted as a call, fails by a rule, needs power.
//!
//! # Errors
//! All fail with [`NotFound`](io::ErrorKind::NotFound) if there is no such file, and with
//! [`InvalidInput`](io::ErrorKind::InvalidInput) if the place is beyond its end; nothing has then changed.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::SimDisk;
use super::image::{PAGE, SECTOR, split};
use super::inode::Inode;
use super::names::normal;
use crate::error::failed;

impl SimDisk {
    /// Inverts bit `bit` (0 is the lowest; counted modulo 8) of the byte at `offset`.
    ///
    /// # Errors
    /// `NotFound`: no such file; `InvalidInput`: `offset` is beyond its end.
    pub fn flip_bit(&self, path: impl AsRef<Path>, offset: u64, bit: u8) -> io::Result<()> {
        self.xor_byte(path.as_ref(), offset, 1 << (bit % 8))
    }

    /// Inverts all bits of the byte at `offset`.
    ///
    /// # Errors
    /// `NotFound`: no such file; `InvalidInput`: `offset` is beyond its end.
    pub fn flip_byte(&self, path: impl AsRef<Path>, offset: u64) -> io::Result<()> {
        self.xor_byte(path.as_ref(), offset, 0xFF)
    }

    /// Fills a sector with zeros.
    ///
    /// # Errors
    /// `NotFound`: no such file; `InvalidInput`: the sector is beyond its end.
    pub fn zero_sector(&self, path: impl AsRef<Path>, sector: u64) -> io::Result<()> {
        self.rot(path.as_ref(), |file| {
            let (page, bit) = place(file, sector)?;
            file.rot(page, bit, |bytes| bytes.fill(0));
            Ok(())
        })
    }

    /// Puts back what was durable in a sector before its last durable change, as if that had been lost on its way.
    /// Returns whether there was such a version; without one, nothing changes.
    ///
    /// # Errors
    /// `NotFound`: no such file; `InvalidInput`: the sector is beyond its end.
    pub fn stale_sector(&self, path: impl AsRef<Path>, sector: u64) -> io::Result<bool> {
        self.rot(path.as_ref(), |file| {
            let (page, bit) = place(file, sector)?;
            Ok(file.rot_stale(page, bit))
        })
    }

    /// Exchanges the visible content of two sectors of one file. The length stays.
    ///
    /// # Errors
    /// `NotFound`: no such file; `InvalidInput`: a sector is beyond its end.
    pub fn swap_sectors(&self, path: impl AsRef<Path>, a: u64, b: u64) -> io::Result<()> {
        self.rot(path.as_ref(), |file| {
            let (a, b) = (place(file, a)?, place(file, b)?);
            let (bytes_a, bytes_b) = (file.sector(a.0, a.1), file.sector(b.0, b.1));
            file.rot(a.0, a.1, |bytes| bytes.copy_from_slice(&bytes_b));
            file.rot(b.0, b.1, |bytes| bytes.copy_from_slice(&bytes_a));
            Ok(())
        })
    }

    /// The next write of any file lands `delta` bytes further (not before the start of the file), and reports success.
    pub fn misdirect_next_write(&self, delta: i64) {
        self.state().misdirect_by = Some(delta);
    }

    /// Cuts a file to `len` bytes.
    ///
    /// # Errors
    /// `NotFound`: no such file; `InvalidInput`: it is shorter.
    pub fn truncate_file(&self, path: impl AsRef<Path>, len: u64) -> io::Result<()> {
        self.rot(path.as_ref(), |file| {
            if len > file.size {
                return Err(Errno::INVAL);
            }
            file.rot_truncate(len);
            Ok(())
        })
    }

    /// Takes a file's name away. Open handles keep working.
    ///
    /// # Errors
    /// `NotFound`: no such file.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.rot(path.as_ref(), |_| Ok(()))?;
        self.state().names.rot_remove(&normal(path.as_ref()));
        Ok(())
    }

    /// Exchanges the contents of two files; handles stay with the names.
    ///
    /// # Errors
    /// `NotFound`: one of them does not exist.
    pub fn swap_files(&self, a: impl AsRef<Path>, b: impl AsRef<Path>) -> io::Result<()> {
        let (a, b) = (a.as_ref(), b.as_ref());
        let mut carried = self.rot(a, |file| Ok(file.clone()))?;
        self.rot(b, |file| {
            file.rot_exchange(&mut carried);
            Ok(())
        })?;
        self.rot(a, |file| {
            file.rot_exchange(&mut carried);
            Ok(())
        })
    }

    fn xor_byte(&self, path: &Path, offset: u64, pattern: u8) -> io::Result<()> {
        self.rot(path, |file| {
            let sector = SECTOR as u64;
            if offset >= file.size {
                return Err(Errno::INVAL);
            }
            let (page, bit) = place(file, offset / sector)?;
            let within = split(offset).1 % SECTOR;
            file.rot(page, bit, |bytes| bytes[within] ^= pattern);
            Ok(())
        })
    }

    fn rot<T>(
        &self,
        path: &Path,
        change: impl FnOnce(&mut Inode) -> Result<T, Errno>,
    ) -> io::Result<T> {
        let mut state = self.state();
        let fail = |errno| failed("rot", path, errno);
        let inode = state.names.check_file(&normal(path)).map_err(fail)?;
        let file = state.inode(inode);
        let result = change(file).map_err(fail);
        file.rot_clear_beyond_end();
        result
    }
}

/// The page of a sector, and its number in it.
fn place(file: &Inode, sector: u64) -> Result<(usize, usize), Errno> {
    let offset = sector.saturating_mul(SECTOR as u64);
    if offset >= file.size {
        return Err(Errno::INVAL);
    }
    let (page, within) = split(offset);
    debug_assert!(within < PAGE);
    Ok((page, within / SECTOR))
}
