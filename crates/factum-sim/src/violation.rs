//! What is wrong with the engine, and how to see it again.
//!
//! Relies on: nothing. Never: stops the campaign; whoever runs a layer decides.

use std::fmt;

/// A broken promise, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(String);

/// The outcome of a check.
pub type Checked<T = ()> = Result<T, Violation>;

impl Violation {
    /// A broken promise, in words.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// The same, with where it was seen in front.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `Ok` if the promise holds, else the violation in words.
///
/// # Errors
/// The violation, when `holds` is false.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Violation(what()))
    }
}

/// A long debug text, cut to what a report can show.
pub fn short(value: &impl fmt::Debug) -> String {
    const CHARS_MAX: usize = 600;
    let text = format!("{value:?}");
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
