//! The wire: messages and services, generated from our own descriptions of them in `proto/`.
//!
//! What lives here: what KurrentDB's clients send and expect, and `factum.v1`, with the contract of factum-store written in it (`contract`).
//! `codec` refuses messages of too many parts before they are made. Relies on: prost and tonic. Never: decides anything else.

#![expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::too_many_lines,
    reason = "what is generated has its own ways, and a field whose name says all has no words"
)]

pub mod codec;
pub mod contract;
pub mod google;
pub mod kurrent;
pub mod v1;

#[cfg(test)]
mod tests;
