//! A part of a segment file in memory, addressed by file offset.

use crate::bytes::is_zero;

/// Bytes of a segment file and where they begin in it.
#[derive(Debug, Clone, Copy)]
pub struct Area<'a> {
    bytes: &'a [u8],
    start: u64,
    /// How many of the bytes there are up to the last that is not zero. Nothing begins behind it, and it is looked for once: most of a segment
    /// that was not filled is zero.
    used: usize,
}

impl<'a> Area<'a> {
    /// The whole file.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self::from(bytes, 0)
    }

    /// The file from offset `start` on, which should be its end: frames that go past the area count as damaged.
    #[must_use]
    pub fn from(bytes: &'a [u8], start: u64) -> Self {
        let used = used(bytes);
        Self { bytes, start, used }
    }

    /// The file offset after the last byte that is not zero.
    pub(super) fn used_end(&self) -> u64 {
        self.start.saturating_add(self.used as u64)
    }

    /// The file offset after the last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }

    /// `length` bytes at file offset `offset`; `None` when they do not all lie in the area.
    #[must_use]
    pub fn get(&self, offset: u64, length: u64) -> Option<&'a [u8]> {
        self.after(offset)?.get(..usize::try_from(length).ok()?)
    }

    /// All bytes from file offset `offset` on; `None` when it lies outside.
    #[must_use]
    pub fn after(&self, offset: u64) -> Option<&'a [u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..)
    }

    /// The file offset after the last byte from `offset` on that is not zero; `None` when all are zero.
    ///
    /// After a cut, all up to here must be zeroed again before new frames are written.
    #[must_use]
    pub fn dirty_end(&self, offset: u64) -> Option<u64> {
        let end = self.used_end();
        (offset >= self.start && end > offset).then_some(end)
    }
}

fn used(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    // By blocks first.
    while let Some((front, block)) = rest.split_last_chunk::<4096>() {
        if !is_zero(block) {
            break;
        }
        rest = front;
    }
    rest.iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last.saturating_add(1))
}
