//! The writer: it checks operations and takes them down.
//!
//! Relies on: the shapes of the tables. Never: changes what is stored.

use std::sync::Arc;

use factum_types::{Position, RecordedEvent, Timestamp};

use super::stored::{Operation, What, key};
use crate::error::Error;
use crate::points::{Points, check_point};
use crate::rows::{Cell, Rows};
use crate::table::Table;
use crate::value::Value;

/// What a projector writes a [`MemorySink`](super::MemorySink) with.
#[derive(Debug)]
pub struct MemoryWriter {
    tables: Arc<Vec<Table>>,
    operations: Vec<Operation>,
    position: Position,
    time: Timestamp,
    points: u32,
}

impl MemoryWriter {
    pub(super) fn new(tables: Arc<Vec<Table>>) -> Self {
        Self {
            tables,
            operations: Vec::new(),
            position: Position::from_raw(0),
            time: Timestamp::from_micros(0),
            points: 0,
        }
    }

    pub(super) fn beside(&self) -> Self {
        Self::new(Arc::clone(&self.tables))
    }

    pub(super) fn clear(&mut self) {
        self.operations.clear();
    }

    pub(super) fn take(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.operations)
    }

    pub(super) fn at(&mut self, event: &RecordedEvent) {
        (self.position, self.time) = (event.position, event.time);
        self.points = 0;
    }

    pub(super) fn tables(&self) -> &[Table] {
        &self.tables
    }

    pub(super) fn table(&self, name: &str) -> Result<&Table, Error> {
        let found = self.tables.iter().find(|table| table.name == name);
        found.ok_or_else(|| Error::refused(format!("there is no table {name}")))
    }

    /// Takes an operation down whose cells were checked, values as their columns hold them.
    fn note(&mut self, table: &str, row: &[&[Cell<'_>]], what: What) -> Result<(), Error> {
        let shape = self.table(table)?;
        let cells = row.iter().copied().flatten();
        let row = cells
            .map(|(name, value)| ((*name).to_owned(), shape.settled(name, value)))
            .collect();
        let Some(key) = key(shape, &row) else {
            return Err(Error::refused(format!(
                "a key of table {table} is not whole"
            )));
        };
        self.operations.push(Operation {
            table: table.to_owned(),
            key,
            row,
            what,
        });
        Ok(())
    }
}

impl Rows for MemoryWriter {
    fn insert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        self.table(table)?.check_row(row)?;
        self.note(table, &[row], What::Insert)
    }

    fn upsert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        self.table(table)?.check_row(row)?;
        self.note(table, &[row], What::Upsert)
    }

    fn update(&mut self, table: &str, key: &[Cell<'_>], set: &[Cell<'_>]) -> Result<(), Error> {
        let shape = self.table(table)?;
        shape.check_key(key)?;
        shape.check_set(set)?;
        self.note(table, &[key, set], What::Update)
    }

    fn delete(&mut self, table: &str, key: &[Cell<'_>]) -> Result<(), Error> {
        self.table(table)?.check_key(key)?;
        self.note(table, &[key], What::Delete)
    }

    fn increment(
        &mut self,
        table: &str,
        key: &[Cell<'_>],
        column: &str,
        by: i64,
    ) -> Result<(), Error> {
        let shape = self.table(table)?;
        shape.check_key(key)?;
        shape.check_sum(column)?;
        self.note(table, &[key], What::Increment(column.to_owned(), by))
    }
}

impl Points for MemoryWriter {
    fn point(
        &mut self,
        measurement: &str,
        tags: &[(&str, &str)],
        fields: &[Cell<'_>],
        time: Option<Timestamp>,
    ) -> Result<(), Error> {
        check_point(measurement, tags, fields)?;
        let mut tags: Vec<_> = tags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        tags.sort();
        let time = time.unwrap_or(self.time);
        let place = (
            measurement.to_owned(),
            tags,
            time,
            self.position,
            self.points,
        );
        self.points += 1;
        let fields = fields
            .iter()
            .filter(|(_, value)| *value != Value::Null)
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        self.operations.push(Operation {
            table: String::new(),
            key: Vec::new(),
            row: crate::Row::new(),
            what: What::Point(place, fields),
        });
        Ok(())
    }
}
