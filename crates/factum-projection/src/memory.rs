//! A sink in memory: for tests, and as the shortest example of one.
//!
//! It takes operations down and applies them at commit, as a sink over a network does. Relies on: one lock. Never: shows half a batch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum_types::Position;
use futures_core::future::BoxFuture;

use crate::error::Error;
use crate::rows::{Cell, Rows, Table, Value};
use crate::sink::{Advance, Lease, Sink, State, Which};

/// A row: columns by name.
pub type Row = BTreeMap<String, Value>;
/// The rows of a table, by a text that stands for their key.
type TableRows = BTreeMap<String, Row>;

/// Tables in memory. Cloning gives another sink over the same, as another connection would be.
#[derive(Debug)]
pub struct MemorySink {
    shared: Arc<Mutex<Shared>>,
    writer: MemoryWriter,
}

/// What a projector writes a [`MemorySink`] with.
#[derive(Debug)]
pub struct MemoryWriter {
    tables: Arc<Vec<Table>>,
    operations: Vec<Operation>,
}

#[derive(Debug, Default)]
struct Shared {
    generations: BTreeMap<(String, u32), Generation>,
    live: BTreeMap<String, u32>,
}

#[derive(Debug, Default)]
struct Generation {
    epoch: u64,
    state: State,
    tables: BTreeMap<String, TableRows>,
}

#[derive(Debug)]
struct Operation {
    table: String,
    key: String,
    row: Row,
    what: What,
}

#[derive(Debug)]
enum What {
    Insert,
    Upsert,
    Update,
    Delete,
    Increment(String, i64),
}

impl MemorySink {
    /// A sink with these tables, empty.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): a table is not well formed.
    pub fn new(tables: impl IntoIterator<Item = Table>) -> Result<Self, Error> {
        let tables: Vec<Table> = tables.into_iter().collect();
        tables.iter().try_for_each(Table::check)?;
        Ok(Self {
            shared: Arc::default(),
            writer: MemoryWriter {
                tables: Arc::new(tables),
                operations: Vec::new(),
            },
        })
    }

    /// The rows of a table that readers see, by key; empty when there are none.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Row> {
        let shared = self.lock();
        let live = shared.generations.iter().filter(|((name, number), _)| {
            let live = shared.live.get(name);
            live == Some(number)
        });
        live.filter_map(|(_, generation)| generation.tables.get(table))
            .flat_map(|rows| rows.values().cloned())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        lease: &Lease,
        work: impl FnOnce(&mut Generation) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut shared = self.lock();
        let key = (lease.projection.clone(), lease.generation);
        let Some(generation) = shared.generations.get_mut(&key) else {
            return Err(no_generation(&lease.projection, lease.generation));
        };
        if generation.epoch != lease.epoch {
            let theirs = generation.epoch;
            return Err(Error::fenced(&lease.projection, lease.epoch, theirs));
        }
        work(generation)
    }
}

impl Clone for MemorySink {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            writer: MemoryWriter {
                tables: Arc::clone(&self.writer.tables),
                operations: Vec::new(),
            },
        }
    }
}

impl Sink for MemorySink {
    type Writer = MemoryWriter;

    fn claim<'a>(
        &'a mut self,
        projection: &'a str,
        which: Which,
    ) -> BoxFuture<'a, Result<Lease, Error>> {
        let claimed = self.lock().claim(projection, which);
        Box::pin(std::future::ready(claimed))
    }

    fn look<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<State, Error>> {
        let state = self.with(lease, |generation| Ok(generation.state.clone()));
        Box::pin(std::future::ready(state))
    }

    fn begin<'a>(&'a mut self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        self.writer.operations.clear();
        let begun = self.with(lease, |_| Ok(()));
        Box::pin(std::future::ready(begun))
    }

    fn writer(&mut self) -> &mut MemoryWriter {
        &mut self.writer
    }

    fn commit<'a>(
        &'a mut self,
        lease: &'a Lease,
        advance: &'a Advance,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let operations = std::mem::take(&mut self.writer.operations);
        let done = self.with(lease, |generation| {
            if generation.state.checkpoint != advance.from {
                let what = format!("the checkpoint of {} was moved", lease.projection);
                return Err(Error::new(crate::Kind::Fenced, what));
            }
            let mut tables = generation.tables.clone();
            operations
                .into_iter()
                .try_for_each(|operation| operation.apply(&mut tables))?;
            generation.tables = tables;
            generation.state.take_up(advance);
            Ok(())
        });
        Box::pin(std::future::ready(done))
    }

    fn roll_back(&mut self) -> BoxFuture<'_, ()> {
        self.writer.operations.clear();
        Box::pin(std::future::ready(()))
    }

    fn retry_parked<'a>(
        &'a mut self,
        lease: &'a Lease,
        partition: &'a str,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let done = self.with(lease, |generation| {
            match generation.state.parked.want(partition) {
                0 => Err(Error::invalid(format!("nothing waits in {partition}"))),
                _ => Ok(()),
            }
        });
        Box::pin(std::future::ready(done))
    }

    fn skip_parked<'a>(
        &'a mut self,
        lease: &'a Lease,
        position: Position,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let done = self.with(lease, |generation| {
            let parked = &mut generation.state.parked;
            let Some(skipped) = parked.release(position) else {
                let what = format!("the event at position {position} is not parked");
                return Err(Error::invalid(what));
            };
            parked.want(&skipped.partition);
            Ok(())
        });
        Box::pin(std::future::ready(done))
    }
}

impl Shared {
    fn claim(&mut self, projection: &str, which: Which) -> Result<Lease, Error> {
        let newest = self
            .generations
            .keys()
            .filter(|(name, _)| name == projection)
            .map(|(_, number)| *number)
            .max();
        let number = match which {
            Which::Live => *self.live.entry(projection.to_owned()).or_insert(1),
            Which::New => newest.map_or(1, |newest| newest + 1),
            Which::Number(number) => number,
        };
        let key = (projection.to_owned(), number);
        if matches!(which, Which::Number(_)) && !self.generations.contains_key(&key) {
            return Err(no_generation(projection, number));
        }
        let generation = self.generations.entry(key).or_default();
        generation.epoch += 1;
        Ok(Lease {
            projection: projection.to_owned(),
            generation: number,
            epoch: generation.epoch,
        })
    }
}

impl MemoryWriter {
    fn note(&mut self, table: &str, row: &[Cell<'_>], what: What) -> Result<(), Error> {
        let Some(shape) = self.tables.iter().find(|shape| shape.name == table) else {
            return Err(Error::refused(format!("there is no table {table}")));
        };
        shape.check_cells(row)?;
        shape.check_key(row)?;
        if let What::Increment(column, by) = &what {
            shape.check_cells(&[(column, Value::Integer(*by))])?;
        }
        let row: Row = row
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let key: Vec<_> = shape.key.iter().map(|column| row.get(column)).collect();
        self.operations.push(Operation {
            table: table.to_owned(),
            key: format!("{key:?}"),
            row,
            what,
        });
        Ok(())
    }
}

impl Rows for MemoryWriter {
    fn insert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        self.note(table, row, What::Insert)
    }

    fn upsert(&mut self, table: &str, row: &[Cell<'_>]) -> Result<(), Error> {
        self.note(table, row, What::Upsert)
    }

    fn update(&mut self, table: &str, key: &[Cell<'_>], set: &[Cell<'_>]) -> Result<(), Error> {
        let row: Vec<_> = key.iter().chain(set).cloned().collect();
        self.note(table, &row, What::Update)
    }

    fn delete(&mut self, table: &str, key: &[Cell<'_>]) -> Result<(), Error> {
        self.note(table, key, What::Delete)
    }

    fn increment(
        &mut self,
        table: &str,
        key: &[Cell<'_>],
        column: &str,
        by: i64,
    ) -> Result<(), Error> {
        self.note(table, key, What::Increment(column.to_owned(), by))
    }
}

impl Operation {
    fn apply(self, tables: &mut BTreeMap<String, TableRows>) -> Result<(), Error> {
        let rows = tables.entry(self.table.clone()).or_default();
        match self.what {
            What::Insert if rows.contains_key(&self.key) => {
                let (table, key) = (&self.table, &self.key);
                let what = format!("table {table} has a row with key {key}");
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
            What::Delete => {
                rows.remove(&self.key);
            }
            What::Increment(column, by) => {
                let row = rows.entry(self.key).or_insert(self.row);
                let sum = match row.get(&column) {
                    None | Some(Value::Null) => Some(by),
                    Some(Value::Integer(old)) => old.checked_add(by),
                    Some(_) => None,
                };
                let Some(sum) = sum else {
                    return Err(Error::refused(format!("{by} cannot be added to {column}")));
                };
                row.insert(column, Value::Integer(sum));
            }
        }
        Ok(())
    }
}

fn no_generation(projection: &str, number: u32) -> Error {
    Error::invalid(format!(
        "projection {projection} has no generation {number}"
    ))
}
