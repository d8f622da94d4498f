//! Events as a table: those that a query needs, and of these the columns that it reads, copied into a private database.
//!
//! Relies on: SQLite, which says while it compiles a statement which columns that reads; the copy spills to a file that goes away with it.
//! Never: writes to the store; copies what the filter leaves out.
//!
//! A virtual table over the store would copy nothing, and needs code that the compiler does not check: rusqlite's traits for it are unsafe.

use std::collections::BTreeSet;

use factum_projection::declared::{happened, rfc3339};
use factum_store::{EventStore, Kind as StoreKind, ReadFrom, ReadRequest, Source};
use factum_types::{ContentType, Position, RecordKind, RecordedEvent, Timestamp};
use rusqlite::types::{ToSql, Value as Sql};
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;

use crate::error::{Error, Kind};
use crate::guard::Guard;
use crate::run::{compile, said, statement};
use crate::{Done, Limits, Out};

/// The name of the table.
pub(crate) const TABLE: &str = "events";
/// How many events are copied between two looks at the clock.
const LOOK_EVENTS: u64 = 256;

/// The columns, in order, with their types.
const COLUMNS: &[(&str, &str)] = &[
    ("position", "INTEGER PRIMARY KEY"),
    ("stream", "TEXT"),
    ("category", "TEXT"),
    ("revision", "INTEGER"),
    ("type", "TEXT"),
    ("version", "INTEGER"),
    ("time", "TEXT"),
    ("recorded", "TEXT"),
    ("id", "TEXT"),
    ("data", "TEXT"),
    ("metadata", "TEXT"),
    ("tags", "TEXT"),
    ("user", "TEXT"),
    ("correlation", "TEXT"),
    ("causation", "TEXT"),
];

/// Which events a query is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Of these streams, types and tags.
    pub source: Source,
    /// From this position on.
    pub from: Option<Position>,
    /// Up to this position, itself included.
    pub to: Option<Position>,
    /// That happened at this moment or later.
    pub since: Option<Timestamp>,
    /// That happened before this moment.
    pub until: Option<Timestamp>,
}

/// All events.
impl Default for Filter {
    fn default() -> Self {
        Self {
            source: Source::All,
            from: None,
            to: None,
            since: None,
            until: None,
        }
    }
}

/// Queries events: a table `events` with the columns `position`, `stream`, `category`, `revision`, `type`, `version`, `time`, `recorded`, `id`,
/// `data`, `metadata`, `tags`, `user`, `correlation` and `causation`.
///
/// Times are RFC 3339, `time` when it happened and `recorded` when it was stored. Data that are JSON and `metadata` are JSON texts, for
/// `data ->> '$.total'`; other data are bytes. `tags` is a JSON list. Only the columns that the statement reads are copied.
///
/// # Errors
/// As for [`sqlite`](crate::sqlite()); and [`Kind::Store`]: the store cannot be read, or an event is damaged.
///
/// # Cancel safety
/// It may be dropped at any point: it changes nothing.
pub async fn events(
    store: &dyn EventStore,
    filter: &Filter,
    sql: &str,
    limits: Limits,
    is_stopped: impl Fn() -> bool + Send + 'static,
    out: Out<'_>,
) -> Result<Done, Error> {
    // An empty name is a private database in a file that SQLite makes when memory does not suffice, and removes.
    let connection = Connection::open("").map_err(|error| said(&error))?;
    let guard = Guard::new(limits, is_stopped);
    let made = connection.execute_batch(&format!(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE; PRAGMA cache_size = -65536; {}",
        create()
    ));
    made.map_err(|error| said(&error))?;
    guard.watch(&connection)?;
    // Compiled once over the empty table: a mistake is told before anything is read, and SQLite tells which columns are needed.
    compile(&connection, sql, &guard)?;
    let columns = guard.columns();
    guard.release(&connection)?;
    let copied = copy(&connection, store, filter, &columns, &guard).await?;
    guard.watch(&connection)?;
    let mut done = statement(&connection, sql, limits, &guard, out)?;
    done.events = copied;
    Ok(done)
}

fn create() -> String {
    let columns: Vec<_> = COLUMNS
        .iter()
        .map(|(name, holds)| format!("{name} {holds}"))
        .collect();
    format!("CREATE TABLE {TABLE} ({})", columns.join(", "))
}

async fn copy(
    connection: &Connection,
    store: &dyn EventStore,
    filter: &Filter,
    needed: &BTreeSet<String>,
    guard: &Guard,
) -> Result<u64, Error> {
    let names: Vec<&str> = COLUMNS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| *name == "position" || needed.contains(*name))
        .collect();
    let places = vec!["?"; names.len()].join(", ");
    let sql = format!(
        "INSERT INTO {TABLE} ({}) VALUES ({places})",
        names.join(", ")
    );
    connection
        .execute_batch("BEGIN")
        .map_err(|error| said(&error))?;
    let mut insert = connection.prepare(&sql).map_err(|error| said(&error))?;
    let mut request = ReadRequest::forward(filter.source.clone());
    if let (Some(from), false) = (filter.from, matches!(filter.source, Source::Stream(_))) {
        request = request.from(ReadFrom::Position(from));
    }
    let mut events = store.read(request);
    let (mut copied, mut looked) = (0, 0_u64);
    while let Some(event) = events.next().await {
        looked += 1;
        if looked.is_multiple_of(LOOK_EVENTS) {
            guard.check()?;
        }
        let event = match event {
            Ok(event) => event,
            Err(error) if matches!(error.kind(), StoreKind::NotFound | StoreKind::Deleted) => break,
            Err(error) => return Err(error.into()),
        };
        if filter.to.is_some_and(|to| event.position > to) {
            break;
        }
        if event.kind != RecordKind::Event || !filter.means(&event) {
            continue;
        }
        let row = names.iter().map(|name| column(name, &event));
        let row = row.collect::<Result<Vec<Sql>, Error>>()?;
        insert
            .execute(params_from_iter(row.iter().map(|it| it as &dyn ToSql)))
            .map_err(|error| guard.ended().unwrap_or_else(|| said(&error)))?;
        copied += 1;
    }
    drop(insert);
    connection
        .execute_batch("COMMIT")
        .map_err(|error| said(&error))?;
    Ok(copied)
}

impl Filter {
    fn means(&self, event: &RecordedEvent) -> bool {
        if self.from.is_some_and(|from| event.position < from) {
            return false;
        }
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let time = happened(event);
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }
}

fn column(name: &str, event: &RecordedEvent) -> Result<Sql, Error> {
    let text = |text: &str| Sql::Text(text.to_owned());
    let maybe = |text: Option<&String>| text.map_or(Sql::Null, |text| Sql::Text(text.clone()));
    let whole = |number: u64| {
        i64::try_from(number)
            .map(Sql::Integer)
            .map_err(|_too_large| {
                Error::new(
                    Kind::Limit,
                    format!("{name} {number} is larger than SQLite can hold"),
                )
            })
    };
    let metadata = &event.metadata;
    Ok(match name {
        "position" => whole(event.position.raw())?,
        "stream" => text(event.stream.as_str()),
        "category" => event.stream.category().map_or(Sql::Null, text),
        "revision" => whole(event.revision.number())?,
        "type" => text(event.event_type.as_str()),
        "version" => whole(event.schema_version.into())?,
        "time" => moment(happened(event)),
        "recorded" => moment(event.time),
        "id" => Sql::Text(event.id.to_string()),
        "data" => bytes(&event.data, event.content_type == ContentType::Json),
        "metadata" if metadata.custom.is_empty() => Sql::Null,
        "metadata" => bytes(&metadata.custom, true),
        "tags" => {
            let tags = event.tags.iter().map(|tag| Value::from(tag.to_string()));
            Sql::Text(Value::from_iter(tags).to_string())
        }
        "user" => maybe(metadata.user_id.as_ref()),
        "correlation" => maybe(metadata.correlation_id.as_ref()),
        "causation" => maybe(metadata.causation_id.as_ref()),
        _ => Sql::Null,
    })
}

/// A text where it is one and should be, else bytes.
fn bytes(bytes: &[u8], as_text: bool) -> Sql {
    match std::str::from_utf8(bytes) {
        Ok(text) if as_text => Sql::Text(text.to_owned()),
        _ => Sql::Blob(bytes.to_vec()),
    }
}

/// A moment as `factum read` prints it.
fn moment(time: Timestamp) -> Sql {
    Sql::Text(rfc3339(time))
}
