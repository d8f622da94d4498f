//! The tests of the SQLite sink, on files.

mod loans;
mod orders;
mod rebuild;
#[cfg(test)]
mod support;
