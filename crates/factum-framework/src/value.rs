//! Where a declared step takes a value from: a constant, the event's data, or what stands beside them.
//!
//! Relies on: [`Pointer`]. Never: fails for a field that is not there; what is not there is nothing.

use factum_types::{RecordedEvent, Timestamp};
use serde_json::{Number, Value};

use crate::declared::Table;
use crate::error::Error;
use crate::pointer::{Pointer, kind};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Take {
    /// It is given.
    Constant(Value),
    /// It is in the data.
    Data(Pointer),
    /// It stands beside the data.
    Beside(Beside),
}

/// What stands beside the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Id,
    Type,
    Version,
    Stream,
    Revision,
    Time,
    User,
    Correlation,
    Causation,
}

/// The words for what stands beside the data.
const BESIDE: &[(&str, Beside)] = &[
    ("id", Beside::Id),
    ("type", Beside::Type),
    ("version", Beside::Version),
    ("stream", Beside::Stream),
    ("revision", Beside::Revision),
    ("time", Beside::Time),
    ("user", Beside::User),
    ("correlation", Beside::Correlation),
    ("causation", Beside::Causation),
];

/// What a value is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A number, also from its text.
    Number,
    /// A text, also from a number or a truth value.
    Text,
    /// A truth value, also from `true` and `false` as texts.
    Truth,
}

/// The words for forms.
pub const FORMS: &[(&str, Form)] = &[
    ("number", Form::Number),
    ("text", Form::Text),
    ("boolean", Form::Truth),
];

/// A value to be had from an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) take: Take,
    pub(crate) form: Option<Form>,
    /// What stands in when there is none.
    pub(crate) default: Option<Value>,
}

impl Source {
    /// The data, whole.
    pub(crate) const fn whole() -> Self {
        Self {
            take: Take::Data(Pointer::ROOT),
            form: None,
            default: None,
        }
    }

    /// A given value.
    pub(crate) const fn constant(value: Value) -> Self {
        Self {
            take: Take::Constant(value),
            form: None,
            default: None,
        }
    }

    /// The value; `None` when there is none, and nothing stands in. Without data, as when they are not JSON, there is nothing in them.
    pub(crate) fn of(
        &self,
        event: &RecordedEvent,
        data: Option<&Value>,
    ) -> Result<Option<Value>, Error> {
        let found = match &self.take {
            Take::Constant(value) => Some(value.clone()),
            Take::Data(pointer) => data.and_then(|data| pointer.get(data)).cloned(),
            Take::Beside(beside) => beside.of(event),
        };
        match (found.or_else(|| self.default.clone()), self.form) {
            (Some(value), Some(form)) => form.of(value).map(Some),
            (found, _) => Ok(found),
        }
    }
}

impl Source {
    /// What a table says by `value`, `from` or `beside`, with `as` and `default`; `None` when it says nothing of these three.
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Option<Self>, Error> {
        let (value, from, beside) = (
            table.take("value"),
            table.take("from"),
            table.take("beside"),
        );
        let form = table.take("as");
        let default = table.take("default");
        let given = [&value, &from, &beside]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>();
        if let [first, second, ..] = given.as_slice() {
            let what = format!(
                "it excludes `{}`: a value comes from one place",
                first.key()
            );
            return Err(second.wrong(what));
        }
        let take = match (&value, &from, &beside) {
            (Some(value), ..) => Take::Constant(value.json()?),
            (_, Some(from), _) => Take::Data(from.pointer()?),
            (.., Some(beside)) => Take::Beside(beside.word(BESIDE)?),
            _ => {
                return match form.or(default) {
                    Some(lonely) => {
                        Err(lonely.wrong("it needs `from`, `beside` or `value` beside it"))
                    }
                    None => Ok(None),
                };
            }
        };
        let form = form.map(|form| form.word(FORMS)).transpose()?;
        let default = default.map(|default| default.json()).transpose()?;
        Ok(Some(Self {
            take,
            form,
            default,
        }))
    }
}

impl Beside {
    fn of(self, event: &RecordedEvent) -> Option<Value> {
        let text = |text: &str| Some(Value::from(text));
        let metadata = &event.metadata;
        match self {
            Self::Id => text(&event.id.to_string()),
            Self::Type => text(event.event_type.as_str()),
            Self::Version => Some(event.schema_version.into()),
            Self::Stream => text(event.stream.as_str()),
            Self::Revision => Some(event.revision.number().into()),
            Self::Time => text(&rfc3339(event.time)),
            Self::User => metadata.user_id.as_deref().and_then(text),
            Self::Correlation => metadata.correlation_id.as_deref().and_then(text),
            Self::Causation => metadata.causation_id.as_deref().and_then(text),
        }
    }
}

impl Form {
    /// The value in this form.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it has none.
    pub fn of(self, value: Value) -> Result<Value, Error> {
        let wrong = |value: &Value| {
            Error::invalid(format!(
                "{value} cannot be made {}",
                match self {
                    Self::Number => "a number",
                    Self::Text => "a text",
                    Self::Truth => "true or false",
                }
            ))
        };
        match (self, &value) {
            (Self::Number, Value::Number(_))
            | (Self::Text, Value::String(_))
            | (Self::Truth, Value::Bool(_)) => Ok(value),
            (Self::Number, Value::String(text)) => number(text.trim())
                .map(Value::Number)
                .ok_or_else(|| wrong(&value)),
            (Self::Text, Value::Number(_) | Value::Bool(_)) => Ok(Value::String(value.to_string())),
            (Self::Truth, Value::String(text)) if text == "true" || text == "false" => {
                Ok(Value::Bool(text == "true"))
            }
            _ => Err(wrong(&value)),
        }
    }
}

/// A number as JSON writes it.
fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// The sum of two numbers; whole ones stay whole.
pub(crate) fn sum(a: &Value, b: &Value, minus: bool) -> Result<Value, Error> {
    let (Value::Number(x), Value::Number(y)) = (a, b) else {
        let odd = if a.is_number() { b } else { a };
        return Err(Error::invalid(format!(
            "{} cannot be counted with",
            kind(odd)
        )));
    };
    let too_large = || Error::invalid(format!("{x} and {y} together are too large"));
    if let (Some(x), Some(y)) = (whole(x), whole(y)) {
        let sum = if minus {
            x.checked_sub(y)
        } else {
            x.checked_add(y)
        };
        let sum = sum.ok_or_else(too_large)?;
        if let Ok(sum) = i64::try_from(sum) {
            return Ok(sum.into());
        }
        return u64::try_from(sum)
            .map(Value::from)
            .map_err(|error| too_large().because(error));
    }
    let (x, y) = (
        x.as_f64().unwrap_or(f64::NAN),
        y.as_f64().unwrap_or(f64::NAN),
    );
    let sum = Number::from_f64(if minus { x - y } else { x + y });
    sum.map(Value::Number).ok_or_else(too_large)
}

fn whole(number: &Number) -> Option<i128> {
    number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from))
}

/// A moment as text: RFC 3339 in UTC, with as many digits as needed. Years beyond four digits are written with as many as they have.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let micros = time.as_micros();
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}",
        second % 60
    );
    if rest > 0 {
        text.push_str(format!(".{rest:06}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar: years are counted from March, so that the leap day is the
/// last of its year, in eras of 400 years (146,097 days).
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::{Form, rfc3339, sum};
    use factum_types::Timestamp;
    use serde_json::{Value, json};

    #[test]
    fn times_are_written_as_rfc_3339() {
        let check = |micros: i64, expected: &str| {
            assert_eq!(rfc3339(Timestamp::from_micros(micros)), expected);
        };
        check(0, "1970-01-01T00:00:00Z");
        check(1_317_422_324_546_000, "2011-09-30T22:38:44.546Z");
        check(951_782_400_000_000, "2000-02-29T00:00:00Z");
        check(-1, "1969-12-31T23:59:59.999999Z");
        check(4_107_542_399_000_001, "2100-02-28T23:59:59.000001Z");
        check(4_107_542_400_000_000, "2100-03-01T00:00:00Z");
        assert!(!rfc3339(Timestamp::from_micros(i64::MIN)).is_empty());
    }

    #[test]
    fn forms_are_exact_or_refused() {
        let check = |form: Form, value: Value, expected: Option<Value>| {
            assert_eq!(form.of(value.clone()).ok(), expected, "{value}");
        };
        check(Form::Number, json!("20000"), Some(json!(20000)));
        check(Form::Number, json!(" 1.5 "), Some(json!(1.5)));
        for bad in ["", "1 2", "0x1", "NaN", "one", "null", "[1]"] {
            check(Form::Number, json!(bad), None);
        }
        check(Form::Number, json!([1]), None);
        check(Form::Text, json!(7), Some(json!("7")));
        check(Form::Text, Value::Null, None);
        check(Form::Truth, json!("true"), Some(json!(true)));
        check(Form::Truth, json!("yes"), None);
    }

    #[test]
    fn sums_stay_whole_and_do_not_wrap() {
        assert_eq!(sum(&json!(1), &json!(2), false).unwrap(), json!(3));
        assert_eq!(sum(&json!(1), &json!(2), true).unwrap(), json!(-1));
        assert_eq!(sum(&json!(0.5), &json!(2), false).unwrap(), json!(2.5));
        assert_eq!(
            sum(&json!(i64::MAX), &json!(1), false).unwrap(),
            json!(1_u64 << 63)
        );
        assert!(sum(&json!(u64::MAX), &json!(1), false).is_err());
        assert!(sum(&json!(i64::MIN), &json!(1), true).is_err());
        assert!(sum(&json!("1"), &json!(1), false).is_err());
    }
}
