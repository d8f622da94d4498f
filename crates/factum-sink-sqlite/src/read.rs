//! Rows of any generation, given back as they were written.
//!
//! Relies on: the tables that the sink was opened with. Never: writes.

use factum_projection::{ColumnType, Error, ReadBack, Row, Table, Value};
use factum_types::Timestamp;
use futures_core::future::BoxFuture;
use rusqlite::types::ValueRef;

use crate::SqliteSink;
use crate::error::said;
use crate::schema::{self, quoted, table_name};
use crate::writer::Bound;

impl ReadBack for SqliteSink {
    fn tables(&self) -> &[Table] {
        &self.rows.tables
    }

    fn count<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        table: &'a str,
    ) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(async move {
            self.within(|sink| {
                let table = sink.stored(projection, generation, table)?;
                let name = quoted(&table_name(&table.name, generation));
                let sql = format!("SELECT count(*) FROM {name}");
                let count: rusqlite::Result<i64> =
                    sink.connection().query_row(&sql, [], |row| row.get(0));
                let count = count.map_err(|error| said(format!("cannot count {name}"), error))?;
                Ok(count.cast_unsigned())
            })
        })
    }

    fn page<'a>(
        &'a mut self,
        projection: &'a str,
        generation: u32,
        table: &'a str,
        after: Option<&'a Row>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Row>, Error>> {
        Box::pin(async move {
            self.within(|sink| {
                let table = sink.stored(projection, generation, table)?;
                sink.rows_after(table, generation, after, limit)
            })
        })
    }
}

impl SqliteSink {
    /// The table, if the generation has it.
    fn stored(&self, projection: &str, generation: u32, name: &str) -> Result<&Table, Error> {
        schema::make_own(self.connection())?;
        let tables = schema::tables_of(self.connection(), projection, generation)?;
        let found = self.rows.tables.iter().find(|table| table.name == name);
        match found.filter(|_| tables.iter().any(|(table, _)| table == name)) {
            Some(table) => Ok(table),
            None => Err(Error::invalid(format!(
                "generation {generation} of projection {projection} has no table {name}"
            ))),
        }
    }

    fn rows_after(
        &self,
        table: &Table,
        generation: u32,
        after: Option<&Row>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let names = |names: &mut dyn Iterator<Item = &String>| {
            let names: Vec<String> = names.map(|name| quoted(name)).collect();
            names.join(", ")
        };
        let columns = names(&mut table.columns.iter().map(|column| &column.name));
        let key = names(&mut table.key.iter());
        let name = quoted(&table_name(&table.name, generation));
        let places = vec!["?"; table.key.len()].join(", ");
        let from = after.map_or(String::new(), |_| format!("WHERE ({key}) > ({places})"));
        let sql = format!("SELECT {columns} FROM {name} {from} ORDER BY {key} LIMIT {limit}");
        let trouble = |error| said(format!("cannot read {name}"), error);
        let mut bound = Vec::new();
        for column in after.into_iter().flat_map(|_| &table.key) {
            let value = after.and_then(|row| row.get(column));
            let value =
                value.ok_or_else(|| Error::invalid(format!("no {column} to go on from")))?;
            bound.push(Bound(value));
        }
        let mut statement = self.connection().prepare_cached(&sql).map_err(trouble)?;
        let mut found = statement
            .query(rusqlite::params_from_iter(&bound))
            .map_err(trouble)?;
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(trouble)? {
            let mut cells = Row::new();
            for (index, column) in table.columns.iter().enumerate() {
                let cell = row.get_ref(index).map_err(trouble)?;
                let value = value(column.holds, cell).ok_or_else(|| {
                    Error::invalid(format!("column {} of {name} holds {cell:?}", column.name))
                })?;
                cells.insert(column.name.clone(), value);
            }
            rows.push(cells);
        }
        Ok(rows)
    }
}

fn value(holds: ColumnType, cell: ValueRef<'_>) -> Option<Value> {
    let text = |text: &[u8]| std::str::from_utf8(text).ok().map(str::to_owned);
    Some(match (holds, cell) {
        (_, ValueRef::Null) => Value::Null,
        (ColumnType::Integer, ValueRef::Integer(number)) => Value::Integer(number),
        (ColumnType::Bool, ValueRef::Integer(number)) => Value::Bool(number != 0),
        (ColumnType::Time, ValueRef::Integer(micros)) => {
            Value::Time(Timestamp::from_micros(micros))
        }
        (ColumnType::Real, ValueRef::Real(number)) => Value::Real(number),
        (ColumnType::Bytes, ValueRef::Blob(bytes)) => Value::Bytes(bytes.to_vec()),
        (ColumnType::Json, ValueRef::Text(json)) => Value::Json(text(json)?),
        (ColumnType::Text, ValueRef::Text(words)) => Value::Text(text(words)?),
        _ => return None,
    })
}
