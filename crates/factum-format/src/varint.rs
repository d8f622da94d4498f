//! Unsigned LEB128: seven bits per byte, low bits first, the top bit set on all bytes but the last.
//!
//! One value has one encoding: longer ones than needed are refused, so that a non-zero value contains no zero byte
//! (the zero map depends on it). Zigzag turns small negative numbers into small unsigned ones. Never: reads past ten
//! bytes.

/// The most bytes that one value takes.
pub const BYTES_MAX: usize = 10;

/// Appends `value` to `out`.
pub fn encode(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(low_bits(value));
}

/// Writes `value` at an offset of `out`, where there is room; says where it ends.
#[inline]
pub(crate) fn put(out: &mut [u8], mut at: usize, mut value: u64) -> usize {
    debug_assert!(
        at.saturating_add(len(value)) <= out.len(),
        "room was made before"
    );
    while value >= 0x80 {
        if let Some(byte) = out.get_mut(at) {
            *byte = low_bits(value) | 0x80;
        }
        at = at.saturating_add(1);
        value >>= 7;
    }
    if let Some(byte) = out.get_mut(at) {
        *byte = low_bits(value);
    }
    at.saturating_add(1)
}

/// Appends `value` to `out`, zigzag.
pub fn encode_signed(out: &mut Vec<u8>, value: i64) {
    encode(out, zigzag(value));
}

/// Takes one value from the front of `input`.
///
/// `None` when the input ends within the value, or the value is over 64 bits or encoded longer than needed; `input`
/// is then left as it was.
#[must_use]
#[inline]
pub fn decode(input: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        *input = rest;
        return Some(u64::from(first));
    }
    // Two bytes are the next most frequent length. A second byte of zero would be longer than needed.
    if let Some((&second, rest)) = rest.split_first()
        && (1..0x80).contains(&second)
    {
        *input = rest;
        return Some(u64::from(first & 0x7F) | (u64::from(second) << 7));
    }
    decode_long(input)
}

/// How many bytes [`encode`] writes for `value`.
#[must_use]
pub fn len(value: u64) -> usize {
    let bits = u64::BITS.saturating_sub(value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

/// Maps 0, −1, 1, −2, … to 0, 1, 2, 3, ….
#[must_use]
pub fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    let sign = (value & 1).wrapping_neg();
    ((value >> 1) ^ sign).cast_signed()
}

fn decode_long(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    let mut shift = 0_u32;
    for (index, &byte) in input.iter().enumerate().take(BYTES_MAX) {
        let bits = u64::from(byte & 0x7F);
        // The tenth byte has room for one bit.
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits.checked_shl(shift)?;
        if byte < 0x80 {
            if byte == 0 && index > 0 {
                return None;
            }
            *input = input.get(index.checked_add(1)?..)?;
            return Some(value);
        }
        shift = shift.checked_add(7)?;
    }
    None
}

fn low_bits(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low & 0x7F
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: u64) {
        let mut out = Vec::new();
        encode(&mut out, value);
        assert_eq!(out.len(), len(value), "{value}");
        let mut room = [7; BYTES_MAX + 2];
        let end = put(&mut room, 1, value);
        assert_eq!(room[1..end], out);
        assert_eq!((room[0], room[end]), (7, 7), "{value}");
        let mut input = out.as_slice();
        assert_eq!(decode(&mut input), Some(value));
        assert!(input.is_empty());
        for end in 0..out.len() {
            assert_eq!(decode(&mut &out[..end]), None, "{value} cut at {end}");
        }
        assert_eq!(zigzag(unzigzag(value)), value);
    }

    #[test]
    fn every_bit_length_round_trips() {
        for shift in 0..64 {
            let power = 1_u64 << shift;
            check(power);
            check(power - 1);
            check(power | 1);
        }
        check(u64::MAX);
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..10_000 {
            check(random.u64(..) >> random.u32(0..64));
        }
    }

    #[test]
    fn zigzag_keeps_small_numbers_small() {
        assert_eq!(
            [0, -1, 1, -2, i64::MAX, i64::MIN].map(zigzag),
            [0, 1, 2, 3, u64::MAX - 1, u64::MAX]
        );
    }

    #[test]
    fn other_encodings_are_refused() {
        for bytes in [&[0x80, 0x00][..], &[0xFF, 0x00], &[0xFF; 10], &[0x80; 11]] {
            assert_eq!(decode(&mut &*bytes), None, "{bytes:?}");
        }
        let mut over = [0xFF_u8; 10];
        over[9] = 0x02;
        assert_eq!(decode(&mut over.as_slice()), None);
    }
}
