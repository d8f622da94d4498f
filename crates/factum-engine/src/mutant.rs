//! Planted bugs, for the simulator to find: a campaign that cannot see one of these would not see its like either.
//!
//! Each stands at its place as one line that asks [`on`]. Without the feature `unstable-mutants` the answer is a constant no.
//! Relies on: one thread drives a simulated store. Never: is on unless a simulation selected it.
#![doc(hidden)]

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutant {}

/// Whether this bug is planted.
#[cfg(not(feature = "unstable-mutants"))]
pub(crate) const fn on(_: Mutant) -> bool {
    false
}

#[cfg(feature = "unstable-mutants")]
pub(crate) use selection::on;
#[cfg(feature = "unstable-mutants")]
pub use selection::{select, selected};

#[cfg(feature = "unstable-mutants")]
mod selection {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static SELECTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Plants a bug in every store of this thread, or none.
    pub fn select(mutant: Option<Mutant>) {
        SELECTED.set(mutant);
    }

    /// The bug planted in this thread's stores.
    #[must_use]
    pub fn selected() -> Option<Mutant> {
        SELECTED.get()
    }

    /// Whether this bug is planted.
    pub(crate) fn on(mutant: Mutant) -> bool {
        SELECTED.get() == Some(mutant)
    }
}
