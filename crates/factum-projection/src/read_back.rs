//! Reading a read model again, row by row, to compare it.
//!
//! What lives here: [`ReadBack`]. Relies on: the tables that the sink was given. Never: is how an application queries.

use std::collections::BTreeMap;

use futures_core::future::BoxFuture;

use crate::error::Error;
use crate::table::Table;
use crate::value::Value;

/// A row: all columns of its table by name, [`Null`](Value::Null) where nothing is.
pub type Row = BTreeMap<String, Value>;

/// Gives rows back as they were written, of any generation, without a lease.
///
/// Values come in the types of the columns: a whole number in a [`Real`](crate::ColumnType::Real) column as [`Value::Real`]. It sees what is committed.
pub trait ReadBack: Send {
    /// The tables that the sink was given.
    fn tables(&self) -> &[Table];

    /// How many rows a table has.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): there is no such table or generation; [`Kind::Unavailable`](crate::Kind::Unavailable).
    fn count<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        table: &'a str,
    ) -> BoxFuture<'a, Result<u64, Error>>;

    /// At most `limit` rows that come after this one, or the first ones, in an order by key that is the sink's own but always the same.
    ///
    /// # Errors
    /// As for [`count`](Self::count).
    fn page<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        table: &'a str,
        after: Option<&'a Row>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Row>, Error>>;
}
