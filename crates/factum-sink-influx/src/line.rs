//! The line protocol, written.
//!
//! <https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/>. Relies on: names and values that [`check_point`] let through.
//! Never: writes a line that a server reads as another point.
//!
//! [`check_point`]: factum_projection::points::check_point

use std::fmt::Write;

use factum_projection::{Cell, Error, Value};

/// The longest text in a field that InfluxDB takes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A point that is written in one line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) measurement: String,
    /// By name, none empty.
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) fields: Vec<(String, Value)>,
    /// In nanoseconds.
    pub(crate) time: i64,
}

impl Line {
    /// A line; tags that say nothing are left out, and so are fields that hold nothing.
    pub(crate) fn new(
        measurement: &str,
        tags: &[(&str, &str)],
        fields: &[Cell<'_>],
        time: i64,
    ) -> Result<Self, Error> {
        let said = |what: &str| Err(Error::refused(format!("a point of {measurement:?} {what}")));
        if measurement.starts_with('#') {
            return said("begins with #, which begins a comment");
        }
        let names = tags
            .iter()
            .map(|(name, _)| *name)
            .chain(fields.iter().map(|(name, _)| *name));
        let texts = names
            .chain(tags.iter().map(|(_, value)| *value))
            .chain([measurement]);
        for text in texts {
            if is_ambiguous(text) {
                return said(&format!(
                    "has {text:?}, where a backslash cannot be at the end or before a comma, a space, = or another"
                ));
            }
        }
        for (name, value) in fields {
            if matches!(value, Value::Text(text) if text.len() >= TEXT_BYTES_MAX) {
                return said(&format!(
                    "has {TEXT_BYTES_MAX} bytes or more in the field {name}"
                ));
            }
        }
        let mut tags: Vec<(String, String)> = tags
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        tags.sort();
        let fields = fields.iter().filter(|(_, value)| *value != Value::Null);
        let fields = fields.map(|(name, value)| ((*name).to_owned(), value.clone()));
        Ok(Self {
            measurement: measurement.to_owned(),
            tags,
            fields: fields.collect(),
            time,
        })
    }

    /// Writes it, with the end of its line.
    pub(crate) fn write(&self, to: &mut String) -> std::fmt::Result {
        escape(to, &self.measurement, &[',', ' ']);
        for (name, value) in &self.tags {
            to.push(',');
            escape(to, name, &[',', ' ', '=']);
            to.push('=');
            escape(to, value, &[',', ' ', '=']);
        }
        for (index, (name, value)) in self.fields.iter().enumerate() {
            to.push(if index == 0 { ' ' } else { ',' });
            escape(to, name, &[',', ' ', '=']);
            to.push('=');
            match value {
                Value::Bool(truth) => write!(to, "{truth}")?,
                Value::Integer(number) => write!(to, "{number}i")?,
                Value::Real(number) => write!(to, "{number:?}")?,
                Value::Time(time) => write!(to, "{}i", time.as_micros())?,
                Value::Text(text) => {
                    to.push('"');
                    escape(to, text, &['"', '\\']);
                    to.push('"');
                }
                // Refused before.
                _ => return Err(std::fmt::Error),
            }
        }
        writeln!(to, " {}", self.time)
    }
}

/// Whether parsers do not agree what a name or tag is: a backslash has no escape of its own there.
fn is_ambiguous(text: &str) -> bool {
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\\' && matches!(rest.peek(), None | Some(',' | ' ' | '=' | '\\')) {
            return true;
        }
    }
    false
}

/// The type of a field, in the words of the server; `None` for what it cannot hold.
pub(crate) const fn type_of(value: &Value) -> Option<&'static str> {
    match value {
        Value::Bool(_) => Some("boolean"),
        Value::Integer(_) | Value::Time(_) => Some("integer"),
        Value::Real(_) => Some("float"),
        Value::Text(_) => Some("string"),
        _ => None,
    }
}

fn escape(to: &mut String, text: &str, special: &[char]) {
    for c in text.chars() {
        if special.contains(&c) {
            to.push('\\');
        }
        to.push(c);
    }
}

#[cfg(test)]
mod tests {
    use factum_projection::points::check_point;
    use factum_types::Timestamp;
    use influxdb_line_protocol::{FieldValue, parse_lines};

    use super::*;

    fn written(line: &Line) -> String {
        let mut text = String::new();
        line.write(&mut text).unwrap();
        text
    }

    /// What the makers of the format read is what was written.
    fn check(line: &Line) {
        let text = written(line);
        let parsed: Vec<_> = parse_lines(&text).collect();
        assert_eq!(parsed.len(), 1, "{text}");
        let read = parsed[0]
            .as_ref()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read.series.measurement.as_str(), line.measurement, "{text}");
        let tags = read.series.tag_set.iter().flatten();
        let tags: Vec<_> = tags
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        assert_eq!(tags, line.tags, "{text}");
        assert_eq!(read.timestamp, Some(line.time), "{text}");
        assert_eq!(read.field_set.len(), line.fields.len(), "{text}");
        for ((name, value), (ours, expected)) in read.field_set.iter().zip(&line.fields) {
            assert_eq!(name.as_str(), ours, "{text}");
            let read = match value {
                FieldValue::I64(number) => Value::Integer(*number),
                FieldValue::F64(number) => Value::Real(*number),
                FieldValue::String(text) => Value::Text(text.to_string()),
                FieldValue::Boolean(truth) => Value::Bool(*truth),
                FieldValue::U64(number) => panic!("{text}: {number}"),
            };
            let expected = match expected {
                Value::Time(time) => Value::Integer(time.as_micros()),
                other => other.clone(),
            };
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn a_line_is_what_it_should_be() {
        let tags = [("type", "Order Placed"), ("a=b", "c,d"), ("none", "")];
        let fields = [
            ("amount", 12.5.into()),
            ("count", 3_i64.into()),
            ("left", Value::Null),
            ("note", "it's \"so\" \\ and, = so".into()),
            ("paid", true.into()),
            ("at", Timestamp::from_micros(5).into()),
        ];
        let line = Line::new("my orders", &tags, &fields, 17).unwrap();
        check(&line);
        assert_eq!(
            written(&line),
            "my\\ orders,a\\=b=c\\,d,type=Order\\ Placed amount=12.5,count=3i,note=\"it's \\\"so\\\" \\\\ and, = so\",paid=true,at=5i 17\n"
        );
    }

    #[test]
    fn lines_at_random_are_read_as_they_were_meant() {
        let seed = 11;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut checked = 0;
        for _ in 0..20_000 {
            let mut text = |least: usize| {
                let letters = [
                    'a',
                    'B',
                    '"',
                    '\\',
                    ',',
                    ' ',
                    '=',
                    'ü',
                    '#',
                    '\'',
                    '\u{1F600}',
                ];
                let length = random.usize(least..6);
                (0..length)
                    .map(|_| letters[random.usize(..letters.len())])
                    .collect::<String>()
            };
            let (measurement, tag, value) = (text(1), text(1), text(0));
            let (field, held) = (text(1), text(0));
            let number = f64::from_bits(random.u64(..));
            let fields = [(field.as_str(), Value::from(held)), ("zz", number.into())];
            let tags = [(tag.as_str(), value.as_str())];
            if check_point(&measurement, &tags, &fields).is_err() {
                continue;
            }
            if let Ok(line) = Line::new(&measurement, &tags, &fields, random.i64(..)) {
                check(&line);
                checked += 1;
            }
        }
        assert!(checked > 9_000, "seed {seed}: {checked}");
    }

    #[test]
    fn what_a_line_cannot_say_is_refused() {
        let field = [("f", 1_i64.into())];
        for (measurement, tag, why) in [
            ("#m", "v", "begins with #"),
            ("m", "v\\", "backslash"),
            ("m\\", "v", "backslash"),
            ("m", "a\\ b", "backslash"),
        ] {
            let error = Line::new(measurement, &[("t", tag)], &field, 0).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        let long = [("f", "x".repeat(64 << 10).into())];
        assert!(Line::new("m", &[], &long, 0).is_err());
    }
}
