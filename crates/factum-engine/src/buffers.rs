//! Large buffers, used again.
//!
//! Memory that comes from the system anew is cleared first, which at full speed costs a commit as much as all else that it does. Frames are built
//! in these, and a segment keeps its frames in them until it is sealed; so what one segment gives back serves the next.
//! Never: keeps more than two segments had, or anything for long when nothing is written.

use crate::sync::{Mutex, lock};

/// How many bytes fit into a buffer: a part of a segment of common size, with room for what a frame needs besides its requests.
pub(crate) const BUFFER_BYTES: usize = (1 << 20) + (128 << 10);
/// How many fit into a large one: the longest frame, but for one with a single request that is longer.
pub(crate) const LARGE_BUFFER_BYTES: usize = (4 << 20) + (128 << 10);

/// What has so many bytes is worth a buffer, most of which it then uses.
pub(crate) const WORTH_BYTES: usize = BUFFER_BYTES / 4 * 3;

/// Large buffers that nobody uses at the moment.
#[derive(Debug)]
pub(crate) struct Buffers {
    spare: Mutex<Spare>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Spare {
    common: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    /// Whether a buffer was taken since all were given back to the system: what is given is wanted again.
    is_wanted: bool,
}

impl Spare {
    /// Those of one size, and those of the other.
    const fn of_size(&mut self, bytes: usize) -> (&mut Vec<Vec<u8>>, &mut Vec<Vec<u8>>) {
        if bytes >= LARGE_BUFFER_BYTES {
            (&mut self.large, &mut self.common)
        } else {
            (&mut self.common, &mut self.large)
        }
    }

    const fn bytes(&self) -> usize {
        self.common.len() * BUFFER_BYTES + self.large.len() * LARGE_BUFFER_BYTES
    }
}

impl Buffers {
    /// Keeps at most about so many bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            spare: Mutex::default(),
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
        }
    }

    /// An empty buffer of [`BUFFER_BYTES`] or a little more.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.take_of(BUFFER_BYTES)
    }

    /// An empty buffer of [`LARGE_BUFFER_BYTES`] or a little more.
    pub(crate) fn take_large(&self) -> Vec<u8> {
        self.take_of(LARGE_BUFFER_BYTES)
    }

    fn take_of(&self, bytes: usize) -> Vec<u8> {
        let mut spare = lock(&self.spare);
        spare.is_wanted = true;
        let buffer = spare.of_size(bytes).0.pop();
        drop(spare);
        buffer.unwrap_or_else(|| Vec::with_capacity(bytes))
    }

    /// Takes a buffer that is not used any more. One of another size goes back to the system. Those of the size that was given last have the room.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        let Some(bytes) = size_of_buffer(buffer.capacity()) else {
            return;
        };
        buffer.clear();
        let mut spare = lock(&self.spare);
        if !spare.is_wanted || bytes > self.bytes_max {
            return;
        }
        let mut dropped = Vec::new();
        while spare.bytes() + bytes > self.bytes_max {
            match spare.of_size(bytes).1.pop() {
                Some(other) => dropped.push(other),
                None => return,
            }
        }
        spare.of_size(bytes).0.push(buffer);
        drop(spare);
        drop(dropped);
    }

    /// Gives everything back to the system, and what comes from now on too, until one is taken again.
    pub(crate) fn release(&self) {
        let spare = std::mem::take(&mut *lock(&self.spare));
        drop(spare);
    }
}

/// Which of the two sizes a buffer has, if one of them.
fn size_of_buffer(capacity: usize) -> Option<usize> {
    let has = |bytes: &usize| (*bytes..=bytes / 4 * 5).contains(&capacity);
    [BUFFER_BYTES, LARGE_BUFFER_BYTES].into_iter().find(has)
}

#[cfg(test)]
mod tests {
    use super::{BUFFER_BYTES, Buffers, LARGE_BUFFER_BYTES};
    use crate::sync::lock;

    fn kept(buffers: &Buffers) -> usize {
        let spare = lock(&buffers.spare);
        spare.common.len() + spare.large.len()
    }

    #[test]
    fn the_size_that_is_given_last_has_the_room() {
        let buffers = Buffers::new(2 * LARGE_BUFFER_BYTES as u64);
        let common: Vec<_> = (0..7).map(|_| buffers.take()).collect();
        common.into_iter().for_each(|buffer| buffers.give(buffer));
        assert_eq!(kept(&buffers), 7);
        let large = [buffers.take_large(), buffers.take_large()];
        let address = large[1].as_ptr();
        large.into_iter().for_each(|buffer| buffers.give(buffer));
        assert_eq!(kept(&buffers), 2, "both are large");
        let again = buffers.take_large();
        assert_eq!(again.as_ptr(), address);
        assert!(again.capacity() >= LARGE_BUFFER_BYTES);
        buffers.give(buffers.take());
        buffers.give(again);
        assert_eq!(kept(&buffers), 2);
    }

    #[test]
    fn what_is_given_is_taken_again_up_to_a_limit() {
        let buffers = Buffers::new(2 * BUFFER_BYTES as u64);
        let mut first = buffers.take();
        first.push(7);
        let address = first.as_ptr();
        buffers.give(first);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
        let all: Vec<_> = (0..3).map(|_| buffers.take()).collect();
        all.into_iter().for_each(|buffer| buffers.give(buffer));
        assert_eq!(kept(&buffers), 2);
        let late = buffers.take();
        buffers.release();
        assert_eq!(kept(&buffers), 0);
        buffers.give(late);
        assert_eq!(kept(&buffers), 0, "nobody wants it any more");
    }

    #[test]
    fn buffers_of_other_sizes_are_not_kept() {
        let buffers = Buffers::new(u64::MAX);
        for bytes in [0, BUFFER_BYTES - 1, 2 * BUFFER_BYTES] {
            buffers.give(Vec::with_capacity(bytes));
        }
        assert_eq!(kept(&buffers), 0);
    }
}
