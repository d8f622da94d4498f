//! Bringing the log into a store: CloudEvents, one JSON object a line, plain or packed with gzip.
//!
//! `factum import` does this for any log, resumably. Here it is small enough to read.
//! Relies on: lines in order of time. Never: appends half a line; what was appended before a bad line stays.

use std::io::{BufRead, BufReader, Read};

use factum::store::{AppendBatch, StreamWrite};
use factum::types::{EventType, ExpectedRevision, NewEvent};
use factum::{EventId, EventStore, Metadata, StreamName, Timestamp};
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How many events are appended at once.
const BATCH_EVENTS: usize = 1_024;
/// Longest line, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What is wrong with a log, or with the store that it was to go to.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A line is not an event.
    #[error("line {line} is not an event: {what}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The store did not take it.
    #[error("the events up to line {line} were not all appended: {source}")]
    Store {
        /// The last line that was tried.
        line: usize,
        /// What the store said.
        source: factum::store::StoreError,
    },
}

#[derive(Deserialize)]
struct Line<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: &'a str,
    time: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
    userid: Option<&'a str>,
}

/// Appends all events of a log, with their own ids and times, and says how many there were. The same log again adds nothing.
///
/// # Errors
/// [`LogError`] says which line.
pub async fn import(log: &[u8], store: &dyn EventStore) -> Result<usize, LogError> {
    let mut lines = unpacked(log);
    let (mut text, mut batch, mut count) = (String::new(), AppendBatch::default(), 0);
    loop {
        text.clear();
        let read = lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut text)?;
        if read == 0 {
            break;
        }
        count += 1;
        let (stream, event) = event(&text).map_err(|what| LogError::Line { line: count, what })?;
        let write = StreamWrite::events(stream, ExpectedRevision::Any, vec![event]);
        batch = batch.and(write);
        if count.is_multiple_of(BATCH_EVENTS) {
            append(store, std::mem::take(&mut batch), count).await?;
        }
    }
    if !count.is_multiple_of(BATCH_EVENTS) {
        append(store, batch, count).await?;
    }
    Ok(count)
}

fn unpacked<'a>(log: &'a [u8]) -> Box<dyn BufRead + 'a> {
    if log.starts_with(&GZIP) {
        Box::new(BufReader::new(MultiGzDecoder::new(log)))
    } else {
        Box::new(log)
    }
}

async fn append(store: &dyn EventStore, batch: AppendBatch, line: usize) -> Result<(), LogError> {
    let appended = store.append(batch).await;
    appended
        .map(drop)
        .map_err(|source| LogError::Store { line, source })
}

fn event(text: &str) -> Result<(StreamName, NewEvent), String> {
    let line: Line<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let id: EventId = line
        .id
        .parse()
        .map_err(|error| format!("id {:?}: {error}", line.id))?;
    let event_type = EventType::new(line.event_type).map_err(|error| error.to_string())?;
    let stream = StreamName::new(line.subject).map_err(|error| error.to_string())?;
    let time: jiff::Timestamp = line
        .time
        .parse()
        .map_err(|error| format!("time {:?}: {error}", line.time))?;
    let metadata = Metadata {
        user_id: line.userid.map(str::to_owned),
        ..Metadata::default()
    };
    let mut event = NewEvent::json(id, event_type, line.data.get().to_owned());
    event.time = Some(Timestamp::from_micros(time.as_microsecond()));
    Ok((stream, event.with_metadata(metadata)))
}
