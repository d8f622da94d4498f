//! One statement, its rows handed out one by one.
//!
//! Relies on: a connection that a [`Guard`] watches. Never: keeps more than one row.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Statement};
use serde_json::{Number, Value};

use crate::error::{Error, Kind};
use crate::guard::Guard;
use crate::{Done, Limits, Out, Row};

/// Compiles a statement without running it: a mistake is told, and the guard learns which columns are needed.
pub(crate) fn compile<'c>(
    connection: &'c Connection,
    sql: &str,
    guard: &Guard,
) -> Result<Statement<'c>, Error> {
    let statement = connection
        .prepare(sql)
        .map_err(|error| told(guard, &error))?;
    if !statement.readonly() {
        let what = "a query only reads, and this one would change something";
        return Err(Error::new(Kind::Refused, what));
    }
    if statement.parameter_count() > 0 {
        let what = "the query has parameters, and nothing gives them values";
        return Err(Error::new(Kind::Invalid, what));
    }
    if statement.column_count() == 0 {
        return Err(Error::new(Kind::Invalid, "there is no query"));
    }
    Ok(statement)
}

/// What SQLite says, or why we stopped it.
fn told(guard: &Guard, error: &rusqlite::Error) -> Error {
    let ours = guard.refused().or_else(|| guard.ended());
    ours.unwrap_or_else(|| said(error))
}

/// Runs a statement that only reads.
pub(crate) fn statement(
    connection: &Connection,
    sql: &str,
    limits: Limits,
    guard: &Guard,
    out: Out<'_>,
) -> Result<Done, Error> {
    let failed = |error: &rusqlite::Error| told(guard, error);
    let mut statement = compile(connection, sql, guard)?;
    let columns: Vec<String> = statement
        .column_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut done = Done {
        columns,
        rows: 0,
        cut: false,
        events: 0,
    };
    let mut rows = statement.raw_query();
    let mut values = Vec::with_capacity(done.columns.len());
    while let Some(row) = rows.next().map_err(|error| failed(&error))? {
        if done.rows >= limits.rows {
            done.cut = true;
            break;
        }
        values.clear();
        for index in 0..done.columns.len() {
            values.push(json(row.get_ref(index).map_err(|error| said(&error))?));
        }
        out(Row {
            columns: &done.columns,
            values: &values,
        })?;
        done.rows += 1;
    }
    Ok(done)
}

fn json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        // An infinite number has no form in JSON.
        ValueRef::Real(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        ValueRef::Text(text) => Value::from(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => Value::from(bytes),
    }
}

/// An error of SQLite, in our words.
pub(crate) fn said(error: &rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure,
        ) => Kind::Unavailable,
        Some(ErrorCode::TooBig | ErrorCode::OutOfMemory) => Kind::Limit,
        Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly) => Kind::Refused,
        _ => Kind::Invalid,
    };
    let what = match error {
        rusqlite::Error::SqlInputError {
            msg, sql, offset, ..
        } => {
            let offset = usize::try_from(*offset).ok();
            let before = offset.and_then(|offset| sql.get(..offset));
            let at = before.map(|before| format!(" at character {}", before.chars().count() + 1));
            format!("{msg}{}", at.unwrap_or_default())
        }
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::MultipleStatement => "one statement at a time".to_owned(),
        other => other.to_string(),
    };
    Error::new(kind, what)
}
