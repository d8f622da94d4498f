//! Files that declare something, read so that every mistake is named with its line and key.
//!
//! What lives here: tables whose keys are taken one by one, so that what nobody took is known to be a mistake. Folds and steps are read by
//! it, and what other crates declare in files. Relies on: the `toml` crate for the grammar. Never: passes over a key that it does not know.
//!
//! ```
//! use factum_framework::declared;
//!
//! let mut file = declared::read("format = 1\nname = \"orders\"\nnmae = 2\n")?;
//! file.format()?;
//! assert_eq!(file.need("name", "how it is called")?.text()?, "orders");
//! let error = file.finish().unwrap_err();
//! assert_eq!(declared::place(&error).0, Some(3));
//! # Ok::<(), factum_framework::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Error;
use crate::pointer::Pointer;
pub use crate::value::{FORMS, Form, rfc3339};

/// Longest file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of a value in a file.
const DEPTH_MAX: usize = 64;

/// A table of the file, from which keys are taken.
#[derive(Debug)]
pub struct Table<'a> {
    /// Where it begins.
    pub line: usize,
    entries: BTreeMap<String, Entry<'a>>,
    asked: Vec<&'static str>,
}

/// A key with its value.
#[derive(Debug)]
pub struct Entry<'a> {
    text: &'a str,
    key: String,
    start: usize,
    line: usize,
    value: DeValue<'a>,
}

/// A mistake at a line: an error of kind [`Kind::Invalid`](crate::Kind::Invalid).
#[must_use]
pub fn wrong(line: usize, what: impl fmt::Display) -> Error {
    Error::invalid(format!("line {line}: {what}"))
}

/// The line that an error of this module names, and what it says besides.
#[must_use]
pub fn place(error: &Error) -> (Option<usize>, String) {
    let text = error.to_string();
    let line = text
        .strip_prefix("line ")
        .and_then(|rest| rest.split_once(": "))
        .and_then(|(line, what)| Some((line.parse().ok()?, what.to_owned())));
    match line {
        Some((line, what)) => (Some(line), what),
        None => (None, text),
    }
}

/// A text that changes with the other one, and is the same on every machine and for ever; `kind` keeps those of different kinds apart.
#[must_use]
pub fn fingerprint(kind: &str, text: &str) -> String {
    crate::env::derive_id(&[kind, text]).to_string()
}

/// The whole file.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid): it is too long, or not TOML.
pub fn read(text: &str) -> Result<Table<'_>, Error> {
    if text.len() > FILE_BYTES_MAX {
        let what = format!("the file is longer than the limit of {FILE_BYTES_MAX} bytes");
        return Err(Error::invalid(what));
    }
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_at(text, error.span().map_or(0, |span| span.start));
        wrong(line, error.message().replace('\n', ", "))
    })?;
    Ok(Table::new(text, 1, table.into_inner()))
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

impl<'a> Table<'a> {
    fn new(text: &'a str, line: usize, table: DeTable<'a>) -> Self {
        let entries = table.into_iter().map(|(key, value)| {
            let start = key.span().start;
            let line = line_at(text, start);
            let key = key.into_inner().into_owned();
            let value = value.into_inner();
            let entry = Entry {
                text,
                key: key.clone(),
                start,
                line,
                value,
            };
            (key, entry)
        });
        Self {
            line,
            entries: entries.collect(),
            asked: Vec::new(),
        }
    }

    /// Takes a key, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.asked.push(key);
        self.entries.remove(key)
    }

    /// Takes everything that was not taken yet, in the order of the file: for keys that are names.
    pub fn entries(&mut self) -> Vec<Entry<'a>> {
        let mut entries: Vec<_> = std::mem::take(&mut self.entries).into_values().collect();
        entries.sort_by_key(|entry| entry.start);
        entries
    }

    /// Takes a key that must be there.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is missing; `what` says what for it is.
    pub fn need(&mut self, key: &'static str, what: &str) -> Result<Entry<'a>, Error> {
        let line = self.line;
        self.take(key)
            .ok_or_else(|| wrong(line, format!("the key `{key}` is missing: {what}")))
    }

    /// Takes the first of some keys, of which exactly one must be there.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): none is there, or two are.
    pub fn one_of(&mut self, keys: &[&'static str], what: &str) -> Result<Entry<'a>, Error> {
        let mut found = None;
        for key in keys {
            let Some(entry) = self.take(key) else {
                continue;
            };
            if let Some(Entry { key: first, .. }) = &found {
                let what = format!("`{first}` and `{key}` exclude each other: write one of them");
                return Err(wrong(entry.line, what));
            }
            found = Some(entry);
        }
        found.ok_or_else(|| {
            let keys = keys.join("`, `");
            wrong(self.line, format!("{what} says none of `{keys}`"))
        })
    }

    /// The version of the file's form, which must be 1.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is missing, or another.
    pub fn format(&mut self) -> Result<(), Error> {
        let entry = self.need("format", "write `format = 1` as the first line")?;
        match entry.integer()? {
            1 => Ok(()),
            other => Err(wrong(
                entry.line,
                format!("format {other} is not known here: this program reads format 1"),
            )),
        }
    }

    /// Fails for a key that nobody took.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): the first one in the file.
    pub fn finish(self) -> Result<(), Error> {
        self.unknown().into_iter().next().map_or(Ok(()), Err)
    }

    /// A mistake for each key that nobody took, in the order of the file.
    #[must_use]
    pub fn unknown(mut self) -> Vec<Error> {
        let known = self.asked.join(", ");
        let unknown = self.entries().into_iter().map(|entry| {
            let what = format!(
                "the key `{}` is not known here; known are {known}",
                entry.key
            );
            wrong(entry.line, what)
        });
        unknown.collect()
    }
}

impl<'a> Entry<'a> {
    /// Its name.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The line of its key.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// Whether it is a table.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Whether it is a list.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        self.value.as_str()
    }

    /// A mistake in it.
    #[must_use]
    pub fn wrong(&self, what: impl fmt::Display) -> Error {
        wrong(self.line, format!("`{}`: {what}", self.key))
    }

    fn expected(&self, what: &str) -> Error {
        self.wrong(format!("{what} is expected, not {}", name_of(&self.value)))
    }

    /// A text.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn text(&self) -> Result<String, Error> {
        let text = self.value.as_str().map(str::to_owned);
        text.ok_or_else(|| self.expected("a text in quotes"))
    }

    /// A text, or a list of texts; at least one.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn texts(&self) -> Result<Vec<String>, Error> {
        let Some(items) = self.value.as_array() else {
            return Ok(vec![self.text()?]);
        };
        let texts = items.iter().map(|item| {
            let text = item.get_ref().as_str().map(str::to_owned);
            text.ok_or_else(|| self.expected("a list of texts"))
        });
        let texts: Vec<_> = texts.collect::<Result<_, _>>()?;
        if texts.is_empty() {
            return Err(self.wrong("the list is empty"));
        }
        Ok(texts)
    }

    /// A truth value.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn boolean(&self) -> Result<bool, Error> {
        self.value
            .as_bool()
            .ok_or_else(|| self.expected("true or false"))
    }

    /// A whole number from 0 on.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn integer(&self) -> Result<u64, Error> {
        integer(&self.value)
            .and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| self.expected("a whole number"))
    }

    /// A schema version, or a list of them.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn versions(&self) -> Result<Vec<u32>, Error> {
        let one = |value: &DeValue<'_>| {
            integer(value)
                .and_then(|number| u32::try_from(number).ok())
                .filter(|version| *version > 0)
                .ok_or_else(|| self.expected("a version from 1 on"))
        };
        match self.value.as_array() {
            Some(items) => items.iter().map(|item| one(item.get_ref())).collect(),
            None => Ok(vec![one(&self.value)?]),
        }
    }

    /// A JSON pointer.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn pointer(&self) -> Result<Pointer, Error> {
        Pointer::new(self.text()?).map_err(|error| self.wrong(error))
    }

    /// A JSON pointer, or a list of them; at least one.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn pointers(&self) -> Result<Vec<Pointer>, Error> {
        let texts = self.texts()?.into_iter();
        texts
            .map(|text| Pointer::new(text).map_err(|error| self.wrong(error)))
            .collect()
    }

    /// One of a few words.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Error> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(format!("{text:?} is not one of {}", known.join(", ")))
        })
    }

    /// Any value, as JSON.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it has no form in JSON.
    pub fn json(&self) -> Result<Value, Error> {
        json(&self.value, 0).map_err(|what| self.wrong(what))
    }

    /// A table whose keys are free, as JSON values by key, in order of the keys.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn map(&self) -> Result<BTreeMap<String, Value>, Error> {
        match self.json()? {
            Value::Object(fields) => Ok(fields.into_iter().collect()),
            _ => Err(self.expected("a table { \"key\" = value }")),
        }
    }

    /// A table.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn table(self) -> Result<Table<'a>, Error> {
        match self.value {
            DeValue::Table(table) => Ok(Table::new(self.text, self.line, table)),
            _ => Err(self.expected("a table")),
        }
    }

    /// A list of tables, or one table.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn tables_or_one(self) -> Result<Vec<Table<'a>>, Error> {
        if self.is_list() {
            return self.tables();
        }
        self.table().map(|table| vec![table])
    }

    /// A list of tables.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid): it is something else.
    pub fn tables(self) -> Result<Vec<Table<'a>>, Error> {
        let (text, line) = (self.text, self.line);
        if !self
            .value
            .as_array()
            .is_some_and(|items| items.iter().all(|item| item.get_ref().is_table()))
        {
            return Err(self.expected("a list of tables"));
        }
        let DeValue::Array(items) = self.value else {
            return Ok(Vec::new());
        };
        let tables = items.into_iter().map(|item: Spanned<DeValue<'a>>| {
            let start = item.span().start;
            let line = if start == 0 {
                line
            } else {
                line_at(text, start)
            };
            match item.into_inner() {
                DeValue::Table(table) => Table::new(text, line, table),
                _ => Table::new(text, line, DeTable::new()),
            }
        });
        Ok(tables.collect())
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

const fn name_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn json(value: &DeValue<'_>, depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err("the value is nested too deeply".to_owned());
    }
    Ok(match value {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Integer(number) => {
            let whole = integer(value).map(Number::from);
            Value::Number(whole.ok_or_else(|| format!("{} is too large", number.as_str()))?)
        }
        DeValue::Float(number) => {
            let float = number.as_str().parse().ok().and_then(Number::from_f64);
            Value::Number(float.ok_or_else(|| format!("{} has no form in JSON", number.as_str()))?)
        }
        DeValue::Array(items) => {
            let items = items.iter().map(|item| json(item.get_ref(), depth + 1));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => {
            let mut fields = Map::new();
            for (key, value) in table {
                fields.insert(key.get_ref().to_string(), json(value.get_ref(), depth + 1)?);
            }
            Value::Object(fields)
        }
    })
}
