//! The writer: operations on rows as statements with bound values.
//!
//! Relies on: a transaction that the sink began. Never: commits.

use std::collections::BTreeMap;

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
    texts: Texts,
}

/// The text of each statement that was needed, so that none is put together twice.
#[derive(Debug, Default)]
struct Texts {
    by_shape: BTreeMap<Vec<u8>, String>,
    /// The shape that is looked for.
    shape: Vec<u8>,
}

/// What a statement does; with table and columns it is its shape.
#[derive(Debug, Clone, Copy)]
enum What {
    Insert,
    Upsert,
    Update,
    Delete,
    Increment,
}

/// No more are kept; a projector that writes ever other columns does not fill the memory.
const TEXTS_MAX: usize = 1_024;

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
    pub(crate) fn new(connection: Connection, tables: Vec<Table>) -> Self {
        Self {
            connection,
            tables,
            generation: 0,
            texts: Texts::default(),
        }
    }

    pub(crate) fn point_at(&mut self, generation: u32) {
        if self.generation != generation {
            self.generation = generation;
            self.texts.by_shape.clear();
        }
    }

    fn table(&self, name: &str) -> Result<(usize, &Table), Error> {
        let mut tables = self.tables.iter().enumerate();
        let found = tables.find(|(_, table)| table.name == name);
        found.ok_or_else(|| Error::refused(format!("there is no table {name}")))
    }

    /// Does this with the cells of the key, or of the row, and those that are set.
    fn execute(
        &mut self,
        what: What,
        at: usize,
        row: &[Cell<'_>],
        set: &[Cell<'_>],
    ) -> Result<(), Error> {
        let Some(table) = self.tables.get(at) else {
            return Err(Error::invalid("there is no such table"));
        };
        if self.connection.is_autocommit() {
            // After some errors SQLite takes the transaction back by itself; a write would then stand alone.
            let what = format!("a write to {} without a transaction", table.name);
            return Err(Error::new(Kind::Unavailable, what));
        }
        let sql = self
            .texts
            .find(what, at, table, self.generation, [row, set]);
        let write = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            for (index, (_, value)) in row.iter().chain(set).enumerate() {
                statement.raw_bind_parameter(index + 1, Bound(value))?;
            }
            statement.raw_execute()
        };
        match write() {
            Ok(_) => Ok(()),
            Err(error) => Err(said(format!("cannot write to {}", table.name), error)),
        }
    }
}

impl Texts {
    fn find(
        &mut self,
        what: What,
        at: usize,
        table: &Table,
        generation: u32,
        [row, set]: [&[Cell<'_>]; 2],
    ) -> &str {
        self.shape.clear();
        self.shape.push(what as u8);
        self.shape.extend(at.to_le_bytes());
        for (column, _) in row.iter().chain(set) {
            // Columns are at most as many as fit, and all are there.
            let index = table.columns.iter().position(|it| it.name == *column);
            let index = index.unwrap_or_default();
            self.shape.extend(index.to_le_bytes());
        }
        if !self.by_shape.contains_key(&self.shape) {
            if self.by_shape.len() >= TEXTS_MAX {
                self.by_shape.clear();
            }
            let name = quoted(&table_name(&table.name, generation));
            let text = text(what, table, row, set, &name);
            self.by_shape.insert(self.shape.clone(), text);
        }
        self.by_shape.get(&self.shape).map_or("", String::as_str)
    }
}

fn text(what: What, table: &Table, row: &[Cell<'_>], set: &[Cell<'_>], name: &str) -> String {
    let is = || list(row, 0, " AND ", |name, place| format!("{name} = {place}"));
    match what {
        What::Update => {
            let sets = list(set, row.len(), ", ", |name, place| {
                format!("{name} = {place}")
            });
            return format!("UPDATE {name} SET {sets} WHERE {}", is());
        }
        What::Delete => return format!("DELETE FROM {name} WHERE {}", is()),
        What::Insert | What::Upsert | What::Increment => (),
    }
    let all: Vec<Cell<'_>> = row.iter().chain(set).cloned().collect();
    let columns = list(&all, 0, ", ", |name, _| name);
    let places = list(&all, 0, ", ", |_, place| place);
    let insert = format!("INSERT INTO {name} ({columns}) VALUES ({places})");
    let key: Vec<String> = table.key.iter().map(|name| quoted(name)).collect();
    let key = key.join(", ");
    let others: Vec<Cell<'_>> = row
        .iter()
        .filter(|(name, _)| !table.key.iter().any(|key| key == name))
        .cloned()
        .collect();
    let sets = match what {
        What::Increment => list(set, 0, ", ", |name, _| {
            format!("{name} = coalesce({name}, 0) + excluded.{name}")
        }),
        _ => list(&others, 0, ", ", |name, _| {
            format!("{name} = excluded.{name}")
        }),
    };
    match what {
        What::Insert => insert,
        _ if sets.is_empty() => format!("{insert} ON CONFLICT ({key}) DO NOTHING"),
        _ => format!("{insert} ON CONFLICT ({key}) DO UPDATE SET {sets}"),
    }
}

impl Rows for SqliteRows {
    fn insert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        let (at, table) = self.table(table)?;
        table.check_row(row)?;
        self.execute(What::Insert, at, row, &[])
    }

    fn upsert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        let (at, table) = self.table(table)?;
        table.check_row(row)?;
        self.execute(What::Upsert, at, row, &[])
    }

    fn update(&mut self, table: &str, key: &[Cell<'_>], set: &[Cell<'_>]) -> Result<(), Error> {
        let (at, table) = self.table(table)?;
        table.check_key(key)?;
        table.check_set(set)?;
        if set.is_empty() {
            return Ok(());
        }
        self.execute(What::Update, at, key, set)
    }

    fn delete(&mut self, table: &str, key: &[Cell<'_>]) -> Result<(), Error> {
        let (at, table) = self.table(table)?;
        table.check_key(key)?;
        self.execute(What::Delete, at, key, &[])
    }

    fn increment(
        &mut self,
        table: &str,
        key: &[Cell<'_>],
        column: &str,
        by: i64,
    ) -> Result<(), Error> {
        let (at, table) = self.table(table)?;
        table.check_key(key)?;
        table.check_sum(column)?;
        self.execute(What::Increment, at, key, &[(column, Value::Integer(by))])
    }
}

/// Something for each cell, given its quoted name and its place, numbered after those before it.
fn list(
    cells: &[Cell<'_>],
    before: usize,
    between: &str,
    each: impl Fn(String, String) -> String,
) -> String {
    let all: Vec<String> = cells
        .iter()
        .enumerate()
        .map(|(index, (name, _))| each(quoted(name), format!("?{}", before + index + 1)))
        .collect();
    all.join(between)
}
