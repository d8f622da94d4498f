//! The writer: it checks operations, takes them down, and merges those on one row.
//!
//! Relies on: `Table`'s checks. Never: sends anything; the sink does, at commit.

#[expect(
    clippy::disallowed_types,
    reason = "looked up and never iterated; the keys are anybody's, so the hash needs a secret"
)]
use std::collections::HashMap;

use factum_projection::{Cell as Given, Error, Rows, Table, Value};

use crate::effect::{Cell, Effect, What};
use crate::value;

/// What a projector writes PostgreSQL with.
#[derive(Debug)]
pub struct PostgresRows {
    tables: Vec<Table>,
    batches: Vec<Batch>,
}

#[expect(
    clippy::disallowed_types,
    reason = "looked up and never iterated; the keys are anybody's, so the hash needs a secret"
)]
type Latest = HashMap<Vec<u8>, usize>;

/// What is to be done to a table.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// In the order in which each row was first written, with the round it belongs to: what is in one round is about different rows.
    pub(crate) effects: Vec<(u32, Effect)>,
    /// Where the last effect on a row is, by its key.
    latest: Latest,
    /// About how much memory they take.
    bytes: usize,
}

impl PostgresRows {
    pub(crate) fn new(tables: Vec<Table>) -> Self {
        let batches = tables.iter().map(|_| Batch::default()).collect();
        Self { tables, batches }
    }

    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Forgets what was taken down.
    pub(crate) fn clear(&mut self) {
        for batch in &mut self.batches {
            batch.effects.clear();
            batch.latest.clear();
            batch.bytes = 0;
        }
    }

    /// Takes down what was taken down after this; after an error it is of no use any more.
    ///
    /// # Errors
    /// Refused: something cannot come after what is here already.
    pub(crate) fn append(&mut self, later: Self) -> Result<(), Error> {
        let pairs = self.tables.iter().zip(&mut self.batches);
        for ((table, batch), later) in pairs.zip(later.batches) {
            if batch.effects.is_empty() {
                *batch = later;
                continue;
            }
            for (_, effect) in later.effects {
                let key = key(table, &effect.cells);
                let added = batch.add(key, effect);
                added.map_err(|error| refused(table, &error))?;
            }
        }
        Ok(())
    }

    /// What it is in tables that are empty.
    pub(crate) fn settle_empty(&mut self) {
        for batch in &mut self.batches {
            let effects = std::mem::take(&mut batch.effects).into_iter();
            let settled = effects.filter_map(|(round, effect)| {
                let effect = match round {
                    0 => effect.of_none()?,
                    _ => effect,
                };
                Some((round, effect))
            });
            batch.effects = settled.collect();
            batch.latest.clear();
        }
    }

    /// How many effects there are, how many of them new rows, and about how many bytes of memory they take.
    pub(crate) fn load(&self) -> (usize, usize, usize) {
        let sum = |of: fn(&Batch) -> usize| self.batches.iter().map(of).sum();
        let new = |batch: &Batch| {
            let effects = batch.effects.iter();
            effects
                .filter(|(_, effect)| effect.what == What::Insert)
                .count()
        };
        (
            sum(|batch| batch.effects.len()),
            sum(new),
            sum(|batch| batch.bytes),
        )
    }

    /// What was taken down, by itself; nothing is left.
    pub(crate) fn take(&mut self) -> Self {
        let left = self.tables.iter().map(|_| Batch::default()).collect();
        Self {
            tables: self.tables.clone(),
            batches: std::mem::replace(&mut self.batches, left),
        }
    }

    /// What was taken down, by table.
    pub(crate) fn batches(&self) -> impl Iterator<Item = (&Table, &Batch)> {
        let all = self.tables.iter().zip(&self.batches);
        all.filter(|(_, batch)| !batch.effects.is_empty())
    }

    pub(crate) fn table(&self, name: &str) -> Result<&Table, Error> {
        self.find(name).map(|(_, table)| table)
    }

    fn find(&self, name: &str) -> Result<(usize, &Table), Error> {
        let mut all = self.tables.iter().enumerate();
        let found = all.find(|(_, table)| table.name == name);
        found.ok_or_else(|| Error::refused(format!("there is no table {name}")))
    }

    /// Takes down what becomes of a row, from cells that were checked.
    fn note(
        &mut self,
        index: usize,
        what: What,
        given: &[&[Given<'_>]],
        add: Option<(&str, i64)>,
    ) -> Result<(), Error> {
        let (Some(table), Some(batch)) = (self.tables.get(index), self.batches.get_mut(index))
        else {
            return Ok(());
        };
        let new = what == What::Insert;
        let mut cells: Vec<Cell> = table
            .columns
            .iter()
            .map(|_| {
                if new {
                    Cell::Set(Value::Null)
                } else {
                    Cell::Keep
                }
            })
            .collect();
        let place = |name: &str| {
            let mut columns = table.columns.iter();
            columns.position(|column| column.name == name)
        };
        for (name, value) in given.iter().copied().flatten() {
            value::check(table, name, value)?;
            if let Some(cell) = place(name).and_then(|at| cells.get_mut(at)) {
                *cell = Cell::Set(table.settled(name, value));
            }
        }
        if let Some((name, by)) = add
            && let Some(cell) = place(name).and_then(|at| cells.get_mut(at))
        {
            *cell = Cell::Add(by);
        }
        let key = key(table, &cells);
        batch
            .add(key, Effect { what, cells })
            .map_err(|error| refused(table, &error))
    }
}

fn refused(table: &Table, error: &Error) -> Error {
    Error::refused(format!("table {}: {error}", table.name))
}

impl Batch {
    fn add(&mut self, key: Vec<u8>, effect: Effect) -> Result<(), Error> {
        let at = self.latest.get(&key).copied();
        let before = at.and_then(|at| self.effects.get_mut(at));
        let (round, effect) = match before {
            None => (0, effect),
            Some((round, before)) => {
                let size = before.size();
                let apart = before.then(effect)?;
                self.bytes = (self.bytes + before.size()).saturating_sub(size);
                match apart {
                    None => return Ok(()),
                    Some(apart) => (*round + 1, apart),
                }
            }
        };
        self.bytes += effect.size() + key.len() + size_of::<(Vec<u8>, usize)>();
        self.latest.insert(key, self.effects.len());
        self.effects.push((round, effect));
        Ok(())
    }
}

impl Rows for PostgresRows {
    fn insert(&mut self, table: &str, row: &[Given<'_>]) -> Result<(), Error> {
        let (index, table) = self.find(table)?;
        table.check_row(row)?;
        self.note(index, What::Insert, &[row], None)
    }

    fn upsert(&mut self, table: &str, row: &[Given<'_>]) -> Result<(), Error> {
        let (index, table) = self.find(table)?;
        table.check_row(row)?;
        self.note(index, What::Upsert, &[row], None)
    }

    fn update(&mut self, table: &str, key: &[Given<'_>], set: &[Given<'_>]) -> Result<(), Error> {
        let (index, table) = self.find(table)?;
        table.check_key(key)?;
        table.check_set(set)?;
        if set.is_empty() {
            return Ok(());
        }
        self.note(index, What::Update, &[key, set], None)
    }

    fn delete(&mut self, table: &str, key: &[Given<'_>]) -> Result<(), Error> {
        let (index, table) = self.find(table)?;
        table.check_key(key)?;
        self.note(index, What::Delete, &[key], None)
    }

    fn increment(
        &mut self,
        table: &str,
        key: &[Given<'_>],
        column: &str,
        by: i64,
    ) -> Result<(), Error> {
        let (index, table) = self.find(table)?;
        table.check_key(key)?;
        table.check_sum(column)?;
        self.note(index, What::Upsert, &[key], Some((column, by)))
    }
}

/// A text of bytes that is the same for the same key; its values are settled.
fn key(table: &Table, cells: &[Cell]) -> Vec<u8> {
    let mut key = Vec::with_capacity(24);
    for name in &table.key {
        let mut all = table.columns.iter().zip(cells);
        let Some((_, Cell::Set(value))) = all.find(|(column, _)| column.name == *name) else {
            continue;
        };
        match value {
            Value::Bool(truth) => key.push((*truth).into()),
            Value::Integer(number) => key.extend(number.to_be_bytes()),
            Value::Real(number) => key.extend(number.to_bits().to_be_bytes()),
            Value::Time(time) => key.extend(time.as_micros().to_be_bytes()),
            Value::Text(text) => with_length(&mut key, text.as_bytes()),
            Value::Bytes(bytes) => with_length(&mut key, bytes),
            _ => (),
        }
    }
    key
}

fn with_length(key: &mut Vec<u8>, bytes: &[u8]) {
    key.extend((bytes.len() as u64).to_be_bytes());
    key.extend(bytes);
}
