//! Persistent subscriptions: the server remembers how far a group of consumers is, and divides events among them.
//!
//! | module | what |
//! |---|---|
//! | `group` | which event is where; a state machine |
//! | `runner` | the task of a group, between its state, the feed, consumers and its own streams |
//! | `subscriptions` | all groups of a server: create, change, delete, ask |
//! | `config`, `checkpoint`, `parked` | the streams in which all of that is remembered |
//! | `feed` | where events come from |
//! | `service` | all of it on the wire |
//!
//! Decision 0031. Relies on: the store contract, and tokio for tasks, queues and waiting. Never: loses an event silently; one that came
//! and is not done is ready, in flight with a deadline, to be given again, or parked.

mod checkpoint;
mod command;
mod config;
mod connection;
mod damage;
mod delivered;
mod error;
mod feed;
mod group;
mod parked;
mod runner;
mod service;
mod settings;
mod subscriptions;

pub use crate::filter::{Filter, FilterBy, FilterOn};
pub use crate::world::World;
pub use config::GroupConfig;
pub use connection::{Answers, End, Outbox, Outgoing};
pub use delivered::Delivered;
pub use error::SubscriptionError;
pub use feed::{Feed, FeedItem, StoreFeed};
pub use group::{Action, Identity};
pub use service::{Asking, Gate, GroupAction, Open, PersistentService};
pub use settings::{GroupKey, Settings, SourceName, StartFrom, Strategy};
pub use subscriptions::{Selection, Subscriptions};
