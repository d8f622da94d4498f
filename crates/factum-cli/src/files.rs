//! The user's own files: what is read in and written out beside the store.
//!
//! These may be pipes and terminals, which the positional reads of factum-io cannot serve; the store's files never come through here.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::failure::{Failure, Outcome};

const BUFFER_BYTES: usize = 256 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];

/// A text without the mark that some programs begin a file of UTF-8 with.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}

/// A file or standard input, unpacked if it is gzip.
pub(crate) struct Input {
    /// The bytes, unpacked.
    pub(crate) reader: Box<dyn Read + Send>,
    /// How to name it in messages.
    pub(crate) name: String,
    /// Its length as stored, if it is a regular file.
    pub(crate) len: Option<u64>,
    /// How many bytes of that were read so far.
    pub(crate) done: Arc<AtomicU64>,
}

struct Counted<R> {
    inner: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.done.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Input {
    /// Opens a path, or standard input for `-`; gzip is recognised by its first bytes.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let failed = |error: io::Error| Failure::io(path.display(), &error);
        if path.as_os_str() == "-" {
            return Self::unpacked(io::stdin(), "stdin".to_owned(), None)
                .map_err(|error| Failure::io("stdin", &error));
        }
        let file = open(path).map_err(failed)?;
        let status = file.metadata().map_err(failed)?;
        if status.is_dir() {
            return Err(Failure::error(format!("{} is a directory", path.display())));
        }
        let len = status.is_file().then_some(status.len());
        Self::unpacked(file, path.display().to_string(), len).map_err(failed)
    }

    fn unpacked(
        source: impl Read + Send + 'static,
        name: String,
        len: Option<u64>,
    ) -> io::Result<Self> {
        let done = Arc::new(AtomicU64::new(0));
        let mut source = Counted {
            inner: source,
            done: Arc::clone(&done),
        };
        let mut start = Vec::with_capacity(GZIP_MAGIC.len());
        source
            .by_ref()
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut start)?;
        let is_gzip = start == GZIP_MAGIC;
        let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(start).chain(source));
        let reader: Box<dyn Read + Send> = if is_gzip {
            Box::new(MultiGzDecoder::new(whole))
        } else {
            Box::new(whole)
        };
        Ok(Self {
            reader,
            name,
            len,
            done,
        })
    }
}

/// All of a file, or of standard input for `-`, up to `limit` bytes.
pub(crate) fn read_whole(path: &Path, limit: usize) -> Outcome<Vec<u8>> {
    let failed = |error: io::Error| Failure::io(path.display(), &error);
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(open(path).map_err(failed)?)
    };
    let mut bytes = Vec::new();
    source
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > limit {
        let message = format!(
            "{} is longer than the limit of {limit} bytes",
            path.display()
        );
        return Err(Failure::error(message));
    }
    Ok(bytes)
}

/// Opens a file to read.
#[expect(
    clippy::disallowed_methods,
    reason = "the user's own file, which may be a pipe"
)]
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// How to write a file that may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Fail.
    Refuse,
    /// Empty it first.
    Replace,
    /// Keep what it holds; the caller looks for the end.
    Keep,
}

/// Opens a file to write and read, making it if needed.
#[expect(
    clippy::disallowed_methods,
    reason = "the user's own file, which may be a pipe"
)]
pub(crate) fn create(path: &Path, existing: Existing) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    match existing {
        Existing::Refuse => options.create_new(true),
        Existing::Replace => options.create(true).truncate(true),
        Existing::Keep => options.create(true).truncate(false).read(true),
    };
    options.open(path)
}
