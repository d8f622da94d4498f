//! The bytes of a segment's frames in memory, one after the other.
//!
//! Frames are copied into chunks that never move, each frame whole in one chunk, and are addressed by one running offset.
//! Never: keeps the padding that separates frames in the file.

use crate::number::to_u32;

const CHUNK_BYTES: usize = 1 << 20;
const FIRST_CHUNK_BYTES: usize = 16 << 10;

/// The bytes of a segment's frames.
#[derive(Debug, Default)]
pub(crate) struct Image {
    chunks: Vec<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    start: u32,
    bytes: Vec<u8>,
}

impl Image {
    /// Adds a frame; returns the offset of its first byte.
    pub(crate) fn push(&mut self, frame: &[u8]) -> u32 {
        let fits = self
            .chunks
            .last()
            .is_some_and(|chunk| chunk.bytes.capacity() - chunk.bytes.len() >= frame.len());
        if !fits {
            let start = self
                .chunks
                .last()
                .map_or(0, |last| last.start + to_u32(last.bytes.len()));
            // Chunks grow with the segment, so that a small store stays small.
            let capacity = (start as usize)
                .clamp(FIRST_CHUNK_BYTES, CHUNK_BYTES)
                .max(frame.len());
            self.chunks.push(Chunk {
                start,
                bytes: Vec::with_capacity(capacity),
            });
        }
        let Some(chunk) = self.chunks.last_mut() else {
            unreachable!("a chunk was added above")
        };
        let offset = chunk.start + to_u32(chunk.bytes.len());
        chunk.bytes.extend_from_slice(frame);
        offset
    }

    /// The bytes from an offset to the end of its chunk, which is at least the end of its frame.
    pub(crate) fn from(&self, offset: u32) -> Option<&[u8]> {
        let after = self.chunks.partition_point(|chunk| chunk.start <= offset);
        let chunk = self.chunks.get(after.checked_sub(1)?)?;
        chunk.bytes.get((offset - chunk.start) as usize..)
    }

    /// Bytes in memory.
    pub(crate) fn capacity(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn frames_are_found_whole() {
        let mut image = Image::default();
        let frames: Vec<Vec<u8>> = (0..200usize)
            .map(|n| vec![u8::try_from(n).unwrap(); 64 * (1 + n * 7)])
            .collect();
        let offsets: Vec<u32> = frames.iter().map(|frame| image.push(frame)).collect();
        for (frame, offset) in frames.iter().zip(offsets) {
            let found = image.from(offset).unwrap();
            assert_eq!(&found[..frame.len()], frame.as_slice());
        }
        assert!(image.from(u32::MAX).is_none());
    }
}
