//! The writer: operations are taken down, by document, and carried out at commit.
//!
//! Relies on: what the document was before, read at commit. Never: sends anything.

use std::collections::BTreeMap;

use factum_projection::{Cell, Error, Rows, Table, Value};
use serde_json::{Map, Value as Json};

use crate::values;

/// The columns of a document.
pub(crate) type Document = Map<String, Json>;
/// Columns that are written; `None` takes one away.
type Cells = Vec<(String, Option<Json>)>;

/// Which document: the number of its table, and its id.
pub(crate) type Place = (usize, String);

/// What a projector writes a document with.
#[derive(Debug)]
pub struct ElasticRows {
    pub(crate) tables: Vec<Table>,
    operations: BTreeMap<Place, Vec<Operation>>,
}

/// What is done to a document.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Insert(Cells),
    Upsert(Cells),
    Update(Cells),
    Delete,
    Increment { row: Cells, column: String, by: i64 },
}

impl ElasticRows {
    pub(crate) const fn new(tables: Vec<Table>) -> Self {
        Self {
            tables,
            operations: BTreeMap::new(),
        }
    }

    /// What was taken down since the last time.
    pub(crate) fn take(&mut self) -> BTreeMap<Place, Vec<Operation>> {
        std::mem::take(&mut self.operations)
    }

    fn table(&self, name: &str) -> Result<(usize, &Table), Error> {
        let mut tables = self.tables.iter().enumerate();
        let found = tables.find(|(_, table)| table.name == name);
        found.ok_or_else(|| Error::refused(format!("there is no table {name}")))
    }

    fn note(&mut self, table: usize, id: String, operation: Operation) {
        let place = self.operations.entry((table, id)).or_default();
        place.push(operation);
    }
}

impl Rows for ElasticRows {
    fn insert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        let (number, table) = self.table(table)?;
        table.check_row(row)?;
        let (id, cells) = (values::id(table, row)?, cells(table, row)?);
        self.note(number, id, Operation::Insert(cells));
        Ok(())
    }

    fn upsert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        let (number, table) = self.table(table)?;
        table.check_row(row)?;
        let (id, cells) = (values::id(table, row)?, cells(table, row)?);
        self.note(number, id, Operation::Upsert(cells));
        Ok(())
    }

    fn update(&mut self, table: &str, key: &[Cell<'_>], set: &[Cell<'_>]) -> Result<(), Error> {
        let (number, table) = self.table(table)?;
        table.check_key(key)?;
        table.check_set(set)?;
        let (id, cells) = (values::id(table, key)?, cells(table, set)?);
        self.note(number, id, Operation::Update(cells));
        Ok(())
    }

    fn delete(&mut self, table: &str, key: &[Cell<'_>]) -> Result<(), Error> {
        let (number, table) = self.table(table)?;
        table.check_key(key)?;
        let id = values::id(table, key)?;
        self.note(number, id, Operation::Delete);
        Ok(())
    }

    fn increment(
        &mut self,
        table: &str,
        key: &[Cell<'_>],
        column: &str,
        by: i64,
    ) -> Result<(), Error> {
        let (number, table) = self.table(table)?;
        table.check_key(key)?;
        table.check_sum(column)?;
        let (id, row) = (values::id(table, key)?, cells(table, key)?);
        let column = column.to_owned();
        self.note(number, id, Operation::Increment { row, column, by });
        Ok(())
    }
}

fn cells(table: &Table, row: &[Cell<'_>]) -> Result<Cells, Error> {
    row.iter()
        .map(|(name, value): &(&str, Value)| {
            let value = table.settled(name, value);
            Ok(((*name).to_owned(), values::json(&value)?))
        })
        .collect()
}

/// A document after these operations, one after another; `None` when there is none.
pub(crate) fn applied(
    table: &Table,
    id: &str,
    mut document: Option<Document>,
    operations: &[Operation],
) -> Result<Option<Document>, Error> {
    for operation in operations {
        document = match (operation, document) {
            (Operation::Insert(_), Some(_)) => {
                let table = &table.name;
                return Err(Error::refused(format!(
                    "table {table} has a row with key {id}"
                )));
            }
            (Operation::Insert(cells) | Operation::Upsert(cells), document) => {
                Some(with(document.unwrap_or_default(), cells))
            }
            (Operation::Update(cells), Some(document)) => Some(with(document, cells)),
            (Operation::Update(_), None) | (Operation::Delete, _) => None,
            (Operation::Increment { row, column, by }, document) => {
                let mut document = document.unwrap_or_else(|| with(Document::new(), row));
                let before = document.get(column).and_then(Json::as_i64).unwrap_or(0);
                let Some(sum) = before.checked_add(*by) else {
                    let table = &table.name;
                    return Err(Error::refused(format!(
                        "{by} added to column {column} of table {table} is too much"
                    )));
                };
                document.insert(column.clone(), sum.into());
                Some(document)
            }
        };
    }
    Ok(document)
}

fn with(mut document: Document, cells: &Cells) -> Document {
    for (name, value) in cells {
        match value {
            Some(value) => drop(document.insert(name.clone(), value.clone())),
            None => drop(document.remove(name)),
        }
    }
    document
}
