//! What a handler does: rows inserted, changed, removed, added to, and points.
//!
//! Relies on: the shape of the file. Never: names a column that the shape does not have.

use factum_framework::declared::{Entry, Table as Keys};
use factum_framework::pointer::Pointer;
use factum_types::EventType;
use serde_json::Value as Json;

use super::expression::{Expression, Given, Missing, path};
use super::mistake::Found;
use super::shape::{Measurement, Shape, TableShape};
use crate::ColumnType;

/// What is done for some events.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Handler {
    /// Their type; every type when there is none.
    pub(super) event: Option<EventType>,
    /// Their schema versions; all when empty.
    pub(super) versions: Vec<u32>,
    pub(super) conditions: Vec<Condition>,
    pub(super) does: Operation,
    pub(super) line: usize,
}

/// What must be so in the data.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    Is(Pointer, Vec<Json>),
    Has(Pointer),
    Lacks(Pointer),
}

/// What is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operation {
    Insert(String, Vec<Assignment>),
    Upsert(String, Vec<Assignment>),
    Update(String, Vec<Assignment>, Vec<Assignment>),
    Delete(String, Vec<Assignment>),
    /// By so much, or less by it.
    Increment(String, Vec<Assignment>, Vec<Assignment>, Sign),
    Point(Point),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

/// A column and where its value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assignment {
    pub(super) column: String,
    pub(super) holds: ColumnType,
    pub(super) required: bool,
    pub(super) from: Expression,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) measurement: String,
    pub(super) tags: Vec<Assignment>,
    pub(super) fields: Vec<Assignment>,
    pub(super) time: Option<Expression>,
}

const OPERATIONS: [&str; 7] = [
    "insert",
    "upsert",
    "update",
    "delete",
    "increment",
    "decrement",
    "point",
];

impl Condition {
    pub(super) fn holds(&self, given: &Given<'_>) -> bool {
        match self {
            Self::Is(at, values) => given.field(at).map_or_else(
                || values.contains(&Json::Null),
                |found| values.contains(found),
            ),
            Self::Has(at) => given.field(at).is_some(),
            Self::Lacks(at) => given.field(at).is_none(),
        }
    }

    /// Where it needs something.
    fn place(&self) -> Option<&Pointer> {
        match self {
            Self::Is(at, values) => (!values.contains(&Json::Null)).then_some(at),
            Self::Has(at) => Some(at),
            Self::Lacks(_) => None,
        }
    }
}

impl Handler {
    /// Whether it takes events of this type and version, before conditions.
    pub(super) fn takes(&self, name: &EventType, version: u32) -> bool {
        self.event.as_ref().is_none_or(|event| event == name)
            && (self.versions.is_empty() || self.versions.contains(&version))
    }

    /// Whether it looks into the data.
    pub(super) fn needs_data(&self) -> bool {
        !self.conditions.is_empty() || self.does.expressions().any(Expression::needs_data)
    }

    /// The places in the data that it takes values from or looks at, except those where nothing should be.
    pub(super) fn places(&self) -> impl Iterator<Item = &Pointer> {
        let conditions = self.conditions.iter().filter_map(Condition::place);
        conditions.chain(self.does.expressions().filter_map(Expression::place))
    }
}

impl Operation {
    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        const NONE: &[Assignment] = &[];
        let (first, second, time) = match self {
            Self::Insert(_, row) | Self::Upsert(_, row) | Self::Delete(_, row) => {
                (row.as_slice(), NONE, None)
            }
            Self::Update(_, key, set) | Self::Increment(_, key, set, _) => {
                (key.as_slice(), set.as_slice(), None)
            }
            Self::Point(point) => (
                point.tags.as_slice(),
                point.fields.as_slice(),
                point.time.as_ref(),
            ),
        };
        let assigned = first.iter().chain(second).map(|it| &it.from);
        assigned.chain(time)
    }
}

/// Everything under `[on]`: a key for each type, with a table or a list of them.
pub(super) fn read(entry: Entry<'_>, shape: &Shape, found: &mut Found) -> Vec<Handler> {
    let mut handlers = Vec::new();
    let Some(mut on) = found.ok(entry.table()) else {
        return handlers;
    };
    for entry in on.entries() {
        let name = entry.key().to_owned();
        let event = if name == "*" {
            None
        } else {
            let event = EventType::new(&name).map_err(|error| entry.wrong(error));
            match found.ok(event) {
                Some(event) => Some(event),
                None => continue,
            }
        };
        for table in found.ok(entry.tables_or_one()).unwrap_or_default() {
            handlers.extend(handler(table, event.clone(), shape, found));
        }
    }
    // Those of one type stand together until here, whatever stood between them in the file.
    handlers.sort_by_key(|handler| handler.line);
    handlers
}

fn handler(
    mut table: Keys<'_>,
    event: Option<EventType>,
    shape: &Shape,
    found: &mut Found,
) -> Option<Handler> {
    let line = table.line;
    let versions = table
        .take("version")
        .map(|entry| entry.versions())
        .transpose();
    let versions = found.ok(versions)?.unwrap_or_default();
    let conditions = conditions(&mut table, found);
    let of = table.take("table");
    let does = table.one_of(&OPERATIONS, "the handler");
    found.unknown(table);
    let does = found.ok(does)?;
    let does = match shape {
        Shape::Points(all) => {
            if let Some(of) = of {
                found.ok::<()>(Err(
                    of.wrong("points go into a measurement, not into a table")
                ));
            }
            point(does, all, found).map(Operation::Point)
        }
        Shape::Tables(tables) => {
            let shape = table_of(of.as_ref(), &does, tables, found)?;
            rows(does, shape, found)
        }
    };
    Some(Handler {
        event,
        versions,
        conditions,
        does: does?,
        line,
    })
}

fn table_of<'s>(
    of: Option<&Entry<'_>>,
    does: &Entry<'_>,
    tables: &'s [TableShape],
    found: &mut Found,
) -> Option<&'s TableShape> {
    let names = || {
        let names: Vec<_> = tables.iter().map(|it| it.table.name.as_str()).collect();
        names.join(", ")
    };
    match (of, tables) {
        (None, [only]) => Some(only),
        (None, _) => {
            let what = format!(
                "say into which table, as in table = \"…\"; there are {}",
                names()
            );
            found.ok(Err(does.wrong(what)))
        }
        (Some(of), _) => {
            let name = found.ok(of.text())?;
            let table = tables.iter().find(|it| it.table.name == name);
            let wrong = || of.wrong(format!("there is no table {name}; there are {}", names()));
            found.ok(table.ok_or_else(wrong))
        }
    }
}

fn conditions(table: &mut Keys<'_>, found: &mut Found) -> Vec<Condition> {
    let mut all = Vec::new();
    if let Some(when) = table.take("when") {
        for (at, value) in found.ok(when.map()).unwrap_or_default() {
            let values = match value {
                Json::Array(values) => values,
                value => vec![value],
            };
            let at = path(&at).map_err(|what| when.wrong(what));
            all.extend(found.ok(at).map(|at| Condition::Is(at, values)));
        }
    }
    for (key, make) in [
        ("has", Condition::Has as fn(Pointer) -> _),
        ("lacks", Condition::Lacks),
    ] {
        let Some(entry) = table.take(key) else {
            continue;
        };
        for text in found.ok(entry.texts()).unwrap_or_default() {
            let at = path(&text).map_err(|what| entry.wrong(what));
            all.extend(found.ok(at).map(make));
        }
    }
    all
}

fn rows(does: Entry<'_>, shape: &TableShape, found: &mut Found) -> Option<Operation> {
    let name = shape.table.name.clone();
    let what = does.key().to_owned();
    let line = does.line();
    match what.as_str() {
        "insert" | "upsert" => {
            let row = assignments(found.ok(does.table())?, shape, found);
            check_row(&row, shape, line, &what, found);
            check_kept(&row, line, &what, found);
            Some(if what == "insert" {
                Operation::Insert(name, row)
            } else {
                Operation::Upsert(name, row)
            })
        }
        "point" => {
            let advice = "points need [points] in place of a table";
            found.at(line, advice);
            None
        }
        _ => {
            let mut parts = found.ok(does.table())?;
            let advice = format!(
                "the row, as in {what} = {{ where = {{ {} = … }} }}",
                shape.table.key.join(" = …, ")
            );
            let key = found.ok(parts.need("where", &advice))?;
            let key = assignments(found.ok(key.table())?, shape, found);
            check_key(&key, shape, line, found);
            check_kept(&key, line, "where", found);
            let second = match what.as_str() {
                "delete" => None,
                "update" => Some(parts.need(
                    "set",
                    "what is changed, as in set = { status = \"'paid'\" }",
                )),
                _ => Some(parts.need("by", "what is added, as in by = { orders = 1 }")),
            };
            found.unknown(parts);
            let Some(second) = second else {
                return Some(Operation::Delete(name, key));
            };
            let second = found.ok(second)?;
            let before = found.count();
            let set = assignments(found.ok(second.table())?, shape, found);
            if set.is_empty() && found.count() == before {
                found.at(line, "nothing is changed by this");
            }
            check_outside(&set, shape, line, found);
            if what == "update" {
                return Some(Operation::Update(name, key, set));
            }
            check_sums(&set, shape, line, &what, found);
            check_kept(&set, line, &what, found);
            let sign = if what == "increment" {
                Sign::Plus
            } else {
                Sign::Minus
            };
            Some(Operation::Increment(name, key, set, sign))
        }
    }
}

/// Columns and where their values come from, in the order of the file.
fn assignments(mut table: Keys<'_>, shape: &TableShape, found: &mut Found) -> Vec<Assignment> {
    let mut all = Vec::new();
    for entry in table.entries() {
        let name = entry.key().to_owned();
        let line = entry.line();
        let read = found.ok(Expression::read(entry));
        let Some(column) = shape.table.find(&name) else {
            let (table, names) = (&shape.table.name, shape.names());
            found.at(
                line,
                format!("table {table} has no column {name}; it has {names}"),
            );
            continue;
        };
        // A column whose value is wrong is given all the same: that is one mistake, not two.
        let is_wrong = read.is_none();
        let from = read.unwrap_or_else(Expression::nothing);
        let required = shape.needs(&name);
        if is_wrong {
            // Told already.
        } else if let Err(what) = from.check(column.holds) {
            found.at(line, format!("column {name}: {from} is {what}"));
        } else if required && from.is_null() {
            found.at(line, format!("column {name} cannot be null"));
        }
        all.push(Assignment {
            column: name,
            holds: column.holds,
            required,
            from,
        });
    }
    all
}

fn has(given: &[Assignment], column: &str) -> bool {
    given.iter().any(|it| it.column == column)
}

fn check_row(row: &[Assignment], shape: &TableShape, line: usize, what: &str, found: &mut Found) {
    for column in shape.table.key.iter().chain(&shape.required) {
        if !has(row, column) {
            found.at(
                line,
                format!("{what}: column {column} cannot be null, and is not given"),
            );
        }
    }
}

/// A row that is not there yet keeps nothing: its column would be null.
fn check_kept(row: &[Assignment], line: usize, what: &str, found: &mut Found) {
    let keeps = |it: &&Assignment| it.required && it.from.missing() == Missing::Keep;
    for given in row.iter().filter(keeps) {
        let advice = format!(
            "{what}: column {} cannot be null, so there is not always something to keep: give a `default`, or leave `missing` out, which refuses the event",
            given.column
        );
        found.at(line, advice);
    }
}

fn check_key(key: &[Assignment], shape: &TableShape, line: usize, found: &mut Found) {
    let all = shape.table.key.join(", ");
    for column in &shape.table.key {
        if !has(key, column) {
            found.at(
                line,
                format!(
                    "`where` must name the whole key of the table ({all}); {column} is missing"
                ),
            );
        }
    }
    for given in key
        .iter()
        .filter(|it| !shape.table.key.contains(&it.column))
    {
        let what = format!(
            "`where` finds rows by their key ({all}), and {} is not in it",
            given.column
        );
        found.at(line, what);
    }
}

fn check_outside(set: &[Assignment], shape: &TableShape, line: usize, found: &mut Found) {
    for given in set.iter().filter(|it| shape.table.key.contains(&it.column)) {
        let what = format!(
            "column {} is in the key, which is not changed: delete the row, and insert another",
            given.column
        );
        found.at(line, what);
    }
}

fn check_sums(set: &[Assignment], shape: &TableShape, line: usize, what: &str, found: &mut Found) {
    for given in set {
        if given.holds != ColumnType::Integer {
            found.at(
                line,
                format!("{what}: column {} holds no whole numbers", given.column),
            );
        }
    }
    for column in &shape.required {
        if !has(set, column) {
            let advice = format!(
                "{what}: a row that is not there yet is made, and its column {column} cannot be null"
            );
            found.at(line, advice);
        }
    }
}

fn point(does: Entry<'_>, all: &[Measurement], found: &mut Found) -> Option<Point> {
    if does.key() != "point" {
        let what = format!(
            "`{}` changes rows; points are only added: write point = {{ … }}",
            does.key()
        );
        found.at(does.line(), what);
        return None;
    }
    let mut parts = found.ok(does.table())?;
    let line = parts.line;
    let named = parts.take("measurement");
    let (tags, fields, time) = (parts.take("tags"), parts.take("fields"), parts.take("time"));
    found.unknown(parts);
    let measurement = match (named, all) {
        (None, [only]) => only,
        (None, _) => {
            found.at(
                line,
                "say of which series the point is, as in measurement = \"…\"",
            );
            return None;
        }
        (Some(entry), _) => {
            let name = found.ok(entry.text())?;
            let known = all.iter().find(|it| it.name == name);
            found.ok(known.ok_or_else(|| entry.wrong(format!("there is no measurement {name}"))))?
        }
    };
    let tag_type = |name: &str| {
        measurement
            .tags
            .iter()
            .any(|tag| tag == name)
            .then_some(ColumnType::Text)
    };
    let field_type = |name: &str| {
        measurement
            .fields
            .iter()
            .find(|it| it.name == name)
            .map(|it| it.holds)
    };
    let tags = named_values(tags, "tag", &tag_type, found);
    let before = found.count();
    let fields = named_values(fields, "field", &field_type, found);
    if fields.is_empty() && found.count() == before {
        found.at(
            line,
            "a point has at least one field, as in fields = { amount = \"$.total\" }",
        );
    }
    let time = time.and_then(|entry| {
        let time = found.ok(Expression::read(entry))?;
        if let Err(what) = time.check(ColumnType::Time) {
            found.at(line, format!("`time`: {time} is {what}"));
        }
        Some(time)
    });
    Some(Point {
        measurement: measurement.name.clone(),
        tags,
        fields,
        time,
    })
}

fn named_values(
    entry: Option<Entry<'_>>,
    what: &str,
    type_of: &dyn Fn(&str) -> Option<ColumnType>,
    found: &mut Found,
) -> Vec<Assignment> {
    let table = entry.and_then(|entry| found.ok(entry.table()));
    let mut all = Vec::new();
    for entry in table.map(|mut table| table.entries()).unwrap_or_default() {
        let (name, line) = (entry.key().to_owned(), entry.line());
        let Some(from) = found.ok(Expression::read(entry)) else {
            continue;
        };
        let Some(holds) = type_of(&name) else {
            found.at(line, format!("[points] has no {what} {name}"));
            continue;
        };
        if let Err(wrong) = from.check(holds) {
            found.at(line, format!("{what} {name}: {from} is {wrong}"));
        }
        let required = from.missing() == Missing::Fail;
        all.push(Assignment {
            column: name,
            holds,
            required,
            from,
        });
    }
    all
}
