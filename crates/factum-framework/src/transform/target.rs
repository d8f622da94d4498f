//! Writing results, each once: what the target holds already is recognised and passed over.
//!
//! Another store is read from its beginning beside the results, and every event in it must be the next result; what is missing behind its
//! end is written. In the store that is read, the streams that are written are known by the ids in them.
//!
//! Memory: per stream a name and a number, and within one store 24 bytes for each event that was there before.

use std::collections::BTreeMap;

use factum_store::{
    AppendBatch, Change, EventStore, EventStream, ReadRequest, StreamState, StreamWrite,
};
use factum_types::{
    Bytes, ContentType, EventId, ExpectedRevision, NewEvent, RecordedEvent, Revision, StreamName,
    limits,
};

use crate::codec::hash;
use crate::error::Error;

/// A batch is sent when it has so many events; each may be a write of its own.
pub(super) const BATCH_EVENTS: usize = limits::BATCH_WRITES_MAX / 2;
/// A batch is sent before it has more bytes than this; the rest up to the store's limit is room for names.
pub(super) const BATCH_BYTES: usize = limits::BATCH_BYTES_MAX / 4 * 3;

/// Where results go.
pub(super) struct Target<'a> {
    store: &'a dyn EventStore,
    there: There,
    streams: BTreeMap<StreamName, Track>,
    batch: Vec<StreamWrite>,
    batch_max: usize,
    /// Whether nothing is written.
    is_dry: bool,
    events: usize,
    bytes: usize,
    /// Results that were written.
    pub(super) added: u64,
    /// Results that were there.
    pub(super) already_there: u64,
}

/// How it is known what is there.
enum There {
    /// The store is ours alone: what it holds, up to its end.
    Whole(EventStream),
    /// The store is ours alone, and what it held has been passed.
    Passed,
    /// By the ids in each stream.
    Streams,
}

/// A stream that is written.
#[derive(Default)]
struct Track {
    next: u64,
    /// The events it held when first seen, and what they say; those that came since are taken out.
    there: BTreeMap<EventId, u64>,
}

impl<'a> Target<'a> {
    /// Another store than the one that is read.
    pub(super) fn other(store: &'a dyn EventStore, batch_max: usize) -> Self {
        Self::new(
            store,
            There::Whole(store.read(ReadRequest::all())),
            batch_max,
        )
    }

    /// The store that is read.
    pub(super) fn same(store: &'a dyn EventStore, batch_max: usize) -> Self {
        Self::new(store, There::Streams, batch_max)
    }

    fn new(store: &'a dyn EventStore, there: There, batch_max: usize) -> Self {
        Self {
            store,
            there,
            streams: BTreeMap::new(),
            batch: Vec::new(),
            batch_max,
            is_dry: false,
            events: 0,
            bytes: 0,
            added: 0,
            already_there: 0,
        }
    }

    /// The same, dry: everything is checked, nothing is written.
    pub(super) fn dry(mut self, is_dry: bool) -> Self {
        self.is_dry = is_dry;
        self
    }

    /// Takes the results of one event; they are written together.
    pub(super) async fn take(&mut self, results: Vec<(StreamName, NewEvent)>) -> Result<(), Error> {
        let size =
            |(stream, event): &(StreamName, NewEvent)| stream.as_str().len() + event.byte_len();
        let bytes = results.iter().map(size).sum::<usize>();
        if self.events + results.len() > self.batch_max || self.bytes + bytes > BATCH_BYTES {
            self.flush().await?;
        }
        let mut missing = Vec::new();
        for (stream, event) in results {
            if self.is_there(&stream, &event).await? {
                self.already_there += 1;
            } else {
                missing.push((stream, event));
            }
        }
        for (stream, event) in missing {
            self.add(stream, event);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Whether the target holds a result; fails when it holds something else in its place.
    async fn is_there(&mut self, stream: &StreamName, event: &NewEvent) -> Result<bool, Error> {
        match &mut self.there {
            There::Passed => return Ok(false),
            There::Whole(events) => {
                let Some(found) = events.next().await else {
                    self.there = There::Passed;
                    return Ok(false);
                };
                let found = found?;
                if found.stream != *stream
                    || found.id != event.id
                    || says(&found) != would_say(event)
                {
                    return Err(made_otherwise(&found));
                }
            }
            There::Streams => {
                if !self.streams.contains_key(stream) {
                    let track = look(self.store, stream).await?;
                    self.streams.insert(stream.clone(), track);
                }
                return self
                    .streams
                    .get_mut(stream)
                    .map_or(Ok(false), |track| track.holds(stream, event));
            }
        }
        self.streams.entry(stream.clone()).or_default().next += 1;
        Ok(true)
    }

    fn add(&mut self, stream: StreamName, event: NewEvent) {
        let track = self.streams.entry(stream.clone()).or_default();
        let expected = match track.next.checked_sub(1) {
            None => ExpectedRevision::NoStream,
            Some(last) => ExpectedRevision::Exactly(Revision::new(last)),
        };
        track.next += 1;
        self.events += 1;
        match self.batch.last_mut() {
            Some(StreamWrite {
                stream: last,
                change: Change::Events(events),
                ..
            }) if *last == stream => events.push(event),
            _ => self
                .batch
                .push(StreamWrite::events(stream, expected, vec![event])),
        }
    }

    /// Writes what waits.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        let events = std::mem::take(&mut self.events);
        if events == 0 {
            return Ok(());
        }
        let batch = AppendBatch {
            writes: std::mem::take(&mut self.batch),
            conditions: Vec::new(),
        };
        if !self.is_dry {
            self.store.append(batch).await?;
        }
        self.added += events as u64;
        Ok(())
    }

    /// Fails when another store holds more than the results.
    pub(super) async fn must_end(&mut self) -> Result<(), Error> {
        if let There::Whole(events) = &mut self.there
            && let Some(more) = events.next().await
        {
            return Err(made_otherwise(&more?));
        }
        Ok(())
    }
}

impl Track {
    /// Whether the stream holds a result already.
    fn holds(&mut self, stream: &StreamName, event: &NewEvent) -> Result<bool, Error> {
        let id = event.id;
        match self.there.remove(&id) {
            Some(says) if says == would_say(event) => Ok(true),
            Some(_) => Err(Error::invalid(format!(
                "stream {stream} holds event {id} with other content: it was made by other steps"
            ))),
            None if self.there.is_empty() => Ok(false),
            None => Err(Error::invalid(format!(
                "stream {stream} goes on with events that do not come here, where {id} does: it was made by other steps, or written by others"
            ))),
        }
    }
}

/// What a store holds of a stream.
async fn look(store: &dyn EventStore, stream: &StreamName) -> Result<Track, Error> {
    let info = store.stream_info(stream.clone()).await?;
    let mut track = Track::default();
    match info.state {
        StreamState::Missing => return Ok(track),
        StreamState::Live => {}
        StreamState::Deleted | StreamState::Tombstoned => {
            let what = format!("stream {stream} was deleted: give the new one another name");
            return Err(Error::invalid(what));
        }
    }
    let mut events = store.read(ReadRequest::stream(stream.clone()));
    while let Some(event) = events.next().await {
        let event = event?;
        if event.revision.number() != track.next {
            let what =
                format!("events of stream {stream} are hidden, so it cannot be told what is there");
            return Err(Error::invalid(what));
        }
        track.next += 1;
        track.there.insert(event.id, says(&event));
    }
    Ok(track)
}

fn made_otherwise(found: &RecordedEvent) -> Error {
    let RecordedEvent {
        position,
        event_type,
        stream,
        ..
    } = found;
    Error::invalid(format!(
        "the target holds something else at position {position} ({event_type} in stream {stream}): it was made by other steps, written by \
others, or what is hidden in the store that is read has changed; begin with an empty target"
    ))
}

fn says(event: &RecordedEvent) -> u64 {
    content(
        event.event_type.as_str(),
        event.schema_version,
        event.content_type,
        &event.data,
    )
}

fn would_say(event: &NewEvent) -> u64 {
    content(
        event.event_type.as_str(),
        event.schema_version,
        event.content_type,
        &event.data,
    )
}

fn content(name: &str, version: u32, content_type: ContentType, data: &Bytes) -> u64 {
    let is_json = u8::from(content_type == ContentType::Json);
    let head = [name.as_bytes(), &version.to_le_bytes(), &[is_json]].concat();
    hash(&head) ^ hash(data).rotate_left(17)
}
