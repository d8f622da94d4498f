//! The index file of a sealed segment. It can be rebuilt from the segment, so damage costs time and nothing else.
//!
//! | offset | size | field         | meaning                                       |
//! |-------:|-----:|---------------|-----------------------------------------------|
//! |      0 |    8 | magic         | `FACTIDX1`                                    |
//! |      8 |    2 | version       | 1                                             |
//! |     10 |    2 | section count |                                               |
//! |     12 |    4 | header length | 96 + 32 × section count                       |
//! |     16 |   16 | realm         |                                               |
//! |     32 |    8 | segment       |                                               |
//! |     40 |    4 | generation    |                                               |
//! |     44 |    4 | record count  |                                               |
//! |     48 |    8 | base position |                                               |
//! |     56 |    8 | first time    | µs since the Unix epoch                       |
//! |     64 |    8 | last time     | µs since the Unix epoch                       |
//! |     72 |   16 | data hash     | XXH3-128 of the segment file that was indexed |
//! |     88 | 32 n | section table | see [`SectionEntry`]                          |
//! |    end |    8 | checksum      | XXH3-64 of all before                         |
//!
//! The sections follow, back to back. Unknown section types are ignored. The magic, the version, the header length and
//! the checksum at the header's end stay in all versions.
//!
//! Relies on: nothing. Never: answers wrongly from damaged bytes, if the section was verified; allocates by an
//! unchecked length.

mod directory;
mod file;
mod header;
mod losses;
mod names;
mod offsets;
mod posting_list;
mod postings;
#[cfg(test)]
mod tests;

pub use directory::{Candidates, Directory, DirectoryBuilder};
pub use file::{IndexBuilder, IndexFile};
pub use header::{IndexHeader, IndexInfo, IndexSection, SectionEntry};
pub use losses::Losses;
pub use names::{Names, pack_names};
pub use offsets::{Offsets, OffsetsBuilder, OffsetsIter};
pub use posting_list::Ordinals;
pub use postings::{PostingEntry, PostingHead, PostingKind, PostingsBuilder};
