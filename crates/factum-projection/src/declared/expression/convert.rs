//! JSON as what a column holds: exactly, or not at all.
//!
//! Relies on: nothing. Never: rounds, cuts, or guesses what a number stands for.

use base64::Engine as _;
use factum_framework::declared::rfc3339;
use factum_framework::pointer::kind;
use factum_types::Timestamp;
use serde_json::Value as Json;

use crate::{ColumnType, Value};

/// Whole numbers up to here are the same with and without a fraction of zero.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A JSON value for a column of this type; else what it is instead.
pub(super) fn json(value: &Json, holds: ColumnType) -> Result<Value, String> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let converted = match (holds, value) {
        (ColumnType::Text, Json::String(text)) => Some(Value::Text(text.clone())),
        (ColumnType::Integer, Json::Number(number)) => whole(number).map(Value::Integer),
        (ColumnType::Real, Json::Number(number)) => number.as_f64().map(Value::Real),
        (ColumnType::Bool, Json::Bool(truth)) => Some(Value::Bool(*truth)),
        (ColumnType::Time, Json::String(text)) => time(text).map(Value::Time),
        (ColumnType::Bytes, Json::String(text)) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .ok()
            .map(Value::Bytes),
        (ColumnType::Json, value) => Some(Value::from(value)),
        _ => None,
    };
    converted.ok_or_else(|| mismatch(value, holds))
}

/// A number of so many microseconds each since 1970, as a moment.
pub(super) fn since(value: &Json, unit: i64, holds: ColumnType) -> Result<Value, String> {
    if holds != ColumnType::Time {
        let holds = name_of(holds);
        return Err(format!("made a moment by `as`; the column holds {holds}"));
    }
    if value.is_null() {
        return Ok(Value::Null);
    }
    let micros = match value {
        Json::Number(number) => whole(number).and_then(|number| number.checked_mul(unit)),
        _ => None,
    };
    micros
        .map(|micros| Value::Time(Timestamp::from_micros(micros)))
        .ok_or_else(|| mismatch(value, holds))
}

/// What stands beside the data, for a column whose type was checked before.
pub(super) fn beside(value: Value, holds: ColumnType) -> Value {
    match (value, holds) {
        (Value::Time(time), ColumnType::Text) => Value::Text(rfc3339(time)),
        (Value::Time(time), ColumnType::Json) => Value::from(&Json::from(rfc3339(time))),
        (Value::Text(text), ColumnType::Json) => Value::from(&Json::from(text)),
        (Value::Integer(number), ColumnType::Json) => Value::from(&Json::from(number)),
        (value, _) => value,
    }
}

/// The moment that an RFC 3339 text names, cut to microseconds.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_micros(time.as_microsecond()))
}

fn whole(number: &serde_json::Number) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be whole and small"
    )]
    let from_real = |real: f64| (real.fract() == 0.0 && real.abs() <= EXACT).then_some(real as i64);
    number.as_i64().or_else(|| {
        if number.is_f64() {
            number.as_f64().and_then(from_real)
        } else {
            None
        }
    })
}

fn mismatch(value: &Json, holds: ColumnType) -> String {
    let shown: String = value.to_string().chars().take(60).collect();
    let advice = match (holds, value) {
        (ColumnType::Text, Json::Number(_) | Json::Bool(_)) => {
            "; `as = \"text\"` turns it into one"
        }
        (ColumnType::Integer | ColumnType::Real, Json::String(_)) => {
            "; `as = \"number\"` turns a text into one"
        }
        (ColumnType::Time, Json::Number(_)) => {
            "; say what it counts: as = \"seconds\", \"milliseconds\" or \"microseconds\""
        }
        _ => "",
    };
    format!("{} ({shown}), not {}{advice}", kind(value), name_of(holds))
}

/// What a column holds, in words.
pub(super) const fn name_of(holds: ColumnType) -> &'static str {
    match holds {
        ColumnType::Text => "text",
        ColumnType::Integer => "a whole number",
        ColumnType::Real => "a number",
        ColumnType::Bool => "a truth value",
        ColumnType::Bytes => "bytes in base64",
        ColumnType::Time => "a moment (RFC 3339)",
        ColumnType::Json => "JSON",
    }
}
