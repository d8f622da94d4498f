//! The framework: an application writes its events and its decisions; loading, locking, retrying and remembering are done here.
//!
//! What lives here: [`Event`] with its versions, [`Decider`] and the [`Repository`] that runs it.
//! Relies on: the contract of factum-store, and factum-io for time and chance. Never: knows which store it runs on, reads a clock
//! outside [`World`], needs an async runtime, or lets a decision or a fold touch anything but its arguments.

// The derive names this crate by its path, in its own tests too.
extern crate self as factum_framework;

mod cache;
pub mod codec;
pub mod decider;
pub mod decision;
#[cfg(feature = "files")]
mod declared;
pub mod env;
pub mod error;
pub mod event;
pub mod fold;
pub mod generic;
pub mod kit;
pub mod load;
pub mod load_all;
pub mod lock;
pub mod pointer;
pub mod repository;
pub mod retry;
pub mod run;
mod shape;
pub mod snapshot;
pub mod transform;
pub mod travel;
#[cfg(feature = "files")]
mod value;
pub mod versions;
pub mod world;

pub use decider::{Decider, Emit};
pub use decision::{Decide, Decision, Scope, View, Views};
pub use env::Env;
pub use error::{Error, Kind};
pub use event::{Event, EventKind, PersonalField};
pub use load::{AsOf, Dial, Load, Loaded, Origin, Token};
pub use load_all::LoadAll;
pub use repository::Repository;
pub use retry::Retry;
pub use run::{Committed, Run, RunError};
pub use snapshot::{Policy, Snapshots};
pub use versions::UpcastFrom;
pub use world::World;

/// Derives [`Event`](trait@Event); see there for what it writes.
#[cfg(feature = "derive")]
pub use factum_macros::FrameworkEvent as Event;

pub use factum_types::Tag;
