//! The words of the domain: events, streams, positions, tags, queries.
//!
//! What lives here: plain values and the rules that make them valid. A value of these types *is* valid; whoever holds one
//! need not check it again.
//! Relies on: nothing of ours. Never: touches a file, a clock, randomness or a runtime.

pub mod event;
pub mod fixed_map;
pub mod id;
pub mod limits;
pub mod metadata;
pub mod name;
pub mod position;
pub mod query;
pub mod settings;
pub mod time;

pub use event::{ContentType, NewEvent, RecordKind, RecordedEvent};
pub use fixed_map::{FixedMap, FixedSet};
pub use id::EventId;
pub use metadata::Metadata;
pub use name::{Category, EventType, NameError, StreamName, Tag};
pub use position::{ExpectedRevision, Position, Revision};
pub use query::{Query, QueryItem};
pub use settings::StreamSettings;
pub use time::Timestamp;

pub use bytes::Bytes;
