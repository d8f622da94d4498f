//! Factum in one dependency: the words, the contract, the framework, and the embedded engine.
//!
//! What lives here: names of other crates, and nothing else. Relies on: them. Never: holds code of its own.
//!
//! ```
//! use std::sync::Arc;
//!
//! use factum::{Decider, Emit, Env, Event, MemoryStore, RecordedEvent, Repository};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
//! enum LampEvent {
//!     #[event(name = "LampLit")]
//!     Lit,
//! }
//!
//! #[derive(Default, Clone)]
//! struct Lamp { lit: bool }
//!
//! impl Decider for Lamp {
//!     type Command = ();
//!     type Event = LampEvent;
//!     type Error = &'static str;
//!     fn evolve(&mut self, _: &LampEvent, _: &RecordedEvent) { self.lit = true; }
//!     fn decide(&self, (): (), _: &mut Env) -> Result<Emit<LampEvent>, &'static str> {
//!         if self.lit { Err("it is lit") } else { Ok(LampEvent::Lit.into()) }
//!     }
//! }
//!
//! pollster::block_on(async {
//!     let factum = Repository::new(Arc::new(MemoryStore::new()));
//!     assert!(factum.run::<Lamp>("lamp-1", ()).await.is_ok());
//!     assert!(factum.load::<Lamp>("lamp-1").await.unwrap().state.lit);
//! });
//! ```

#[cfg(feature = "embedded")]
pub use factum_engine as engine;
pub use factum_framework as framework;
pub use factum_io as io;
pub use factum_store as store;
pub use factum_types as types;

#[cfg(feature = "embedded")]
pub use factum_engine::{Engine, Options};
// From its module, where the derive of the same name is not.
pub use factum_framework::event::Event;
pub use factum_framework::{
    AsOf, Committed, Decider, Decision, Dial, Effects, Emit, Env, Error, EventKind, Failure, Idle,
    Inputs, Kind, Loaded, Message, Origin, Parked, PersonalField, Policy, Process, ProcessState,
    Reactor, Receiver, Rejected, Repository, Retry, Route, RunError, Runner, Scope, Snapshots,
    StartFrom, Stop, TimerChange, Token, UpcastFrom, View, Views, World, inputs,
};
/// Derives [`Event`](trait@Event); see there for what it writes.
pub use factum_macros::Event;
pub use factum_store::{EventStore, MemoryStore, SnapshotStore};
pub use factum_types::{EventId, Metadata, Position, RecordedEvent, StreamName, Tag, Timestamp};

/// The program in the README, compiled.
#[cfg(all(doctest, feature = "embedded"))]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The programs in the guide to versions of events, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/versions.md")]
struct Versions;

/// The programs in the guide for authors of stores, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/store-authors.md")]
struct StoreAuthors;

/// The program in the guide to processes, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/processes.md")]
struct Processes;
