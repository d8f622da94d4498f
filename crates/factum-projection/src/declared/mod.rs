//! Projections that a file declares, for teams in any language.
//!
//! What lives here: [`Declared`], the form of its file, and the projectors that it becomes: over [`Rows`](crate::Rows) or
//! [`Points`](crate::Points), so over every sink. Relies on: the reader of declared files in factum-framework. Never: knows a sink, makes SQL, or
//! writes something else for the same event.
//!
//! ```toml
//! format = 1                            # of this file; always there
//! name = "order_details"                # of the projection; its progress is stored under it
//! sink = "sqlite:orders.db"             # or [sink] with url, user, password_env or password_file, …
//! from = { category = "order" }         # or "all", { stream = … }, { types = […], tags = […] };
//!                                       # when left out, the types that are handled
//! [table]                               # its name is that of the projection; or [tables.NAME], several
//! id = "text primary key"               # text, integer, real, bool, bytes, timestamp, json
//! customer_id = "text not null index"
//! total = "integer"
//! status = "text"
//! shipped_at = "timestamp"
//!
//! [on.OrderPlaced]                      # a type of events; "*" for all
//! insert = { id = "$.orderId", customer_id = "$.customer.id", total = "$.total", status = "'placed'" }
//!
//! [on.OrderShipped]
//! update = { where = { id = "$.orderId" }, set = { status = "'shipped'", shipped_at = "@time" } }
//!
//! [[on.OrderCorrected]]                 # several things for one type
//! version = [1, 2]                      # only these schema versions; all when left out
//! has = "$.total"                       # also lacks, and when = { "$.field" = value }
//! update = { where = { id = "$.orderId" }, set = { total = { from = "$.total", as = "number" } } }
//! [[on.OrderCorrected]]
//! version = 3
//! upsert = { id = "$.orderId", customer_id = "@user", total = { from = "$.sum", missing = "keep" } }
//!
//! [on.OrderCancelled]
//! delete = { where = { id = "$.orderId" } }
//! ```
//!
//! With several tables, `table = "…"` says which one. `increment` and `decrement` take `where` and `by = { column = value }`; a row that is
//! not there is made. For sinks of time series, `[points]` with `measurement`, `tags` and `fields` stands in place of a table, and
//! `point = { tags = { … }, fields = { … }, time = "…" }` in a handler.
//!
//! A value is a number, `true` or `false`, a literal in quotes within the quotes (`"'placed'"`), a place in the data, as a JSON pointer (`"/a/b"`, and
//! `""` for all of it) or in the form `"$.a.b[0]"`, which means the same, or what stands beside the data: `@time` (when the event happened: what `factum read` prints),
//! `@recorded`, `@position`, `@revision`, `@stream`, `@category`, `@id`, `@type`, `@version`, `@user`, `@correlation`, `@causation`. There is no clock: the same
//! events give the same rows. In its long form, `{ from = …, as = …, default = … }`, `as` makes it a `number`, `text` or `boolean`, or says that a number
//! counts `seconds`, `milliseconds` or `microseconds`; what is missing in the data is null, or the `default`, or with `missing` the column is left as it is
//! (`"keep"`) or the event refused (`"fail"`). A column of the key, or that is `not null`, refuses an event that has no value for it.
//!
//! The words are those of declared folds and steps (`factum help state`, `factum help transform`), with three differences, all because a column has
//! a type and null: `@time` is when the event happened, where `beside = "time"` of a fold is when it was recorded (here that is `@recorded`); a field
//! that is there and null counts as missing, so that a `default` stands in for it, and `has` is false and `lacks` true, where folds and steps take a
//! null for a value; and a `default` is turned into what the column holds as any value is.
//!
//! All handlers that take an event are applied, in the order of the file, whatever type each is for. An event that cannot be applied is parked with the reason.

mod expression;
mod fingerprint;
mod mistake;
mod operation;
mod project;
mod shape;
mod sink;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use factum_framework::declared::{self, Entry, Table as Keys};
use factum_framework::pointer::Pointer;
use factum_store::Source;
use factum_types::{Category, EventType, Query, StreamName, Tag};

use crate::Table;
pub use expression::happened;
pub use factum_framework::declared::rfc3339;
use mistake::Found;
pub use mistake::{Mistake, Mistakes};
use operation::Handler;
pub use project::{DeclaredPoints, DeclaredRows};
pub use shape::Measurement;
use shape::Shape;
pub use sink::{Secret, SinkPlace};

/// A projection that a file declares; see the [module](self) for its form.
///
/// ```
/// use factum_projection::declared::Declared;
///
/// let declared = Declared::read(r#"
///     format = 1
///     name = "orders"
///     [table]
///     id = "text primary key"
///     [on.OrderPlaced]
///     insert = { id = "$.orderId" }
/// "#)?;
/// assert_eq!(declared.name(), "orders");
///
/// let wrong = Declared::read("format = 1\nname = \"orders\"\n[table]\nid = \"txt\"\n[on.OrderPlaced]\ninsrt = {}\n");
/// let wrong: Vec<_> = wrong.unwrap_err().iter().map(|mistake| mistake.line).collect();
/// assert!(wrong.contains(&Some(4)) && wrong.contains(&Some(6)));
/// # Ok::<(), factum_projection::declared::Mistakes>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    name: String,
    sink: Option<SinkPlace>,
    source: Source,
    shape: Shape,
    handlers: Vec<Handler>,
    version: String,
}

impl Declared {
    /// What the text of a file declares.
    ///
    /// # Errors
    /// Everything that is wrong with it, by line.
    pub fn read(text: &str) -> Result<Self, Mistakes> {
        let mut found = Found::default();
        let read = read(text, &mut found);
        found.end(read)
    }

    /// The name of the projection.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the file says that the read model lives.
    #[must_use]
    pub const fn sink(&self) -> Option<&SinkPlace> {
        self.sink.as_ref()
    }

    /// Which events it reads.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// A fingerprint of everything in the file that rows depend on: kept with each generation, so that a changed file asks for a
    /// rebuild. Comments, spaces and the sink do not count.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The tables, in the order of the file; none for a projection into points.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        let tables = match &self.shape {
            Shape::Tables(tables) => tables.as_slice(),
            Shape::Points(_) => &[],
        };
        tables.iter().map(|shape| &shape.table)
    }

    /// The series, in the order of the file; none for a projection into tables.
    #[must_use]
    pub fn measurements(&self) -> &[Measurement] {
        match &self.shape {
            Shape::Tables(_) => &[],
            Shape::Points(all) => all,
        }
    }

    /// The projector over rows; `None` for a projection into points.
    #[must_use]
    pub fn rows(self: &Arc<Self>) -> Option<DeclaredRows> {
        matches!(self.shape, Shape::Tables(_)).then(|| DeclaredRows(Arc::clone(self)))
    }

    /// The projector over points; `None` for a projection into tables.
    #[must_use]
    pub fn points(self: &Arc<Self>) -> Option<DeclaredPoints> {
        matches!(self.shape, Shape::Points(_)).then(|| DeclaredPoints(Arc::clone(self)))
    }

    /// The types that are handled by name, each with the line of its first handler.
    #[must_use]
    pub fn handled(&self) -> BTreeMap<&EventType, usize> {
        let mut handled = BTreeMap::new();
        for handler in &self.handlers {
            if let Some(event) = &handler.event {
                handled.entry(event).or_insert(handler.line);
            }
        }
        handled
    }

    /// Whether a handler takes events of this type and schema version.
    #[must_use]
    pub fn takes(&self, event_type: &EventType, version: u32) -> bool {
        let mut handlers = self.handlers.iter();
        handlers.any(|handler| handler.takes(event_type, version))
    }

    /// The places in the data that the handlers of a type look at, each with its line.
    pub fn places<'a>(
        &'a self,
        event_type: &'a EventType,
    ) -> impl Iterator<Item = (&'a Pointer, usize)> {
        let handlers = self.handlers.iter();
        let of_type = handlers.filter(move |it| it.event.as_ref() == Some(event_type));
        of_type.flat_map(|handler| handler.places().map(|place| (place, handler.line)))
    }
}

fn read(text: &str, found: &mut Found) -> Option<Declared> {
    let mut file = found.ok(declared::read(text))?;
    let version = fingerprint::of(text, found)?;
    found.ok(file.format());
    let name = found.ok(file.need(
        "name",
        "how the projection is called, as in name = \"order_details\"",
    ));
    let name = name.and_then(|entry| {
        let name = found.ok(entry.text())?;
        check_name(&name)
            .map_err(|what| found.at(entry.line(), what))
            .ok()?;
        Some(name)
    });
    let sink = file.take("sink").and_then(|entry| sink::read(entry, found));
    let from = file.take("from");
    let from_line = from.as_ref().map_or(1, Entry::line);
    let from = from.map(|entry| source(entry, found));
    let on = file.need(
        "on",
        "write [on.TYPE] for the events that change the read model",
    );
    let shape = shape::read(&mut file, name.as_deref().unwrap_or("unnamed"), found);
    found.unknown(file);
    let on = found.ok(on)?;
    let line = on.line();
    let shape = shape?;
    let before = found.count();
    let handlers = operation::read(on, &shape, found);
    let source = match from {
        Some(source) => source?,
        // Which types there are is not known when one of them could not be read.
        None if handlers.is_empty() && found.count() > before => return None,
        None => of_types(&handlers, line, found)?,
    };
    check_reach(&source, &handlers, from_line, found);
    Some(Declared {
        name: name?,
        sink,
        source,
        shape,
        handlers,
        version,
    })
}

/// A projection's name is that of a table, where it has only one.
fn check_name(name: &str) -> Result<(), String> {
    let table = Table::new(name).text("x").key(["x"]);
    table.check().map_err(|error| error.to_string())
}

fn source(entry: Entry<'_>, found: &mut Found) -> Option<Source> {
    if entry.as_text() == Some("all") {
        return Some(Source::All);
    }
    if !entry.is_table() {
        let what = "\"all\" is expected, or { category = \"order\" }, { stream = \"order-1\" }, { types = [\"OrderPlaced\"], tags = [\"customer:anna\"] }";
        return found.ok(Err(entry.wrong(what)));
    }
    let line = entry.line();
    let mut table = found.ok(entry.table())?;
    let source = chosen(&mut table, line);
    found.unknown(table);
    found.ok(source)
}

fn chosen(table: &mut Keys<'_>, line: usize) -> Result<Source, factum_framework::Error> {
    let (category, stream) = (table.take("category"), table.take("stream"));
    let (types, tags) = (table.take("types"), table.take("tags"));
    let query = types.is_some() || tags.is_some();
    match (category, stream, query) {
        (Some(entry), None, false) => {
            let category = Category::new(entry.text()?).map_err(|error| entry.wrong(error))?;
            Ok(Source::Category(category))
        }
        (None, Some(entry), false) => {
            let stream = StreamName::new(entry.text()?).map_err(|error| entry.wrong(error))?;
            Ok(Source::Stream(stream))
        }
        (None, None, true) => {
            let types = named(types.as_ref(), |text| EventType::new(text))?;
            let tags = named(tags.as_ref(), |text| Tag::new(text))?;
            Ok(Source::Query(Query::of(types, tags)))
        }
        (None, None, false) => Err(declared::wrong(
            line,
            "`from` names nothing: a category, a stream, or types and tags",
        )),
        _ => Err(declared::wrong(
            line,
            "`from` names one thing: a category, or a stream, or types and tags",
        )),
    }
}

fn named<T, E: std::fmt::Display>(
    entry: Option<&Entry<'_>>,
    name: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, factum_framework::Error> {
    let Some(entry) = entry else {
        return Ok(Vec::new());
    };
    let texts = entry.texts()?;
    let names = texts
        .iter()
        .map(|text| name(text).map_err(|error| entry.wrong(error)));
    names.collect()
}

/// Without `from`, exactly what is handled is read.
fn of_types(handlers: &[Handler], line: usize, found: &mut Found) -> Option<Source> {
    let mut types: Vec<EventType> = Vec::new();
    for handler in handlers {
        match &handler.event {
            Some(event) if types.contains(event) => {}
            Some(event) => types.push(event.clone()),
            None => {
                found.at(
                    line,
                    "with a handler for \"*\", say which events are read, as in from = \"all\"",
                );
                return None;
            }
        }
    }
    if types.is_empty() {
        found.at(line, "there is no handler: write [on.TYPE]");
        return None;
    }
    Some(Source::Query(Query::of(types, Vec::new())))
}

/// A handler whose type is never read does nothing, ever.
fn check_reach(source: &Source, handlers: &[Handler], line: usize, found: &mut Found) {
    let Source::Query(query) = source else {
        return;
    };
    for handler in handlers {
        let Some(event) = &handler.event else {
            continue;
        };
        let reached = query
            .items
            .iter()
            .any(|item| item.types.is_empty() || item.types.contains(event));
        if !reached {
            found.at(
                handler.line,
                format!("{event} is never read: `from` in line {line} names other types"),
            );
        }
    }
}
