//! Projections into SQLite: rows, checkpoint and parked events in one transaction, so *exactly once*.
//!
//! What lives here: [`SqliteSink`]. Relies on: one file in WAL mode, with readers of its own beside it. Never: splices a value into SQL, or
//! a name that was not checked; touches a table or view that is not its own.
//!
//! What a reader sees as `orders` is a view over `orders__g1`, the table of the live generation. What the sink keeps for itself has
//! names that begin with `factum_`. A moment is stored as microseconds since 1970 (UTC), a truth as 0 or 1.
//!
//! ```
//! use factum_projection::{Error, Projector, Rows, Runner, Table};
//! use factum_sink_sqlite::SqliteSink;
//! use factum_store::{MemoryStore, Source};
//! use factum_types::{Category, RecordedEvent};
//!
//! struct Orders;
//!
//! impl<W: Rows> Projector<W> for Orders {
//!     fn name(&self) -> &str { "orders" }
//!     fn source(&self) -> Source { Source::All }
//!     fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
//!         let id = ("id", event.stream.as_str().into());
//!         match event.event_type.as_str() {
//!             "OrderPlaced" => to.insert("orders", &[id, ("status", "placed".into())]),
//!             "OrderShipped" => to.update("orders", &[id], &[("status", "shipped".into())]),
//!             _ => Ok(()),
//!         }
//!     }
//! }
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("read.db");
//! # pollster::block_on(async {
//! let sink = SqliteSink::open(path, [Table::new("orders").text("id").text("status").key(["id"])])?;
//! let mut runner = Runner::new(std::sync::Arc::new(MemoryStore::new()), sink, Orders);
//! runner.run_until_caught_up().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod error;
mod generations;
mod keep;
mod read;
mod schema;
mod writer;

use std::path::Path;
use std::time::Duration;

use factum_projection::{Advance, Claim, Error, Kind, Lease, Sink, State, Table};
use factum_types::RecordedEvent;
use futures_core::future::BoxFuture;
use rusqlite::Connection;

use error::said;
pub use writer::SqliteRows;

/// How long one call waits for a lock before it is `Unavailable`, which the runner waits for by itself.
const BUSY: Duration = Duration::from_millis(250);
/// How many statements are kept prepared.
const STATEMENTS: usize = 256;

/// A SQLite file as a sink.
///
/// Its calls block the thread they are polled on, for as long as SQLite takes and at most a quarter of a second for a lock: on a shared
/// executor, run it on a thread of its own.
#[derive(Debug)]
pub struct SqliteSink {
    rows: SqliteRows,
}

impl SqliteSink {
    /// Opens or creates a file for these tables. They are made when a projection is claimed.
    ///
    /// # Errors
    /// - [`Kind::Invalid`]: a table is not well formed, or the file is not a database.
    /// - [`Kind::Unavailable`]: it cannot be opened now.
    pub fn open(
        path: impl AsRef<Path>,
        tables: impl IntoIterator<Item = Table>,
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        let tables: Vec<Table> = tables.into_iter().collect();
        Table::check_all(&tables)?;
        let (connection, mode) = connect(path)
            .map_err(|error| said(format!("cannot open {}", path.display()), error))?;
        if mode != "wal" {
            let what = format!(
                "{} cannot be in WAL mode, only in {mode}: readers would be locked out",
                path.display()
            );
            return Err(Error::invalid(what));
        }
        Ok(Self {
            rows: SqliteRows::new(connection, tables),
        })
    }

    fn connection(&self) -> &Connection {
        &self.rows.connection
    }

    /// Does something in a transaction of its own.
    fn within<T>(&mut self, work: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, Error> {
        self.end("ROLLBACK")?;
        self.begin_now()?;
        let done = work(self).and_then(|done| self.end("COMMIT").map(|()| done));
        if done.is_err() {
            // The first error counts; a transaction that cannot be taken back is not committed either.
            drop(self.end("ROLLBACK"));
        }
        done
    }

    fn begin_now(&self) -> Result<(), Error> {
        let begun = self.connection().execute_batch("BEGIN IMMEDIATE");
        begun.map_err(|error| said("cannot begin", error))
    }

    /// Ends the transaction, if there is one.
    fn end(&self, how: &str) -> Result<(), Error> {
        if self.connection().is_autocommit() {
            return Ok(());
        }
        let ended = self.connection().execute_batch(how);
        ended.map_err(|error| said(format!("{how} failed"), error))
    }

    fn begin_batch(&mut self, lease: &Lease) -> Result<(), Error> {
        self.end("ROLLBACK")?;
        self.begin_now()?;
        keep::check_epoch(self.connection(), lease)?;
        self.rows.point_at(lease.generation);
        Ok(())
    }

    fn commit_batch(&mut self, lease: &Lease, advance: &Advance) -> Result<(), Error> {
        if self.connection().is_autocommit() {
            let what = "a batch was committed that was not begun, or that SQLite took back";
            return Err(Error::new(Kind::Unavailable, what));
        }
        keep::advance(self.connection(), lease, advance)?;
        self.end("COMMIT")
    }
}

impl Sink for SqliteSink {
    type Writer = SqliteRows;

    fn claim<'a>(&'a mut self, claim: Claim<'a>) -> BoxFuture<'a, Result<Lease, Error>> {
        Box::pin(async move {
            self.within(|sink| schema::claim(sink.connection(), &sink.rows.tables, claim))
        })
    }

    fn look<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<State, Error>> {
        Box::pin(async move { self.within(|sink| keep::state(sink.connection(), lease)) })
    }

    fn begin<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.begin_batch(lease) })
    }

    fn writer(&mut self, _: &RecordedEvent) -> &mut SqliteRows {
        &mut self.rows
    }

    fn commit<'a>(
        &'a mut self,
        lease: &'a Lease,
        advance: &'a Advance,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let done = self.commit_batch(lease, advance);
            if done.is_err() {
                drop(self.end("ROLLBACK"));
            }
            done
        })
    }

    fn roll_back(&mut self) -> BoxFuture<'_, ()> {
        // What is not committed is lost anyway, at the latest with the connection.
        drop(self.end("ROLLBACK"));
        Box::pin(std::future::ready(()))
    }

    fn finish_bulk<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.within(|sink| {
                keep::check_epoch(sink.connection(), lease)?;
                schema::make_indexes(sink.connection(), &sink.rows.tables, lease.generation)?;
                keep::end_bulk(sink.connection(), lease)
            })
        })
    }
}

/// A connection, and the journal mode it got.
fn connect(path: &Path) -> rusqlite::Result<(Connection, String)> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    // Enough here: a power failure may take back the last commits, but rows and checkpoint together.
    connection.execute_batch("PRAGMA synchronous = NORMAL")?;
    Ok((connection, mode))
}
