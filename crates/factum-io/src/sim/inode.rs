//! One file's content: what a process sees, what is durable, and what lies between.
//!
//! ```text
//! cache    what reads see           ── dirty: may or may not survive a crash ──▶  durable
//! durable  what surely survives     ── diverged: clean, but not what is durable (after a failed sync)
//! older    per sector, the durable version before the last
//! ```
//!
//! Length and data are pending separately. When a length that went down becomes durable, everything from the lowest
//! point it reached (`floor`) is forgotten, as a file system frees the blocks; data written above the floor sits in new
//! blocks and is lost with the length.
//!
//! Relies on: [`Image`]. Never: decides what survives, knows a name.

use std::collections::BTreeMap;

use super::image::{Image, Mask, PAGE, SECTOR, below, bits, sector_range, touched};

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) size: u64,
    pub(super) durable_size: u64,
    cache: Image,
    durable: Image,
    older: Image,
    /// By page, the sectors of which `older` holds a version.
    remembered: BTreeMap<usize, Mask>,
    dirty: BTreeMap<usize, Dirty>,
    diverged: BTreeMap<usize, Mask>,
    resized: Option<Resized>,
    /// Open handles; a file without names lives as long as it has some.
    pub(super) handles: usize,
}

/// The dirty sectors of one page, and the call that last wrote each.
#[derive(Clone, Copy, Debug, Default)]
struct Dirty {
    mask: Mask,
    calls: [u64; 8],
}

/// A length that is not durable.
#[derive(Clone, Copy, Debug)]
struct Resized {
    call: u64,
    /// The lowest length since the last durable one.
    floor: u64,
}

/// What becomes of a pending sector or length when a sync fails.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// It stays visible and counts as clean.
    Clean,
    /// It turns back into what is durable.
    Revert,
}

impl Inode {
    /// What a buffered read sees.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) {
        self.cache.read(buf, offset);
    }

    /// What a read around the page cache sees: the kernel writes dirty pages out first, but clean ones are not looked
    /// at, so that after a failed sync the old content comes back.
    pub(super) fn read_direct(&self, buf: &mut [u8], offset: u64) {
        if self.diverged.is_empty() {
            return self.read(buf, offset);
        }
        let mut device = self.clone();
        device.drop_clean(offset, buf.len() as u64);
        device.read(buf, offset);
    }

    /// Writes without making durable.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64, call: u64) {
        self.cache.write(bytes, offset);
        for (page, mask) in touched(offset, bytes.len()) {
            self.dirty.entry(page).or_default().add(mask, call);
            take_bits(&mut self.diverged, page, mask);
        }
        let end = offset + bytes.len() as u64;
        if !bytes.is_empty() && end > self.size {
            self.resize(end, call);
        }
    }

    /// Changes the length without making it durable; new bytes are zeros.
    pub(super) fn resize(&mut self, size: u64, call: u64) {
        if size < self.size {
            self.cache.zero_from(size);
            self.forget_pending_from(size);
        }
        if size == self.size {
            return;
        }
        let floor = self
            .resized
            .map_or(self.durable_size, |resized| resized.floor)
            .min(size);
        self.size = size;
        let changed = size != self.durable_size || floor < self.durable_size;
        self.resized = changed.then_some(Resized { call, floor });
    }

    /// Makes all data and the length durable.
    pub(super) fn sync(&mut self) {
        let existed = self.durable_size;
        self.sync_size();
        for (page, dirty) in std::mem::take(&mut self.dirty) {
            self.promote(page, dirty.mask, existed);
        }
    }

    /// Makes the sectors of a range durable, and the length if one of them reaches beyond what is durable of it: else
    /// bytes of that sector would be neither pending nor found after a crash.
    pub(super) fn sync_range(&mut self, offset: u64, len: usize) {
        let existed = self.durable_size;
        let end = (offset + len as u64).next_multiple_of(SECTOR as u64);
        if self.resized.is_some_and(|resized| end > resized.floor) {
            self.sync_size();
        }
        for (page, mask) in touched(offset, len) {
            self.drop_dirty(page, mask);
            self.promote(page, mask, existed);
        }
    }

    /// Makes pending data neither durable nor pending.
    pub(super) fn lose_dirty(&mut self, loss: Loss) {
        for page in self.dirty.keys().copied().collect::<Vec<_>>() {
            self.lose(page, Mask::MAX, loss);
        }
    }

    /// The same, for a range.
    pub(super) fn lose_dirty_range(&mut self, offset: u64, len: usize, loss: Loss) {
        for (page, mask) in touched(offset, len) {
            self.lose(page, mask, loss);
        }
    }

    /// Drops clean pages from the cache, so that the next read comes from the device; `len` 0 means all.
    pub(super) fn drop_clean(&mut self, offset: u64, len: u64) {
        let end = if len == 0 {
            u64::MAX
        } else {
            offset.saturating_add(len)
        };
        let pages = self.diverged.keys().copied();
        let within = |page: &usize| (page * PAGE) as u64 >= offset && ((page * PAGE) as u64) < end;
        for page in pages.filter(within).collect::<Vec<_>>() {
            if let Some(mask) = self.diverged.remove(&page) {
                self.restore(page, mask);
            }
        }
    }

    /// The pending sectors: page, sector within it, and the call that wrote it. Sectors that were written with what
    /// they durably hold are left out, as it makes no difference whether they survive.
    pub(super) fn pending_sectors(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        let cut = self
            .resized
            .is_some_and(|resized| resized.floor < self.durable_size);
        self.dirty.iter().flat_map(move |(page, dirty)| {
            let changed = self.cache.differing(&self.durable, *page, dirty.mask);
            let mask = if cut { dirty.mask } else { changed };
            bits(mask).map(move |bit| (*page, bit, dirty.calls[bit]))
        })
    }

    /// The call that made the pending length, if one is pending.
    pub(super) fn pending_size(&self) -> Option<u64> {
        Some(self.resized?.call)
    }

    /// This file after a crash that kept the pending length or not, and these pending sectors.
    pub(super) fn survivor(&self, size_kept: bool, sectors: &BTreeMap<usize, Mask>) -> Self {
        let mut next = Self {
            durable: self.durable.clone(),
            durable_size: self.durable_size,
            older: self.older.clone(),
            remembered: self.remembered.clone(),
            cache: self.cache.clone(),
            size: self.size,
            resized: self.resized,
            ..Self::default()
        };
        let mut reachable = self.resized.map_or(self.size, |resized| resized.floor);
        if size_kept {
            next.sync_size();
            reachable = self.size;
        }
        for (page, mask) in sectors {
            next.promote(*page, mask & below(*page, reachable), self.durable_size);
        }
        next.durable.zero_from(next.durable_size);
        next.cache = next.durable.clone();
        next.size = next.durable_size;
        next.resized = None;
        next
    }

    /// Changes visible and durable bytes of one sector alike; for rot.
    pub(super) fn rot(&mut self, page: usize, bit: usize, change: impl Fn(&mut [u8])) {
        for image in [&mut self.cache, &mut self.durable] {
            change(&mut image.page_mut(page)[sector_range(bit)]);
        }
    }

    /// Puts back the durable version before the last of a sector; false if none is remembered.
    pub(super) fn rot_stale(&mut self, page: usize, bit: usize) -> bool {
        let mask = 1 << bit;
        if self
            .remembered
            .get(&page)
            .is_none_or(|held| held & mask == 0)
        {
            return false;
        }
        self.cache.copy_sectors(&self.older, page, mask);
        self.durable.copy_sectors(&self.older, page, mask);
        self.drop_dirty(page, mask);
        take_bits(&mut self.diverged, page, mask);
        true
    }

    /// The visible bytes of a sector, for swapping.
    pub(super) fn sector(&self, page: usize, bit: usize) -> Vec<u8> {
        self.cache.page(page).map_or_else(
            || vec![0; SECTOR],
            |bytes| bytes[sector_range(bit)].to_vec(),
        )
    }

    /// Takes another file's content and gives its own; handles stay.
    pub(super) fn rot_exchange(&mut self, other: &mut Self) {
        std::mem::swap(self, other);
        std::mem::swap(&mut self.handles, &mut other.handles);
    }

    /// Bytes beyond the end are zeros, also after whole sectors have been replaced.
    pub(super) fn rot_clear_beyond_end(&mut self) {
        self.cache.zero_from(self.size);
        self.durable.zero_from(self.durable_size);
    }

    /// Makes a shorter length visible and durable at once.
    pub(super) fn rot_truncate(&mut self, size: u64) {
        self.cache.zero_from(size);
        self.durable.zero_from(size);
        self.forget_pending_from(size);
        (self.size, self.durable_size, self.resized) = (size, size, None);
    }

    /// The durable pages, without a last partial one's bytes beyond the end.
    pub(super) fn durable(&self) -> &Image {
        &self.durable
    }

    fn sync_size(&mut self) {
        let Some(Resized { floor, .. }) = self.resized.take() else {
            return;
        };
        if floor < self.durable_size {
            self.durable.zero_from(floor);
        }
        self.durable_size = self.size;
    }

    /// Copies sectors from the cache to the durable image, remembering what they held if they `existed`, that is start
    /// below the length that was durable before.
    fn promote(&mut self, page: usize, mask: Mask, existed: u64) {
        let changed = self.cache.differing(&self.durable, page, mask);
        let replaced = changed & below(page, existed);
        if replaced != 0 {
            self.older.copy_sectors(&self.durable, page, replaced);
            *self.remembered.entry(page).or_default() |= replaced;
        }
        self.durable.copy_sectors(&self.cache, page, mask);
        take_bits(&mut self.diverged, page, mask);
    }

    fn lose(&mut self, page: usize, mask: Mask, loss: Loss) {
        let lost = self.drop_dirty(page, mask);
        match loss {
            Loss::Revert => self.restore(page, lost),
            Loss::Clean => {
                let diverged = self.cache.differing(&self.durable, page, lost);
                if diverged != 0 {
                    *self.diverged.entry(page).or_default() |= diverged;
                }
            }
        }
    }

    /// Makes sectors visible as they are durable, except for what a pending cut has taken away.
    fn restore(&mut self, page: usize, mask: Mask) {
        self.cache.copy_sectors(&self.durable, page, mask);
        let Some(Resized { floor, .. }) = self.resized else {
            return;
        };
        let start = (page * PAGE) as u64;
        for range in bits(mask).map(sector_range) {
            let gone = |byte: &usize| start + *byte as u64 >= floor;
            if let Some(first) = range.clone().find(gone) {
                self.cache.page_mut(page)[first..range.end].fill(0);
            }
        }
    }

    /// Sectors that start at or beyond `size` are no longer pending.
    fn forget_pending_from(&mut self, size: u64) {
        self.dirty.retain(|page, dirty| {
            dirty.mask &= below(*page, size);
            dirty.mask != 0
        });
        self.diverged.retain(|page, mask| {
            *mask &= below(*page, size);
            *mask != 0
        });
    }

    /// Takes sectors out of the dirty set, and says which of them were in it.
    fn drop_dirty(&mut self, page: usize, mask: Mask) -> Mask {
        let Some(dirty) = self.dirty.get_mut(&page) else {
            return 0;
        };
        let dropped = dirty.mask & mask;
        dirty.mask &= !mask;
        if dirty.mask == 0 {
            self.dirty.remove(&page);
        }
        dropped
    }
}

impl Dirty {
    fn add(&mut self, mask: Mask, call: u64) {
        self.mask |= mask;
        for bit in bits(mask) {
            self.calls[bit] = call;
        }
    }
}

fn take_bits(masks: &mut BTreeMap<usize, Mask>, page: usize, mask: Mask) {
    if masks.is_empty() {
        return;
    }
    if let Some(held) = masks.get_mut(&page) {
        *held &= !mask;
        if *held == 0 {
            masks.remove(&page);
        }
    }
}
