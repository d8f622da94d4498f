//! Where a declared value comes from, and how it becomes what a column holds.
//!
//! Relies on: JSON pointers, and the event. Never: reads a clock; gives a column what it does not hold.

mod beside;
mod convert;

use factum_framework::declared::{Entry, FORMS, Form, Table};
use factum_framework::pointer::Pointer;
use factum_types::{ContentType, RecordedEvent};
use serde_json::Value as Json;

use crate::{ColumnType, Error, Value};
pub use beside::happened;
use beside::{Beside, WORDS};

/// A value to be had from an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expression {
    take: Take,
    form: Option<As>,
    /// What stands in when there is none.
    default: Option<Json>,
    missing: Missing,
    /// As the file writes it.
    shown: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Take {
    Constant(Json),
    Data(Pointer),
    Beside(Beside),
}

/// What a value is turned into before the column takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Form(Form),
    /// A number of so many microseconds each, since 1970.
    Since(i64),
}

/// What becomes of a column when there is no value for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Missing {
    /// It is null.
    #[default]
    Null,
    /// It is left as it is.
    Keep,
    /// The event is refused.
    Fail,
}

const MISSING: &[(&str, Missing)] = &[
    ("null", Missing::Null),
    ("keep", Missing::Keep),
    ("fail", Missing::Fail),
];
const UNITS: &[(&str, i64)] = &[
    ("seconds", 1_000_000),
    ("milliseconds", 1_000),
    ("microseconds", 1),
];

/// An event with its data.
#[derive(Debug)]
pub(super) struct Given<'a> {
    event: &'a RecordedEvent,
    data: Option<Json>,
}

impl<'a> Given<'a> {
    /// An event; data that are not JSON have no fields.
    pub(super) fn new(event: &'a RecordedEvent, needs_data: bool) -> Result<Self, Error> {
        let data = if needs_data && event.content_type == ContentType::Json {
            let read = serde_json::from_slice(&event.data);
            Some(read.map_err(|error| Error::refused(format!("the data are not JSON: {error}")))?)
        } else {
            None
        };
        Ok(Self { event, data })
    }

    /// What is at a place in the data, unless it is null.
    pub(super) fn field(&self, at: &Pointer) -> Option<&Json> {
        let data = self.data.as_ref()?;
        at.get(data).filter(|found| !found.is_null())
    }
}

impl Expression {
    /// What a key of the file says.
    pub(super) fn read(entry: Entry<'_>) -> Result<Self, factum_framework::Error> {
        if entry.is_table() {
            return Self::long(entry);
        }
        let take = match entry.as_text() {
            Some(text) => short(text).map_err(|what| entry.wrong(what))?,
            None => Take::Constant(entry.json()?),
        };
        let shown = match (&take, entry.as_text()) {
            (Take::Constant(value), _) => value.to_string(),
            (_, text) => text.unwrap_or_default().to_owned(),
        };
        Ok(Self {
            take,
            form: None,
            default: None,
            missing: Missing::Null,
            shown,
        })
    }

    /// `{ from = "/amount", as = "number", default = 0 }`, as folds write it.
    fn long(entry: Entry<'_>) -> Result<Self, factum_framework::Error> {
        let line = entry.line();
        let key = entry.key().to_owned();
        let mut table = entry.table()?;
        let place = table.one_of(&["from", "beside", "value"], &format!("`{key}`"))?;
        let take = match place.key() {
            "value" => Take::Constant(place.json()?),
            "from" => Take::Data(path(&place.text()?).map_err(|what| place.wrong(what))?),
            _ => beside(&place.text()?).map_err(|what| place.wrong(what))?,
        };
        let shown = match &take {
            Take::Constant(value) => value.to_string(),
            _ => place.text()?,
        };
        let form = form(&mut table)?;
        let default = table.take("default").map(|it| it.json()).transpose()?;
        let missing = table
            .take("missing")
            .map(|it| it.word(MISSING))
            .transpose()?;
        table.finish()?;
        let wrong = |what: &str| {
            let what = format!("`{key}`: {what}");
            Err(factum_framework::declared::wrong(line, what))
        };
        match (&default, missing) {
            (Some(default), _) if default.is_null() => {
                return wrong("what is missing is null anyway: leave `default` out");
            }
            (Some(_), Some(_)) => {
                return wrong("with `default` nothing is missing: leave `missing` out");
            }
            _ => (),
        }
        Ok(Self {
            take,
            form,
            default,
            missing: missing.unwrap_or_default(),
            shown,
        })
    }

    /// Whether it looks into the data.
    pub(super) const fn needs_data(&self) -> bool {
        matches!(self.take, Take::Data(_))
    }

    /// The place in the data that it is taken from.
    pub(super) const fn place(&self) -> Option<&Pointer> {
        match &self.take {
            Take::Data(pointer) => Some(pointer),
            _ => None,
        }
    }

    /// What becomes of the column when there is no value.
    pub(super) const fn missing(&self) -> Missing {
        self.missing
    }

    /// What stands for an expression that could not be read.
    pub(super) fn nothing() -> Self {
        Self {
            take: Take::Constant(Json::Null),
            form: None,
            default: None,
            missing: Missing::Null,
            shown: String::from("null"),
        }
    }

    /// Whether it is null for every event.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.take, Take::Constant(value) if value.is_null()) && self.default.is_none()
    }

    /// Why a column of this type can never take it; what depends on the data is seen with each event.
    pub(super) fn check(&self, holds: ColumnType) -> Result<(), String> {
        let default = self.default.iter();
        let constant = match &self.take {
            Take::Constant(value) => Some(value),
            _ => None,
        };
        for value in default.chain(constant) {
            self.settle(value, holds)?;
        }
        match &self.take {
            Take::Beside(beside) => beside.check(holds, self.form.is_some()),
            _ => Ok(()),
        }
    }

    /// The value for a column of this type; null when there is none.
    pub(super) fn value(&self, holds: ColumnType, given: &Given<'_>) -> Result<Value, String> {
        let found = match &self.take {
            Take::Constant(value) => self.settle(value, holds)?,
            Take::Data(pointer) => match given.field(pointer) {
                Some(found) => self.settle(found, holds)?,
                None => Value::Null,
            },
            Take::Beside(beside) => {
                let found = beside.of(given.event)?;
                convert::beside(found, holds)
            }
        };
        match (&self.default, found) {
            (Some(default), Value::Null) => self.settle(default, holds),
            (_, found) => Ok(found),
        }
    }

    fn settle(&self, value: &Json, holds: ColumnType) -> Result<Value, String> {
        let settled = match self.form {
            None => convert::json(value, holds),
            Some(As::Since(unit)) => convert::since(value, unit, holds),
            Some(As::Form(_)) if value.is_null() => Ok(Value::Null),
            Some(As::Form(form)) => form
                .of(value.clone())
                .map_err(|error| error.to_string())
                .and_then(|formed| convert::json(&formed, holds)),
        };
        settled.map_err(|what| match &self.take {
            Take::Constant(_) => what,
            _ => format!("{} is {what}", self.shown),
        })
    }
}

impl std::fmt::Display for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

fn form(table: &mut Table<'_>) -> Result<Option<As>, factum_framework::Error> {
    let Some(entry) = table.take("as") else {
        return Ok(None);
    };
    let forms = FORMS.iter().map(|(word, form)| (*word, As::Form(*form)));
    let units = UNITS.iter().map(|(word, unit)| (*word, As::Since(*unit)));
    let words: Vec<_> = forms.chain(units).collect();
    entry.word(&words).map(Some)
}

/// What a text says: a place in the data, a word for what stands beside them, or a literal in quotes.
fn short(text: &str) -> Result<Take, String> {
    match text.chars().next() {
        Some('\'') => literal(text).map(|text| Take::Constant(Json::String(text))),
        Some('@') => beside(text.get(1..).unwrap_or_default()),
        Some('$' | '/') | None => path(text).map(Take::Data),
        _ => Err(format!(
            "{text:?} is neither data (\"/field\" or \"$.field\"), nor what stands beside them (\"@time\"), nor a literal (\"'{}'\")",
            text.replace('\'', "''")
        )),
    }
}

fn literal(text: &str) -> Result<String, String> {
    let inner = text
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
        .filter(|inner| !inner.replace("''", "").contains('\''));
    inner
        .map(|inner| inner.replace("''", "'"))
        .ok_or_else(|| format!("{text:?} is no literal: it ends with ', and ' in it is written ''"))
}

fn beside(word: &str) -> Result<Take, String> {
    let word = word.strip_prefix('@').unwrap_or(word);
    if matches!(word, "now" | "random" | "uuid") {
        return Err(format!(
            "@{word} is not there: a read model is built again from the events, and must come out the same; @time is when the event happened"
        ));
    }
    let found = WORDS.iter().find(|(known, _)| *known == word);
    found
        .map(|(_, beside)| Take::Beside(*beside))
        .ok_or_else(|| {
            let known: Vec<_> = WORDS.iter().map(|(word, _)| format!("@{word}")).collect();
            format!("@{word} is not known here; known are {}", known.join(", "))
        })
}

/// A place in the data: a JSON pointer, which is empty for all of it, or `$.customer.name` with `[0]` for members of lists, which means the same.
pub(super) fn path(text: &str) -> Result<Pointer, String> {
    if text.is_empty() || text.starts_with('/') {
        return Pointer::new(text).map_err(|error| error.to_string());
    }
    let wrong = || {
        format!(
            "{text:?} is no path: write $.customer.name or $.items[0].price, or a JSON pointer such as /customer/name, which can name anything"
        )
    };
    let mut rest = text.strip_prefix('$').ok_or_else(wrong)?;
    let mut pointer = String::new();
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']').ok_or_else(wrong)?,
            None => {
                let inner = rest.strip_prefix('.').ok_or_else(wrong)?;
                inner.split_at(inner.find(['.', '[']).unwrap_or(inner.len()))
            }
        };
        let is_index = rest.starts_with('[');
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let good = if is_index {
            name.bytes().all(|byte| byte.is_ascii_digit())
        } else {
            name.chars().all(plain)
        };
        if name.is_empty() || !good {
            return Err(wrong());
        }
        pointer.push('/');
        pointer.push_str(name);
        rest = after;
    }
    Pointer::new(pointer).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
