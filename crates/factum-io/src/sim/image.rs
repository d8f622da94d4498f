//! The bytes of one file, in shared pages.
//!
//! A page is 4,096 bytes of eight sectors; a set of sectors of one page is a bit mask, the lowest bit first. Pages are
//! shared between the visible, the durable and the older version of a file and between forked disks, and copied when
//! written, so that a copy of an image costs a pointer per page. Missing pages read as zeros.
//!
//! Relies on: offsets below [`FILE_BYTES_MAX`], checked by the state. Never: knows how long the file is.

use std::sync::Arc;

pub(super) const SECTOR: usize = 512;
pub(super) const PAGE: usize = 4096;
const SECTORS_PER_PAGE: usize = PAGE / SECTOR;

/// No file of the simulation may be longer; a write beyond it fails as too large.
pub(super) const FILE_BYTES_MAX: u64 = 16 << 30;

/// Sectors of one page, one bit each.
pub(super) type Mask = u8;

type Page = [u8; PAGE];

#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pages: Vec<Option<Arc<Page>>>,
}

impl Image {
    pub(super) fn page(&self, page: usize) -> Option<&Page> {
        self.pages.get(page)?.as_deref()
    }

    pub(super) fn page_mut(&mut self, page: usize) -> &mut Page {
        self.grow_to(page);
        Arc::make_mut(self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE])))
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) {
        for (page, within, part) in parts(offset, buf.len()) {
            let target = &mut buf[part];
            match self.page(page) {
                Some(bytes) => target.copy_from_slice(&bytes[within..within + target.len()]),
                None => target.fill(0),
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        for (page, within, part) in parts(offset, bytes.len()) {
            let source = &bytes[part];
            self.page_mut(page)[within..within + source.len()].copy_from_slice(source);
        }
    }

    /// Forgets everything from byte `offset` on.
    pub(super) fn zero_from(&mut self, offset: u64) {
        let (page, within) = split(offset);
        self.pages.truncate(page + usize::from(within > 0));
        if within > 0 && self.page(page).is_some() {
            self.page_mut(page)[within..].fill(0);
        }
    }

    /// Takes over sectors of `page` from another image.
    pub(super) fn copy_sectors(&mut self, from: &Self, page: usize, mask: Mask) {
        let source = from.pages.get(page).and_then(Option::as_ref);
        if mask == Mask::MAX {
            match source {
                Some(shared) => {
                    self.grow_to(page);
                    self.pages[page] = Some(Arc::clone(shared));
                }
                None if page < self.pages.len() => self.pages[page] = None,
                None => {}
            }
            return;
        }
        if source.is_none() && self.page(page).is_none() {
            return;
        }
        let target = self.page_mut(page);
        for range in sector_ranges(mask) {
            match source {
                Some(bytes) => target[range.clone()].copy_from_slice(&bytes[range]),
                None => target[range].fill(0),
            }
        }
    }

    /// Which sectors of `mask` in `page` differ from another image.
    pub(super) fn differing(&self, other: &Self, page: usize, mask: Mask) -> Mask {
        const ZERO: Page = [0; PAGE];
        let mine = self.page(page).unwrap_or(&ZERO);
        let theirs = other.page(page).unwrap_or(&ZERO);
        if std::ptr::eq(mine, theirs) {
            return 0;
        }
        let differ = |bit: &usize| mine[sector_range(*bit)] != theirs[sector_range(*bit)];
        bits(mask)
            .filter(differ)
            .fold(0, |found, bit| found | 1 << bit)
    }

    /// The pages that may hold something other than zeros, in order.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, &Page)> {
        self.pages
            .iter()
            .enumerate()
            .filter_map(|(index, page)| Some((index, page.as_deref()?)))
    }

    fn grow_to(&mut self, page: usize) {
        if page >= self.pages.len() {
            self.pages.resize(page + 1, None);
        }
    }
}

/// The page of a byte, and where in it.
pub(super) fn split(offset: u64) -> (usize, usize) {
    let at = usize::try_from(offset).expect("offsets are bounded by FILE_BYTES_MAX");
    (at / PAGE, at % PAGE)
}

/// Cuts a range of a file at page boundaries: page, offset in it, and which part of the caller's bytes.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let (page, within) = split(offset + done as u64);
        let part = done..len.min(done + PAGE - within);
        done = part.end;
        Some((page, within, part))
    })
}

/// The sectors that a range of a file touches, page by page.
pub(super) fn touched(offset: u64, len: usize) -> impl Iterator<Item = (usize, Mask)> {
    parts(offset, len).map(|(page, within, part)| {
        let last = within + part.len() - 1;
        let mask = (within / SECTOR..=last / SECTOR).fold(0, |mask, bit| mask | 1 << bit);
        (page, mask)
    })
}

/// The sectors in a mask, by number within their page.
pub(super) fn bits(mask: Mask) -> impl Iterator<Item = usize> {
    (0..SECTORS_PER_PAGE).filter(move |bit| mask & 1 << bit != 0)
}

/// The bytes of a sector within its page.
pub(super) const fn sector_range(bit: usize) -> std::ops::Range<usize> {
    bit * SECTOR..(bit + 1) * SECTOR
}

pub(super) fn sector_ranges(mask: Mask) -> impl Iterator<Item = std::ops::Range<usize>> {
    bits(mask).map(sector_range)
}

/// The sectors of `page` that start below byte `end`.
pub(super) fn below(page: usize, end: u64) -> Mask {
    let start = |bit: &usize| (page * PAGE + bit * SECTOR) as u64;
    (0..SECTORS_PER_PAGE)
        .filter(|bit| start(bit) < end)
        .fold(0, |mask, bit| mask | 1 << bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_sectors_by_page() {
        let check = |offset, len, expected: &[(usize, Mask)]| {
            assert_eq!(touched(offset, len).collect::<Vec<_>>(), expected);
        };
        check(0, 0, &[]);
        check(0, 1, &[(0, 1)]);
        check(511, 2, &[(0, 0b11)]);
        check(4095, 2, &[(0, 0b1000_0000), (1, 1)]);
        check(0, 8192, &[(0, 0xFF), (1, 0xFF)]);
    }

    #[test]
    fn missing_pages_are_zeros_and_copies_are_independent() {
        let mut one = Image::default();
        one.write(&[7; 10], 4090);
        let two = one.clone();
        one.zero_from(4092);
        let mut buf = [9; 12];
        one.read(&mut buf, 4088);
        assert_eq!(buf, [0, 0, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        two.read(&mut buf, 4088);
        assert_eq!(buf, [0, 0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
        assert_eq!(one.differing(&two, 0, 0xFF), 0b1000_0000);
        one.copy_sectors(&two, 0, 0b1000_0000);
        assert_eq!(one.differing(&two, 0, 0xFF), 0);
    }
}
