//! What a file says about tables and series: columns, keys, indexes; tags and fields.
//!
//! Relies on: the checks of [`Table`]. Never: knows a sink.

use factum_framework::declared::{Entry, Table as Keys};

use super::mistake::Found;
use crate::points::check_point;
use crate::{Column, ColumnType, Table, Value};

/// What a projection writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Tables(Vec<TableShape>),
    Points(Vec<Measurement>),
}

/// A table, with what the file asks of it beyond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableShape {
    pub(super) table: Table,
    /// Columns outside of the key that are never null.
    pub(super) required: Vec<String>,
}

/// A series of points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    /// Its name.
    pub name: String,
    /// What is grouped by.
    pub tags: Vec<String>,
    /// What is measured.
    pub fields: Vec<Column>,
}

const TYPES: &[(&str, ColumnType)] = &[
    ("text", ColumnType::Text),
    ("integer", ColumnType::Integer),
    ("real", ColumnType::Real),
    ("bool", ColumnType::Bool),
    ("bytes", ColumnType::Bytes),
    ("timestamp", ColumnType::Time),
    ("json", ColumnType::Json),
];

impl TableShape {
    /// Whether a column must have a value, in the key or not.
    pub(super) fn needs(&self, column: &str) -> bool {
        let mut all = self.table.key.iter().chain(&self.required);
        all.any(|needed| needed == column)
    }

    /// The columns, for a message.
    pub(super) fn names(&self) -> String {
        let names: Vec<_> = self
            .table
            .columns
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        names.join(", ")
    }
}

/// The shape that a file declares: `[table]`, `[tables.NAME]`, `[points]` or `[[points]]`.
pub(super) fn read(file: &mut Keys<'_>, name: &str, found: &mut Found) -> Option<Shape> {
    let line = file.line;
    let all = [file.take("table"), file.take("tables"), file.take("points")];
    let mut given = all.into_iter().flatten();
    let Some(entry) = given.next() else {
        found.at(
            line,
            "the file says nothing of [table], [tables.NAME] or [points]: what is written, as in\n[table]\nid = \"text primary key\"",
        );
        return None;
    };
    for other in given {
        let what = format!(
            "it excludes `{}`: a file has [table], or [tables.NAME], or [points]",
            entry.key()
        );
        found.ok::<()>(Err(other.wrong(what)));
    }
    match entry.key() {
        "table" => Some(Shape::Tables(vec![table(entry, name, found)?])),
        "tables" => {
            let mut tables = found.ok(entry.table())?;
            let tables = tables.entries().into_iter().filter_map(|entry| {
                let name = entry.key().to_owned();
                table(entry, &name, found)
            });
            Some(Shape::Tables(tables.collect()))
        }
        _ => points(entry, name, found).map(Shape::Points),
    }
}

fn table(entry: Entry<'_>, name: &str, found: &mut Found) -> Option<TableShape> {
    let line = entry.line();
    let mut keys = found.ok(entry.table())?;
    let mut shape = TableShape {
        table: Table::new(name),
        required: Vec::new(),
    };
    let (mut key, mut singles) = (Vec::new(), Vec::new());
    let mut wide_key = None;
    for entry in keys.entries() {
        match (entry.key(), entry.is_list()) {
            ("key", true) => wide_key = found.ok(entry.texts()),
            ("index", true) => {
                for columns in found.ok(lists(&entry)).unwrap_or_default() {
                    shape.table = shape.table.index(columns);
                }
            }
            _ => {
                let name = entry.key().to_owned();
                let Some(column) = found.ok(column(&entry)) else {
                    continue;
                };
                shape.table = shape.table.column(name.as_str(), column.holds);
                if column.in_key {
                    key.push(name);
                    continue;
                }
                if column.required {
                    shape.required.push(name.clone());
                }
                if column.indexed {
                    singles.push(name);
                }
            }
        }
    }
    for single in singles {
        shape.table = shape.table.index([single]);
    }
    if wide_key.is_some() && !key.is_empty() {
        found.at(
            line,
            "the key is given twice: by `key`, and by `primary key`",
        );
    }
    shape.table = shape.table.key(wide_key.unwrap_or(key));
    let key = &shape.table.key;
    shape.required.retain(|name| !key.contains(name));
    if let Err(error) = shape.table.check() {
        let what = error.to_string();
        let what = if shape.table.key.is_empty() {
            format!("{what}: write \"text primary key\" for the column by which a row is found")
        } else {
            what
        };
        found.at(line, what);
    }
    Some(shape)
}

/// `["a", "b"]` is two indexes, `[["a", "b"]]` one over both.
fn lists(entry: &Entry<'_>) -> Result<Vec<Vec<String>>, factum_framework::Error> {
    let wrong = || {
        entry.wrong(
            "columns are expected, as in index = [\"status\", [\"customer\", \"placed_at\"]]",
        )
    };
    let serde_json::Value::Array(items) = entry.json()? else {
        return Err(wrong());
    };
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
    let lists = items.iter().map(|item| match item {
        serde_json::Value::Array(names) => names.iter().map(text).collect(),
        name => Ok(vec![text(name)?]),
    });
    lists.collect()
}

#[derive(Debug)]
struct Words {
    holds: ColumnType,
    in_key: bool,
    required: bool,
    indexed: bool,
}

/// `text`, `text primary key`, `integer not null`, `text index`.
fn column(entry: &Entry<'_>) -> Result<Words, factum_framework::Error> {
    let text = entry.text()?.to_lowercase();
    let mut words = text.split_whitespace();
    let holds = type_of(words.next().unwrap_or_default()).map_err(|what| entry.wrong(what))?;
    let mut column = Words {
        holds,
        in_key: false,
        required: false,
        indexed: false,
    };
    while let Some(word) = words.next() {
        match word {
            "primary" if words.next() == Some("key") => column.in_key = true,
            "not" if words.next() == Some("null") => column.required = true,
            "index" => column.indexed = true,
            _ => {
                let what = format!(
                    "{text:?} is not understood: after the type comes `primary key`, `not null` or `index`"
                );
                return Err(entry.wrong(what));
            }
        }
    }
    Ok(column)
}

fn type_of(word: &str) -> Result<ColumnType, String> {
    let found = TYPES.iter().find(|(known, _)| *known == word);
    found.map(|(_, holds)| *holds).ok_or_else(|| {
        let known: Vec<_> = TYPES.iter().map(|(word, _)| *word).collect();
        format!(
            "{word:?} is no type of a column; known are {}",
            known.join(", ")
        )
    })
}

fn points(entry: Entry<'_>, name: &str, found: &mut Found) -> Option<Vec<Measurement>> {
    if !entry.is_list() {
        let table = found.ok(entry.table())?;
        return Some(vec![measurement(table, Some(name), found)?]);
    }
    let tables = found.ok(entry.tables())?;
    let all = tables
        .into_iter()
        .filter_map(|table| measurement(table, None, found));
    Some(all.collect())
}

fn measurement(mut table: Keys<'_>, name: Option<&str>, found: &mut Found) -> Option<Measurement> {
    let line = table.line;
    let named = match (table.take("measurement"), name) {
        (Some(entry), _) => found.ok(entry.text())?,
        (None, Some(name)) => name.to_owned(),
        (None, None) => {
            found.at(
                line,
                "the key `measurement` is missing: the name of the series",
            );
            return None;
        }
    };
    let tags = table
        .take("tags")
        .map_or_else(|| Some(Vec::new()), |entry| found.ok(entry.texts()));
    let fields = found.ok(table.need(
        "fields",
        "what is measured, as in fields = { amount = \"real\" }",
    ));
    found.unknown(table);
    let mut keys = found.ok(fields?.table())?;
    let mut columns = Vec::new();
    for entry in keys.entries() {
        let holds = entry
            .text()
            .and_then(|text| type_of(&text).map_err(|what| entry.wrong(what)));
        let Some(holds) = found.ok(holds) else {
            continue;
        };
        if matches!(holds, ColumnType::Bytes | ColumnType::Json) {
            found.ok::<()>(Err(
                entry.wrong("a field of a point holds no bytes and no JSON")
            ));
        }
        let name = entry.key().to_owned();
        columns.push(Column { name, holds });
    }
    let made = Measurement {
        name: named,
        tags: tags?,
        fields: columns,
    };
    let tags: Vec<_> = made.tags.iter().map(|tag| (tag.as_str(), "x")).collect();
    let fields: Vec<_> = made
        .fields
        .iter()
        .map(|it| (it.name.as_str(), Value::Integer(1)))
        .collect();
    if let Err(error) = check_point(&made.name, &tags, &fields) {
        found.at(line, error.to_string());
    }
    Some(made)
}
