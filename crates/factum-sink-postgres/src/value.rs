//! Values as PostgreSQL's binary format has them.
//!
//! Relies on: `Table::check_cells`, so that a value fits its column. Never: lets a value through that the server would refuse without
//! saying in which column it stood, where that can be told beforehand.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use factum_projection::{ColumnType, Error, Table, Value};
use factum_types::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// From 1970, whence we count, to 2000, whence PostgreSQL does, in microseconds.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The first moment that PostgreSQL has, 4714 BC, in microseconds from 1970.
const TIME_MIN: i64 = -210_866_803_200_000_000 + EPOCH_MICROS;
/// The first moment that it does not have any more, in 294277.
const TIME_END: i64 = 9_223_371_331_200_000_000;
/// The version of `jsonb` on the wire.
const JSONB_VERSION: u8 = 1;

/// The type of a column.
pub(crate) const fn sql_type(holds: ColumnType) -> &'static str {
    match holds {
        ColumnType::Integer => "bigint",
        ColumnType::Real => "double precision",
        ColumnType::Bool => "boolean",
        ColumnType::Bytes => "bytea",
        ColumnType::Time => "timestamp with time zone",
        ColumnType::Json => "jsonb",
        _ => "text",
    }
}

/// The type that a list of a column's values is sent as.
pub(crate) const fn list_type(holds: ColumnType) -> Type {
    match holds {
        ColumnType::Integer => Type::INT8_ARRAY,
        ColumnType::Real => Type::FLOAT8_ARRAY,
        ColumnType::Bool => Type::BOOL_ARRAY,
        ColumnType::Bytes => Type::BYTEA_ARRAY,
        ColumnType::Time => Type::TIMESTAMPTZ_ARRAY,
        ColumnType::Json => Type::JSONB_ARRAY,
        _ => Type::TEXT_ARRAY,
    }
}

/// The type that one of a column's values is sent as.
pub(crate) const fn one_type(holds: ColumnType) -> Type {
    match holds {
        ColumnType::Integer => Type::INT8,
        ColumnType::Real => Type::FLOAT8,
        ColumnType::Bool => Type::BOOL,
        ColumnType::Bytes => Type::BYTEA,
        ColumnType::Time => Type::TIMESTAMPTZ,
        ColumnType::Json => Type::JSONB,
        _ => Type::TEXT,
    }
}

/// Refuses what other databases take and PostgreSQL does not.
pub(crate) fn check(table: &Table, column: &str, value: &Value) -> Result<(), Error> {
    let flaw = match value {
        Value::Time(time) if !(TIME_MIN..TIME_END).contains(&time.as_micros()) => {
            "a moment before 4713 BC or after 294276"
        }
        Value::Json(text) if names_zero(text) => "JSON with a zero character in it",
        _ => return Ok(()),
    };
    let table = &table.name;
    Err(Error::refused(format!(
        "column {column} of table {table} cannot hold {flaw} in PostgreSQL"
    )))
}

/// Whether a string in this JSON has the escape of the zero character.
fn names_zero(json: &str) -> bool {
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let escape = rest.get(at + 1..).unwrap_or_default();
        if escape.starts_with("u0000") {
            return true;
        }
        // What is escaped may be a backslash itself.
        let mut after = escape.chars();
        after.next();
        rest = after.as_str();
    }
    false
}

/// A value, to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sent<'a> {
    /// One of a cell.
    Value(&'a Value),
    /// What is added to one.
    Number(i64),
}

impl ToSql for Sent<'_> {
    fn to_sql(
        &self,
        to: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let value = match self {
            Self::Value(value) => *value,
            Self::Number(number) => &Value::Integer(*number),
        };
        match value {
            Value::Null => return Ok(IsNull::Yes),
            Value::Bool(truth) => out.put_u8((*truth).into()),
            // Numbers without fraction are taken where there may be one.
            #[expect(clippy::cast_precision_loss, reason = "what a database does too")]
            Value::Integer(number) if *to == Type::FLOAT8 => out.put_f64(*number as f64),
            Value::Integer(number) => out.put_i64(*number),
            Value::Real(number) => out.put_f64(*number),
            Value::Text(text) => out.put_slice(text.as_bytes()),
            Value::Bytes(bytes) => out.put_slice(bytes),
            Value::Time(time) => {
                let since = time.as_micros().checked_sub(EPOCH_MICROS);
                out.put_i64(since.ok_or("a moment that PostgreSQL does not have")?);
            }
            Value::Json(text) => {
                out.put_u8(JSONB_VERSION);
                out.put_slice(text.as_bytes());
            }
            other => return Err(format!("PostgreSQL cannot hold {other:?}").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        // The statements are made from the same columns as the values were checked against.
        true
    }

    to_sql_checked!();
}

/// A value that came.
struct Came(Value);

impl<'a> FromSql<'a> for Came {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(match *of {
            Type::BOOL => Value::Bool(bool::from_sql(of, raw)?),
            Type::INT8 => Value::Integer(i64::from_sql(of, raw)?),
            Type::FLOAT8 => Value::Real(f64::from_sql(of, raw)?),
            Type::TEXT => Value::Text(String::from_sql(of, raw)?),
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            Type::TIMESTAMPTZ => {
                let since = i64::from_sql(&Type::INT8, raw)?;
                let micros = since.checked_add(EPOCH_MICROS);
                Value::Time(Timestamp::from_micros(micros.ok_or("an infinite moment")?))
            }
            Type::JSONB => match raw.split_first() {
                Some((&JSONB_VERSION, text)) => Value::Json(std::str::from_utf8(text)?.to_owned()),
                _ => return Err("another version of jsonb".into()),
            },
            ref other => return Err(format!("values of type {other} are not ours").into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The value in a column of a row.
pub(crate) fn value_of(row: &Row, column: usize) -> Result<Value, tokio_postgres::Error> {
    row.try_get(column).map(|Came(value)| value)
}

#[cfg(test)]
mod tests {
    use super::names_zero;

    #[test]
    fn only_the_escape_is_a_zero() {
        for (json, zero) in [
            (r#""\u0000""#, true),
            (r#"{"a\\\u0000":1}"#, true),
            (r#""\\u0000""#, false),
            (r#""\\\\u0000 \n\u00001""#, true),
            (r#""ü\u00010""#, false),
            (r#""u0000""#, false),
            ("1", false),
        ] {
            assert_eq!(names_zero(json), zero, "{json}");
        }
    }
}
