//! Copy and transform: a store, a category or a stream is read, every event becomes one, many or none, and they are written anew.
//!
//! What lives here: what an event is while it changes ([`Draft`]), what changes it ([`Steps`], with the feature `files` also from a file),
//! and the [`Transform`] that reads, writes and can be stopped at any moment. Relies on: the contract of factum-store alone.
//! Never: changes or removes what it reads; writes anything twice.
//!
//! # What is kept
//!
//! The order of all events, and in streams; time, correlation, causation, user, tags, the personal section, and data that no step
//! touches, byte for byte. One event that becomes one keeps its id when it goes into another store; otherwise ids are derived (UUID
//! version 5) from the id before, the place among the results and the new stream. Of several results, the first has the personal
//! section. What was deleted, truncated or is beyond a stream's `max_count` is left out. `max_age` is not looked at, because what a run
//! gives must not depend on when it runs, unless a stream's settings cannot be told because its last events may be lost: of a whole store or category, events that have expired by it and are still stored are copied
//! like any other, and so brought back where the setting is missing. Settings of streams do not go along: a store records them now, and
//! its times never go backwards. For the same reason events are recorded now within one store.
//!
//! # Stopped at any moment, and run again
//!
//! Ids and order of the results depend on nothing but what is read, and every append expects the exact revision of each stream. A run
//! reads everything again; beside it, it reads the target, in which every event must be the next result, and writes what is missing
//! behind its end. So a run after a kill gives what one run would have given, positions included, and nothing is remembered outside.
//! Compared are stream, id, type, version, content type and data, the last four by a hash: a target that differs in one of them is
//! refused. Tags, metadata, time and the personal section are not compared, so that steps that change only these do not change what is
//! there. Within one store results are recognised by their ids, in each stream that is written, and compared by the same four.
//!
//! ```
//! use std::sync::Arc;
//!
//! use factum_framework::transform::{Draft, Transform};
//! use factum_store::{AppendBatch, EventStore, MemoryStore, ReadRequest, Source};
//! use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, StreamName};
//!
//! # pollster::block_on(async {
//! let old = MemoryStore::new();
//! let event = NewEvent::json(EventId::from_bytes([1; 16]), EventType::new("order.new")?, r#"{"sum": "30"}"#);
//! old.append(AppendBatch::events(StreamName::new("order-1")?, ExpectedRevision::NoStream, vec![event])).await?;
//!
//! let steps = |mut event: Draft| {
//!     event.rename("OrderPlaced")?;
//!     let data = event.data_mut()?;
//!     data["total"] = data["sum"].as_str().and_then(|sum| sum.parse::<u64>().ok()).into();
//!     data.as_object_mut().map(|fields| fields.remove("sum"));
//!     Ok(vec![event])
//! };
//! let new = MemoryStore::new();
//! let done = Transform::new("orders-2026", &old, &steps).of(Source::All).into_store(&new).run(&mut ()).await;
//! done.outcome?;
//! assert_eq!(done.report.written, 1);
//! let events = new.read(ReadRequest::all()).collect().await?;
//! assert_eq!((events[0].event_type.as_str(), &events[0].data[..]), ("OrderPlaced", &br#"{"total":30}"#[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod close;
mod draft;
#[cfg(feature = "files")]
pub mod file;
mod report;
mod run;
mod source;
#[cfg(feature = "files")]
mod steps;
mod target;

pub use draft::Draft;
pub use report::{Failed, Report, TypeReport};
pub use run::{End, Finished, OnFailure, Step, Transform, Watch};

use factum_types::RecordedEvent;

use crate::error::Error;

/// The type of the event that ends a stream whose events went on elsewhere; its data are `{"to": ["new-stream"]}`.
pub const STREAM_MOVED: &str = "StreamMoved";

/// At most so many events may one event become.
pub const PARTS_MAX: usize = 1_024;

/// What an event becomes. A closure from a [`Draft`] to drafts is one.
///
/// ```
/// use factum_framework::Error;
/// use factum_framework::transform::{Draft, Steps};
/// use factum_types::RecordedEvent;
///
/// /// Gives every event of an old vocabulary its new name.
/// struct Names(&'static [(&'static str, &'static str)]);
///
/// impl Names {
///     fn of(&self, old: &str) -> Option<&'static str> {
///         self.0.iter().find(|(name, _)| *name == old).map(|(_, new)| *new)
///     }
/// }
///
/// impl Steps for Names {
///     fn apply(&self, mut event: Draft) -> Result<Vec<Draft>, Error> {
///         if let Some(new) = self.of(event.name()) {
///             event.rename(new)?;
///         }
///         Ok(vec![event])
///     }
///
///     // The others are listed in the report.
///     fn knows(&self, event: &RecordedEvent) -> bool {
///         self.of(event.event_type.as_str()).is_some()
///     }
/// }
///
/// let names = Names(&[("order.new", "OrderPlaced")]);
/// assert_eq!(names.of("order.new"), Some("OrderPlaced"));
/// ```
pub trait Steps: Send + Sync {
    /// The events that an event becomes: one, many or none. The same event must always become the same.
    ///
    /// # Errors
    /// Any error says that the event cannot be transformed; the copy then ends or passes it over, as it was asked to.
    fn apply(&self, event: Draft) -> Result<Vec<Draft>, Error>;

    /// Whether the steps were written with such events in mind; the report lists the others.
    fn knows(&self, event: &RecordedEvent) -> bool {
        let _ = event;
        true
    }
}

impl<F: Fn(Draft) -> Result<Vec<Draft>, Error> + Send + Sync> Steps for F {
    fn apply(&self, event: Draft) -> Result<Vec<Draft>, Error> {
        self(event)
    }
}
