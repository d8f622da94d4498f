//! What an append asks, and what it is answered.

use factum_types::{
    ExpectedRevision, NewEvent, Position, Query, Revision, StreamName, StreamSettings, limits,
};

use crate::error::StoreError;

/// Events for one or more streams, to be appended together or not at all, and what must hold for that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppendBatch {
    /// What to write, in order; at least one, at most [`limits::BATCH_WRITES_MAX`].
    pub writes: Vec<StreamWrite>,
    /// What must hold besides; at most [`limits::BATCH_CONDITIONS_MAX`]. All are judged before the first write.
    pub conditions: Vec<Condition>,
}

/// A change of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamWrite {
    /// The stream.
    pub stream: StreamName,
    /// What must be true of it.
    pub expected: ExpectedRevision,
    /// What happens to it.
    pub change: Change,
}

/// What happens to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// These events are added to its end; at least one.
    Events(Vec<NewEvent>),
    /// Its settings become these; all of them are replaced.
    Settings(StreamSettings),
    /// All its events are hidden. It reads as missing until it is written again; its revisions go on where they were.
    Delete,
    /// It is closed for ever: neither read nor written again. Allowed on a stream that never had an event.
    Tombstone,
}

/// What must hold for an append besides the expectations of its writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// This is true of a stream that the append may not even write to.
    Stream {
        /// The stream.
        stream: StreamName,
        /// What must be true of it.
        expected: ExpectedRevision,
    },
    /// No event that matches the query stands after the position (anywhere, when there is none).
    NoMatch {
        /// Which events would break the decision.
        query: Query,
        /// Up to where the decision was made knowing.
        after: Option<Position>,
    },
}

/// Where an append landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The position of its first record.
    pub first: Position,
    /// The position of its last record. Reading with at least this position sees all of it.
    pub last: Position,
    /// One per write, in the order of the batch.
    pub writes: Vec<StreamReceipt>,
    /// Whether this is the receipt of an earlier append of the same events.
    pub replayed: bool,
}

/// Where one write of an append landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReceipt {
    /// The stream.
    pub stream: StreamName,
    /// The revision of the write's last event; for a change without events, the stream's last revision, `None` when it has none.
    pub last_revision: Option<Revision>,
    /// The position of the write's last record.
    pub position: Position,
}

impl AppendBatch {
    /// Events for one stream.
    #[must_use]
    pub fn events(stream: StreamName, expected: ExpectedRevision, events: Vec<NewEvent>) -> Self {
        Self::change(stream, expected, Change::Events(events))
    }

    /// One change of one stream.
    #[must_use]
    pub fn change(stream: StreamName, expected: ExpectedRevision, change: Change) -> Self {
        Self {
            writes: vec![StreamWrite {
                stream,
                expected,
                change,
            }],
            conditions: Vec::new(),
        }
    }

    /// The same batch, on a further condition.
    #[must_use]
    pub fn on(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// The same batch with a further write.
    #[must_use]
    pub fn and(mut self, write: StreamWrite) -> Self {
        self.writes.push(write);
        self
    }

    /// How many events it holds.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.writes
            .iter()
            .map(|write| write.change.events().len())
            .sum()
    }

    /// Checks everything about the batch that does not depend on what is stored.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) names what is over its limit, given twice, or missing.
    pub fn validate(&self) -> Result<(), StoreError> {
        at_most(
            "writes in one append",
            self.writes.len(),
            limits::BATCH_WRITES_MAX,
        )?;
        at_most(
            "conditions in one append",
            self.conditions.len(),
            limits::BATCH_CONDITIONS_MAX,
        )?;
        at_most(
            "events in one append",
            self.event_count(),
            limits::BATCH_EVENTS_MAX,
        )?;
        if self.writes.is_empty() {
            return Err(StoreError::invalid("the append has nothing to write"));
        }
        let mut bytes = 0;
        for write in &self.writes {
            bytes += write.validate()?;
        }
        at_most("bytes in one append", bytes, limits::BATCH_BYTES_MAX)?;
        for condition in &self.conditions {
            if let Condition::NoMatch { query, .. } = condition {
                validate_query(query)?;
            }
        }
        Ok(())
    }
}

impl Change {
    /// The events of the change, none for a change without.
    #[must_use]
    pub fn events(&self) -> &[NewEvent] {
        match self {
            Self::Events(events) => events,
            Self::Settings(_) | Self::Delete | Self::Tombstone => &[],
        }
    }
}

impl StreamWrite {
    /// Events for the end of a stream.
    #[must_use]
    pub fn events(stream: StreamName, expected: ExpectedRevision, events: Vec<NewEvent>) -> Self {
        Self {
            stream,
            expected,
            change: Change::Events(events),
        }
    }

    /// Checks limits; gives the bytes that count.
    fn validate(&self) -> Result<usize, StoreError> {
        let Change::Events(events) = &self.change else {
            return Ok(self.stream.as_str().len());
        };
        if events.is_empty() {
            let stream = &self.stream;
            return Err(StoreError::invalid(format!(
                "the write to stream {stream} has no events"
            )));
        }
        let mut bytes = self.stream.as_str().len();
        for event in events {
            if let Some((what, size, limit)) = event.over_limit() {
                return Err(StoreError::invalid(format!(
                    "event {} for stream {}: {what} is {size}, more than the limit of {limit}",
                    event.id, self.stream
                )));
            }
            validate_tags(event)?;
            bytes += event.byte_len();
        }
        Ok(bytes)
    }
}

fn validate_tags(event: &NewEvent) -> Result<(), StoreError> {
    for (index, tag) in event.tags.iter().enumerate() {
        if event.tags.iter().take(index).any(|earlier| earlier == tag) {
            let id = event.id;
            return Err(StoreError::invalid(format!(
                "event {id} has tag {tag} twice"
            )));
        }
    }
    Ok(())
}

/// Checks a query's limits.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid) names what is over its limit.
pub fn validate_query(query: &Query) -> Result<(), StoreError> {
    at_most(
        "items in one query",
        query.items.len(),
        limits::QUERY_ITEMS_MAX,
    )?;
    for item in &query.items {
        at_most(
            "types in one query item",
            item.types.len(),
            limits::QUERY_ITEM_TERMS_MAX,
        )?;
        at_most(
            "tags in one query item",
            item.tags.len(),
            limits::QUERY_ITEM_TERMS_MAX,
        )?;
    }
    Ok(())
}

fn at_most(what: &str, size: usize, limit: usize) -> Result<(), StoreError> {
    if size <= limit {
        return Ok(());
    }
    Err(StoreError::invalid(format!(
        "{what}: {size} is more than the limit of {limit}"
    )))
}
