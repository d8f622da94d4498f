//! Whether a part of a frame never arrived.

use crate::{
    bytes::{is_zero, u32_at},
    definition::{AREA_FIXED_BYTES, Definitions},
    frame::{FrameFlags, FrameView},
    limits::FRAME_HEADER_BYTES,
    zero_map::{self, ZeroMap},
};

/// Whether some sector, or part of one, of the frame's extent is zero and is not meant to be.
///
/// `true` means: this frame was never written whole, so it was never acknowledged. `false` when in doubt, because
/// `true` may lead to a cut: if the zero map is there but does not verify, a zero sector proves nothing, unless it is
/// one that must have held a part of the map or of the frame's end.
#[must_use]
pub fn missing_sectors(frame: &FrameView<'_>, file_offset: u64) -> bool {
    let pieces = || zero_map::pieces(frame.bytes(), file_offset);
    if pieces().all(|(_, piece)| !is_zero(piece)) {
        return false;
    }
    if !frame.header().flags.contains(FrameFlags::ZERO_MAP) {
        return true;
    }
    // The first and the last piece hold header and footer and are never meant to be zero; no map lists them.
    match find_map(frame) {
        Some(map) => pieces().any(|(sector, piece)| is_zero(piece) && !map.contains(sector)),
        None => map_is_missing(frame, file_offset),
    }
}

/// The zero map, if it verifies. Where it ends is told by the length of the tail definitions; three places tell that.
fn find_map<'a>(frame: &FrameView<'a>) -> Option<ZeroMap<'a>> {
    map_ends(frame)
        .into_iter()
        .flatten()
        .find_map(|end| ZeroMap::decode_back(frame.body().get(..end)?).ok())
}

/// Where the map may end in the body: by the definitions (verified, from either area), and by the unverified length
/// fields of the tail and the head area.
fn map_ends(frame: &FrameView<'_>) -> [Option<usize>; 3] {
    let body = frame.body();
    let tail_fixed = body.len().checked_sub(AREA_FIXED_BYTES);
    let end = |definition_bytes: usize| tail_fixed?.checked_sub(definition_bytes);
    let verified = frame.definitions().ok().as_ref().map(Definitions::byte_len);
    let tail = tail_fixed
        .and_then(|at| u32_at(body, at.checked_add(4)?))
        .map(|bytes| bytes as usize);
    let head = u32_at(body, 4).map(|bytes| bytes as usize);
    [verified, tail, head].map(|length| length.and_then(end))
}

/// Whether a sector is zero which must have held a part of the map, or of what follows it.
///
/// Sectors that hold a part of the map are never meant to be zero. Those of the tail area may be (names with many
/// NULs), so they count only when the area does not verify: with a map that does not verify either, one bad byte
/// cannot be the reason. When it is not known where the map ends, only the fixed part of the tail area and the footer
/// count.
fn map_is_missing(frame: &FrameView<'_>, file_offset: u64) -> bool {
    let body = frame.body();
    let tail_fixed = body.len().saturating_sub(AREA_FIXED_BYTES);
    let (from, to) = match map_end(frame) {
        Some(end) => {
            let tail_is_good = Definitions::tail_area(body).is_ok();
            let from = map_start(body, end.saturating_sub(zero_map::FIXED_BYTES));
            (
                from,
                if tail_is_good {
                    end
                } else {
                    frame.bytes().len()
                },
            )
        }
        None => (tail_fixed, frame.bytes().len()),
    };
    let [from, to] = [from, to].map(|at| (at as u64).saturating_add(FRAME_HEADER_BYTES));
    let mut start = 0_u64;
    zero_map::pieces(frame.bytes(), file_offset).any(|(_, piece)| {
        let end = start.saturating_add(piece.len() as u64);
        let overlaps = end > from && start < to;
        start = end;
        overlaps && is_zero(piece)
    })
}

/// Where the runs begin, of a map whose fixed part stands at `fixed` and does not verify.
///
/// A length of more than six bytes for each run is damaged itself; then the fixed part has to do. A damaged length that
/// is not as large leads into the room that was left for the map, which holds no zero either.
fn map_start(body: &[u8], fixed: usize) -> usize {
    let count = u32_at(body, fixed).unwrap_or(0) as usize;
    let length = u32_at(body, fixed.saturating_add(4)).unwrap_or(0) as usize;
    let believable = length <= count.saturating_mul(zero_map::RUN_BYTES_MAX);
    fixed.saturating_sub(if believable { length } else { 0 })
}

/// Where the map ends in the body, if that is certain: by verified definitions; or by the tail area's length, if the
/// head area has the same or is missing (each stands in one sector, so it is all there or all zero).
fn map_end(frame: &FrameView<'_>) -> Option<usize> {
    let body = frame.body();
    let tail_fixed = body.len().checked_sub(AREA_FIXED_BYTES)?;
    let definition_bytes = match frame.definitions() {
        Ok(definitions) => definitions.byte_len(),
        Err(_) => {
            let tail = u32_at(body, tail_fixed.checked_add(4)?)?;
            let head_missing = is_zero(body.get(..AREA_FIXED_BYTES)?);
            let certain = head_missing || u32_at(body, 4) == Some(tail);
            certain.then_some(tail as usize)?
        }
    };
    tail_fixed.checked_sub(definition_bytes)
}
