//! The zero map: which sectors of a frame are meant to be zero.
//!
//! ```text
//! runs: varint gap, varint length ≥ 1 …  | u32 run count | u32 bytes of the runs | u32 CRC-32C of all before
//! ```
//!
//! Sectors are 512-byte units of the *file*, counted from the one in which the frame begins (index 0). A run's gap is
//! counted from the end of the run before, the first one from index 0; runs are as long as possible, so that no gap
//! is 0. The map is written only when a frame has such sectors.
//!
//! Segment files are written with zeros before use. So a zero sector inside a frame's extent either never arrived or
//! is meant to be zero, and only the writer knows which. *Only whole sectors in the interior can be meant to be zero*:
//! the frame's first sector, whole or part, begins with (or contains) the header, and its last one contains the
//! footer, because both stand on 64-byte boundaries and 512 is a multiple of 64; each holds a magic number, which is
//! not zero. Every sector between is a whole one.
//!
//! The room between the records and the tail definitions has at least [`room`] bytes when there is a map; the map
//! stands at its end, filler before it. No byte of the runs is zero, because no gap and no length is and varints are canonical. Filler is not zero either,
//! and some of the two precedes the fixed part, so no sector that the room touches can be zero. Hence writing the map
//! does not change what it says, and a sector of it that is found zero never arrived.

use crate::{FormatError, bytes::Cursor, bytes::is_zero, hash, limits::SECTOR_BYTES, varint};

/// The bytes of the map beside its runs.
pub const FIXED_BYTES: usize = 12;

/// The most bytes of one run: gap and length are below 2^21 sectors (1 GiB), three bytes each.
pub const RUN_BYTES_MAX: usize = 6;

/// How much room a frame leaves for its map, in bytes; `content` is its length without room and filler.
///
/// Runs do not touch, so there is at most one in two sectors. Seven bytes more, so that filler precedes any map.
#[must_use]
pub const fn room(content: usize) -> usize {
    let runs_max = content.div_ceil(512).div_ceil(2);
    runs_max
        .saturating_mul(RUN_BYTES_MAX)
        .saturating_add(FIXED_BYTES + 7)
}

/// A verified zero map.
#[derive(Debug, Clone, Copy)]
pub struct ZeroMap<'a> {
    runs: &'a [u8],
    count: u32,
}

impl<'a> ZeroMap<'a> {
    /// Reads the map that ends where `bytes` ends.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Checksum`] when no good map ends there.
    pub fn decode_back(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let what = "zero map";
        let truncated = FormatError::Truncated {
            what,
            offset: 0,
            need: 0,
        };
        let at = bytes
            .len()
            .checked_sub(FIXED_BYTES)
            .ok_or(truncated.clone())?;
        let (before, fixed) = bytes.split_at_checked(at).ok_or(truncated.clone())?;
        let mut cursor = Cursor::new(what, fixed);
        let count = cursor.u32()?;
        let length = cursor.u32()?;
        let crc = cursor.u32()?;
        let start = before.len().checked_sub(length as usize).ok_or(truncated)?;
        let covered = bytes.get(start..at.saturating_add(8)).unwrap_or_default();
        if hash::crc(covered) != crc {
            return Err(FormatError::Checksum { what, offset: 8 });
        }
        Ok(Self {
            runs: before.get(start..).unwrap_or_default(),
            count,
        })
    }

    /// Whether the sector is meant to be zero; `sector` counts from the frame's first.
    #[must_use]
    pub fn contains(&self, sector: u64) -> bool {
        self.runs()
            .any(|(first, length)| first <= sector && sector < first.saturating_add(length))
    }

    /// The runs as (first sector, number of sectors), ascending.
    pub fn runs(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let mut rest = self.runs;
        let mut end = 0_u64;
        (0..self.count).map_while(move |_| {
            let first = end.checked_add(varint::decode(&mut rest)?)?;
            let length = varint::decode(&mut rest)?;
            end = first.checked_add(length)?;
            Some((first, length))
        })
    }

    /// The bytes of the map.
    #[cfg(test)]
    fn byte_len(&self) -> usize {
        self.runs.len().saturating_add(FIXED_BYTES)
    }
}

/// Appends a map of `runs` (first sector, number of sectors), ascending and not touching.
pub(crate) fn encode(out: &mut Vec<u8>, runs: &[(u64, u64)]) {
    let start = out.len();
    let mut end = 0_u64;
    for &(first, length) in runs {
        debug_assert!(first > end && length > 0, "runs ascend and do not touch");
        varint::encode(out, first.saturating_sub(end));
        varint::encode(out, length);
        end = first.saturating_add(length);
    }
    // A frame of 17 MiB has 34,816 sectors: neither number can exceed a u32.
    let length = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    let count = u32::try_from(runs.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    let crc = hash::crc(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Collects the runs of whole zero sectors in the interior of `frame`, which stands at `file_offset`.
pub(crate) fn find(runs: &mut Vec<(u64, u64)>, frame: &[u8], file_offset: u64) {
    runs.clear();
    for (sector, piece) in pieces(frame, file_offset) {
        if !is_zero(piece) {
            continue;
        }
        match runs.last_mut() {
            Some((first, length)) if first.saturating_add(*length) == sector => {
                *length = length.saturating_add(1);
            }
            _ => runs.push((sector, 1)),
        }
    }
}

/// The pieces of `bytes`, which stand at `file_offset`, by file sector: (index from the first, bytes in it).
///
/// The first and the last piece may be parts of a sector; all others are whole.
pub(crate) fn pieces(bytes: &[u8], file_offset: u64) -> impl Iterator<Item = (u64, &[u8])> {
    let into = file_offset % SECTOR_BYTES;
    // Below 512, on any machine.
    let first = usize::try_from(SECTOR_BYTES.saturating_sub(into)).unwrap_or(512);
    let (first, rest) = bytes.split_at_checked(first).unwrap_or((bytes, &[]));
    let first = Some(first).filter(|piece| !piece.is_empty());
    (0_u64..).zip(first.into_iter().chain(rest.chunks(512)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(runs: &[(u64, u64)]) {
        let mut out = vec![9; 3];
        encode(&mut out, runs);
        let map = ZeroMap::decode_back(&out).unwrap();
        assert_eq!(map.runs().collect::<Vec<_>>(), runs);
        assert_eq!(map.byte_len(), out.len() - 3);
        for sector in 0..300 {
            let expected = runs
                .iter()
                .any(|&(first, length)| (first..first + length).contains(&sector));
            assert_eq!(map.contains(sector), expected, "{sector}");
        }
        for bit in 0..map.byte_len() * 8 {
            let mut bad = out.clone();
            bad[3 + bit / 8] ^= 1 << (bit % 8);
            assert!(ZeroMap::decode_back(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn maps_round_trip() {
        check(&[]);
        check(&[(1, 1)]);
        check(&[(1, 200), (250, 2), (253, 1000)]);
    }

    #[test]
    fn pieces_follow_the_sectors_of_the_file() {
        let bytes = [1; 1200];
        let lengths = |offset| {
            pieces(&bytes, offset)
                .map(|(_, piece)| piece.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(lengths(4096), [512, 512, 176]);
        assert_eq!(lengths(4096 + 448), [64, 512, 512, 112]);
        assert_eq!(pieces(&[], 64).count(), 0);
    }

    #[test]
    fn runs_are_found() {
        let mut bytes = vec![0; 5 * 512];
        bytes[0] = 1;
        bytes[3 * 512] = 1;
        let mut runs = vec![(7, 7)];
        find(&mut runs, &bytes, 8192);
        assert_eq!(runs, [(1, 2), (4, 1)]);
    }
}
