//! Simulation of the storage engine: crashes, torn and reordered writes, failing and full disks, rot, and an oracle that knows what must be
//! left.
//!
//! | module | part |
//! |---|---|
//! | [`workload`] | what a run does, from a seed |
//! | [`session`] | one life of a store, driven step by step |
//! | [`history`], [`compare`], [`oracle`] | what must hold |
//! | [`layer`] | the kinds of campaigns |
//! | [`mutants`] | planted bugs, each of which some layer must catch |
//!
//! A failure prints its layer and seed, and the command that replays it. Relies on: the step-by-step engine and the simulated disk; the
//! layer of real processes uses real ones. Never: depends on time or chance, but for that layer.

pub mod compare;
pub mod history;
pub mod layer;
pub mod mutants;
pub mod oracle;
pub mod poll;
pub mod session;
pub mod violation;
pub mod workload;

pub use violation::{Checked, Violation};
