//! How a store is opened.

use std::path::{Path, PathBuf};

use crate::core::QueueLimits;

/// How a store is opened.
///
/// ```
/// use factum_engine::Options;
/// let options = Options::new("factum-data").create(false).read_only(true);
/// assert_eq!(options.directory(), std::path::Path::new("factum-data"));
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) directory: PathBuf,
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) accept_loss: bool,
    pub(crate) accept_lost_tails: bool,
    pub(crate) segment_bytes: u64,
    pub(crate) id_window: usize,
    pub(crate) streams_in_memory: usize,
    pub(crate) index_cache_bytes: u64,
    pub(crate) block_cache_bytes: u64,
    pub(crate) queue: QueueLimits,
}

impl Options {
    /// The smallest segment, in bytes. Appends are limited to what fits into a segment.
    pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;
    /// The largest segment, in bytes.
    pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
    /// The size of a segment unless told otherwise, in bytes.
    pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;

    /// The store in this directory, made if it does not exist.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            create: true,
            read_only: false,
            accept_loss: false,
            accept_lost_tails: false,
            segment_bytes: Self::SEGMENT_BYTES_DEFAULT,
            id_window: 1 << 16,
            streams_in_memory: 1 << 20,
            index_cache_bytes: 512 << 20,
            block_cache_bytes: 0,
            queue: QueueLimits {
                requests: 1 << 16,
                bytes: 256 << 20,
            },
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the store is made if it does not exist. Default: yes.
    #[must_use]
    pub const fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Whether nothing is written, not even a repair. Such a store takes no lock: it shows what was durable when it was opened,
    /// also while another process writes. Default: no.
    #[must_use]
    pub const fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Whether a loss that recovery finds is accepted, so that the store can be written again. What was lost is recorded in the stream
    /// `$system-integrity`. Default: no.
    #[must_use]
    pub const fn accept_loss(mut self, accept: bool) -> Self {
        self.accept_loss = accept;
        self
    }

    /// Whether a stream goes on behind the last of its events that is left, although later ones may have been lost. An append that cannot
    /// be told from this case is otherwise refused as [`Kind::Corrupt`](factum_store::Kind::Corrupt), because revisions that somebody was
    /// shown would mean other events. The last resort where no backup helps; it holds while the store is open, and is asked for anew each
    /// time. Default: no.
    #[must_use]
    pub const fn accept_lost_tails(mut self, accept: bool) -> Self {
        self.accept_lost_tails = accept;
        self
    }

    /// The size of new segments, in bytes; brought within the limits and to whole pages. An existing store keeps its own.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        let bytes = bytes.clamp(Self::SEGMENT_BYTES_MIN, Self::SEGMENT_BYTES_MAX);
        self.segment_bytes = bytes.next_multiple_of(4096);
        self
    }

    /// For how many of the last events a repetition without an exact expectation is recognised, at least. Default: 65,536; up to 32 bytes each.
    /// When the store is opened, so many of its last events are read to fill the window.
    #[must_use]
    pub const fn id_window(mut self, events: usize) -> Self {
        self.id_window = events;
        self
    }

    /// How many streams' tails are kept in memory; others are looked up when written again. Default: 1,048,576; about 80 bytes each.
    #[must_use]
    pub const fn streams_in_memory(mut self, streams: usize) -> Self {
        self.streams_in_memory = streams;
        self
    }

    /// How many bytes of indexes of sealed segments are kept in memory. Default: 512 MiB.
    #[must_use]
    pub const fn index_cache_bytes(mut self, bytes: u64) -> Self {
        self.index_cache_bytes = bytes;
        self
    }

    /// How many bytes of sealed segments are kept in the store's own memory, in blocks of 4 KiB, for reads of few events that do not lie together:
    /// of single streams above all. Such a read then need not ask the system for bytes that it has in its page cache. It is worth its memory where the
    /// streams that are read again and again fit into it; it helps nothing where all are read as often as any. Less than 2 MiB is none.
    /// It is taken from the system as it is used; more than the system gives is refused when the store is opened. Default: 0.
    #[must_use]
    pub const fn block_cache_bytes(mut self, bytes: u64) -> Self {
        self.block_cache_bytes = bytes;
        self
    }

    /// How many appends, and how many bytes of them, may wait at once; more are answered
    /// [`Kind::Unavailable`](factum_store::Kind::Unavailable). Default: 65,536 and 256 MiB.
    #[must_use]
    pub const fn queue(mut self, requests: usize, bytes: usize) -> Self {
        self.queue = QueueLimits { requests, bytes };
        self
    }
}
