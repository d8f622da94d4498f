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
    /// The key of the row that is being written; here so that it needs no memory each time.
    key: Vec<u8>,
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
        Self {
            tables,
            batches,
            key: Vec::new(),
        }
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
                let mut key = Vec::with_capacity(24);
                put_key(&mut key, table, |name| effect.value(table, name));
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
        // The next one is mostly as long.
        let left = self.batches.iter().map(Batch::as_long).collect();
        Self {
            tables: self.tables.clone(),
            batches: std::mem::replace(&mut self.batches, left),
            key: Vec::new(),
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
        let mut all = given.iter().copied().flatten();
        all.try_for_each(|(name, value)| value::check(table, name, value))?;
        self.key.clear();
        put_key(&mut self.key, table, |name| {
            let mut all = given.iter().copied().flatten();
            let found = all.find(|(given, _)| *given == name);
            found.map(|(_, value)| value)
        });
        if batch.fold(table, &self.key, what, given, add) {
            return Ok(());
        }
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
            if let Some(cell) = place(name).and_then(|at| cells.get_mut(at)) {
                *cell = Cell::Set(table.settled(name, value));
            }
        }
        if let Some((name, by)) = add
            && let Some(cell) = place(name).and_then(|at| cells.get_mut(at))
        {
            *cell = Cell::Add(by);
        }
        batch
            .add(self.key.clone(), Effect { what, cells })
            .map_err(|error| refused(table, &error))
    }
}

fn refused(table: &Table, error: &Error) -> Error {
    Error::refused(format!("table {}: {error}", table.name))
}

impl Batch {
    /// An empty one with room for as much.
    fn as_long(&self) -> Self {
        Self {
            effects: Vec::with_capacity(self.effects.len()),
            latest: Latest::with_capacity(self.latest.len()),
            bytes: 0,
        }
    }

    /// Merges into what is there for a row, where that is plain; says whether it did. Anything else is left to [`Effect::then`].
    fn fold(
        &mut self,
        table: &Table,
        key: &[u8],
        what: What,
        given: &[&[Given<'_>]],
        add: Option<(&str, i64)>,
    ) -> bool {
        let at = self.latest.get(key).copied();
        let Some((_, before)) = at.and_then(|at| self.effects.get_mut(at)) else {
            return false;
        };
        if !before.what.is_changed_by(what) {
            return false;
        }
        let place = |name: &str| table.columns.iter().position(|it| it.name == name);
        let cells = &mut before.cells;
        if let Some((name, by)) = add {
            let cell = place(name).and_then(|at| cells.get_mut(at));
            return cell.is_some_and(|cell| cell.raise(by));
        }
        let set = || {
            let all = given.iter().copied().flatten();
            all.filter(|(name, _)| !table.key.iter().any(|key| key == name))
        };
        let plain = |(name, _): &Given<'_>| {
            let cell = place(name).and_then(|at| cells.get(at));
            matches!(cell, Some(Cell::Keep | Cell::Set(_)))
        };
        if !set().all(plain) {
            return false;
        }
        let mut grown = 0;
        for (name, value) in set() {
            if let Some(cell) = place(name).and_then(|at| cells.get_mut(at)) {
                let size = cell.size();
                *cell = Cell::Set(table.settled(name, value));
                grown += cell.size().saturating_sub(size);
            }
        }
        self.bytes += grown;
        true
    }

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

/// Bytes that are the same for the same key.
fn put_key<'v>(key: &mut Vec<u8>, table: &Table, value: impl Fn(&str) -> Option<&'v Value>) {
    for name in &table.key {
        match value(name) {
            Some(Value::Text(text)) => with_length(key, text.as_bytes()),
            Some(Value::Bytes(bytes)) => with_length(key, bytes),
            Some(Value::Bool(truth)) => key.push((*truth).into()),
            Some(Value::Time(time)) => key.extend(time.as_micros().to_be_bytes()),
            Some(number) => match table.settled(name, number) {
                Value::Integer(number) => key.extend(number.to_be_bytes()),
                Value::Real(number) => key.extend(number.to_bits().to_be_bytes()),
                _ => (),
            },
            None => (),
        }
    }
}

fn with_length(key: &mut Vec<u8>, bytes: &[u8]) {
    key.extend((bytes.len() as u64).to_be_bytes());
    key.extend(bytes);
}
