//! What a generation holds: rows by key, and points.
//!
//! Relies on: operations whose cells were checked and settled. Never: keeps a part of a batch.

use std::collections::BTreeMap;
use std::ops::Bound;

use factum_types::{Position, Timestamp};

use crate::error::Error;
use crate::read_back::Row;
use crate::table::Table;
use crate::value::Value;

/// The values of a key, such that they have an order, and equal ones are one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Bool(bool),
    Integer(i64),
    /// In the order of the number.
    Real(u64),
    Text(String),
    Bytes(Vec<u8>),
    Time(Timestamp),
}

pub(super) type Key = Vec<Part>;

#[derive(Debug)]
pub(super) struct Operation {
    pub(super) table: String,
    pub(super) key: Key,
    pub(super) row: Row,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Insert,
    Upsert,
    Update,
    Delete,
    Increment(String, i64),
    /// The key is that of the point.
    Point(PointKey, Vec<(String, Value)>),
}

/// Where a point is: measurement, tags by name, time, event, number in the event.
pub(super) type PointKey = (String, Vec<(String, String)>, Timestamp, Position, u32);

/// A point of a time series.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// What is measured.
    pub measurement: String,
    /// By name.
    pub tags: Vec<(String, String)>,
    /// When, as given, or the time of the event.
    pub time: Timestamp,
    /// The event that it comes from.
    pub position: Position,
    /// As given.
    pub fields: Vec<(String, Value)>,
}

#[derive(Debug, Default)]
pub(super) struct Stored {
    tables: BTreeMap<String, BTreeMap<Key, Row>>,
    points: BTreeMap<PointKey, Vec<(String, Value)>>,
}

/// A value of a key.
pub(super) fn part(value: &Value) -> Option<Part> {
    Some(match value {
        Value::Bool(truth) => Part::Bool(*truth),
        Value::Integer(number) => Part::Integer(*number),
        Value::Real(number) => {
            let bits = number.to_bits();
            let negative = bits >> 63 == 1;
            Part::Real(if negative { !bits } else { bits | 1 << 63 })
        }
        Value::Text(text) => Part::Text(text.clone()),
        Value::Bytes(bytes) => Part::Bytes(bytes.clone()),
        Value::Time(time) => Part::Time(*time),
        Value::Null | Value::Json(_) => return None,
    })
}

/// The key of a row; `None` when it is not whole.
pub(super) fn key(table: &Table, row: &Row) -> Option<Key> {
    table.key.iter().map(|name| part(row.get(name)?)).collect()
}

impl Stored {
    pub(super) fn rows(&self, table: &str) -> Vec<Row> {
        let rows = self.tables.get(table).map(|rows| rows.values().cloned());
        rows.into_iter().flatten().collect()
    }

    pub(super) fn count(&self, table: &str) -> u64 {
        self.tables.get(table).map_or(0, |rows| rows.len() as u64)
    }

    pub(super) fn take(&mut self, table: &str, key: &Key) -> Option<Row> {
        self.tables.get_mut(table)?.remove(key)
    }

    pub(super) fn first(&self, table: &str) -> Option<&Row> {
        self.tables.get(table)?.values().next()
    }

    pub(super) fn page(&self, table: &Table, after: Option<&Row>, limit: usize) -> Vec<Row> {
        let after = after.and_then(|row| key(table, row));
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.tables.get(&table.name);
        let rows = rows.map(|rows| rows.range::<Key, _>((from, Bound::Unbounded)));
        let rows = rows.into_iter().flatten().take(limit);
        rows.map(|(_, row)| {
            let all = table.columns.iter().map(|column| {
                let value = row.get(&column.name).cloned().unwrap_or(Value::Null);
                (column.name.clone(), value)
            });
            all.collect()
        })
        .collect()
    }

    pub(super) fn points(&self) -> Vec<Point> {
        let point = |(key, fields): (&PointKey, &Vec<(String, Value)>)| Point {
            measurement: key.0.clone(),
            tags: key.1.clone(),
            time: key.2,
            position: key.3,
            fields: fields.clone(),
        };
        self.points.iter().map(point).collect()
    }

    /// All of these, or none.
    pub(super) fn apply(&mut self, operations: Vec<Operation>) -> Result<(), Error> {
        let (mut undo, mut points) = (Vec::new(), Vec::new());
        for operation in operations {
            if let What::Point(key, fields) = operation.what {
                points.push((key, fields));
                continue;
            }
            let rows = self.tables.entry(operation.table.clone()).or_default();
            let before = rows.get(&operation.key).cloned();
            undo.push((operation.table.clone(), operation.key.clone(), before));
            if let Err(error) = operation.apply(rows) {
                self.take_back(undo);
                return Err(error);
            }
        }
        self.points.extend(points);
        Ok(())
    }

    fn take_back(&mut self, undo: Vec<(String, Key, Option<Row>)>) {
        for (table, key, before) in undo.into_iter().rev() {
            let rows = self.tables.entry(table).or_default();
            match before {
                Some(row) => drop(rows.insert(key, row)),
                None => drop(rows.remove(&key)),
            }
        }
    }
}

impl Operation {
    fn apply(self, rows: &mut BTreeMap<Key, Row>) -> Result<(), Error> {
        let table = &self.table;
        match self.what {
            What::Insert if rows.contains_key(&self.key) => {
                let what = format!("table {table} has a row with key {:?}", self.key);
                return Err(Error::refused(what));
            }
            What::Insert | What::Upsert => {
                rows.entry(self.key).or_default().extend(self.row);
            }
            What::Update => {
                if let Some(row) = rows.get_mut(&self.key) {
                    row.extend(self.row);
                }
            }
            What::Delete => drop(rows.remove(&self.key)),
            What::Increment(column, by) => {
                let row = rows.entry(self.key).or_insert(self.row);
                let sum = match row.get(&column) {
                    Some(Value::Integer(old)) => old.checked_add(by),
                    _ => Some(by),
                };
                let Some(sum) = sum else {
                    let what =
                        format!("{by} added to column {column} of table {table} is too much");
                    return Err(Error::refused(what));
                };
                row.insert(column, Value::Integer(sum));
            }
            What::Point(..) => (),
        }
        Ok(())
    }
}
