//! The cases, one module per area of the promise. Each is listed in `table`.

pub(crate) mod append;
pub(crate) mod checkpoint;
pub(crate) mod condition;
pub(crate) mod conflict;
pub(crate) mod control;
pub(crate) mod delete;
pub(crate) mod expect;
pub(crate) mod limit;
pub(crate) mod payload;
pub(crate) mod race;
pub(crate) mod read;
pub(crate) mod retry;
pub(crate) mod settings;
pub(crate) mod snapshot;
pub(crate) mod streams;
pub(crate) mod subscribe;
pub(crate) mod time;
pub(crate) mod tombstone;

pub(crate) use crate::model;
