//! What a copy did, in numbers.

use std::collections::BTreeMap;

use factum_store::StoreError;
use factum_types::{NewEvent, RecordedEvent, StreamName};
use serde::Serialize;

use crate::error::Error;

/// So many failures are named; the others are only counted.
const FAILURES_MAX: usize = 100;
/// So many types are told apart; the rest is counted together.
const TYPES_MAX: usize = 4_096;
/// Where the rest is counted.
const OTHERS: &str = "(others)";

/// What a copy did. A run after one that was stopped reads everything again, so that its figures are those of the whole.
///
/// ```
/// use factum_framework::transform::{Draft, End, Transform};
/// use factum_store::MemoryStore;
/// # use factum_store::{AppendBatch, EventStore};
/// # use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
///
/// # pollster::block_on(async {
/// # let old = MemoryStore::new();
/// # let event = NewEvent::json(EventId::from_bytes([1; 16]), EventType::new("order.new")?, "{}");
/// # old.append(AppendBatch::events(StreamName::new("order-1")?, ExpectedRevision::NoStream, vec![event])).await?;
/// let steps = |mut event: Draft| {
///     event.rename("OrderPlaced")?;
///     Ok(vec![event])
/// };
/// // Without a target: what would become of the events.
/// let tried = Transform::new("orders-2026", &old, &steps).run(&mut ()).await;
/// assert_eq!(tried.outcome?, End::Complete);
/// let report = tried.report;
/// assert_eq!((report.read, report.written, report.failed), (1, 1, 0));
/// assert_eq!(report.types["order.new"].into["OrderPlaced"], 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Events that were read and not hidden.
    pub read: u64,
    /// Results that stand in the target; in a dry run, that would.
    pub written: u64,
    /// Events that became nothing.
    pub dropped: u64,
    /// Events that became more than one.
    pub split: u64,
    /// Events that could not be transformed, and damaged ones.
    pub failed: u64,
    /// Of these, the damaged ones: places where events cannot be read, each counted once.
    pub damaged: u64,
    /// Events that their stream's settings hide, or whose stream was deleted: left out.
    pub hidden: u64,
    /// The same by type as it was read.
    pub types: BTreeMap<String, TypeReport>,
    /// Types that the steps do not know, with how many events.
    pub unknown: BTreeMap<String, u64>,
    /// The first hundred failures.
    pub failures: Vec<Failed>,
    /// Streams that were closed with a link to the new one; in a dry run, that would be.
    pub closed: u64,
    /// Streams that could not be closed: something was written to them meanwhile, or one of their events failed, or events are damaged,
    /// which may be theirs.
    pub stayed_open: u64,
    /// The first hundred of them.
    pub not_closed: Vec<String>,
    /// Of the results, those that this run wrote; in a dry run, that it would.
    pub added: u64,
    /// Of the results, those that stood in the target before.
    pub already_there: u64,
}

/// What became of the events of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TypeReport {
    /// How many were read.
    pub read: u64,
    /// How many became nothing.
    pub dropped: u64,
    /// How many became more than one.
    pub split: u64,
    /// How many could not be transformed.
    pub failed: u64,
    /// What they became: types with how many events.
    pub into: BTreeMap<String, u64>,
}

/// An event that could not be transformed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Failed {
    /// Where it stands in the store that is read.
    pub position: u64,
    /// Its stream; `None` for one that is damaged.
    pub stream: Option<String>,
    /// Its type; `None` for one that is damaged.
    pub event_type: Option<String>,
    /// Why.
    pub reason: String,
}

impl Report {
    /// Counts an event and what it became.
    pub(super) fn became(&mut self, event: &RecordedEvent, results: &[(StreamName, NewEvent)]) {
        self.read += 1;
        self.written += results.len() as u64;
        let (dropped, split) = (u64::from(results.is_empty()), u64::from(results.len() > 1));
        self.dropped += dropped;
        self.split += split;
        let of_type = entry(&mut self.types, event.event_type.as_str());
        of_type.read += 1;
        of_type.dropped += dropped;
        of_type.split += split;
        for (_, result) in results {
            *entry(&mut of_type.into, result.event_type.as_str()) += 1;
        }
    }

    /// Counts an event of a type that the steps do not know.
    pub(super) fn is_unknown(&mut self, event: &RecordedEvent) {
        *entry(&mut self.unknown, event.event_type.as_str()) += 1;
    }

    /// Counts an event that failed.
    pub(super) fn fails(&mut self, event: &RecordedEvent, error: &Error) {
        self.read += 1;
        let of_type = entry(&mut self.types, event.event_type.as_str());
        of_type.read += 1;
        of_type.failed += 1;
        self.name(Failed {
            position: event.position.raw(),
            stream: Some(event.stream.to_string()),
            event_type: Some(event.event_type.to_string()),
            reason: error.to_string(),
        });
    }

    /// Counts a damaged place.
    pub(super) fn is_damaged(&mut self, error: &StoreError) {
        self.damaged += 1;
        self.name(Failed {
            position: error.as_damage().map_or(0, |damage| damage.first.raw()),
            stream: None,
            event_type: None,
            reason: error.to_string(),
        });
    }

    fn name(&mut self, failed: Failed) {
        self.failed += 1;
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(failed);
        }
    }

    /// Counts a stream that stays open.
    pub(super) fn stays_open(&mut self, stream: &StreamName) {
        self.stayed_open += 1;
        if self.not_closed.len() < FAILURES_MAX {
            self.not_closed.push(stream.to_string());
        }
    }
}

/// The entry of a name; of all others when there are too many.
fn entry<'a, T: Default>(map: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let name = if map.contains_key(name) || map.len() < TYPES_MAX {
        name
    } else {
        OTHERS
    };
    if !map.contains_key(name) {
        map.insert(name.to_owned(), T::default());
    }
    map.entry(name.to_owned()).or_default()
}
