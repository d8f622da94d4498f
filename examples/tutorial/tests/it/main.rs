//! Every block of docs/tutorial.md: programs are those of this crate, which are compiled and run; what they print is what is shown.

#[cfg(test)]
mod tutorial;
#[cfg(test)]
mod typed;

/// The domain as it is after the last page.
#[cfg(test)]
#[path = "../../changed/src/lib.rs"]
#[allow(dead_code, reason = "it is a library, and nobody asks it for anything")]
mod changed;
