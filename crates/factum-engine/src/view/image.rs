//! The bytes of a segment's frames in memory, one after the other.
//!
//! Frames stand in chunks that never move, each frame whole in one chunk, and are addressed by one running offset. Small frames are copied together;
//! a large one is kept in the buffer that it was written from.
//! Never: keeps the padding that separates frames in the file.

use std::ops::Range;
use std::sync::Arc;

use factum_io::buffer::AlignedBuf;

use crate::buffers::{BUFFER_BYTES, Buffers};
use crate::number::to_u32;

const FIRST_CHUNK_BYTES: usize = 16 << 10;

/// The bytes of a segment's frames.
#[derive(Debug, Default)]
pub(crate) struct Image {
    chunks: Vec<Chunk>,
    /// Where large chunks come from and go to.
    buffers: Option<Arc<Buffers>>,
}

#[derive(Debug)]
struct Chunk {
    start: u32,
    bytes: Vec<u8>,
    /// Where the first frame begins in `bytes`.
    from: usize,
}

impl Chunk {
    fn end(&self) -> u32 {
        self.start + to_u32(self.bytes.len() - self.from)
    }
}

impl Image {
    /// Takes chunks from `buffers` from now on, and gives them back at its end.
    pub(crate) fn keep_in(&mut self, buffers: Arc<Buffers>) {
        self.buffers = Some(buffers);
    }

    /// Where the next frame will begin.
    pub(crate) fn end(&self) -> u32 {
        self.chunks.last().map_or(0, Chunk::end)
    }

    /// Adds a frame.
    pub(crate) fn push(&mut self, frame: &[u8]) {
        let fits = self
            .chunks
            .last()
            .is_some_and(|chunk| chunk.bytes.capacity() - chunk.bytes.len() >= frame.len());
        if !fits {
            let chunk = Chunk {
                start: self.end(),
                bytes: self.chunk_for(frame.len()),
                from: 0,
            };
            self.chunks.push(chunk);
        }
        let Some(chunk) = self.chunks.last_mut() else {
            unreachable!("a chunk was added above")
        };
        chunk.bytes.extend_from_slice(frame);
    }

    /// Adds a frame and the buffer that holds it there.
    pub(crate) fn adopt(&mut self, buffer: AlignedBuf, frame: &Range<usize>) {
        let (mut bytes, start) = buffer.into_parts();
        bytes.truncate(start + frame.end);
        let chunk = Chunk {
            start: self.end(),
            bytes,
            from: start + frame.start,
        };
        self.chunks.push(chunk);
    }

    /// Chunks grow with the segment, so that a small store stays small.
    fn chunk_for(&self, frame_bytes: usize) -> Vec<u8> {
        let wanted = (self.end() as usize).max(frame_bytes);
        let is_full_size = wanted >= BUFFER_BYTES / 2 && frame_bytes <= BUFFER_BYTES;
        match self.buffers.as_ref().filter(|_| is_full_size) {
            Some(buffers) => buffers.take(),
            None => {
                let grown = wanted.clamp(FIRST_CHUNK_BYTES, BUFFER_BYTES);
                Vec::with_capacity(grown.max(frame_bytes))
            }
        }
    }

    /// The bytes from an offset to the end of its chunk, which is at least the end of its frame.
    pub(crate) fn from(&self, offset: u32) -> Option<&[u8]> {
        let after = self.chunks.partition_point(|chunk| chunk.start <= offset);
        let chunk = self.chunks.get(after.checked_sub(1)?)?;
        chunk
            .bytes
            .get(chunk.from + (offset - chunk.start) as usize..)
    }

    /// Bytes in memory.
    pub(crate) fn capacity(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let Some(buffers) = &self.buffers else { return };
        for chunk in self.chunks.drain(..) {
            buffers.give(chunk.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Image;
    use crate::buffers::{BUFFER_BYTES, Buffers, WORTH_BYTES};
    use factum_io::buffer::AlignedBuf;
    use std::sync::Arc;

    #[test]
    fn frames_are_found_whole() {
        let buffers = Arc::new(Buffers::new(u64::MAX));
        let mut kept = Image::default();
        kept.keep_in(buffers);
        for mut image in [Image::default(), kept] {
            let frames: Vec<Vec<u8>> = (0..200usize)
                .map(|n| vec![u8::try_from(n).unwrap(); 64 * (1 + n * 7)])
                .collect();
            let add = |frame: &Vec<u8>| {
                let offset = image.end();
                image.push(frame);
                offset
            };
            let offsets: Vec<u32> = frames.iter().map(add).collect();
            for (frame, offset) in frames.iter().zip(offsets) {
                let found = image.from(offset).unwrap();
                assert_eq!(&found[..frame.len()], frame.as_slice());
            }
            assert!(image.from(u32::MAX).is_none());
        }
    }

    #[test]
    fn a_frame_is_kept_in_its_buffer_and_the_buffer_is_used_again() {
        let buffers = Arc::new(Buffers::new(u64::MAX));
        let mut image = Image::default();
        image.keep_in(Arc::clone(&buffers));
        image.push(&[1; 64]);
        let mut raw = AlignedBuf::begin(buffers.take());
        let address = raw.as_ptr();
        let (start, frame) = (raw.len(), 64..WORTH_BYTES);
        raw.resize(start + frame.end, 2);
        raw.resize(start + frame.end + 4_000, 0);
        image.adopt(AlignedBuf::from_vec(raw, start), &frame);
        let after = image.end();
        image.push(&[3; 128]);
        assert_eq!(&image.from(0).unwrap()[..64], [1; 64]);
        assert_eq!(after as usize, 64 + frame.len());
        assert!(
            image.from(64).unwrap()[..frame.len()]
                .iter()
                .all(|b| *b == 2)
        );
        assert_eq!(&image.from(after).unwrap()[..128], [3; 128]);
        drop(image);
        let again = buffers.take();
        assert_eq!(again.as_ptr(), address);
        assert!(again.is_empty() && again.capacity() >= BUFFER_BYTES);
    }
}
