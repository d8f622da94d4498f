//! An event while it changes.

use std::sync::Arc;

use factum_types::{
    Bytes, ContentType, EventId, EventType, Metadata, NewEvent, RecordedEvent, StreamName, Tag,
    Timestamp,
};
use serde_json::Value;

use crate::error::Error;

/// An event while it changes. A clone is a second event made of the same one.
///
/// ```
/// # use factum_framework::transform::Draft;
/// /// One event for each item.
/// fn per_item(event: Draft) -> Result<Vec<Draft>, factum_framework::Error> {
///     let mut event = event;
///     let items = event.data()?["items"].as_array().cloned().unwrap_or_default();
///     let made = items.into_iter().map(|item| {
///         let mut made = event.clone();
///         made.rename("ItemAdded")?;
///         made.set_data(item);
///         Ok(made)
///     });
///     made.collect()
/// }
/// # let _: fn(Draft) -> _ = per_item;
/// ```
#[derive(Debug, Clone)]
pub struct Draft {
    source: Arc<RecordedEvent>,
    stream: StreamName,
    name: EventType,
    version: u32,
    /// What it is found by.
    pub tags: Vec<Tag>,
    /// Who, why, caused by what.
    pub metadata: Metadata,
    parsed: Option<Value>,
    changed: bool,
}

impl Draft {
    /// The event as it was recorded.
    #[must_use]
    pub fn new(event: RecordedEvent) -> Self {
        Self {
            stream: event.stream.clone(),
            name: event.event_type.clone(),
            version: event.schema_version,
            tags: event.tags.clone(),
            metadata: event.metadata.clone(),
            source: Arc::new(event),
            parsed: None,
            changed: false,
        }
    }

    /// The event that it was made of.
    #[must_use]
    pub fn source(&self) -> &RecordedEvent {
        &self.source
    }

    /// Its type.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Its stream.
    #[must_use]
    pub fn stream(&self) -> &str {
        self.stream.as_str()
    }

    /// Which version of the shape its data have.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Gives it another type.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): the name cannot be a type.
    pub fn rename(&mut self, name: impl AsRef<str>) -> Result<(), Error> {
        self.name = EventType::new(name)?;
        Ok(())
    }

    /// Says which version of the shape its data have now.
    pub const fn set_version(&mut self, version: u32) {
        self.version = version;
    }

    /// Puts it into another stream.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): the name cannot be a stream.
    pub fn move_to(&mut self, stream: impl AsRef<str>) -> Result<(), Error> {
        self.stream = StreamName::new(stream)?;
        Ok(())
    }

    /// Its data.
    ///
    /// # Errors
    /// [`Kind::Decode`](crate::Kind::Decode): they are not JSON.
    pub fn data(&mut self) -> Result<&Value, Error> {
        self.parse().map(|data| &*data)
    }

    /// Its data, to be changed. They are then written anew: the members of objects in the order of the alphabet.
    ///
    /// # Errors
    /// [`Kind::Decode`](crate::Kind::Decode): they are not JSON.
    pub fn data_mut(&mut self) -> Result<&mut Value, Error> {
        self.parse()?;
        self.changed = true;
        self.parse()
    }

    /// Gives it other data.
    pub fn set_data(&mut self, data: Value) {
        (self.parsed, self.changed) = (Some(data), true);
    }

    fn parse(&mut self) -> Result<&mut Value, Error> {
        let parsed = match self.parsed.take() {
            Some(parsed) => parsed,
            None if self.source.content_type == ContentType::Json => crate::codec::decode(
                self.source.event_type.as_str(),
                self.source.schema_version,
                &self.source.data,
            )?,
            None => return Err(Error::decode("the data of the event are not JSON")),
        };
        Ok(self.parsed.insert(parsed))
    }

    #[cfg(feature = "files")]
    pub(super) fn set_name(&mut self, name: &EventType) {
        self.name = name.clone();
    }

    /// The stream and the event to be written; `part` is its place when the source became several.
    pub(super) fn finish(
        self,
        id: Identity,
        part: usize,
        time: Option<Timestamp>,
    ) -> Result<(StreamName, NewEvent), Error> {
        let source = &self.source;
        let id = match id {
            Identity::Kept => source.id,
            Identity::Derived => derived(source.id, part, &self.stream),
        };
        let (data, content_type) = match &self.parsed {
            Some(parsed) if self.changed => {
                let data = crate::codec::encode(parsed)?;
                (Bytes::from(data), ContentType::Json)
            }
            _ => (source.data.clone(), source.content_type),
        };
        let event = NewEvent {
            id,
            event_type: self.name,
            data,
            content_type,
            schema_version: self.version,
            tags: self.tags,
            metadata: self.metadata,
            personal: if part == 0 {
                source.personal.clone()
            } else {
                Bytes::new()
            },
            time,
        };
        if let Some((what, size, limit)) = event.over_limit() {
            let what = format!("{what} would be {size}, more than the limit of {limit}");
            return Err(Error::invalid(what));
        }
        Ok((self.stream, event))
    }
}

/// Which id a result has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// That of its source.
    Kept,
    /// Made from that of its source.
    Derived,
}

fn derived(source: EventId, part: usize, stream: &StreamName) -> EventId {
    let (source, part) = (source.to_string(), part.to_string());
    crate::env::derive_id(&["transform", &source, &part, stream.as_str()])
}
