//! The writer: operations on rows as statements with bound values.
//!
//! Relies on: a transaction that the sink began. Never: commits.

use factum_projection::{Cell, Error, Kind, Rows, Table, Value};
use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};
use rusqlite::{Connection, ToSql};

use crate::error::said;
use crate::schema::{quoted, table_name};

/// What a projector writes SQLite with.
#[derive(Debug)]
pub struct SqliteRows {
    pub(crate) connection: Connection,
    pub(crate) tables: Vec<Table>,
    generation: u32,
}

/// A value, bound.
pub(crate) struct Bound<'a>(pub(crate) &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Bool(truth) => ToSqlOutput::Owned(Owned::Integer((*truth).into())),
            Value::Integer(number) => ToSqlOutput::Owned(Owned::Integer(*number)),
            Value::Real(number) => ToSqlOutput::Owned(Owned::Real(*number)),
            Value::Text(text) | Value::Json(text) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
            }
            Value::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Value::Time(time) => ToSqlOutput::Owned(Owned::Integer(time.as_micros())),
            Value::Null => ToSqlOutput::Owned(Owned::Null),
            other => {
                let what = format!("SQLite cannot hold {other:?}");
                return Err(rusqlite::Error::ToSqlConversionFailure(what.into()));
            }
        })
    }
}

impl SqliteRows {
    pub(crate) const fn new(connection: Connection, tables: Vec<Table>) -> Self {
        Self {
            connection,
            tables,
            generation: 0,
        }
    }

    pub(crate) const fn point_at(&mut self, generation: u32) {
        self.generation = generation;
    }

    pub(crate) fn table(&self, name: &str) -> Result<&Table, Error> {
        let found = self.tables.iter().find(|table| table.name == name);
        found.ok_or_else(|| Error::refused(format!("there is no table {name}")))
    }

    fn name(&self, table: &Table) -> String {
        quoted(&table_name(&table.name, self.generation))
    }

    fn execute(&self, table: &str, sql: &str, cells: &[&[Cell<'_>]]) -> Result<(), Error> {
        if self.connection.is_autocommit() {
            // After some errors SQLite takes the transaction back by itself; a write would then stand alone.
            let what = format!("a write to {table} without a transaction");
            return Err(Error::new(Kind::Unavailable, what));
        }
        let values = cells.iter().copied().flatten();
        let bound: Vec<Bound<'_>> = values.map(|(_, value)| Bound(value)).collect();
        let mut statement = self
            .connection
            .prepare_cached(sql)
            .map_err(|error| said(format!("cannot prepare a write to {table}"), error))?;
        let done = statement.execute(rusqlite::params_from_iter(&bound));
        done.map_err(|error| said(format!("cannot write to {table}"), error))?;
        Ok(())
    }

    fn add(&self, table: &Table, row: &[Cell<'_>], conflict: &str) -> Result<(), Error> {
        let columns = list(row, ", ", |name, _| name);
        let places = list(row, ", ", |_, place| place);
        let name = self.name(table);
        let sql = format!("INSERT INTO {name} ({columns}) VALUES ({places}){conflict}");
        self.execute(&table.name, &sql, &[row])
    }
}

impl Rows for SqliteRows {
    fn insert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        let table = self.table(table)?;
        table.check_row(row)?;
        self.add(table, row, "")
    }

    fn upsert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        let table = self.table(table)?;
        table.check_row(row)?;
        let sets: Vec<String> = row
            .iter()
            .filter(|(name, _)| !table.key.iter().any(|key| key == name))
            .map(|(name, _)| format!("{0} = excluded.{0}", quoted(name)))
            .collect();
        let key = key_columns(table);
        let conflict = if sets.is_empty() {
            format!(" ON CONFLICT ({key}) DO NOTHING")
        } else {
            format!(" ON CONFLICT ({key}) DO UPDATE SET {}", sets.join(", "))
        };
        self.add(table, row, &conflict)
    }

    fn update(&mut self, table: &str, key: &[Cell<'_>], set: &[Cell<'_>]) -> Result<(), Error> {
        let table = self.table(table)?;
        table.check_key(key)?;
        table.check_set(set)?;
        if set.is_empty() {
            return Ok(());
        }
        let sets: Vec<String> = set
            .iter()
            .enumerate()
            .map(|(index, (name, _))| format!("{} = ?{}", quoted(name), key.len() + index + 1))
            .collect();
        let is = list(key, " AND ", |name, place| format!("{name} = {place}"));
        let name = self.name(table);
        let sql = format!("UPDATE {name} SET {} WHERE {is}", sets.join(", "));
        self.execute(&table.name, &sql, &[key, set])
    }

    fn delete(&mut self, table: &str, key: &[Cell<'_>]) -> Result<(), Error> {
        let table = self.table(table)?;
        table.check_key(key)?;
        let is = list(key, " AND ", |name, place| format!("{name} = {place}"));
        let sql = format!("DELETE FROM {} WHERE {is}", self.name(table));
        self.execute(&table.name, &sql, &[key])
    }

    fn increment(
        &mut self,
        table: &str,
        key: &[Cell<'_>],
        column: &str,
        by: i64,
    ) -> Result<(), Error> {
        let table = self.table(table)?;
        table.check_key(key)?;
        table.check_sum(column)?;
        let added = [(column, Value::Integer(by))];
        let row: Vec<Cell<'_>> = key.iter().chain(&added).cloned().collect();
        let conflict = format!(
            " ON CONFLICT ({}) DO UPDATE SET {1} = coalesce({1}, 0) + excluded.{1}",
            key_columns(table),
            quoted(column)
        );
        self.add(table, &row, &conflict)
    }
}

fn key_columns(table: &Table) -> String {
    let key: Vec<String> = table.key.iter().map(|name| quoted(name)).collect();
    key.join(", ")
}

/// Something for each cell, given its quoted name and its numbered place.
fn list(cells: &[Cell<'_>], between: &str, each: impl Fn(String, String) -> String) -> String {
    let all: Vec<String> = cells
        .iter()
        .enumerate()
        .map(|(index, (name, _))| each(quoted(name), format!("?{}", index + 1)))
        .collect();
    all.join(between)
}
