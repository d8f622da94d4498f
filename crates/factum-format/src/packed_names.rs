//! Packed names: many names in little room, each decoded on its own.
//!
//! ```text
//! tables: u8 a | a bytes, the alphabet, ascending
//!         varint prefix count | per prefix, from number 1: varint length | bytes
//!         varint shape count  | per shape: varint prefix number | varint 2 · rest length + (1 if plain)
//! name:   varint shape, unless there is only one and its rest is not empty | rest
//! ```
//!
//! A name is a prefix and a rest. Prefix 0 is empty; the others are what the names of a category (all up to the first `-`)
//! begin with. Names of one shape have the same prefix and length, and mostly there are few shapes.
//!
//! A plain rest is the bytes themselves. Any other is a number whose digits are places in the alphabet, the first one
//! the highest: so digits take 3.3 bits each, hexadecimal digits 4. It is written in chunks of as many digits as 64
//! bits hold, each in as many bytes as its digits may need, little-endian.
//!
//! Relies on: nothing. Never: makes more of its input than [`GROWTH_MAX`] bytes for each one.

use std::collections::BTreeMap;

use crate::{FormatError, bytes::Cursor, limits::NAME_BYTES_MAX, varint};

const WHAT: &str = "packed names";
/// The longest prefix.
const PREFIX_BYTES_MAX: usize = 64;
/// So many names of a category are worth a prefix.
const PREFIX_NAMES_MIN: usize = 4;
/// A byte is in the alphabet if one rest in so many holds it.
const RARE: usize = 32;
/// A larger alphabet saves next to nothing.
const ALPHABET_MAX: usize = 128;
/// The most bytes of names that a byte of input can stand for: a prefix, and eight digits of one bit.
pub(crate) const GROWTH_MAX: usize = PREFIX_BYTES_MAX + 8;

/// What is the same for many names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    /// The prefix's number.
    prefix: u32,
    /// How many bytes follow it.
    rest_len: u32,
    /// Whether these are written as they are.
    plain: bool,
}

/// Whether names say which shape they have. A name takes a byte at least, so that a false count is noticed.
fn is_numbered(shapes: usize, first: Option<&Shape>) -> bool {
    shapes != 1 || first.is_none_or(|shape| shape.rest_len == 0)
}

/// Packs names that are known beforehand.
#[derive(Debug)]
pub(crate) struct Packer<'a> {
    alphabet: Alphabet,
    prefixes: Vec<&'a [u8]>,
    /// By category: the number of its prefix.
    prefix_of: BTreeMap<&'a [u8], u32>,
    /// The numbers of the shapes.
    shapes: BTreeMap<Shape, u32>,
}

impl<'a> Packer<'a> {
    /// Looks at all names.
    pub(crate) fn new<'n>(names: &'n [&'a str]) -> Self {
        let mut packer = Self {
            alphabet: Alphabet::default(),
            prefixes: Vec::new(),
            prefix_of: BTreeMap::new(),
            shapes: BTreeMap::new(),
        };
        packer.find_prefixes(names);
        let rests = names.iter().map(|name| packer.split(name.as_bytes()).1);
        packer.alphabet = Alphabet::of(rests);
        packer.find_shapes(names);
        packer
    }

    /// What the names of a category have in common, where there are enough of them.
    fn find_prefixes(&mut self, names: &[&'a str]) {
        let mut categories: BTreeMap<&[u8], (usize, &[u8])> = BTreeMap::new();
        for name in names {
            let name = name.as_bytes();
            let first = name.get(..PREFIX_BYTES_MAX).unwrap_or(name);
            let (count, common) = categories.entry(category(name)).or_insert((0, first));
            *count = count.saturating_add(1);
            *common = common_front(common, name);
        }
        for (category, (count, common)) in categories {
            if count < PREFIX_NAMES_MIN || common.is_empty() {
                continue;
            }
            self.prefixes.push(common);
            let number = u32::try_from(self.prefixes.len()).unwrap_or(0);
            self.prefix_of.insert(category, number);
        }
    }

    fn find_shapes(&mut self, names: &[&'a str]) {
        let mut counts: BTreeMap<Shape, usize> = BTreeMap::new();
        for name in names {
            let count = counts.entry(self.shape(name).0).or_default();
            *count = count.saturating_add(1);
        }
        let mut by_count: Vec<(Shape, usize)> = counts.into_iter().collect();
        by_count.sort_by_key(|&(shape, count)| (std::cmp::Reverse(count), shape));
        let numbered = (0..).zip(by_count);
        self.shapes = numbered
            .map(|(number, (shape, _))| (shape, number))
            .collect();
    }

    /// The number of a name's prefix, and the rest.
    fn split<'n>(&self, name: &'n [u8]) -> (u32, &'n [u8]) {
        let prefix = self.prefix_of.get(category(name)).copied().unwrap_or(0);
        let at = (prefix as usize).checked_sub(1);
        let prefix_len = at
            .and_then(|at| self.prefixes.get(at))
            .map_or(0, |p| p.len());
        (prefix, name.get(prefix_len..).unwrap_or_default())
    }

    fn shape<'n>(&self, name: &'n str) -> (Shape, &'n [u8]) {
        let (prefix, rest) = self.split(name.as_bytes());
        let shape = Shape {
            prefix,
            rest_len: u32::try_from(rest.len()).unwrap_or(u32::MAX),
            plain: !self.alphabet.is_worth(rest),
        };
        (shape, rest)
    }

    /// Appends the tables.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] when a name is longer than [`NAME_BYTES_MAX`].
    pub(crate) fn tables(&self, out: &mut Vec<u8>) -> Result<(), FormatError> {
        out.push(u8::try_from(self.alphabet.bytes.len()).unwrap_or(0));
        out.extend_from_slice(&self.alphabet.bytes);
        varint::encode(out, self.prefixes.len() as u64);
        for prefix in &self.prefixes {
            varint::encode(out, prefix.len() as u64);
            out.extend_from_slice(prefix);
        }
        varint::encode(out, self.shapes.len() as u64);
        let mut shapes: Vec<_> = self.shapes.iter().collect();
        shapes.sort_by_key(|&(_, number)| number);
        for (shape, _) in shapes {
            let size = u64::from(shape.rest_len);
            if size > NAME_BYTES_MAX {
                return Err(FormatError::TooLarge {
                    what: "name",
                    size,
                    max: NAME_BYTES_MAX,
                });
            }
            varint::encode(out, shape.prefix.into());
            varint::encode(out, (size << 1) | u64::from(shape.plain));
        }
        Ok(())
    }

    /// Appends one of the names.
    pub(crate) fn name(&self, out: &mut Vec<u8>, name: &str) {
        let (shape, rest) = self.shape(name);
        if is_numbered(self.shapes.len(), self.shapes.keys().next()) {
            let number = self.shapes.get(&shape).copied().unwrap_or(u32::MAX);
            varint::encode(out, number.into());
        }
        if shape.plain {
            out.extend_from_slice(rest);
        } else {
            self.alphabet.pack(out, rest);
        }
    }
}

/// All up to the first `-`, and that; nothing when there is none.
fn category(name: &[u8]) -> &[u8] {
    let end = name.iter().position(|&byte| byte == b'-');
    end.and_then(|end| name.get(..=end)).unwrap_or_default()
}

fn common_front<'a>(one: &'a [u8], other: &[u8]) -> &'a [u8] {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    one.get(..same).unwrap_or_default()
}

/// The bytes that rests are made of, for the writer.
#[derive(Debug)]
struct Alphabet {
    bytes: Vec<u8>,
    /// The place of each byte, or [`NO_DIGIT`].
    digits: [u8; 256],
    radix: Radix,
}

const NO_DIGIT: u8 = u8::MAX;

impl Default for Alphabet {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            digits: [NO_DIGIT; 256],
            radix: Radix::NONE,
        }
    }
}

impl Alphabet {
    /// The bytes that are not rare; none if there are too few or too many.
    fn of<'a>(rests: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut holds, mut all) = ([0_usize; 256], 0_usize);
        for rest in rests {
            let mut seen = [false; 256];
            for &byte in rest {
                if let (Some(seen), Some(holds)) = (
                    seen.get_mut(usize::from(byte)),
                    holds.get_mut(usize::from(byte)),
                ) && !std::mem::replace(seen, true)
                {
                    *holds = holds.saturating_add(1);
                }
            }
            all = all.saturating_add(1);
        }
        let common = (0..=u8::MAX).zip(holds);
        let bytes: Vec<u8> = common
            .filter(|&(_, holds)| holds > 0 && holds.saturating_mul(RARE) >= all)
            .map(|(byte, _)| byte)
            .collect();
        if !(2..=ALPHABET_MAX).contains(&bytes.len()) {
            return Self::default();
        }
        let mut digits = [NO_DIGIT; 256];
        for (digit, &byte) in (0..).zip(&bytes) {
            if let Some(place) = digits.get_mut(usize::from(byte)) {
                *place = digit;
            }
        }
        let radix = Radix::new(bytes.len());
        Self {
            bytes,
            digits,
            radix,
        }
    }

    fn digit(&self, byte: u8) -> Option<u64> {
        let digit = *self.digits.get(usize::from(byte))?;
        (digit != NO_DIGIT).then_some(digit.into())
    }

    /// Whether all bytes are of the alphabet, and packing makes them fewer.
    fn is_worth(&self, rest: &[u8]) -> bool {
        self.radix.packed_len(rest.len()) < rest.len()
            && rest.iter().all(|&byte| self.digit(byte).is_some())
    }

    fn pack(&self, out: &mut Vec<u8>, rest: &[u8]) {
        for chunk in rest.chunks(self.radix.chunk_digits.max(1)) {
            let digits = chunk.iter().filter_map(|&byte| self.digit(byte));
            let number = digits.fold(0_u64, |number, digit| {
                number.wrapping_mul(self.radix.base).wrapping_add(digit)
            });
            let length = self.radix.chunk_len(chunk.len());
            out.extend(number.to_le_bytes().iter().take(length));
        }
    }
}

/// How digits of a base are put into bytes.
#[derive(Debug, Clone, Copy)]
struct Radix {
    base: u64,
    /// The most digits that 64 bits hold.
    chunk_digits: usize,
    /// The bytes that so many digits need, by the number of digits.
    lengths: [u8; 65],
}

impl Radix {
    /// Without an alphabet.
    const NONE: Self = Self {
        base: 0,
        chunk_digits: 0,
        lengths: [0; 65],
    };

    fn new(base: usize) -> Self {
        let mut radix = Self {
            base: base as u64,
            ..Self::NONE
        };
        // How many numbers there are of so many digits; up to 2^64, so that the largest one fits into 64 bits.
        let mut numbers = 1_u128;
        for (digits, length) in radix.lengths.iter_mut().enumerate() {
            if numbers > 1 << 64 {
                break;
            }
            let bits = u128::BITS.saturating_sub(numbers.saturating_sub(1).leading_zeros());
            *length = u8::try_from(bits.div_ceil(8)).unwrap_or(8);
            radix.chunk_digits = digits;
            numbers = numbers.saturating_mul(base as u128);
        }
        radix
    }

    /// The bytes of a chunk of so many digits.
    fn chunk_len(&self, digits: usize) -> usize {
        self.lengths.get(digits).copied().unwrap_or(8).into()
    }

    /// The bytes of so many digits. Without an alphabet nothing is packed.
    fn packed_len(&self, digits: usize) -> usize {
        let (Some(whole), Some(rest)) = (
            digits.checked_div(self.chunk_digits),
            digits.checked_rem(self.chunk_digits),
        ) else {
            return usize::MAX;
        };
        whole
            .saturating_mul(self.chunk_len(self.chunk_digits))
            .saturating_add(self.chunk_len(rest))
    }
}

/// The tables, to read names with.
#[derive(Debug, Clone)]
pub(crate) struct Unpacker<'a> {
    alphabet: &'a [u8],
    radix: Radix,
    prefixes: Vec<&'a [u8]>,
    shapes: Vec<Shape>,
}

impl<'a> Unpacker<'a> {
    /// Reads the tables at the cursor.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`].
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, FormatError> {
        let size = usize::from(cursor.u8()?);
        let alphabet = cursor.take(size)?;
        if size == 1 || size > ALPHABET_MAX {
            return Err(invalid(cursor));
        }
        let mut unpacker = Self {
            alphabet,
            radix: if size == 0 {
                Radix::NONE
            } else {
                Radix::new(size)
            },
            prefixes: vec![&[]],
            shapes: Vec::new(),
        };
        // Each entry takes bytes of the input, so a false count ends with an error.
        for _ in 0..cursor.varint_u32()? {
            let prefix = cursor.prefixed()?;
            if prefix.is_empty() || prefix.len() > PREFIX_BYTES_MAX {
                return Err(invalid(cursor));
            }
            unpacker.prefixes.push(prefix);
        }
        for _ in 0..cursor.varint_u32()? {
            let shape = unpacker.shape(cursor)?;
            unpacker.shapes.push(shape);
        }
        Ok(unpacker)
    }

    fn shape(&self, cursor: &mut Cursor<'a>) -> Result<Shape, FormatError> {
        let prefix = cursor.varint_u32()?;
        let rest = cursor.varint_u32()?;
        let shape = Shape {
            prefix,
            rest_len: rest >> 1,
            plain: rest & 1 == 1,
        };
        let known = (prefix as usize) < self.prefixes.len();
        let fits = u64::from(shape.rest_len) <= NAME_BYTES_MAX;
        let readable = shape.plain || !self.alphabet.is_empty();
        if !(known && fits && readable) {
            return Err(invalid(cursor));
        }
        Ok(shape)
    }

    /// Reads the next name and appends it to `out`. On an error `out` may hold a part of it.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`].
    pub(crate) fn name(
        &self,
        cursor: &mut Cursor<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let start = out.len();
        let number = if is_numbered(self.shapes.len(), self.shapes.first()) {
            cursor.varint_u32()?
        } else {
            0
        };
        let shape = self.shapes.get(number as usize).ok_or(invalid(cursor))?;
        let prefix = self.prefixes.get(shape.prefix as usize);
        out.extend_from_slice(prefix.ok_or(invalid(cursor))?);
        let mut left = shape.rest_len as usize;
        if shape.plain {
            out.extend_from_slice(cursor.take(left)?);
            left = 0;
        }
        while left > 0 {
            let digits = left.min(self.radix.chunk_digits);
            let bytes = cursor.take(self.radix.chunk_len(digits))?;
            self.unpack(bytes, digits, out).ok_or(invalid(cursor))?;
            left = left.saturating_sub(digits);
        }
        let name = out.get(start..).unwrap_or_default();
        if name.len() as u64 > NAME_BYTES_MAX || std::str::from_utf8(name).is_err() {
            return Err(invalid(cursor));
        }
        Ok(())
    }

    /// Appends so many digits of the number in `bytes`; `None` when it has more.
    fn unpack(&self, bytes: &[u8], digits: usize, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        let number = bytes.iter().rev();
        let mut number = number.fold(0_u64, |number, &byte| (number << 8) | u64::from(byte));
        out.resize(start.saturating_add(digits), 0);
        for place in out.get_mut(start..)?.iter_mut().rev() {
            let digit = usize::try_from(number.checked_rem(self.radix.base)?).ok()?;
            *place = *self.alphabet.get(digit)?;
            number = number.checked_div(self.radix.base)?;
        }
        (number == 0).then_some(())
    }
}

fn invalid(cursor: &Cursor<'_>) -> FormatError {
    FormatError::Invalid {
        what: WHAT,
        offset: cursor.offset(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(names: &[&str]) -> Vec<u8> {
        let packer = Packer::new(names);
        let mut out = Vec::new();
        packer.tables(&mut out).unwrap();
        names.iter().for_each(|name| packer.name(&mut out, name));
        out
    }

    fn unpacked(bytes: &[u8], count: usize) -> Result<Vec<String>, FormatError> {
        let mut cursor = Cursor::new("test", bytes);
        let unpacker = Unpacker::read(&mut cursor)?;
        let mut names = Vec::new();
        for _ in 0..count {
            let mut name = Vec::new();
            unpacker.name(&mut cursor, &mut name)?;
            names.push(String::from_utf8(name).unwrap());
        }
        Ok(names)
    }

    /// The names come back, and take no more than so many bytes.
    fn check(names: &[&str], bytes_max: usize) {
        let bytes = packed(names);
        assert_eq!(unpacked(&bytes, names.len()).unwrap(), names);
        assert!(bytes.len() <= bytes_max, "{} bytes", bytes.len());
        for end in 0..bytes.len() {
            assert!(
                unpacked(&bytes[..end], names.len()).is_err(),
                "cut at {end}"
            );
        }
    }

    #[test]
    fn names_come_back() {
        check(&[], 3);
        check(&[""], 10);
        check(&["", "", ""], 10);
        check(&["x"], 10);
        check(&["same-1", "same-1", "same-1", "same-1", "same-1"], 20);
        check(&["order-1", "größe", "", "order-2", "a\u{0}b"], 60);
        check(&["aaaa", "aaaa", "aaaa", "aaaaa"], 60);
        check(&[&"x".repeat(4096), &"ab".repeat(2048)], 8300);
    }

    #[test]
    fn names_of_digits_take_half_their_room_or_less() {
        let names: Vec<String> = (0..1_000_u64)
            .map(|n| format!("order-{:018x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        check(&names, 8 * 1_000 + 100);
        let names: Vec<String> = (0..1_000_u64)
            .map(|n| format!("invoice-{}", n.wrapping_mul(0x9E37_79B9) % 100_000_000))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        check(&names, 5 * 1_000 + 100);
    }

    #[test]
    fn one_odd_name_does_not_cost_the_others_their_room() {
        let mut names: Vec<String> = (0..999_u64).map(|n| format!("user-{n:08}")).collect();
        names.push("user-Straße 7, Köln".to_owned());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        check(&names, 5 * 1_000 + 100);
    }

    #[test]
    fn every_alphabet_comes_back() {
        let mut random = fastrand::Rng::with_seed(21);
        for size in 1..=126_u8 {
            let names: Vec<String> = (0..40)
                .map(|_| {
                    let length = random.usize(0..100);
                    let byte = || char::from(b'\x01' + random.u8(0..size));
                    std::iter::repeat_with(byte).take(length).collect()
                })
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let plain: usize = names.iter().map(|name| name.len() + 2).sum();
            let bytes = packed(&names);
            assert_eq!(unpacked(&bytes, names.len()).unwrap(), names);
            assert!(bytes.len() < plain + 500);
        }
    }

    #[test]
    fn changed_bytes_give_names_or_an_error() {
        let mut random = fastrand::Rng::with_seed(22);
        let good = packed(&["order-1", "order-22", "order-23", "order-4", "größe", "x"]);
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(0..bytes.len());
                bytes[at] = random.u8(..);
            }
            let Ok(names) = unpacked(&bytes, 6) else {
                continue;
            };
            let all: usize = names.iter().map(String::len).sum();
            assert!(all <= bytes.len() * GROWTH_MAX);
        }
    }
}
