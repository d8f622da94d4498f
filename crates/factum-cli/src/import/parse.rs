//! The first half of an import: lines become events, and events become chunks.

use std::io::Read;
use std::sync::mpsc::SyncSender;

use factum_json::Wrong;
use factum_json::cloud::bring::{self, Names};
use factum_types::{EventType, NameError, NewEvent, StreamName, Timestamp};

use super::lines::{Lines, Next};
use super::seen::{ContentHasher, KeyedMap};
use super::{BATCH_BYTES, IDS_MAX, Invalid, LINE_BYTES_MAX, Settings};
use crate::failure::Failure;
use crate::files::without_mark;

/// Event types are few; more than this are not shared.
const TYPES_MAX: usize = 65_536;

/// An event and where it comes from.
#[derive(Debug)]
pub(super) struct Item {
    /// Its line, from 1.
    pub(super) line: u64,
    /// The number of its stream, in the order in which streams came.
    pub(super) stream: usize,
    /// The hash of what it says.
    pub(super) content: u64,
    /// The event.
    pub(super) event: NewEvent,
}

/// Events on their way.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Events in the order of their lines.
    pub(super) items: Vec<Item>,
    /// Streams that came for the first time; their numbers go on from those before.
    pub(super) streams: Vec<StreamName>,
    /// Lines that repeat an earlier one.
    pub(super) repeated: u64,
    /// What was wrong with lines that were passed over.
    pub(super) wrong: Vec<String>,
    /// Set in the last chunk if the file could not be read to its end.
    pub(super) failure: Option<Failure>,
}

/// The first half of an import.
pub(super) struct Parser {
    name: String,
    settings: Settings,
    hasher: ContentHasher,
    names: Shared,
    ids: KeyedMap<u128, Earlier>,
    last_time: Option<(Timestamp, u64)>,
    chunk: Chunk,
    chunk_bytes: usize,
}

/// An earlier line.
struct Earlier {
    line: u64,
    stream: usize,
    content: u64,
}

/// Names that came before are shared.
#[derive(Default)]
struct Shared {
    streams: KeyedMap<Box<str>, usize>,
    types: KeyedMap<String, EventType>,
    new_streams: Vec<StreamName>,
}

impl Names for Shared {
    type Stream = usize;

    fn stream(&mut self, name: &str) -> Result<usize, String> {
        if let Some(number) = self.streams.get(name) {
            return Ok(*number);
        }
        let stream = StreamName::new(name).map_err(|error| error.to_string())?;
        let number = self.streams.len();
        self.streams.insert(Box::from(name), number);
        self.new_streams.push(stream);
        Ok(number)
    }

    fn event_type(&mut self, name: &str) -> Result<EventType, NameError> {
        if let Some(event_type) = self.types.get(name) {
            return Ok(event_type.clone());
        }
        let event_type = EventType::new(name)?;
        if self.types.len() < TYPES_MAX {
            self.types.insert(name.to_owned(), event_type.clone());
        }
        Ok(event_type)
    }
}

impl Parser {
    /// A parser for the file `name`.
    pub(super) fn new(name: String, settings: Settings, hasher: ContentHasher) -> Self {
        Self {
            name,
            settings,
            hasher,
            names: Shared::default(),
            ids: KeyedMap::new(),
            last_time: None,
            chunk: Chunk::default(),
            chunk_bytes: 0,
        }
    }

    /// Reads to the end, or to the first failure; ends early when nobody takes the chunks any more.
    pub(super) fn run(mut self, reader: impl Read, chunks: &SyncSender<Chunk>) {
        let mut lines = Lines::new(reader, LINE_BYTES_MAX);
        let mut line = Vec::new();
        let mut scratch = Vec::new();
        let mut number = 0;
        loop {
            let next = match lines.next(&mut line) {
                Ok(Next::End) => break,
                Ok(next) => next,
                Err(error) => {
                    self.chunk.failure = Some(self.unreadable(number, &error));
                    break;
                }
            };
            number += 1;
            let outcome = match next {
                Next::TooLong => Err(too_long()),
                _ => self.line(number, &line, &mut scratch),
            };
            if let Err(wrong) = outcome
                && let Some(failure) = self.wrong(number, &wrong)
            {
                self.chunk.failure = Some(failure);
                break;
            }
            if self.is_full() && !self.send(chunks) {
                return;
            }
        }
        self.send(chunks);
    }

    fn line(&mut self, number: u64, line: &[u8], scratch: &mut Vec<u8>) -> Result<(), Wrong> {
        let line = if number == 1 {
            without_mark(line)
        } else {
            line
        };
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let (stream, event) = bring::event(line, &mut self.names, self.settings.time_of, scratch)?;
        let content = self
            .hasher
            .hash(&event.event_type, event.content_type, &event.data);
        let id = event.id.as_u128();
        if let Some(earlier) = self.ids.get(&id) {
            if (earlier.stream, earlier.content) == (stream, content) {
                self.chunk.repeated += 1;
                return Ok(());
            }
            let message = format!(
                "event {} is on line {} too, with other content",
                event.id, earlier.line
            );
            return Err(message.into());
        }
        self.check_time(number, event.time)?;
        if self.ids.len() < IDS_MAX {
            self.ids.insert(
                id,
                Earlier {
                    line: number,
                    stream,
                    content,
                },
            );
        }
        self.chunk_bytes += event.byte_len();
        self.chunk.items.push(Item {
            line: number,
            stream,
            content,
            event,
        });
        Ok(())
    }

    fn check_time(&mut self, number: u64, time: Option<Timestamp>) -> Result<(), Wrong> {
        let Some(time) = time else { return Ok(()) };
        if let Some((last, line)) = self.last_time
            && time < last
        {
            let message = format!(
                "its time is before that of line {line}, but with --preserve-time times must not go backwards"
            );
            return Err(message.into());
        }
        self.last_time = Some((time, number));
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.chunk.items.len() >= self.settings.batch_events || self.chunk_bytes >= BATCH_BYTES
    }

    fn send(&mut self, chunks: &SyncSender<Chunk>) -> bool {
        let mut chunk = std::mem::take(&mut self.chunk);
        self.chunk.items.reserve(chunk.items.len());
        self.chunk_bytes = 0;
        chunk.streams = std::mem::take(&mut self.names.new_streams);
        chunks.send(chunk).is_ok()
    }

    /// Remembers that a line is wrong; a failure if that ends the import.
    fn wrong(&mut self, number: u64, wrong: &Wrong) -> Option<Failure> {
        let column = wrong
            .column
            .map_or_else(String::new, |column| format!(":{column}"));
        let message = format!("{}:{number}{column}: {wrong}", self.name);
        if self.settings.invalid == Invalid::Skip {
            self.chunk.wrong.push(message);
            return None;
        }
        Some(Failure::error(message).hint(
            "all lines before it are in the store; mend the line and import again, or add --skip-invalid",
        ))
    }

    fn unreadable(&self, number: u64, error: &std::io::Error) -> Failure {
        let what = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the compressed data ends too early".to_owned(),
            _ => error.to_string(),
        };
        Failure::error(format!("cannot read {} after line {number}: {what}", self.name)).hint(
            "all lines before it are in the store; with a whole file, import again: nothing is added twice",
        )
    }
}

fn too_long() -> Wrong {
    Wrong {
        column: None,
        message: format!("the line is longer than the limit of {LINE_BYTES_MAX} bytes"),
    }
}
