//! Export: events out as CloudEvents lines, into a file that can be continued.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use factum_json::text as json;
use factum_types::Position;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::failure::{Failure, Outcome};
use crate::files::{self, Existing};

const BUFFER_BYTES: usize = 256 << 10;
const BLOCK_BYTES: u64 = 64 << 10;
/// How [`write::event`](factum_json::cloud::write::event) begins a line; a test compares.
const LINE_START: &[u8] = b"{\"specversion\":";

/// Where lines go.
pub(crate) struct Sink {
    writer: Writer,
    /// To make it durable at the end.
    file: Option<File>,
}

enum Writer {
    Plain(BufWriter<Box<dyn Write>>),
    Gzip(Box<GzEncoder<BufWriter<Box<dyn Write>>>>),
}

/// Whether lines are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As they are.
    Plain,
    /// As gzip.
    Gzip,
}

impl Sink {
    /// Standard output.
    pub(crate) fn stdout(packing: Packing) -> Self {
        Self {
            writer: Writer::new(Box::new(io::stdout()), packing),
            file: None,
        }
    }

    /// A new file, or one that is emptied first.
    pub(crate) fn create(path: &Path, existing: Existing, packing: Packing) -> Outcome<Self> {
        let file = files::create(path, existing).map_err(|error| failed(path, &error))?;
        Self::of(file, packing).map_err(|error| failed(path, &error))
    }

    /// A file that is continued after its last complete line, and the position of the event on that.
    pub(crate) fn resume(path: &Path) -> Outcome<(Self, Option<Position>)> {
        let mut file = files::create(path, Existing::Keep).map_err(|error| failed(path, &error))?;
        let last = last_position(&mut file, path)?;
        let sink = Self::of(file, Packing::Plain).map_err(|error| failed(path, &error))?;
        Ok((sink, last))
    }

    fn of(file: File, packing: Packing) -> io::Result<Self> {
        let handle = file.try_clone()?;
        let is_file = handle.metadata()?.is_file();
        Ok(Self {
            writer: Writer::new(Box::new(file), packing),
            file: is_file.then_some(handle),
        })
    }

    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.writer {
            Writer::Plain(writer) => writer.write_all(bytes),
            Writer::Gzip(writer) => writer.write_all(bytes),
        }
    }

    /// Ends; a file is durable when this returns.
    pub(crate) fn end(self) -> io::Result<()> {
        match self.writer {
            Writer::Plain(mut writer) => writer.flush()?,
            Writer::Gzip(writer) => writer.finish()?.flush()?,
        }
        self.file.map_or(Ok(()), |file| file.sync_all())
    }
}

impl Writer {
    fn new(target: Box<dyn Write>, packing: Packing) -> Self {
        let buffered = BufWriter::with_capacity(BUFFER_BYTES, target);
        match packing {
            Packing::Plain => Self::Plain(buffered),
            Packing::Gzip => Self::Gzip(Box::new(GzEncoder::new(buffered, Compression::default()))),
        }
    }
}

/// Cuts off an incomplete last line and gives the position on the last complete one; the file then stands at its end.
/// A file that is no export is not touched.
fn last_position(file: &mut File, path: &Path) -> Outcome<Option<Position>> {
    let io = |error: io::Error| failed(path, &error);
    let len = file.metadata().map_err(io)?.len();
    let end = line_start(file, len).map_err(io)?;
    let start = line_start(file, end.saturating_sub(1)).map_err(io)?;
    let found = if end == 0 {
        let begun = read_range(file, 0, len.min(LINE_START.len() as u64)).map_err(io)?;
        LINE_START.starts_with(&begun).then_some(None)
    } else {
        let line = read_range(file, start, end).map_err(io)?;
        position_on(&line).map(Some)
    };
    let last = found.ok_or_else(|| {
        Failure::error(format!(
            "the last line of {} is no event of an export",
            path.display()
        ))
        .hint("export to another file, or replace this one with --yes")
    })?;
    file.set_len(end).map_err(io)?;
    file.seek(SeekFrom::Start(end)).map_err(io)?;
    Ok(last)
}

fn read_range(file: &mut File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    Read::take(file, end.saturating_sub(start)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn position_on(line: &[u8]) -> Option<Position> {
    let members = json::members(line).ok()?;
    let (_, value) = members.into_iter().find(|(name, _)| name == "position")?;
    value.get().parse().ok().map(Position::from_raw)
}

/// Where the line that goes on at `end` begins: behind the last line break before.
fn line_start(file: &mut File, end: u64) -> io::Result<u64> {
    let mut to = end;
    while to > 0 {
        let from = to.saturating_sub(BLOCK_BYTES);
        let block = read_range(file, from, to)?;
        if let Some(at) = memchr::memrchr(b'\n', &block) {
            return Ok(from + at as u64 + 1);
        }
        to = from;
    }
    Ok(0)
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return Failure::error(format!("{} is there already", path.display()))
            .hint("--resume continues it, --yes replaces it");
    }
    Failure::io(path.display(), error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use factum_types::Position;

    use super::last_position;
    use crate::files::{Existing, create};

    #[test]
    fn a_file_is_continued_after_its_last_complete_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.ndjson");
        let check = |content: &str, expected: Option<u64>, kept: &str| {
            std::fs::write(&path, content).unwrap();
            let mut file = create(&path, Existing::Keep).unwrap();
            let last = last_position(&mut file, &path).unwrap();
            assert_eq!(last, expected.map(Position::from_raw), "{content:?}");
            file.write_all(b"+").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{kept}+"));
        };
        check("", None, "");
        check("{\"specv", None, "");
        check("{\"specversion\":\"1.0\",\"id\":\"", None, "");
        check("{\"position\":4}\n", Some(4), "{\"position\":4}\n");
        let long = format!("{{\"x\":\"{}\",\"position\":5}}\n", "x".repeat(200_000));
        check(&format!("{long}{{\"position\":6"), Some(5), &long);
        check(
            &format!("{{\"position\":1}}\n{long}"),
            Some(5),
            &format!("{{\"position\":1}}\n{long}"),
        );
    }

    #[test]
    fn a_file_that_is_no_export_is_refused_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("photo");
        for content in [
            "something else\n",
            "photo",
            "{\"specimen\":",
            "a\nb",
            "{}\n{\"specv",
            "\n",
        ] {
            std::fs::write(&path, content).unwrap();
            let mut file = create(&path, Existing::Keep).unwrap();
            assert!(last_position(&mut file, &path).is_err(), "{content:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
    }
}
