//! Memory that a direct read or write accepts: it starts on a 4,096-byte boundary.
//!
//! The alignment is had without unsafe code, by allocating up to 4,095 bytes more and using the aligned part.
//! Relies on: a `Vec` that is never resized keeps its address. Never: hands out uninitialised bytes.

use std::fmt;
use std::io;

/// The alignment, in bytes, of direct input and output: of the memory, the offset and the length.
///
/// Some devices accept 512; all of them accept 4,096.
pub const ALIGN: usize = 4096;

/// A growable byte buffer whose first byte is at an address divisible by [`ALIGN`].
///
/// Growing may move the bytes; the new place is aligned too.
#[derive(Default)]
pub struct AlignedBuf {
    /// Either empty, or at least `start + len` long. Never resized in place.
    raw: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// An empty buffer, which allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            raw: Vec::new(),
            start: 0,
            len: 0,
        }
    }

    /// A buffer of `len` zero bytes. Cheap also when large: the pages come from the system already zero.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self::new();
        }
        let raw = vec![0; len.saturating_add(ALIGN - 1)];
        let start = raw.as_ptr().addr().wrapping_neg() % ALIGN;
        Self { raw, start, len }
    }

    /// Takes the bytes of `raw` from `start` on. They stay where they are if that is a boundary, as it is after [`begin`](Self::begin)
    /// unless `raw` had to grow.
    ///
    /// # Panics
    /// When `start` is beyond the end of `raw`.
    #[must_use]
    pub fn from_vec(raw: Vec<u8>, start: usize) -> Self {
        assert!(start <= raw.len(), "the bytes begin within the vector");
        let len = raw.len() - start;
        if len == 0 || (raw.as_ptr().addr() + start).is_multiple_of(ALIGN) {
            return Self { raw, start, len };
        }
        let mut moved = Self::zeroed(raw.capacity());
        moved.len = len;
        moved.as_mut_slice().copy_from_slice(&raw[start..]);
        moved
    }

    /// Gives the memory up, with whatever it holds.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.raw
    }

    /// Gives the memory up, and says where the bytes begin in it. Behind them it holds whatever it held.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, usize) {
        (self.raw, self.start)
    }

    /// Empties a vector but for filling up to a boundary: what is added to it next begins there.
    #[must_use]
    pub fn begin(mut raw: Vec<u8>) -> Vec<u8> {
        raw.clear();
        raw.reserve(2 * ALIGN);
        let start = raw.as_ptr().addr().wrapping_neg() % ALIGN;
        raw.resize(start, 0);
        raw
    }

    /// The number of bytes in use.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte is in use.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes fit before the buffer must move.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.raw.len().saturating_sub(self.start)
    }

    /// The bytes in use.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.raw[self.start..self.start + self.len]
    }

    /// The bytes in use.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.raw[self.start..self.start + self.len]
    }

    /// Makes the buffer `len` bytes long: cuts off its end, or adds zeros.
    pub fn resize_zeroed(&mut self, len: usize) {
        if len > self.capacity() {
            let mut larger = Self::zeroed(len.max(self.capacity().saturating_mul(2)));
            larger.raw[larger.start..larger.start + self.len].copy_from_slice(self.as_slice());
            larger.len = len;
            *self = larger;
            return;
        }
        let kept = self.len.min(len);
        self.len = len;
        self.as_mut_slice()[kept..].fill(0);
    }

    /// Adds `bytes` at the end.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let at = self.len;
        self.resize_zeroed(at + bytes.len());
        self.as_mut_slice()[at..].copy_from_slice(bytes);
    }

    /// Cuts the buffer to nothing and keeps its memory.
    pub const fn clear(&mut self) {
        self.len = 0;
    }
}

impl Clone for AlignedBuf {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len);
        copy.as_mut_slice().copy_from_slice(self.as_slice());
        copy
    }
}

/// Shows the length, not the bytes: they may be a mebibyte, or somebody's personal data.
impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .finish()
    }
}

/// Refuses a direct request that is not aligned in offset, length and memory.
///
/// Both disks ask this, so that a mistake shows in simulation and not on the first machine with direct files.
pub(crate) fn check_aligned(buf: &[u8], offset: u64) -> io::Result<()> {
    let offset_ok = offset.is_multiple_of(ALIGN as u64);
    if offset_ok && buf.len().is_multiple_of(ALIGN) && buf.as_ptr().addr().is_multiple_of(ALIGN) {
        return Ok(());
    }
    let len = buf.len();
    let past = buf.as_ptr().addr() % ALIGN;
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "direct request at offset {offset} of {len} bytes, in memory {past} bytes past a boundary, \
             is not aligned to {ALIGN}"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(buf: &AlignedBuf, expected: &[u8]) {
        assert_eq!(buf.as_slice(), expected);
        assert_eq!(buf.len(), expected.len());
        assert_eq!(buf.is_empty(), expected.is_empty());
        if !buf.is_empty() {
            assert_eq!(buf.as_slice().as_ptr().addr() % ALIGN, 0, "aligned");
        }
    }

    #[test]
    fn zeroed_is_aligned_and_zero() {
        for len in [0, 1, 511, 4095, 4096, 4097, 1 << 20] {
            check(&AlignedBuf::zeroed(len), &vec![0; len]);
        }
    }

    #[test]
    fn growing_keeps_bytes_and_shrinking_forgets_them() {
        let mut buf = AlignedBuf::new();
        buf.extend_from_slice(b"abcdef");
        check(&buf, b"abcdef");
        buf.resize_zeroed(3);
        check(&buf, b"abc");
        buf.resize_zeroed(6);
        check(&buf, b"abc\0\0\0");
        buf.resize_zeroed(100_000);
        assert_eq!(&buf.as_slice()[..6], b"abc\0\0\0");
        assert!(buf.as_slice()[6..].iter().all(|byte| *byte == 0));
        buf.clear();
        check(&buf, b"");
    }

    #[test]
    fn a_vector_begun_stays_where_it_is_until_it_grows() {
        let mut raw = AlignedBuf::begin(AlignedBuf::zeroed(10_000).into_vec());
        let start = raw.len();
        raw.extend_from_slice(b"some bytes");
        let address = raw.as_ptr();
        let buf = AlignedBuf::from_vec(raw, start);
        check(&buf, b"some bytes");
        assert_eq!(buf.as_slice().as_ptr().addr(), address.addr() + start);
        let mut raw = AlignedBuf::begin(Vec::new());
        let start = raw.len();
        raw.resize(start + 1_000_000, 3);
        check(&AlignedBuf::from_vec(raw, start), &vec![3; 1_000_000]);
        check(&AlignedBuf::from_vec(vec![1], 1), b"");
        let (raw, start) = buf.into_parts();
        assert_eq!(&raw[start..], b"some bytes");
    }

    #[test]
    fn clone_is_aligned_and_independent() {
        let mut one = AlignedBuf::zeroed(5000);
        one.as_mut_slice()[4999] = 9;
        let two = one.clone();
        one.as_mut_slice()[0] = 1;
        check(&two, &[vec![0; 4999], vec![9]].concat());
    }

    #[test]
    fn unaligned_request_names_offset_and_length() {
        let buf = AlignedBuf::zeroed(8192);
        assert!(check_aligned(buf.as_slice(), 4096).is_ok());
        assert!(check_aligned(&buf.as_slice()[4096..], 0).is_ok());
        for (slice, offset) in [(0..8192, 100), (0..100, 0), (64..4160, 0)] {
            let error = check_aligned(&buf.as_slice()[slice.clone()], offset).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(
                text.contains(&format!("offset {offset} of {} bytes", slice.len())),
                "{text}"
            );
        }
    }
}
