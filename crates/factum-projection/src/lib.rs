//! Projections: read models that are folded from the log and kept somewhere else.
//!
//! What lives here: the contract of a [`Sink`], the [`Projector`] that an application writes, the [`Runner`] that brings events from one to the
//! other, a sink in memory, and [`SharedReads`], by which several runners read the log once. Relies on: any store, and the world as the framework sees it. Never: knows a sink by name, keeps a
//! checkpoint apart from what was written, or needs an async runtime. Decision 0020 says why.
//!
//! ```
//! use std::sync::Arc;
//!
//! use factum_projection::{Error, MemorySink, Projector, Rows, Runner, Table};
//! use factum_store::{AppendBatch, EventStore, MemoryStore, Source};
//! use factum_types::{EventId, EventType, ExpectedRevision, NewEvent, RecordedEvent, StreamName};
//!
//! /// How many events each stream has.
//! struct Lengths;
//!
//! impl<W: Rows> Projector<W> for Lengths {
//!     fn name(&self) -> &str { "lengths" }
//!     fn source(&self) -> Source { Source::All }
//!     fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
//!         let key = [("stream", event.stream.as_str().into())];
//!         to.increment("lengths", &key, "events", 1)
//!     }
//! }
//!
//! # pollster::block_on(async {
//! let store = Arc::new(MemoryStore::new());
//! let event = NewEvent::json(EventId::from_bytes([1; 16]), EventType::new("Placed")?, "{}");
//! let stream = StreamName::new("order-1")?;
//! store.append(AppendBatch::events(stream, ExpectedRevision::Any, vec![event])).await?;
//!
//! let table = Table::new("lengths").text("stream").integer("events").key(["stream"]);
//! let sink = MemorySink::new([table])?;
//! let mut runner = Runner::new(store, sink.clone(), Lengths);
//! let caught_up = runner.run_until_caught_up().await?;
//! assert_eq!(caught_up.applied, 1);
//! assert_eq!(sink.rows("lengths").len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#[cfg(feature = "declared")]
pub mod declared;
pub mod error;
pub mod inspect;
pub mod kit;
pub mod lot;
pub mod manage;
pub mod memory;
pub mod parked;
pub mod points;
pub mod projector;
pub mod read_back;
pub mod rebuild;
pub mod rows;
pub mod runner;
pub mod shared_reads;
pub mod sink;
pub mod table;
pub mod value;

pub use error::{Error, Kind};
pub use inspect::Obstacle;
pub use lot::Lot;
pub use manage::{Behind, Edit, Generation, Manage};
pub use memory::MemorySink;
pub use parked::Parked;
pub use points::Points;
pub use projector::Projector;
pub use read_back::{ReadBack, Row};
pub use rebuild::{Phase, Progress, Rebuild, Rebuilt, Verified, Verify};
pub use rows::{Cell, Rows};
pub use runner::{CaughtUp, Lag, Monitor, Runner, Status};
pub use shared_reads::SharedReads;
pub use sink::{Advance, Change, Claim, Lease, Sink, State, Which};
pub use table::{Column, ColumnType, Table};
pub use value::Value;
