//! A declared projection at work: an event, its handlers, and what they write.
//!
//! Relies on: what was checked when the file was read. Never: writes something else for the same event.

use std::sync::Arc;

use factum_store::Source;
use factum_types::{RecordKind, RecordedEvent, Timestamp};

use super::Declared;
use super::expression::{Expression, Given, Missing};
use super::operation::{Assignment, Handler, Operation, Point, Sign};
use crate::{Cell, ColumnType, Error, Points, Projector, Rows, Value};

/// A declared projection into tables. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct DeclaredRows(pub(super) Arc<Declared>);

/// A declared projection into series of points. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct DeclaredPoints(pub(super) Arc<Declared>);

macro_rules! declared {
    ($writer:ident, $of:ty, $write:ident) => {
        impl<W: $writer> Projector<W> for $of {
            fn name(&self) -> &str {
                self.0.name()
            }

            fn version(&self) -> &str {
                self.0.version()
            }

            fn source(&self) -> Source {
                self.0.source().clone()
            }

            fn project(&self, event: &RecordedEvent, to: &mut W) -> Result<(), Error> {
                self.0
                    .apply(event, |given, handler| $write(given, handler, to))
            }
        }
    };
}
declared!(Rows, DeclaredRows, write_rows);
declared!(Points, DeclaredPoints, write_point);

impl Declared {
    /// Gives the event to every handler that takes it, in the order of the file.
    fn apply(
        &self,
        event: &RecordedEvent,
        mut write: impl FnMut(&Given<'_>, &Handler) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if event.kind != RecordKind::Event {
            return Ok(());
        }
        let (name, version) = (&event.event_type, event.schema_version);
        let takes = |handler: &&Handler| handler.takes(name, version);
        let mut handlers = self.handlers.iter().filter(takes).peekable();
        if handlers.peek().is_none() {
            return Ok(());
        }
        let needs_data = self.handlers.iter().filter(takes).any(Handler::needs_data);
        let given = Given::new(event, needs_data)?;
        for handler in handlers {
            if handler.conditions.iter().all(|it| it.holds(&given)) {
                write(&given, handler).map_err(|error| about(&error, event, handler))?;
            }
        }
        Ok(())
    }

    /// What would be written for this event is made and checked, and goes nowhere; says whether a handler took it.
    ///
    /// # Errors
    /// [`Kind::Refused`](crate::Kind::Refused): as a runner would be told. What depends on rows that are there is not known here.
    pub fn probe(&self, event: &RecordedEvent) -> Result<bool, Error> {
        let mut taken = false;
        self.apply(event, |given, handler| {
            taken = true;
            let mut nowhere = Nowhere(self);
            match &handler.does {
                Operation::Point(_) => write_point(given, handler, &mut nowhere),
                _ => write_rows(given, handler, &mut nowhere),
            }
        })?;
        Ok(taken)
    }
}

/// The same, with the handler that it was.
fn about(error: &Error, event: &RecordedEvent, handler: &Handler) -> Error {
    let what = format!("{} (line {}): {error}", event.event_type, handler.line);
    Error::new(error.kind(), what).because(error.clone())
}

fn write_rows<W: Rows>(given: &Given<'_>, handler: &Handler, to: &mut W) -> Result<(), Error> {
    match &handler.does {
        Operation::Insert(table, row) => to.insert(table, &cells(row, given)?),
        Operation::Upsert(table, row) => to.upsert(table, &cells(row, given)?),
        Operation::Update(table, key, set) => {
            let set = cells(set, given)?;
            if set.is_empty() {
                return Ok(());
            }
            to.update(table, &cells(key, given)?, &set)
        }
        Operation::Delete(table, key) => to.delete(table, &cells(key, given)?),
        Operation::Increment(table, key, by, sign) => {
            let key = cells(key, given)?;
            for (column, value) in cells(by, given)? {
                // Nothing to be added is nothing to be done, as in folds.
                if let Value::Integer(by) = value {
                    let by = match sign {
                        Sign::Plus => Some(by),
                        Sign::Minus => by.checked_neg(),
                    };
                    let by = by.ok_or_else(|| {
                        Error::refused(format!("column {column}: the number is too large"))
                    })?;
                    to.increment(table, &key, column, by)?;
                }
            }
            Ok(())
        }
        Operation::Point(_) => Ok(()),
    }
}

fn write_point<W: Points>(given: &Given<'_>, handler: &Handler, to: &mut W) -> Result<(), Error> {
    let Operation::Point(point) = &handler.does else {
        return Ok(());
    };
    let tags = cells(&point.tags, given)?;
    let tags: Vec<(&str, &str)> = tags
        .iter()
        .filter_map(|(name, value)| match value {
            Value::Text(text) => Some((*name, text.as_str())),
            _ => None,
        })
        .collect();
    let fields = cells(&point.fields, given)?;
    let time = time_of(point, given)?;
    to.point(&point.measurement, &tags, &fields, time)
}

/// When the point is; the time of the event unless said otherwise.
fn time_of(point: &Point, given: &Given<'_>) -> Result<Option<Timestamp>, Error> {
    let Some(from) = &point.time else {
        return Ok(None);
    };
    match from.value(ColumnType::Time, given) {
        Ok(Value::Time(time)) => Ok(Some(time)),
        Ok(_) if from.missing() == Missing::Fail => Err(missing("time", from)),
        Ok(_) => Ok(None),
        Err(what) => Err(Error::refused(format!("time: {what}"))),
    }
}

fn cells<'h>(all: &'h [Assignment], given: &Given<'_>) -> Result<Vec<Cell<'h>>, Error> {
    let mut cells = Vec::with_capacity(all.len());
    for assignment in all {
        let column = assignment.column.as_str();
        let value = assignment.from.value(assignment.holds, given);
        let value = value.map_err(|what| Error::refused(format!("column {column}: {what}")))?;
        match (&value, assignment.from.missing()) {
            (Value::Null, Missing::Keep) => {}
            (Value::Null, Missing::Fail) => return Err(missing(column, &assignment.from)),
            (Value::Null, Missing::Null) if assignment.required => {
                return Err(missing(column, &assignment.from));
            }
            _ => cells.push((column, value)),
        }
    }
    Ok(cells)
}

fn missing(column: &str, from: &Expression) -> Error {
    Error::refused(format!(
        "column {column} cannot be null, and {from} is not there"
    ))
}

/// A writer that checks as sinks do, and writes nothing.
#[derive(Debug)]
struct Nowhere<'a>(&'a Declared);

impl Nowhere<'_> {
    fn table(&self, name: &str) -> Result<&crate::Table, Error> {
        let found = self.0.tables().find(|table| table.name == name);
        found.ok_or_else(|| Error::refused(format!("there is no table {name}")))
    }
}

impl Rows for Nowhere<'_> {
    fn insert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        self.table(table)?.check_row(row)
    }

    fn upsert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        self.table(table)?.check_row(row)
    }

    fn update(&mut self, table: &str, key: &[Cell<'_>], set: &[Cell<'_>]) -> Result<(), Error> {
        let table = self.table(table)?;
        table.check_key(key)?;
        table.check_set(set)
    }

    fn delete(&mut self, table: &str, key: &[Cell<'_>]) -> Result<(), Error> {
        self.table(table)?.check_key(key)
    }

    fn increment(
        &mut self,
        table: &str,
        key: &[Cell<'_>],
        column: &str,
        _: i64,
    ) -> Result<(), Error> {
        let table = self.table(table)?;
        table.check_key(key)?;
        table.check_sum(column)
    }
}

impl Points for Nowhere<'_> {
    fn point(
        &mut self,
        measurement: &str,
        tags: &[(&str, &str)],
        fields: &[Cell<'_>],
        _: Option<Timestamp>,
    ) -> Result<(), Error> {
        crate::points::check_point(measurement, tags, fields)
    }
}
