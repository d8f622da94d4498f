//! Conversions between numbers that cannot fail here, said once.

/// An offset or length as an index. On a machine whose addresses are narrower, the greatest index there is: no slice is as long.
pub(crate) fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A number within a segment, which holds less than 4 GiB.
pub(crate) fn to_u32(number: usize) -> u32 {
    match u32::try_from(number) {
        Ok(number) => number,
        Err(_) => unreachable!("a segment holds less than 4 GiB, so {number} fits"),
    }
}

/// An ordinal or extent that may lie beyond what a segment can hold.
pub(crate) fn clamp_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
