//! What stands in the way of a projection in a sink, found before it runs.
//!
//! What lives here: [`Obstacle`]. Relies on: nothing. Never: changes a sink.

/// Something in a sink that a projection meets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// A name that the projection needs belongs to someone else: it cannot run.
    Owned {
        /// Which, and whose it is.
        what: String,
    },
    /// A generation was filled with other tables: it needs a rebuild.
    Differs {
        /// The generation.
        generation: u32,
        /// What is different.
        what: String,
    },
}
