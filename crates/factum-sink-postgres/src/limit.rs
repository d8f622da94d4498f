//! What the server itself can do: rows loaded by hand, without a projection, which rebuilds are measured against.
//!
//! Relies on: rows that are in memory already. Never: is part of a projection; it keeps no checkpoint.

use factum_projection::{Error, Table, Value};

use crate::options::Options;
use crate::schema::{columns_sql, key_sql, quoted};
use crate::send::copy_rows;
use crate::session::Session;

/// Makes a table in place of one of its name, loads these rows by one COPY, then makes key and indexes, all in one transaction: the fastest way
/// that PostgreSQL has over a connection. Gives the number of rows.
///
/// Rows have a value for each column, in order.
///
/// # Errors
/// [`Kind::Unavailable`](factum_projection::Kind::Unavailable), or [`Kind::Invalid`](factum_projection::Kind::Invalid): what the server says.
///
/// # Cancel safety
/// It may be dropped at any point; then nothing was done.
pub async fn load(options: Options, table: &Table, rows: &[Vec<Value>]) -> Result<u64, Error> {
    table.check()?;
    let mut session = Session::new(options)?;
    session.begin().await?;
    let done = load_rows(&mut session, table, rows).await;
    let done = done.map_err(crate::error::not_refused);
    session.end(done).await
}

async fn load_rows(
    session: &mut Session,
    table: &Table,
    rows: &[Vec<Value>],
) -> Result<u64, Error> {
    let schema = session.schema();
    let target = format!("{schema}.{}", quoted(&table.name));
    let what = format!("cannot make {}", table.name);
    let columns = columns_sql(table);
    let sql = format!(
        "CREATE SCHEMA IF NOT EXISTS {schema}; DROP TABLE IF EXISTS {target}; CREATE TABLE {target} ({columns})"
    );
    session.batch(&what, &sql).await?;
    let what = format!("cannot load {}", table.name);
    let (sql, chunks) = copy_rows(&target, table, rows);
    session.copy(&what, &sql, None, rows.len(), chunks).await?;
    let mut after = format!("ALTER TABLE {target} ADD PRIMARY KEY ({});", key_sql(table));
    for columns in &table.indexes {
        let columns: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
        after.push_str(&format!(
            "CREATE INDEX ON {target} ({});",
            columns.join(", ")
        ));
    }
    session
        .batch_slow(&what, &format!("{after} ANALYZE {target}"))
        .await?;
    Ok(rows.len() as u64)
}
