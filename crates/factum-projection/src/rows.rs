//! The writer of sinks that have tables.
//!
//! What lives here: [`Rows`]. Relies on: the shape of each [`Table`](crate::Table). Never: holds SQL.

use crate::error::Error;
use crate::value::Value;

/// A column and what it holds.
pub type Cell<'a> = (&'a str, Value);

/// Writes rows of the tables that the sink was given, in the order of the calls.
///
/// Every sink keeps the same rules, and refuses at once what breaks one, which parks the event: table and columns are there, no column is
/// given twice, values fit ([`Table::check_cells`](crate::Table::check_cells)), and a key has all of the key's columns, none of them
/// [`Null`](Value::Null), and no other. Two values are one key when they are equal as numbers. What depends on what is stored (whether there is
/// a row, whether a sum fits) is refused now or at commit. An event that is refused leaves nothing behind.
///
/// ```
/// use factum_projection::{Error, Rows};
///
/// fn placed(to: &mut dyn Rows, order: &str, customer: &str) -> Result<(), Error> {
///     to.insert("orders", &[("id", order.into()), ("status", "placed".into())])?;
///     to.increment("customers", &[("id", customer.into())], "orders", 1)
/// }
/// ```
pub trait Rows {
    /// A new row; columns that are not given hold [`Null`](Value::Null).
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): there is a row with this key.
    fn insert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error>;

    /// A new row; where there is one with this key, the columns given are changed and the others kept.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): by the rules above.
    fn upsert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error>;

    /// Changes columns of the row with this key, those of the key excepted; nothing when there is none.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): a column of the key is among those to be changed.
    fn update(&mut self, table: &str, key: &[Cell<'_>], set: &[Cell<'_>]) -> Result<(), Error>;

    /// Removes the row with this key; nothing when there is none.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): by the rules above.
    fn delete(&mut self, table: &str, key: &[Cell<'_>]) -> Result<(), Error>;

    /// Adds to a column of whole numbers, outside of the key, of the row with this key, which is made when there is none;
    /// [`Null`](Value::Null) counts as zero.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): the column is another, or the sum is beyond [`i64`].
    fn increment(
        &mut self,
        table: &str,
        key: &[Cell<'_>],
        column: &str,
        by: i64,
    ) -> Result<(), Error>;
}
