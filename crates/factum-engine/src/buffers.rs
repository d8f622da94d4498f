//! Large buffers, used again.
//!
//! Memory that comes from the system anew is cleared first, which at full speed costs a commit as much as all else that it does. Frames are built
//! in these, a segment keeps its frames in them until it is sealed, and large requests bring their bodies in them; so what one segment gives
//! back serves the next. Never: keeps more than two segments had, or anything for long when nothing is written.

use crate::sync::{Mutex, lock};

/// How many bytes fit into a buffer: a frame of common size, with room for what a frame needs besides its requests.
pub(crate) const BUFFER_BYTES: usize = (1 << 20) + (128 << 10);

/// What has so many bytes is worth a buffer, most of which it then uses.
pub(crate) const WORTH_BYTES: usize = BUFFER_BYTES / 4 * 3;
/// A buffer that has grown to more than this is none.
const BUFFER_BYTES_MAX: usize = BUFFER_BYTES / 4 * 5;

/// Large buffers that nobody uses at the moment.
#[derive(Debug)]
pub(crate) struct Buffers {
    spare: Mutex<Spare>,
    count_max: usize,
}

#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    /// Whether a buffer was taken since all were given back to the system: what is given is wanted again.
    is_wanted: bool,
}

impl Buffers {
    /// Keeps at most about so many bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let count_max = bytes_max / BUFFER_BYTES as u64;
        Self {
            spare: Mutex::default(),
            count_max: usize::try_from(count_max).unwrap_or(usize::MAX),
        }
    }

    /// An empty buffer of [`BUFFER_BYTES`] or a little more.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut spare = lock(&self.spare);
        spare.is_wanted = true;
        let buffer = spare.buffers.pop();
        drop(spare);
        buffer.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// Takes a buffer that is not used any more. One of another size goes back to the system.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        if !(BUFFER_BYTES..=BUFFER_BYTES_MAX).contains(&buffer.capacity()) {
            return;
        }
        buffer.clear();
        let mut spare = lock(&self.spare);
        if spare.is_wanted && spare.buffers.len() < self.count_max {
            spare.buffers.push(buffer);
        }
    }

    /// Gives everything back to the system, and what comes from now on too, until one is taken again.
    pub(crate) fn release(&self) {
        let spare = std::mem::take(&mut *lock(&self.spare));
        drop(spare);
    }
}

#[cfg(test)]
mod tests {
    use super::{BUFFER_BYTES, Buffers};
    use crate::sync::lock;

    fn kept(buffers: &Buffers) -> usize {
        lock(&buffers.spare).buffers.len()
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
