//! Values as JSON and back, and keys as document ids.
//!
//! | column  | JSON                                     |
//! |---------|------------------------------------------|
//! | text    | text                                     |
//! | integer | whole number                             |
//! | real    | number                                   |
//! | bool    | truth                                    |
//! | bytes   | text, base64                             |
//! | time    | text, RFC 3339 in UTC with six decimals  |
//! | json    | as it is                                 |
//!
//! Nothing is a member that is not there. Relies on: values that the table has checked. Never: gives two keys one id.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use factum_projection::{ColumnType, Error, Row, Table, Value};
use factum_types::Timestamp;
use serde_json::{Map, Value as Json};

/// The longest id that the servers take.
const ID_BYTES_MAX: usize = 512;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A value as JSON; `None` for nothing.
pub(crate) fn json(value: &Value) -> Result<Option<Json>, Error> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(truth) => Json::from(*truth),
        Value::Integer(number) => Json::from(*number),
        Value::Real(number) => Json::from(*number),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Bytes(bytes) => Json::from(STANDARD.encode(bytes)),
        Value::Time(time) => Json::from(written(*time)),
        Value::Json(text) => serde_json::from_str(text)
            .map_err(|error| Error::refused(format!("JSON that cannot be kept: {error}")))?,
        other => return Err(Error::refused(format!("a document cannot hold {other:?}"))),
    }))
}

/// The row of a document.
pub(crate) fn row(table: &Table, document: &Map<String, Json>) -> Result<Row, Error> {
    let columns = table.columns.iter().map(|column| {
        let found = document.get(&column.name);
        let value = found.map_or(Some(Value::Null), |json| value(column.holds, json));
        let value = value.ok_or_else(|| {
            let (table, column) = (&table.name, &column.name);
            Error::invalid(format!(
                "column {column} of table {table} holds what was not written there"
            ))
        });
        Ok((column.name.clone(), value?))
    });
    columns.collect()
}

fn value(holds: ColumnType, json: &Json) -> Option<Value> {
    Some(match holds {
        ColumnType::Text => Value::Text(json.as_str()?.to_owned()),
        ColumnType::Integer => Value::Integer(json.as_i64()?),
        ColumnType::Real => Value::Real(json.as_f64()?),
        ColumnType::Bool => Value::Bool(json.as_bool()?),
        ColumnType::Bytes => Value::Bytes(STANDARD.decode(json.as_str()?).ok()?),
        ColumnType::Time => Value::Time(read(json.as_str()?)?),
        ColumnType::Json => Value::Json(json.to_string()),
        _ => return None,
    })
}

/// The id of the document with this key: the parts in the order of the table, with a `/` between.
pub(crate) fn id(table: &Table, row: &[(&str, Value)]) -> Result<String, Error> {
    let mut id = String::new();
    for (index, key) in table.key.iter().enumerate() {
        if index > 0 {
            id.push('/');
        }
        let cell = row.iter().find(|(name, _)| name == key);
        let value = cell.map_or(Value::Null, |(name, value)| table.settled(name, value));
        push(&mut id, &value)?;
    }
    if id.is_empty() {
        // No escape looks like this.
        id.push('%');
    }
    if id.len() > ID_BYTES_MAX {
        let what = format!(
            "a key of table {} is longer than {ID_BYTES_MAX} bytes, which a document's id cannot be",
            table.name
        );
        return Err(Error::refused(what));
    }
    Ok(id)
}

fn push(id: &mut String, value: &Value) -> Result<(), Error> {
    use std::fmt::Write;
    let written = match value {
        Value::Text(text) => {
            for part in text.chars() {
                match part {
                    '%' => id.push_str("%25"),
                    '/' => id.push_str("%2F"),
                    other => id.push(other),
                }
            }
            Ok(())
        }
        Value::Bool(truth) => write!(id, "{truth}"),
        Value::Integer(number) => write!(id, "{number}"),
        Value::Real(number) => write!(id, "{number:?}"),
        Value::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(id, "{byte:02x}")),
        Value::Time(time) => write!(id, "{}", time.as_micros()),
        other => return Err(Error::refused(format!("{other:?} cannot be in a key"))),
    };
    written.map_err(|error| Error::refused(error.to_string()))
}

/// A moment as the servers read it.
fn written(time: Timestamp) -> String {
    let micros = time.as_micros();
    let (days, rest) = (
        micros.div_euclid(MICROS_PER_DAY),
        micros.rem_euclid(MICROS_PER_DAY),
    );
    let (year, month, day) = civil(days);
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let sign = if year < 0 { "-" } else { "" };
    let year = year.abs();
    format!("{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// What [`written`] wrote.
fn read(text: &str) -> Option<Timestamp> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<i64>);
    let mut part = || date.next()?.ok();
    let (year, month, day) = (part()?, part()?, part()?);
    let (time, micros) = time.split_once('.')?;
    let mut time = time.split(':').map(str::parse::<i64>);
    let mut part = || time.next()?.ok();
    let (hour, minute, second) = (part()?, part()?, part()?);
    let days = days(if negative { -year } else { year }, month, day);
    let seconds = (hour * 60 + minute) * 60 + second;
    let rest = seconds * 1_000_000 + micros.parse::<i64>().ok()?;
    let all = days.checked_mul(MICROS_PER_DAY)?.checked_add(rest)?;
    Some(Timestamp::from_micros(all))
}

/// Year, month and day of a day since 1970, in the Gregorian calendar: counted in eras of 400 years that begin on the first of March.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year + if month <= 2 { 1 } else { 0 };
    (year, month, day - (153 * shifted + 2) / 5 + 1)
}

/// The day since 1970, the other way round.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_were_written() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_709_210_096_123_456, "2024-02-29T12:34:56.123456Z"),
            (-11_644_473_600_000_000, "1601-01-01T00:00:00.000000Z"),
            (-62_167_219_200_000_001, "-0001-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(written(Timestamp::from_micros(micros)), text);
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100_000 {
            let time = Timestamp::from_micros(random.i64(..));
            assert_eq!(read(&written(time)), Some(time), "{time:?}");
        }
    }

    #[test]
    fn keys_have_ids_of_their_own() {
        let table = Table::new("t").text("a").text("b").key(["a", "b"]);
        let of = |a: &str, b: &str| id(&table, &[("b", b.into()), ("a", a.into())]);
        assert_eq!(of("x", "y").unwrap(), "x/y");
        assert_eq!(of("x/", "y").unwrap(), "x%2F/y");
        assert_eq!(of("x", "/y").unwrap(), "x/%2Fy");
        assert_eq!(of("%2F", "").unwrap(), "%252F/");
        assert!(of(&"x".repeat(511), "").is_ok());
        assert!(of(&"x".repeat(512), "").is_err());
        let table = Table::new("t").text("a").key(["a"]);
        assert_eq!(id(&table, &[("a", "".into())]).unwrap(), "%");
        assert_eq!(id(&table, &[("a", "%".into())]).unwrap(), "%25");
        let table = Table::new("t").column("a", ColumnType::Real).key(["a"]);
        let of = |value: Value| id(&table, &[("a", value)]).unwrap();
        assert_eq!(of(1_i64.into()), of(1.0.into()));
        assert_eq!(of(0.0.into()), of((-0.0).into()));
        assert_ne!(of(1e300.into()), of(1e-300.into()));
    }
}
