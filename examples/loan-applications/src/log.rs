//! Bringing the log into a store: CloudEvents, one JSON object a line, plain or packed with gzip.
//!
//! What needs a long log, to test or measure with, has it from here too: the real one where it is, or one as long that is made.
//! `factum import` does this for any log, resumably. Here it is small enough to read.
//! Relies on: lines in order of time. Never: appends half a line; what was appended before a bad line stays.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use factum::store::{AppendBatch, StreamWrite};
use factum::types::{EventType, ExpectedRevision, NewEvent};
use factum::{EventId, EventStore, Metadata, StreamName, Timestamp};
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How many events the real log has.
const REAL_EVENTS: usize = 262_200;
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

/// The real log, where it is: beside the project, or where the variable `FACTUM_REAL_EVENTS` says.
#[must_use]
pub fn real() -> Option<PathBuf> {
    let beside = "../../../shared/data/loan-applications.ndjson.gz";
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join(beside);
    let path = std::env::var_os("FACTUM_REAL_EVENTS").map_or(beside, PathBuf::from);
    path.is_file().then_some(path)
}

/// Appends the real log where it is, or else one as long that is made, of other types; says how many events there were.
///
/// # Errors
/// [`LogError`], as [`import`].
pub async fn import_long(store: &dyn EventStore) -> Result<usize, LogError> {
    match real() {
        Some(path) => import(&std::fs::read(path)?, store).await,
        None => import(made().as_bytes(), store).await,
    }
}

/// Applications of 20 events each.
fn made() -> String {
    let line = |number: usize| {
        let (application, step) = (number / 20, number % 20);
        let (day, hour, minute) = (number / 86_400 + 1, number / 3_600 % 24, number / 60 % 60);
        format!(
            "{{\"id\":\"00000000-0000-0000-0000-{:012x}\",\"type\":\"STEP_{step}\",\"subject\":\"loanApplication-{application}\",\
             \"time\":\"2012-03-{day:02}T{hour:02}:{minute:02}:{:02}Z\",\"data\":{{\"step\":{number}}}}}\n",
            number + 1,
            number % 60
        )
    };
    (0..REAL_EVENTS).map(line).collect()
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

#[cfg(test)]
mod tests {
    use super::{REAL_EVENTS, import, made};
    use factum::MemoryStore;

    #[test]
    fn a_made_log_is_as_long_as_the_real_one() {
        let log = made();
        let store = MemoryStore::new();
        let count = pollster::block_on(import(log.as_bytes(), &store));
        assert_eq!(count.unwrap(), REAL_EVENTS);
    }
}
