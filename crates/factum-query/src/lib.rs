//! SQL over events and over read models: read-only, with limits.
//!
//! What lives here: [`events()`], which lets SQLite query a copy of the events that a query needs, and [`sqlite()`], which queries a read
//! model in a SQLite file. Relies on: SQLite's own checks of what a statement does. Never: writes, waits without end, or holds a result in memory.
//!
//! ```
//! use std::time::Duration;
//!
//! use factum_query::{Filter, Limits, Row, events};
//! use factum_store::MemoryStore;
//!
//! # pollster::block_on(async {
//! let limits = Limits { rows: 1_000, time: Duration::from_secs(10) };
//! let mut rows = Vec::new();
//! let mut out = |row: Row<'_>| { rows.push(row.values.to_vec()); Ok(()) };
//! let sql = "SELECT type, count(*) FROM events GROUP BY type";
//! let done = events(&MemoryStore::new(), &Filter::default(), sql, limits, || false, &mut out).await?;
//! assert_eq!((done.rows, rows.len()), (0, 0));
//! # Ok::<(), factum_query::Error>(())
//! # }).unwrap();
//! ```

mod error;
mod events;
mod guard;
mod run;

use std::path::Path;
use std::time::Duration;

pub use error::{Error, Kind};
pub use events::{Filter, events};
use rusqlite::{Connection, OpenFlags};
pub use serde_json::Value;

use guard::Guard;

/// Up to where a query may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After so many rows it ends, and says so.
    pub rows: u64,
    /// After so long it fails.
    pub time: Duration,
}

/// A row of a result.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The names of the columns.
    pub columns: &'a [String],
    /// Their values: numbers, texts, null; bytes as lists of numbers.
    pub values: &'a [Value],
}

/// Takes the rows of a result; an error of it ends the query and is handed back.
pub type Out<'a> = &'a mut dyn FnMut(Row<'_>) -> Result<(), Error>;

/// What a query came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The names of the columns, also when there is no row.
    pub columns: Vec<String>,
    /// How many rows there were.
    pub rows: u64,
    /// Whether there are more rows than the limit.
    pub cut: bool,
    /// How many events were copied for it; none for a read model.
    pub events: u64,
}

/// Queries a read model in a SQLite file.
///
/// `is_stopped` is asked many times a second, from this thread.
///
/// # Errors
/// - [`Kind::Invalid`]: the statement is no SQL, or is several.
/// - [`Kind::Refused`]: the statement would change something.
/// - [`Kind::Limit`]: it took longer than the limit, or a value is too large.
/// - [`Kind::Stopped`]: `is_stopped` said so.
/// - [`Kind::Unavailable`]: the file cannot be opened, or is locked.
pub fn sqlite(
    path: impl AsRef<Path>,
    sql: &str,
    limits: Limits,
    is_stopped: impl Fn() -> bool + Send + 'static,
    out: Out<'_>,
) -> Result<Done, Error> {
    let path = path.as_ref();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| {
        let what = format!("cannot open {}: {error}", path.display());
        Error::new(Kind::Unavailable, what).because(error)
    })?;
    let guard = Guard::new(limits, is_stopped);
    guard.watch(&connection)?;
    run::statement(&connection, sql, limits, &guard, out)
}
