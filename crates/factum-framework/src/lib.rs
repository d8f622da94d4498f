//! The framework: an application writes its events and its decisions; loading, locking, retrying and remembering are done here.
//!
//! What lives here: [`Event`] with its versions, [`Decider`] and the [`Repository`] that runs it.
//! Relies on: the contract of factum-store, and factum-io for time and chance. Never: knows which store it runs on, reads a clock
//! outside [`World`], needs an async runtime, or lets a decision or a fold touch anything but its arguments.

// The derive names this crate by its path, in its own tests too.
extern crate self as factum_framework;

mod book;
mod cache;
pub mod codec;
pub mod decider;
pub mod decision;
#[cfg(feature = "files")]
pub mod declared;
pub mod emit;
pub mod env;
pub mod error;
pub mod event;
pub mod fold;
pub mod generic;
pub mod inputs;
pub mod kit;
pub mod load;
pub mod load_all;
pub mod lock;
mod note;
mod orders;
pub mod parking;
pub mod pointer;
pub mod process;
pub mod reactor;
pub mod receiver;
pub mod repository;
pub mod retry;
pub mod run;
pub mod runner;
mod shape;
pub mod snapshot;
pub mod transform;
pub mod travel;
#[cfg(feature = "files")]
mod value;
pub mod versions;
pub mod world;

pub use decider::Decider;
pub use decision::{Decide, Decision, Scope, View, Views};
pub use emit::{Emit, Message, TimerChange};
pub use env::Env;
pub use error::{Error, Kind};
pub use event::{Event, EventKind, PersonalField};
pub use inputs::Inputs;
pub use load::{AsOf, Dial, Load, Loaded, Origin, Token};
pub use load_all::LoadAll;
pub use parking::Parked;
pub use process::{Process, ProcessState, Route};
pub use reactor::{Effects, Failure, Reactor};
pub use receiver::{Receiver, Rejected};
pub use repository::Repository;
pub use retry::Retry;
pub use run::{Committed, Run, RunError};
pub use runner::{Idle, Runner, StartFrom, Stop};
pub use snapshot::{Policy, Snapshots};
pub use versions::UpcastFrom;
pub use world::World;

/// Derives [`Event`](trait@Event); see there for what it writes.
#[cfg(feature = "derive")]
pub use factum_macros::FrameworkEvent as Event;

pub use factum_types::{RecordedEvent, Tag};
