//! A fold into memory and nothing else: what a rebuild is compared with.
//!
//! Relies on: the writer and the rows of the memory sink. Never: keeps a row that is not in the sample.

use std::sync::Arc;

use factum_types::RecordedEvent;

use super::stored::{Key, Part, Stored, key};
use super::writer::MemoryWriter;
use crate::error::Error;
use crate::read_back::Row;
use crate::table::Table;

/// Rows, or one in so many of them, as events are applied.
#[derive(Debug)]
pub(crate) struct Fold {
    writer: MemoryWriter,
    stored: Stored,
    one_in: u32,
}

impl Fold {
    pub(crate) fn new(tables: Vec<Table>, one_in: u32) -> Self {
        Self {
            writer: MemoryWriter::new(Arc::new(tables)),
            stored: Stored::default(),
            one_in,
        }
    }

    pub(crate) fn has_all(&self) -> bool {
        self.one_in <= 1
    }

    pub(crate) fn writer(&mut self, event: &RecordedEvent) -> &mut MemoryWriter {
        self.writer.clear();
        self.writer.at(event);
        &mut self.writer
    }

    /// Applies what was written for an event.
    pub(crate) fn apply(&mut self) -> Result<(), Error> {
        let mut operations = self.writer.take();
        if !self.has_all() {
            operations.retain(|operation| is_in(&operation.key, self.one_in));
        }
        self.stored.apply(operations)
    }

    pub(crate) fn count(&self, table: &str) -> u64 {
        self.stored.count(table)
    }

    /// Whether the row is in the sample.
    pub(crate) fn wants(&self, table: &Table, row: &Row) -> bool {
        settled_key(table, row).is_none_or(|key| is_in(&key, self.one_in))
    }

    /// The row with the same key, which is then forgotten.
    pub(crate) fn take(&mut self, table: &Table, row: &Row) -> Option<Row> {
        self.stored.take(&table.name, &settled_key(table, row)?)
    }

    /// A row that was not taken.
    pub(crate) fn rest(&self, table: &str) -> Option<&Row> {
        self.stored.first(table)
    }
}

fn settled_key(table: &Table, row: &Row) -> Option<Key> {
    let of = |name: &String| Some((name.clone(), table.settled(name, row.get(name)?)));
    let cells: Option<Row> = table.key.iter().map(of).collect();
    key(table, &cells?)
}

/// Whether a key is in the sample: by FNV-1a, the same on every machine.
fn is_in(key: &Key, one_in: u32) -> bool {
    if one_in <= 1 {
        return true;
    }
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for part in key {
        match part {
            Part::Bool(truth) => take(&[u8::from(*truth)]),
            Part::Integer(number) => take(&number.to_le_bytes()),
            Part::Real(bits) => take(&bits.to_le_bytes()),
            Part::Text(text) => take(text.as_bytes()),
            Part::Bytes(bytes) => take(bytes),
            Part::Time(time) => take(&time.as_micros().to_le_bytes()),
        }
    }
    // The low bits of it are poor.
    (hash ^ hash >> 32).is_multiple_of(u64::from(one_in))
}
