//! Everything that is wrong with a file, at once.
//!
//! Relies on: errors that begin with their line. Never: stops at the first mistake.

use std::fmt;

use factum_framework::declared::{self, Table};

use crate::Error;

/// More than this is not listed.
const MISTAKES_MAX: usize = 100;

/// Something wrong at a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The line, from 1; `None` for the file as a whole.
    pub line: Option<usize>,
    /// What is wrong there.
    pub what: String,
}

/// Everything that is wrong with a file, by line; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub(super) Vec<Mistake>);

impl Mistakes {
    /// What is wrong, by line.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { "\n" };
            write!(f, "{between}{mistake}")?;
        }
        Ok(())
    }
}

impl From<Mistakes> for Error {
    fn from(mistakes: Mistakes) -> Self {
        Self::invalid(mistakes.to_string())
    }
}

/// Mistakes as they are found.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<Mistake>);

impl Found {
    /// What was read, or the mistake noted.
    pub(super) fn ok<T>(&mut self, read: Result<T, factum_framework::Error>) -> Option<T> {
        read.map_err(|error| {
            let (line, what) = declared::place(&error);
            self.0.push(Mistake { line, what });
        })
        .ok()
    }

    /// A mistake at a line.
    pub(super) fn at(&mut self, line: usize, what: impl Into<String>) {
        let line = Some(line);
        let what = what.into();
        self.0.push(Mistake { line, what });
    }

    /// How many there are so far: what follows from a mistake is no other one.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Notes every key of a table that nobody took.
    pub(super) fn unknown(&mut self, table: Table<'_>) {
        for error in table.unknown() {
            self.ok::<()>(Err(error));
        }
    }

    /// What was read, if nothing was wrong.
    pub(super) fn end<T>(mut self, read: Option<T>) -> Result<T, Mistakes> {
        self.0.sort();
        self.0.dedup();
        self.0.truncate(MISTAKES_MAX);
        match read {
            Some(read) if self.0.is_empty() => Ok(read),
            _ => Err(Mistakes(self.0)),
        }
    }
}
