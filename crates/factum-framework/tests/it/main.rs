//! The framework from outside.

mod events;
