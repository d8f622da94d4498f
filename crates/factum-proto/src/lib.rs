//! The wire: messages and services, generated from our own descriptions of them in `proto/`.
//!
//! What lives here: what KurrentDB's clients send and expect, and `factum.v1`. Relies on: prost and tonic. Never: decides anything.
