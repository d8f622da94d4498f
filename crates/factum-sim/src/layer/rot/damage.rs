//! The kinds of damage, and where they strike.
//!
//! Relies on: the names of files in the data directory. Never: changes more than one place.

use std::path::{Path, PathBuf};

use factum_io::sim::SimDisk;

/// One damage.
#[derive(Debug, Clone)]
pub(super) struct Harm {
    file: PathBuf,
    class: Class,
    kind: Kind,
    /// Whether it strikes before the last byte that is not zero.
    in_use: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Manifest,
    /// A segment that has an index, or one that has none.
    Sealed,
    Unsealed,
    Index,
}

#[derive(Debug, Clone)]
enum Kind {
    Bit(u64, u8),
    Byte(u64),
    Zeros(u64),
    Stale(u64),
    Swapped(u64, u64),
    Shortened(u64),
    Removed,
    Exchanged(PathBuf),
}

impl Harm {
    /// Draws a damage for a disk; `None` when the file drawn has nothing to damage.
    pub(super) fn draw(disk: &SimDisk, random: &mut fastrand::Rng) -> Option<Self> {
        let files: Vec<PathBuf> = disk
            .files()
            .into_iter()
            .filter(|file| class(file, disk).is_some())
            .collect();
        let file = files.get(random.usize(0..files.len().max(1)))?.clone();
        let class = class(&file, disk)?;
        let bytes = disk.read_file(&file)?;
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last as u64 + 1);
        let length = bytes.len() as u64;
        if length == 0 {
            return None;
        }
        let near = random.u8(0..10) < 8 && used > 0;
        let at = random.u64(0..if near { used } else { length });
        let sectors = length.div_ceil(512);
        let kind = match random.u8(0..24) {
            0..=7 => Kind::Bit(at, random.u8(0..8)),
            8..=14 => Kind::Byte(at),
            15..=16 => Kind::Zeros(at / 512),
            17 => Kind::Stale(at / 512),
            18..=19 => Kind::Swapped(at / 512, random.u64(0..sectors)),
            20..=21 => Kind::Shortened(if random.bool() { at } else { at / 64 * 64 }),
            22 => Kind::Removed,
            _ => {
                let same = files
                    .iter()
                    .filter(|other| other.extension() == file.extension() && **other != file);
                let others: Vec<_> = same.collect();
                Kind::Exchanged((*others.get(random.usize(0..others.len().max(1)))?).clone())
            }
        };
        Some(Self {
            file,
            class,
            kind,
            in_use: at < used,
        })
    }

    /// Does it.
    pub(super) fn inflict(&self, disk: &SimDisk) -> std::io::Result<()> {
        let file = &self.file;
        match &self.kind {
            Kind::Bit(at, bit) => disk.flip_bit(file, *at, *bit),
            Kind::Byte(at) => disk.flip_byte(file, *at),
            Kind::Zeros(sector) => disk.zero_sector(file, *sector),
            Kind::Stale(sector) => disk.stale_sector(file, *sector).map(drop),
            Kind::Swapped(a, b) => disk.swap_sectors(file, *a, *b),
            Kind::Shortened(length) => disk.truncate_file(file, *length),
            Kind::Removed => disk.remove_file(file),
            Kind::Exchanged(other) => disk.swap_files(file, other),
        }
    }

    /// Whether a store may refuse to open because of it: a segment without an index is gone, shortened or another's.
    pub(super) fn may_prevent_opening(&self) -> bool {
        let unsealed = match &self.kind {
            Kind::Exchanged(_) => true,
            _ => self.class == Class::Unsealed,
        };
        unsealed
            && matches!(
                self.kind,
                Kind::Shortened(_) | Kind::Removed | Kind::Exchanged(_)
            )
    }

    /// Whether it may turn the last frame into one that never arrived: sectors of zeros, of old content, or none.
    pub(super) fn is_in_blind_spot(&self) -> bool {
        self.class == Class::Unsealed
            && matches!(
                self.kind,
                Kind::Zeros(_) | Kind::Stale(_) | Kind::Swapped(..)
            )
    }

    /// Whether verifying must find it: a changed byte of a file's content.
    pub(super) fn must_be_found(&self) -> bool {
        matches!(self.kind, Kind::Bit(..) | Kind::Byte(_)) && self.in_use
    }
}

/// A sealed segment loses its index, and some of its own bytes.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    index: PathBuf,
    segment: PathBuf,
    /// From this byte on, so many.
    range: (u64, u64),
}

impl Lost {
    /// Draws one for a disk; `None` when it holds no sealed segment.
    pub(super) fn draw(disk: &SimDisk, random: &mut fastrand::Rng) -> Option<Self> {
        let of_class = |wanted: Class| {
            let files = disk.files().into_iter();
            files.filter(move |file| class(file, disk) == Some(wanted))
        };
        let indexes: Vec<PathBuf> = of_class(Class::Index).collect();
        let index = indexes.get(random.usize(0..indexes.len().max(1)))?.clone();
        let name = index.file_name()?.to_str()?.strip_suffix(".idx")?;
        let plain = name.strip_suffix(".g0").unwrap_or(name);
        let segment = index.with_file_name(format!("{plain}.seg"));
        let bytes = disk.read_file(&segment)?;
        let used = bytes.iter().rposition(|byte| *byte != 0)? as u64 + 1;
        // Behind the header; a record's head, some records, or whole frames.
        let begin = random.u64(4_096.min(used - 1)..used);
        let length = 1 << random.u32(3..14);
        Some(Self {
            index,
            segment,
            range: (begin, length.min(used - begin)),
        })
    }

    /// Does it.
    pub(super) fn inflict(&self, disk: &SimDisk) -> std::io::Result<()> {
        let (begin, length) = self.range;
        for at in begin..begin + length {
            disk.flip_byte(&self.segment, at)?;
        }
        disk.remove_file(&self.index)
    }
}

/// The class of a file; `None` for what is not the store's content.
fn class(file: &Path, disk: &SimDisk) -> Option<Class> {
    let name = file.file_name()?.to_str()?;
    if name.starts_with("MANIFEST") {
        return Some(Class::Manifest);
    }
    match file.extension()?.to_str()? {
        "idx" => Some(Class::Index),
        "seg" => {
            let plain = !name.contains(".g");
            let index =
                file.with_file_name(name.replace(".seg", if plain { ".g0.idx" } else { ".idx" }));
            let sealed = disk.files().contains(&index);
            Some(if sealed {
                Class::Sealed
            } else {
                Class::Unsealed
            })
        }
        _ => None,
    }
}
