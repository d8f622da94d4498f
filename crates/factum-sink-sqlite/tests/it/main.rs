//! The tests of the SQLite sink, on files.

#[cfg(test)]
mod kit;
#[cfg(test)]
mod loans;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod rebuild;
#[cfg(test)]
mod support;
#[cfg(test)]
mod waiting;
