//! Metadata streams: `$$s` holds, as JSON, what `s` keeps and who may do what with it.

use std::fmt;
use std::time::Duration;

use factum_store::{
    AppendBatch, Change, EventStore, Kind, Receipt, StoreError, StreamInfo, StreamState,
    StreamWrite,
};
use factum_types::{
    EventId, EventType, ExpectedRevision, NewEvent, Revision, StreamName, StreamSettings,
};
use serde_json::{Map, Value};

use super::{Last, last_event};

/// The type of the events that count in a metadata stream.
const METADATA_TYPE: &str = "$metadata";
/// What `$tb` says of a stream that was deleted.
const DELETED: u64 = i64::MAX as u64;
const PREFIX: &str = "$$";
const MAX_COUNT: &str = "$maxCount";
const MAX_AGE: &str = "$maxAge";
const TRUNCATE_BEFORE: &str = "$tb";

/// Metadata of a stream, with everything in it that is not ours.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Document(Map<String, Value>);

/// What metadata says that a stream keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Kept {
    pub(crate) settings: StreamSettings,
    pub(crate) deleted: bool,
}

/// The stream that a metadata stream is about, `None` when it is no metadata stream.
pub(crate) fn subject(stream: &StreamName) -> Option<StreamName> {
    StreamName::new(stream.as_str().strip_prefix(PREFIX)?).ok()
}

/// Whether a stream is metadata of a stream that was closed for ever, and so is closed with it. Where that cannot be found out it is not.
pub(crate) async fn is_closed(store: &dyn EventStore, stream: &StreamName) -> bool {
    let Some(subject) = subject(stream) else {
        return false;
    };
    let info = store.stream_info(subject).await;
    info.is_ok_and(|info| info.state == StreamState::Tombstoned)
}

/// Refuses a stream of which that is so.
///
/// # Errors
/// [`Kind::Deleted`]
pub(crate) async fn must_be_open(
    store: &dyn EventStore,
    stream: &StreamName,
) -> Result<(), StoreError> {
    if !is_closed(store, stream).await {
        return Ok(());
    }
    let text = format!("the stream that {stream} is about was closed for ever");
    Err(StoreError::new(Kind::Deleted, text))
}

/// What has to be done before a stream is read, if it is a metadata stream: its end comes to say what is in force.
///
/// # Errors
/// As [`must_be_open`].
pub(crate) async fn before_read(
    store: &dyn EventStore,
    stream: &StreamName,
    id: EventId,
) -> Result<(), StoreError> {
    if let Some(subject) = subject(stream) {
        settle(store, &subject, stream, id).await;
    }
    must_be_open(store, stream).await
}

/// The metadata stream of a stream.
///
/// # Errors
/// [`Kind::Invalid`]: its name would be too long.
pub(crate) fn stream_of(stream: &StreamName) -> Result<StreamName, StoreError> {
    StreamName::new(format!("{PREFIX}{stream}"))
        .map_err(|error| StoreError::invalid(error.to_string()))
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_not_written| fmt::Error)?)
    }
}

impl Document {
    /// Metadata from its JSON.
    ///
    /// # Errors
    /// [`Kind::Invalid`]: it is no JSON object, or a value that the protocol knows has another type than it should.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, StoreError> {
        let wrong = |what: String| StoreError::invalid(format!("the metadata of a stream {what}"));
        let object: Map<String, Value> = serde_json::from_slice(data)
            .map_err(|error| wrong(format!("is no JSON object: {error}")))?;
        for key in [MAX_COUNT, MAX_AGE, TRUNCATE_BEFORE] {
            if let Some(value) = object.get(key)
                && !value.is_null()
                && value.as_u64().is_none()
            {
                return Err(wrong(format!(
                    "has {value} as {key}, which is no number from 0 on"
                )));
            }
        }
        Ok(Self(object))
    }

    /// What it says that the stream keeps.
    pub(crate) fn kept(&self) -> Kept {
        let number = |key| self.0.get(key).and_then(Value::as_u64);
        let truncate_before = number(TRUNCATE_BEFORE);
        let deleted = truncate_before == Some(DELETED);
        Kept {
            settings: StreamSettings {
                max_count: number(MAX_COUNT),
                max_age: number(MAX_AGE).map(Duration::from_secs),
                truncate_before: truncate_before
                    .filter(|from| !deleted && *from > 0)
                    .map(Revision::new),
            },
            deleted,
        }
    }

    /// The same, saying that the stream was deleted.
    pub(crate) fn deleting(mut self) -> Self {
        self.set(TRUNCATE_BEFORE, Some(DELETED));
        self
    }

    /// The same, saying what is in force.
    fn keeping(mut self, kept: Kept) -> Self {
        let settings = kept.settings;
        self.set(MAX_COUNT, settings.max_count);
        self.set(MAX_AGE, settings.max_age.map(|age| age.as_secs()));
        let from = settings.truncate_before.map(Revision::number);
        self.set(
            TRUNCATE_BEFORE,
            if kept.deleted { Some(DELETED) } else { from },
        );
        self
    }

    fn set(&mut self, key: &str, value: Option<u64>) {
        match value {
            Some(value) => drop(self.0.insert(key.to_owned(), value.into())),
            None => drop(self.0.remove(key)),
        }
    }

    /// The event that says it.
    pub(crate) fn event(&self, id: EventId) -> Result<NewEvent, StoreError> {
        let data =
            serde_json::to_vec(&self.0).map_err(|error| StoreError::invalid(error.to_string()))?;
        let event_type = EventType::new(METADATA_TYPE)
            .map_err(|error| StoreError::invalid(error.to_string()))?;
        Ok(NewEvent::json(id, event_type, data))
    }
}

/// The last metadata of a stream, and the revision it stands at in the metadata stream `$$s`.
///
/// # Errors
/// As for a read; [`Kind::Invalid`] when it is no metadata.
pub(crate) async fn last(
    store: &dyn EventStore,
    metadata_stream: &StreamName,
) -> Result<Option<(Revision, Document)>, StoreError> {
    match last_event(store, metadata_stream.clone()).await? {
        Last::Event(event) => Ok(Some((event.revision, Document::parse(&event.data)?))),
        Last::Missing => Ok(None),
        Last::Closed => {
            let text = format!("stream {metadata_stream} was closed for ever");
            Err(StoreError::new(Kind::Deleted, text))
        }
    }
}

/// What has to be written besides `events` for `$$s` so that they are in force.
///
/// # Errors
/// As for a read; [`Kind::Invalid`] when the last event is no metadata.
pub(crate) async fn besides(
    store: &dyn EventStore,
    subject: StreamName,
    events: &[NewEvent],
) -> Result<Vec<StreamWrite>, StoreError> {
    // Whatever its type: whoever reads metadata reads the last event.
    let Some(event) = events.last() else {
        return Ok(Vec::new());
    };
    changes(store, &subject, Document::parse(&event.data)?.kept()).await
}

/// Appends to the metadata stream of `subject`, and puts what the last event says in force, together.
///
/// # Errors
/// As for an append; [`Kind::Invalid`] when the last event is no metadata.
pub(crate) async fn write(
    store: &dyn EventStore,
    subject: StreamName,
    stream: StreamName,
    expected: ExpectedRevision,
    events: Vec<NewEvent>,
) -> Result<Receipt, StoreError> {
    let besides = besides(store, subject, &events).await?;
    let mut batch = AppendBatch::events(stream, expected, events);
    batch.writes.extend(besides);
    store.append(batch).await
}

/// What has to be done to a stream for its metadata to be in force.
async fn changes(
    store: &dyn EventStore,
    subject: &StreamName,
    kept: Kept,
) -> Result<Vec<StreamWrite>, StoreError> {
    let change = |change| StreamWrite {
        stream: subject.clone(),
        expected: ExpectedRevision::Any,
        change,
    };
    let mut changes = vec![change(Change::Settings(kept.settings))];
    if kept.deleted && store.stream_info(subject.clone()).await?.state == StreamState::Live {
        changes.push(change(Change::Delete));
    }
    Ok(changes)
}

/// Sees to it that the end of a metadata stream says what is in force, before it is read.
///
/// Where that cannot be found out or written, reading goes on with what is there.
async fn settle(store: &dyn EventStore, subject: &StreamName, stream: &StreamName, id: EventId) {
    if let Err(error) = try_to_settle(store, subject, stream, id).await
        && error.kind() != Kind::Conflict
    {
        tracing::debug!(%error, %stream, "what is in force was not written down");
    }
}

async fn try_to_settle(
    store: &dyn EventStore,
    subject: &StreamName,
    stream: &StreamName,
    id: EventId,
) -> Result<(), StoreError> {
    // First what is said, then what is so: whoever changes both meanwhile moves the stream, and the append conflicts.
    let last = last(store, stream).await?;
    let info = store.stream_info(subject.clone()).await?;
    if info.state == StreamState::Tombstoned {
        return Ok(());
    }
    let in_force = in_force(&info);
    let said = last
        .as_ref()
        .map_or_else(Kept::default, |(_, document)| document.kept());
    if in_force == said {
        return Ok(());
    }
    let (expected, document) = match last {
        Some((revision, document)) => (ExpectedRevision::Exactly(revision), document),
        None => (ExpectedRevision::NoStream, Document::default()),
    };
    let event = document.keeping(in_force).event(id)?;
    let batch = AppendBatch::events(stream.clone(), expected, vec![event]);
    store.append(batch).await.map(drop)
}

/// What a stream keeps, as far as metadata has words for it: whole seconds.
fn in_force(info: &StreamInfo) -> Kept {
    let settings = info.settings;
    let deleted = info.state == StreamState::Deleted;
    Kept {
        settings: StreamSettings {
            max_age: settings
                .max_age
                .map(|age| Duration::from_secs(age.as_secs())),
            truncate_before: settings
                .truncate_before
                .filter(|from| !deleted && from.number() > 0),
            ..settings
        },
        deleted,
    }
}

#[cfg(test)]
mod tests {
    use super::{Document, Kept, last, settle, stream_of, subject, write};
    use factum_store::{AppendBatch, Change, EventStore, MemoryStore, StreamState};
    use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};

    fn name(text: &str) -> StreamName {
        StreamName::new(text).unwrap()
    }

    fn event(id: u8) -> NewEvent {
        NewEvent::json(
            EventId::from_bytes([id; 16]),
            EventType::new("Happened").unwrap(),
            "{}",
        )
    }

    async fn set(store: &MemoryStore, id: u8, json: &str) {
        let metadata = Document::parse(json.as_bytes())
            .unwrap()
            .event(EventId::from_bytes([id; 16]))
            .unwrap();
        write(
            store,
            name("s"),
            name("$$s"),
            ExpectedRevision::Any,
            vec![metadata],
        )
        .await
        .unwrap();
    }

    async fn said(store: &MemoryStore) -> Kept {
        settle(
            store,
            &name("s"),
            &name("$$s"),
            EventId::from_bytes([99; 16]),
        )
        .await;
        last(store, &name("$$s"))
            .await
            .unwrap()
            .map(|(_, document)| document.kept())
            .unwrap_or_default()
    }

    #[test]
    fn names_lead_both_ways() {
        assert_eq!(subject(&name("$$order-1")), Some(name("order-1")));
        assert_eq!(subject(&name("order-1")), None);
        assert_eq!(subject(&name("$$")), None);
        assert_eq!(stream_of(&name("order-1")).unwrap(), name("$$order-1"));
    }

    #[test]
    fn what_is_no_metadata_is_refused() {
        for wrong in [
            "",
            "[]",
            "{",
            r#"{"$maxCount":-1}"#,
            r#"{"$tb":"x"}"#,
            r#"{"$maxAge":1.5}"#,
        ] {
            assert!(Document::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Document::parse(br#"{"$maxCount":null,"mine":[1]}"#).is_ok());
    }

    #[test]
    fn metadata_is_in_force_when_written() {
        pollster::block_on(async {
            let store = MemoryStore::new();
            store
                .append(AppendBatch::events(
                    name("s"),
                    ExpectedRevision::Any,
                    vec![event(1), event(2)],
                ))
                .await
                .unwrap();
            set(&store, 10, r#"{"$maxCount":1,"mine":"kept"}"#).await;
            let info = store.stream_info(name("s")).await.unwrap();
            assert_eq!(info.settings.max_count, Some(1));
            set(&store, 11, r#"{"$tb":9223372036854775807}"#).await;
            let info = store.stream_info(name("s")).await.unwrap();
            assert_eq!(info.state, StreamState::Deleted);
        });
    }

    #[test]
    fn a_stream_that_lives_again_is_not_said_to_be_deleted() {
        pollster::block_on(async {
            let store = MemoryStore::new();
            let append =
                |id| AppendBatch::events(name("s"), ExpectedRevision::Any, vec![event(id)]);
            store.append(append(1)).await.unwrap();
            assert_eq!(said(&store).await, Kept::default());
            store
                .append(AppendBatch::change(
                    name("s"),
                    ExpectedRevision::Any,
                    Change::Delete,
                ))
                .await
                .unwrap();
            assert!(said(&store).await.deleted);
            store.append(append(2)).await.unwrap();
            let kept = said(&store).await;
            assert!(!kept.deleted);
            assert_eq!(
                kept.settings
                    .truncate_before
                    .map(factum_types::Revision::number),
                Some(1)
            );
        });
    }
}
